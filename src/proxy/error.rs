//! Why a request is not answered by a provider: one cause, one word, one status.

use std::time::Duration;

use http::StatusCode;
use thiserror::Error;

use crate::catalog::SubscribeError;
use crate::provider::{Address, ServiceName, ServiceNameError};
use crate::route::overrides::OverrideError;
use crate::route::{RewriteError, Unroutable};
use crate::upstream::tls::TlsError;
use crate::upstream::{ConnectError, SendCause};

/// Why a request is not answered by a provider.
#[derive(Debug, Error)]
pub enum ProxyError {
    /// The request is not one that may be forwarded.
    #[error("{0}")]
    BadRequest(&'static str),
    /// The request's target is too long.
    #[error("the request target is longer than {limit} bytes")]
    UriTooLong {
        /// The bound.
        limit: usize,
    },
    /// The request has too many header fields.
    #[error("the request has more than {limit} header fields")]
    HeadersTooMany {
        /// The bound.
        limit: usize,
    },
    /// A tunnel was asked for.
    #[error(
        "CONNECT is not allowed here: this is no forward proxy, it only reaches services of the registry, and those by a tunnel whose \
         service or route says tunnel = true"
    )]
    ConnectRefused,
    /// The request was here before.
    #[error("the request came back to this proxy: its service leads here again")]
    Loop,
    /// The request does not say which service it is for.
    #[error(transparent)]
    Unroutable(#[from] Unroutable),
    /// A page of another site had a browser send it.
    #[error(
        "a browser sent this for a page of another site, and this listener refuses that; call it from a program, or write \
         refuse_cross_site = false for the listener"
    )]
    CrossSite,
    /// Its path cannot be made into the one that the route says.
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
    /// The name cannot be a service's.
    #[error("{name:?} cannot be the name of a service: {cause}")]
    BadService {
        /// The name.
        name: String,
        /// The cause.
        cause: ServiceNameError,
    },
    /// The catalog takes no further service.
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    /// The registry has not told of the service yet.
    #[error("the registry has not told of service {service} yet")]
    NotListed {
        /// The service.
        service: ServiceName,
    },
    /// The registry knows no such service.
    #[error("the registry knows no service {service}")]
    Absent {
        /// The service.
        service: ServiceName,
    },
    /// The service has no provider, or none that the route wants.
    #[error("service {service} has no provider{}", if *.known > 0 { " that this route wants" } else { "" })]
    NoProvider {
        /// The service.
        service: ServiceName,
        /// Providers that the registry knows.
        known: usize,
    },
    /// The service has providers, and HTTP can reach none of those that the route wants.
    #[error(
        "the {count} {} tcp, which HTTP cannot reach",
        if *.count == 1 { format!("provider of service {service} speaks") } else { format!("providers of service {service} speak") }
    )]
    OutOfReach {
        /// The service.
        service: ServiceName,
        /// Providers that the route wants.
        count: usize,
    },
    /// The request wants a provider, or a kind of provider, that is not there.
    #[error("service {service} has no provider that this request wants")]
    Unwanted {
        /// The service.
        service: ServiceName,
    },
    /// The request asks for a provider in a way that cannot be understood.
    #[error(transparent)]
    Override(#[from] OverrideError),
    /// The request asks for a provider, and came from where that is not allowed.
    #[error(
        "this listener is not trusted, so no request may choose its provider; leave X-Wayside-Provider and \
         X-Wayside-Subset out, or write trusted = true for the listener"
    )]
    OverrideRefused,
    /// The route has had as many requests as it may have.
    #[error(
        "as many requests as are allowed came already, {requests} in {per:?}; the next may come in {pause:?}"
    )]
    RateLimited {
        /// The limit.
        requests: u32,
        /// The time it is for.
        per: Duration,
        /// How long until the next one may come.
        pause: Duration,
    },
    /// The configuration says that this request is to fail.
    #[error("a fault that the configuration asks for")]
    Fault {
        /// The status it asks for.
        status: StatusCode,
    },
    /// Every provider that could be used has as much in flight as it may have.
    #[error("every provider of service {service} has as many requests in flight as it may have")]
    EndpointsFull {
        /// The service.
        service: ServiceName,
    },
    /// No provider had room while the request waited for one.
    #[error("no provider of service {service} had room for one more request within {limit:?}")]
    EndpointQueueTimeout {
        /// The service.
        service: ServiceName,
        /// How long it waited.
        limit: Duration,
    },
    /// As many requests as allowed are in flight.
    #[error("{limit} requests are in flight already, as many as allowed")]
    Overloaded {
        /// The bound.
        limit: usize,
    },
    /// There was no room for the request while it waited.
    #[error("too many requests are in flight, and none ended within {limit:?} for this one to begin")]
    QueueTimeout {
        /// How long it waited.
        limit: Duration,
    },
    /// The time limit passed.
    #[error("no answer within {limit:?}")]
    Deadline {
        /// The limit.
        limit: Duration,
    },
    /// One attempt took too long.
    #[error("no answer of this provider within {limit:?}")]
    AttemptTimeout {
        /// The limit.
        limit: Duration,
    },
    /// The message could not be delivered or was not answered.
    #[error(transparent)]
    Send(#[from] SendCause),
    /// The provider wanted to speak another protocol unasked, or failed to switch.
    #[error("the provider could not switch protocols")]
    Switch,
    /// The first message of a stream is too large to be held.
    #[error("the first message of a stream has more than {limit} bytes")]
    StreamTooLarge {
        /// The bound.
        limit: usize,
    },
}

