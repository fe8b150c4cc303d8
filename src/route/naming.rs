//! Naming: how a request that no route is for names its service.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName};
use percent_encoding::percent_decode_str;
use thiserror::Error;

use super::host::Host;
use super::rules::Rules;
use super::table::{Asked, Via};
use crate::balance::Choice;
use crate::catalog::Claim;
use crate::provider::ServiceName;

/// The ways in which a request may name its service, in this order. Each can be turned off.
#[derive(Clone, Debug, PartialEq)]
pub struct Naming {
    /// The header `Micro-Service`, as a Go Micro client sends it, or `X-Wayside-Service`.
    pub headers: bool,
    /// The host, unless it is localhost or an IP address. Lower-cased, the port left out.
    pub host: bool,
    /// A domain that is taken off the end of a host, lower case, without a dot before it: `svc.local` makes
    /// `user-service.svc.local` the service `user-service`.
    pub host_suffix: Option<Arc<str>>,
    /// The path of a gRPC call, up to the last dot of its first segment: `/greeter.Say/Hello` is for `greeter`.
    pub grpc_path: bool,
    /// The first segment of the path, when the host is localhost or an IP address.
    pub path: bool,
    /// Whether a path segment that named the service is taken off the path.
    pub strip_path: bool,
    /// What is laid down for requests to a service that nothing is declared of.
    pub rules: Arc<Rules>,
    /// How one of its providers is chosen.
    pub choice: Choice,
    /// What is declared of services, by their name.
    pub declared: BTreeMap<ServiceName, Declared>,
}

/// What is declared of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// What requests that name it go to.
    pub claim: Claim,
    /// What is laid down for them.
    pub rules: Arc<Rules>,
}

impl Default for Naming {
    fn default() -> Self {
        Self {
            headers: true,
            host: true,
            host_suffix: None,
            grpc_path: true,
            path: true,
            strip_path: true,
            rules: Arc::default(),
            choice: Choice::default(),
            declared: BTreeMap::new(),
        }
    }
}

/// Why a request goes nowhere. Its message says what to send instead.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unroutable {
    /// No route is for it, and nothing in it names a service.
    #[error("{asked} names no service; {advice}")]
    NoService {
        /// The request, in short.
        asked: String,
        /// The ways that are on.
        advice: String,
    },
    /// A gRPC call whose path has no package to name a service.
    #[error(
        "the gRPC path {path:?} names no service before its last dot, as /greeter.Say/Hello would; send the metadata \
         x-wayside-service with the name of the service"
    )]
    GrpcPath {
        /// The path.
        path: String,
    },
    /// `Host` or the authority of the target is malformed.
    #[error("the host {host:?} is malformed; send a host name or an IP address, with a port if need be")]
    Host {
        /// What was sent.
        host: String,
    },
    /// A header that names the service is empty.
    #[error("the header {header} is empty; give it the name of a service, or leave it out")]
    EmptyHeader {
        /// The header.
        header: &'static str,
    },
    /// A header that names the service is not UTF-8.
    #[error("the header {header} is not UTF-8; send the name of the service as the registry has it")]
    HeaderEncoding {
        /// The header.
        header: &'static str,
    },
    /// A header that names the service was sent more than once, so two programs may read it differently.
    #[error("the header {header} was sent more than once; send it once")]
    RepeatedHeader {
        /// The header.
        header: &'static str,
    },
    /// The path segment that names the service is not percent-encoded UTF-8.
    #[error("the path segment {segment:?} is not percent-encoded UTF-8; write % as %25")]
    PathEncoding {
        /// The segment.
        segment: String,
    },
}

/// The headers that name a service, in the order in which they are asked.
const HEADERS: [(HeaderName, &str, Via<'static>); 2] = [
    (HeaderName::from_static("micro-service"), "Micro-Service", Via::MicroService),
    (HeaderName::from_static("x-wayside-service"), "X-Wayside-Service", Via::ServiceHeader),
];

/// A service that a request names, and the bytes of its path that did.
pub(super) struct Named<'a> {
    pub(super) service: Cow<'a, str>,
    pub(super) via: Via<'a>,
    pub(super) strip: usize,
}

impl Naming {
    /// The claim of a service that is named: as declared, else all its providers by the default policy.
    pub fn claim(&self, service: ServiceName) -> Claim {
        match self.declared.get(&service) {
            Some(declared) => declared.claim.clone(),
            None => Claim::on(service, self.choice),
        }
    }

    /// What is laid down for requests to this service.
    pub(super) fn rules(&self, service: &str) -> &Arc<Rules> {
        self.declared.get(service).map_or(&self.rules, |declared| &declared.rules)
    }

    /// The service that a request names.
    pub(super) fn name<'a>(&self, asked: &Asked<'a>, host: Host<'a>) -> Result<Named<'a>, Unroutable> {
        if self.headers
            && let Some(named) = by_header(asked.headers)?
        {
            return Ok(named);
        }
        if self.host
            && let Host::Name(name) = host
            && !host.is_local()
            && let Some(service) = self.host_service(name)
        {
            return Ok(Named { service, via: Via::Host, strip: 0 });
        }
        if self.grpc_path
            && is_grpc(asked.headers)
            && let Some(named) = by_grpc_path(asked.path)?
        {
            return Ok(named);
        }
        if self.path
            && host.is_local()
            && let Some((service, length)) = by_path(asked.path)?
        {
            return Ok(Named { service, via: Via::Path, strip: if self.strip_path { length } else { 0 } });
        }
        Err(Unroutable::NoService { asked: shown(asked), advice: self.advice() })
    }

