//! Forward: sends one attempt to its endpoint, in the form that the endpoint's protocol asks for.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{CONNECTION, EXPECT, HOST, HeaderValue, TE, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Response, StatusCode, Uri, Version};
use http_body::Body as _;
use tower::Service;

use super::middleware::Answer;
use crate::body::Body;
use crate::provider::{Protocol, Provider};
use crate::proxy::error::ProxyError;
use crate::proxy::headers;
use crate::proxy::interim;
use crate::proxy::request::{Attempt, Exchange, Failure, Returned};
use crate::proxy::switch::Asked;
use crate::proxy::takeover::{Hold, begin_stream};
use crate::proxy::time_left;
use crate::proxy::traits::Traits;
use crate::proxy::tunnel;
use crate::proxy::websocket;
use crate::proxy::worker::Worker;
use crate::upstream::{Arrival, Hear, Interim, SendCause, SendError, Sending};

/// Sends attempts.
#[derive(Clone, Debug)]
pub struct Forward {
    /// Whose connections.
    pub worker: Rc<Worker>,
}

impl Service<Attempt> for Forward {
    type Response = Response<Body>;
    type Error = Failure<Returned>;
    type Future = Answer<Failure<Returned>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure<Returned>>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut attempt: Attempt) -> Self::Future {
        let limit = tell(&mut attempt);
        ask_at_once(&attempt);
        let worker = Rc::clone(&self.worker);
        let protocol = attempt.endpoint.provider.protocol;
        if attempt.exchange == Exchange::MicroStream && protocol == Protocol::Mucp {
            return Box::pin(async move { begin_stream(attempt, &worker).await });
        }
        if attempt.exchange == Exchange::Tunnel {
            return Box::pin(async move { tunnel::open(attempt, &worker).await });
        }
        // Outside of what waits, so that it has no room for what is only looked at before.
        let Attempt {
            mut message,
            traits,
            client,
            record,
            endpoint,
            guard,
            exchange,
            reuse,
            repeats,
            begun,
            ..
        } = attempt;
        let asked = Asked::by(&mut message, exchange, protocol);
        shape(&mut message, &endpoint.provider, exchange);
        if traits.has(Traits::HOP) {
            say_hops(&mut message, protocol, exchange);
        }
        Box::pin(async move {
            // A Go Micro server answers with the headers of its connection's first request, and takes
            // every client's ids for the same: its connections are never shared between clients.
            let pools = if protocol == Protocol::Mucp {
                client.private.get_or_init(|| worker.private_pools())
            } else {
                &worker.pools
            };
            let hear = |interim: Interim| {
                if interim.status == StatusCode::CONTINUE {
                    // The body is asked for as it is read.
                    record.gate.borrow().iter().for_each(|gate| gate.open());
                } else if !record.is_copy() {
                    interim::pass_on(interim, &record, &client, &worker.shared.pseudonym);
                }
            };
            let sending = Sending { reuse, repeats, begun, hear: Hear(&hear) };
            let sent = pools.send(&endpoint, message, sending);
            let mut response = match limit {
                None => sent.await.map_err(failed)?,
                Some(limit) => match Box::pin(tokio::time::timeout(limit, sent)).await {
                    Ok(sent) => sent.map_err(failed)?,
                    Err(_) => return Err(late(limit)),
                },
            };
            if let Some(asked) = asked {
                let hold = Hold { guard, record, answer: Body::empty() };
                response = asked.settle(response, &client, &worker, hold)?;
            } else if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                return Err(ProxyError::Switch.into());
            }
            let (mut parts, body) = response.into_parts();
            headers::clean_response(&mut parts, exchange, &worker.shared.pseudonym);
            parts.version = Version::HTTP_11;
            Ok(Response::from_parts(parts, body))
        })
    }
}

fn failed(error: SendError) -> Failure<Returned> {
    let SendError { cause, arrival, request } = error;
    let is_final = matches!(
        cause,
        SendCause::Malformed { .. }
            | SendCause::Misframed { .. }
            | SendCause::Flooded { .. }
            | SendCause::RequestBody { .. }
    );
    let never_arrived = arrival == Arrival::Never;
    let elsewhere = !matches!(cause, SendCause::Stale { .. });
    let again = (!is_final).then_some(Returned { message: request, elsewhere, never_arrived });
    Failure { error: cause.into(), again }
}

/// Lets the body in where the provider will not be told that it has to be asked for: those of Go Micro know no expectation.
fn ask_at_once(attempt: &Attempt) {
    let gate = attempt.record.gate.borrow();
    let Some(gate) = &*gate else { return };
    let waits = match attempt.endpoint.provider.protocol {
        Protocol::Http1 | Protocol::H2c | Protocol::Tcp => attempt.message.headers().contains_key(EXPECT),
        Protocol::Mucp => false,
    };
    if !waits {
        gate.open();
    }
}

/// An attempt that took too long: what can be repeated is tried elsewhere.
fn late(limit: Duration) -> Failure<Returned> {
    let again = Some(Returned { message: None, elsewhere: true, never_arrived: false });
    Failure { error: ProxyError::AttemptTimeout { limit }, again }
}