/// How one kind of error is told: everything but its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Telling {
    /// One word, used alike as metric label, in the access log and in the answer.
    pub reason: &'static str,
    /// The status.
    pub status: StatusCode,
    /// The error type of RFC 9209, section 2.3.
    pub proxy_status: &'static str,
}

const fn telling(reason: &'static str, status: StatusCode, proxy_status: &'static str) -> Telling {
    Telling { reason, status, proxy_status }
}

/// Of a provider to which no request can be sent.
const NOT_HTTP: Telling = telling("not_http", StatusCode::BAD_GATEWAY, "destination_unavailable");

impl ProxyError {
    /// One word for it.
    pub fn reason(&self) -> &'static str {
        self.telling().reason
    }

    /// How it is told.
    pub fn telling(&self) -> Telling {
        use StatusCode as S;
        match self {
            Self::BadRequest(_) => telling("bad_request", S::BAD_REQUEST, "http_request_error"),
            Self::UriTooLong { .. } => telling("uri_too_long", S::URI_TOO_LONG, "http_request_error"),
            Self::HeadersTooMany { .. } => {
                telling("too_many_headers", S::REQUEST_HEADER_FIELDS_TOO_LARGE, "http_request_error")
            }
            Self::ConnectRefused => telling("connect_refused", S::METHOD_NOT_ALLOWED, "http_request_denied"),
            Self::Loop => telling("loop", S::LOOP_DETECTED, "proxy_loop_detected"),
            Self::Unroutable(_) => telling("unroutable", S::NOT_FOUND, "destination_not_found"),
            Self::CrossSite => telling("cross_site", S::FORBIDDEN, "http_request_denied"),
            Self::Rewrite(RewriteError::DotSegments | RewriteError::Unclear | RewriteError::Slashes) => {
                telling("bad_request", S::BAD_REQUEST, "http_request_error")
            }
            Self::Rewrite(RewriteError::Malformed(_)) => {
                telling("bad_rewrite", S::INTERNAL_SERVER_ERROR, "proxy_configuration_error")
            }
            Self::BadService { .. } => telling("bad_service", S::BAD_REQUEST, "destination_not_found"),
            Self::Subscribe(SubscribeError::TooMany { .. }) => {
                telling("too_many_services", S::SERVICE_UNAVAILABLE, "proxy_configuration_error")
            }
            Self::Subscribe(SubscribeError::NotDeclared) => {
                telling("not_declared", S::NOT_FOUND, "destination_not_found")
            }
            Self::NotListed { .. } => {
                telling("not_listed", S::SERVICE_UNAVAILABLE, "destination_unavailable")
            }
            Self::Absent { .. } => telling("absent", S::SERVICE_UNAVAILABLE, "destination_not_found"),
            Self::NoProvider { .. } => {
                telling("no_provider", S::SERVICE_UNAVAILABLE, "destination_unavailable")
            }
            Self::Unwanted { .. } => telling("no_such_provider", S::NOT_FOUND, "destination_not_found"),
            Self::Override(_) => telling("bad_override", S::BAD_REQUEST, "http_request_error"),
            Self::OverrideRefused => telling("override_refused", S::FORBIDDEN, "http_request_denied"),
            Self::RateLimited { .. } => telling("rate_limited", S::TOO_MANY_REQUESTS, "http_request_denied"),
            Self::Fault { status } => telling("fault_abort", *status, "proxy_internal_response"),
            Self::OutOfReach { .. } => NOT_HTTP,
            Self::EndpointsFull { .. } => {
                telling("endpoints_full", S::SERVICE_UNAVAILABLE, "connection_limit_reached")
            }
            Self::EndpointQueueTimeout { .. } => {
                telling("endpoint_queue_timeout", S::SERVICE_UNAVAILABLE, "connection_limit_reached")
            }
            Self::Overloaded { .. } => {
                telling("overloaded", S::SERVICE_UNAVAILABLE, "connection_limit_reached")
            }
            Self::QueueTimeout { .. } => {
                telling("queue_timeout", S::SERVICE_UNAVAILABLE, "connection_limit_reached")
            }
            Self::Deadline { .. } => telling("deadline", S::GATEWAY_TIMEOUT, "http_response_timeout"),
            Self::AttemptTimeout { .. } => {
                telling("attempt_timeout", S::GATEWAY_TIMEOUT, "http_response_timeout")
            }
            Self::Switch => telling("upgrade_failed", S::BAD_GATEWAY, "http_upgrade_failed"),
            Self::StreamTooLarge { .. } => {
                telling("stream_too_large", S::PAYLOAD_TOO_LARGE, "http_request_error")
            }
            Self::Send(cause) => cause_telling(cause),
        }
    }
}