    /// A host name as a service: lower case, without the suffix; `None` when nothing but the suffix is there.
    fn host_service<'a>(&self, name: &'a str) -> Option<Cow<'a, str>> {
        let short = match &self.host_suffix {
            None => name,
            Some(suffix) if name.eq_ignore_ascii_case(suffix) => return None,
            Some(suffix) => without_suffix(name, suffix),
        };
        Some(if short.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(short.to_ascii_lowercase())
        } else {
            Cow::Borrowed(short)
        })
    }

    /// What to send instead, of what is turned on.
    fn advice(&self) -> String {
        let ways = [
            (self.headers, "send the header X-Wayside-Service: <service>"),
            (self.host, "use the service as host, as in http://<service>/"),
            (self.path, "begin the path with it, as in /<service>/"),
        ];
        let ways: Vec<&str> = ways.into_iter().filter_map(|(is_on, way)| is_on.then_some(way)).collect();
        if ways.is_empty() {
            "no route is for it; add a [[route]], or turn on a way of [naming]".to_owned()
        } else {
            ways.join(", or ")
        }
    }
}

fn by_header(headers: &HeaderMap) -> Result<Option<Named<'_>>, Unroutable> {
    for (name, header, via) in &HEADERS {
        let mut values = headers.get_all(name).iter();
        let Some(value) = values.next() else { continue };
        if values.next().is_some() {
            return Err(Unroutable::RepeatedHeader { header });
        }
        let service =
            std::str::from_utf8(value.as_bytes()).map_err(|_| Unroutable::HeaderEncoding { header })?.trim();
        if service.is_empty() {
            return Err(Unroutable::EmptyHeader { header });
        }
        return Ok(Some(Named { service: Cow::Borrowed(service), via: *via, strip: 0 }));
    }
    Ok(None)
}

/// Only a call with the two segments of gRPC is judged; a longer path may begin with the service.
fn by_grpc_path(path: &str) -> Result<Option<Named<'_>>, Unroutable> {
    let Some((first, _)) = path
        .strip_prefix('/')
        .and_then(|rest| rest.split_once('/'))
        .filter(|(_, method)| !method.contains('/'))
    else {
        return Ok(None);
    };
    let no_service = || Unroutable::GrpcPath { path: path.to_owned() };
    let service = match decoded(first)? {
        Cow::Borrowed(text) => Cow::Borrowed(before_last_dot(text).ok_or_else(no_service)?),
        Cow::Owned(text) => Cow::Owned(before_last_dot(&text).ok_or_else(no_service)?.to_owned()),
    };
    Ok(Some(Named { service, via: Via::Grpc, strip: 0 }))
}

/// The first segment of a path, decoded, and the bytes it takes with the slash before it.
fn by_path(path: &str) -> Result<Option<(Cow<'_, str>, usize)>, Unroutable> {
    let Some(rest) = path.strip_prefix('/') else { return Ok(None) };
    let segment = &rest[..rest.find('/').unwrap_or(rest.len())];
    if segment.is_empty() {
        return Ok(None);
    }
    Ok(Some((decoded(segment)?, 1 + segment.len())))
}

/// A path segment as the text it encodes. An encoded slash is a slash of the name: it never divides segments.
fn decoded(segment: &str) -> Result<Cow<'_, str>, Unroutable> {
    let malformed = || Unroutable::PathEncoding { segment: segment.to_owned() };
    let is_hex = |at: usize| segment.as_bytes().get(at).is_some_and(u8::is_ascii_hexdigit);
    let is_encoded = segment
        .bytes()
        .enumerate()
        .filter(|(_, byte)| *byte == b'%')
        .all(|(at, _)| is_hex(at + 1) && is_hex(at + 2));
    if !is_encoded {
        return Err(malformed());
    }
    percent_decode_str(segment).decode_utf8().map_err(|_| malformed())
}

fn before_last_dot(text: &str) -> Option<&str> {
    text.rsplit_once('.').map(|(package, _)| package).filter(|package| !package.is_empty())
}

/// A name without a domain at its end, and the dot before that.
fn without_suffix<'a>(name: &'a str, suffix: &str) -> &'a str {
    let Some(dot) = name.len().checked_sub(suffix.len() + 1).filter(|dot| *dot > 0) else { return name };
    let bytes = name.as_bytes();
    let is_suffixed = bytes[dot] == b'.' && bytes[dot + 1..].eq_ignore_ascii_case(suffix.as_bytes());
    // A host is ASCII, so `dot` is a boundary.
    if is_suffixed { &name[..dot] } else { name }
}

/// `application/grpc`, with or without `+proto` and the like.
fn is_grpc(headers: &HeaderMap) -> bool {
    const PREFIX: &[u8] = b"application/grpc";
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.as_bytes().get(..PREFIX.len()))
        .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// The request in short, for the message.
fn shown(asked: &Asked<'_>) -> String {
    /// Bytes of a path that a message shows.
    const SHOWN_MAX: usize = 200;
    let host = asked.host.unwrap_or_default();
    let path: String = asked.path.chars().take(SHOWN_MAX).collect();
    let dots = if path.len() < asked.path.len() { "…" } else { "" };
    format!("{} {host}{path}{dots}", asked.method)
}
