//! The check: asking a program whether it is well, in the way it can answer.

mod exchange;
mod grpc;
mod statuses;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::provider::{Address, ServiceName};
use exchange::{Answer, Extent, Version, exchange};
pub use statuses::Statuses;

/// How a program is asked whether it is well, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is asked.
    pub kind: CheckKind,
    /// Where, if not at the address that is announced.
    pub place: Option<Place>,
    /// How often, varied by chance.
    pub interval: Duration,
    /// How long an answer may take, the connection included.
    pub timeout: Duration,
    /// Passes in a row until it counts as well again.
    pub rise: u32,
    /// Failures in a row until it counts as not well.
    pub fall: u32,
}

/// Where a program is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At this address.
    At(Address),
    /// At another port of the host that is announced.
    Port(u16),
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// Nothing: it is well.
    None,
    /// A connection.
    Tcp,
    /// `GET` of a path.
    Http {
        /// The path, with a slash in front, and maybe a query.
        path: String,
        /// The statuses of a good answer.
        status: Statuses,
        /// The host that is named, if not the usual one.
        host: Option<String>,
    },
    /// `grpc.health.v1.Health/Check`.
    Grpc {
        /// The service that is asked for; empty for the program as a whole.
        service: String,
    },
    /// Go Micro's own `Debug.Health`.
    GoMicro,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            kind: CheckKind::Tcp,
            place: None,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            rise: 2,
            fall: 3,
        }
    }
}

impl fmt::Display for CheckKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Tcp => f.write_str("tcp"),
            Self::Http { path, .. } => write!(f, "http:{path}"),
            Self::Grpc { service } if service.is_empty() => f.write_str("grpc"),
            Self::Grpc { service } => write!(f, "grpc:{service}"),
            Self::GoMicro => f.write_str("go-micro"),
        }
    }
}

/// Who is asked.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// The service it is a provider of.
    pub service: &'a ServiceName,
    /// Where it is asked.
    pub address: &'a Address,
    /// The host that HTTP names, where the check says none.
    pub host: &'a str,
    /// Whether HTTP/2 is spoken with it, as gRPC always is.
    pub http2: bool,
    /// Whether the connection is a secure one.
    pub tls: bool,
}

impl<'a> Asked<'a> {
    /// A program that is asked in clear text and HTTP/1.1, by its address.
    pub const fn new(service: &'a ServiceName, address: &'a Address, host: &'a str) -> Self {
        Self { service, address, host, http2: false, tls: false }
    }
}

/// That a program is not well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwell {
    /// The kind of cause.
    pub reason: Reason,
    /// The cause in full.
    pub detail: String,
}

impl Unwell {
    /// That it is not well for this cause.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// Why a program is not well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// This machine lacks what a check takes, and nothing was asked.
    Unasked,
    /// No connection came about.
    Unreachable,
    /// It did not answer in time.
    Late,
    /// It broke off, or what it said is no answer.
    Broken,
    /// Its answer has a status that is not a good one.
    Status,
    /// It answered that it does not serve.
    NotServing,
    /// It answered with an error of the protocol above HTTP.
    Error,
}

impl Reason {
    /// One word for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unasked => "unasked",
            Self::Unreachable => "unreachable",
            Self::Late => "late",
            Self::Broken => "broken",
            Self::Status => "status",
            Self::NotServing => "not_serving",
            Self::Error => "error",
        }
    }
}

impl Check {
    /// Where a program is asked that is announced at this address.
    pub fn place(&self, announced: &Address) -> Address {
        match &self.place {
            None => announced.clone(),
            Some(Place::At(address)) => address.clone(),
            Some(Place::Port(port)) => announced.with_port(*port),
        }
    }

    /// Asks once, over a connection that is made for it; why it is not well otherwise.
    ///
    /// # Errors
    /// When it is not well.
    pub async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        asked: &Asked<'_>,
        connecting: impl Future<Output = Result<S, Unwell>>,
    ) -> Result<(), Unwell> {
        let answer = async {
            match &self.kind {
                CheckKind::None => Ok(()),
                CheckKind::Tcp => connecting.await.map(drop),
                CheckKind::Http { path, status, host } => {
                    let asked = Asked { host: host.as_deref().unwrap_or(asked.host), ..asked.clone() };
                    http(&asked, path, status, connecting.await?).await
                }
                CheckKind::Grpc { service } => grpc::ask(asked, service, connecting.await?).await,
                CheckKind::GoMicro => go_micro(asked, connecting.await?).await,
            }
        };
        let late = |_| {
            let limit = humantime::format_duration(self.timeout);
            Err(Unwell::new(Reason::Late, format!("{} did not answer within {limit}", asked.address)))
        };
        tokio::time::timeout(self.timeout, answer).await.unwrap_or_else(late)
    }
}

async fn http<S: AsyncRead + AsyncWrite + Unpin>(
    asked: &Asked<'_>,
    path: &str,
    good: &Statuses,
    stream: S,
) -> Result<(), Unwell> {
    let version = if asked.http2 { Version::Http2 } else { Version::Http1 };
    let answer =
        exchange(asked, version, (Method::GET, path), &[], Bytes::new(), Extent::Head, stream).await?;
    if good.contains(answer.status) {
        return Ok(());
    }
    let detail = format!("{} answered {} to GET {path}", asked.address, answer.status);
    Err(Unwell::new(Reason::Status, detail))
}

/// Asks as Go Micro's own health check does. A port that another service took over answers too, and is told by its error.
async fn go_micro<S: AsyncRead + AsyncWrite + Unpin>(asked: &Asked<'_>, stream: S) -> Result<(), Unwell> {
    let address = asked.address;
    let named = HeaderValue::from_str(asked.service.as_str());
    let named = named.map_err(|_| Unwell::new(Reason::Broken, "the service cannot be named in a header"))?;
    let text = HeaderValue::from_static;
    let headers = [
        (CONTENT_TYPE.as_str(), text("application/json")),
        ("micro-service", named),
        ("micro-method", text("Debug.Health")),
        ("micro-endpoint", text("Debug.Health")),
        ("micro-id", text("1")),
    ];
    let (version, body) = (Version::Http1, Bytes::from_static(b"{}"));
    let Answer { status, headers, body, .. } =
        exchange(asked, version, (Method::POST, "/"), &headers, body, Extent::Whole, stream).await?;
    if let Some(error) = headers.get("micro-error") {
        let error = String::from_utf8_lossy(error.as_bytes());
        return Err(Unwell::new(Reason::Error, format!("{address} answered {error:?}")));
    }
    let is_ok = serde_json::from_slice::<serde_json::Value>(&body).is_ok_and(|said| said["status"] == "ok");
    if status == StatusCode::OK && is_ok {
        return Ok(());
    }
    let detail = format!("{address} answered {status} to Debug.Health, and not that its status is ok");
    Err(Unwell::new(Reason::Status, detail))
}

#[cfg(test)]
mod tests;