impl ProxyError {
    /// When the caller may try again with better luck, where that can be said: what is full now, and cannot be full of this
    /// caller's requests alone, is another matter after the shortest time that HTTP can tell.
    pub const fn retry_after(&self) -> Option<Duration> {
        if let Self::RateLimited { pause, .. } = self {
            return Some(*pause);
        }
        let is_full = matches!(
            self,
            Self::Overloaded { .. }
                | Self::QueueTimeout { .. }
                | Self::EndpointsFull { .. }
                | Self::EndpointQueueTimeout { .. }
                | Self::Send(
                    SendCause::Full { .. }
                        | SendCause::Refused { .. }
                        | SendCause::Connect(ConnectError::Lacking { .. })
                )
        );
        if is_full { Some(Duration::from_secs(1)) } else { None }
    }
}

impl ProxyError {
    /// The provider that could not be reached, and the alert of TLS by which it told why, if it did: its number, and its name.
    pub fn unreached(&self) -> Option<(&Address, Option<(u8, String)>)> {
        let Self::Send(SendCause::Connect(error)) = self else { return None };
        let alert = match error {
            ConnectError::Tls { source, .. } => source.told_by(),
            ConnectError::Resolve { .. }
            | ConnectError::NoAddress { .. }
            | ConnectError::Reserved { .. }
            | ConnectError::Refused { .. }
            | ConnectError::Lacking { .. }
            | ConnectError::Failed { .. }
            | ConnectError::Timeout { .. }
            | ConnectError::NotHttp { .. }
            | ConnectError::NotHttp2 { .. }
            | ConnectError::Handshake { .. } => None,
        };
        Some((error.address(), alert))
    }
}