/// Tells the provider which attempt this is, if not the first, and how much time is left, where the caller gave a deadline.
/// Gives the time of this attempt alone, if that is less.
fn tell(attempt: &mut Attempt) -> Option<Duration> {
    let Attempt { message, traits, number, deadline, limit, begun, .. } = attempt;
    if *number > 1 {
        headers::add_attempt(message.headers_mut(), *traits, *number);
    }
    let Some(deadline) = *deadline else { return *limit };
    let left = deadline.saturating_duration_since(*begun);
    time_left::tell(message.headers_mut(), *traits, left);
    limit.filter(|limit| *limit < left)
}

/// Puts a request into the form that a protocol asks for; one that was shaped for another before is reshaped.
fn shape(message: &mut http::Request<Body>, provider: &Provider, exchange: Exchange) {
    let protocol = provider.protocol;
    match protocol {
        Protocol::Http1 | Protocol::Mucp | Protocol::Tcp => {
            *message.version_mut() = Version::HTTP_11;
            if let Some(authority) = message.uri().authority() {
                let host = HeaderValue::from_str(authority.as_str()).ok();
                let target = message.uri().path_and_query().cloned();
                *message.uri_mut() = target.map(Uri::from).unwrap_or_default();
                if let Some(host) = host {
                    // Where a host stands there as well, it is the one to ask for: this provider's own.
                    message.headers_mut().entry(HOST).or_insert(host);
                }
            }
            if protocol == Protocol::Mucp {
                message.headers_mut().remove(EXPECT);
            }
            if message.body().size_hint().exact().is_none() {
                // Left to itself, hyper takes a GET to have no body.
                message.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
        }
        Protocol::H2c => {
            *message.version_mut() = Version::HTTP_2;
            if exchange == Exchange::Upgrade && websocket::is_upgrade(message.headers()) {
                websocket::to_http2(message);
            }
            headers::fit_http2(message.headers_mut());
            let host = message.headers_mut().remove(HOST);
            let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
            let authority = authority.or_else(|| message.uri().authority().cloned());
            if let Some(authority) = authority {
                let target = message.uri().path_and_query().cloned();
                let mut parts = http::uri::Parts::default();
                parts.scheme = Some(if provider.secure { Scheme::HTTPS } else { Scheme::HTTP });
                parts.authority = Some(authority);
                parts.path_and_query = Some(target.unwrap_or_else(|| PathAndQuery::from_static("/")));
                if let Ok(uri) = Uri::from_parts(parts) {
                    *message.uri_mut() = uri;
                }
            }
        }
    }
}

/// Says of what is meant for the provider alone that it is: that trailers are taken (RFC 9110, 10.1.4). HTTP/2 has no word for it.
fn say_hops(message: &mut http::Request<Body>, protocol: Protocol, exchange: Exchange) {
    let headers = message.headers_mut();
    match protocol {
        Protocol::Http1 | Protocol::Tcp if headers.contains_key(TE) => {
            let options = if exchange == Exchange::Upgrade { "upgrade, te" } else { "te" };
            headers.insert(CONNECTION, HeaderValue::from_static(options));
        }
        Protocol::H2c if exchange != Exchange::Upgrade => drop(headers.remove(CONNECTION)),
        Protocol::Http1 | Protocol::Tcp | Protocol::Mucp | Protocol::H2c => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_trailers_are_taken_is_said_to_the_provider_alone() {
        for (protocol, exchange, before, after) in [
            (Protocol::Http1, Exchange::Plain, None, Some("te")),
            (Protocol::Http1, Exchange::Plain, Some("te"), Some("te")),
            (Protocol::H2c, Exchange::Plain, Some("te"), None),
            (Protocol::Http1, Exchange::Upgrade, Some("upgrade"), Some("upgrade, te")),
            (Protocol::Mucp, Exchange::Plain, None, None),
        ] {
            let mut message = http::Request::get("/").header(TE, "trailers").body(Body::empty()).unwrap();
            message.headers_mut().extend(before.map(|said| (CONNECTION, HeaderValue::from_static(said))));
            say_hops(&mut message, protocol, exchange);
            let said = message.headers().get(CONNECTION).map(|said| said.to_str().unwrap());
            assert_eq!(said, after, "{protocol:?}, {exchange:?}");
        }
    }

    #[test]
    fn a_request_shaped_for_one_provider_is_reshaped_for_the_next() {
        let at = |protocol, secure| Provider {
            protocol,
            secure,
            ..Provider::new("a", "127.0.0.1:1".parse().unwrap())
        };
        let request = http::Request::get("/x?y").header(HOST, "svc").body(Body::empty());
        let mut message = request.unwrap();
        for (provider, target, host) in [
            (at(Protocol::H2c, false), "http://svc/x?y", None),
            (at(Protocol::H2c, true), "https://svc/x?y", None),
            (at(Protocol::Http1, true), "/x?y", Some("svc")),
            (at(Protocol::H2c, true), "https://svc/x?y", None),
            (at(Protocol::H2c, false), "http://svc/x?y", None),
        ] {
            shape(&mut message, &provider, Exchange::Plain);
            let found = message.headers().get(HOST).map(|host| host.to_str().unwrap());
            assert_eq!((message.uri().to_string().as_str(), found), (target, host));
        }
        headers::ask_for_its_own_host(message.headers_mut(), &at(Protocol::Http1, false));
        shape(&mut message, &at(Protocol::Http1, false), Exchange::Plain);
        assert_eq!(message.headers()[HOST], "127.0.0.1:1", "and not that of the provider before");
    }
}