/// An error with its causes behind it, in one line.
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        told.push_str(": ");
        told.push_str(&deeper.to_string());
        cause = deeper.source();
    }
    told
}

fn cause_telling(cause: &SendCause) -> Telling {
    use StatusCode as S;
    match cause {
        SendCause::Connect(ConnectError::Refused { .. }) => {
            telling("connection_refused", S::BAD_GATEWAY, "connection_refused")
        }
        SendCause::Connect(ConnectError::Timeout { .. }) => {
            telling("connection_timeout", S::GATEWAY_TIMEOUT, "connection_timeout")
        }
        SendCause::Connect(ConnectError::Resolve { .. } | ConnectError::NoAddress { .. }) => {
            telling("dns", S::BAD_GATEWAY, "dns_error")
        }
        SendCause::Connect(ConnectError::Reserved { .. }) => {
            telling("address_refused", S::BAD_GATEWAY, "destination_ip_prohibited")
        }
        SendCause::Connect(ConnectError::Failed { .. } | ConnectError::Handshake { .. }) => {
            telling("unreachable", S::BAD_GATEWAY, "destination_ip_unroutable")
        }
        SendCause::Connect(ConnectError::NotHttp { .. }) => NOT_HTTP,
        SendCause::Connect(ConnectError::NotHttp2 { .. }) => {
            telling("not_http2", S::BAD_GATEWAY, "http_protocol_error")
        }
        SendCause::Connect(ConnectError::Tls { source, .. }) => tls_telling(source),
        SendCause::Full { .. } => {
            telling("connections_full", S::SERVICE_UNAVAILABLE, "connection_limit_reached")
        }
        SendCause::Connect(ConnectError::Lacking { .. }) => {
            telling("lacking", S::SERVICE_UNAVAILABLE, "proxy_internal_error")
        }
        SendCause::Closed { .. } => telling("connection_closed", S::BAD_GATEWAY, "connection_terminated"),
        SendCause::Stale { .. } => telling("connection_stale", S::BAD_GATEWAY, "connection_terminated"),
        SendCause::Refused { .. } => {
            telling("stream_refused", S::SERVICE_UNAVAILABLE, "connection_terminated")
        }
        SendCause::Reset { .. } => telling("stream_reset", S::BAD_GATEWAY, "connection_terminated"),
        SendCause::Malformed { .. } | SendCause::Misframed { .. } | SendCause::Flooded { .. } => {
            telling("bad_response", S::BAD_GATEWAY, "http_protocol_error")
        }
        SendCause::NoWebSocket { .. } => telling("upgrade_failed", S::BAD_GATEWAY, "http_upgrade_failed"),
        SendCause::RequestBody { .. } => telling("request_broken", S::BAD_REQUEST, "http_request_error"),
    }
}

fn tls_telling(cause: &TlsError) -> Telling {
    use StatusCode as S;
    let proxy_status = match cause {
        TlsError::Timeout { .. } => {
            return telling("connection_timeout", S::GATEWAY_TIMEOUT, "connection_timeout");
        }
        TlsError::Certificate(_) => "tls_certificate_error",
        TlsError::Alert { .. } | TlsError::NoHttp1 => "tls_alert_received",
        TlsError::NoRoots { .. } | TlsError::Name { .. } | TlsError::List(_) => "proxy_configuration_error",
        TlsError::Version
        | TlsError::NotTls
        | TlsError::Closed
        | TlsError::NoHttp2
        | TlsError::Protocol(_)
        | TlsError::Io(_) => "tls_protocol_error",
    };
    telling(cause.reason(), S::BAD_GATEWAY, proxy_status)
}
