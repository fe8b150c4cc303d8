//! Traces: spans of requests and of their attempts, handed to a collector by OTLP; lost and counted rather than waited for.

mod context;
#[cfg(feature = "otlp")]
mod export;
#[cfg(feature = "otlp")]
mod message;
#[cfg(feature = "otlp")]
mod post;
mod propagation;
mod span;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};
use thiserror::Error;
use tokio::sync::mpsc;

pub use context::{Context, SpanId, TraceId};
#[cfg(feature = "otlp")]
pub use export::export;
pub use propagation::{Came, Propagation, Spelling, came, tell};
pub use span::{Kind, Span, Value};

use super::metrics::{Metrics, TraceMetrics};

/// Whether this program was built with what sends spans.
pub const IS_BUILT: bool = cfg!(feature = "otlp");

/// Whether, where to and of which requests spans are sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The collector; `None` where nothing is traced.
    pub endpoint: Option<Endpoint>,
    /// How it is spoken with.
    pub protocol: Protocol,
    /// What proves to it who we are.
    pub auth: Option<Auth>,
    /// The share of the requests that are traced, of those whose caller leaves that open; from 0 to 1.
    pub sample: f64,
    /// How providers are told of the trace, whatever the caller did.
    pub propagation: Vec<Spelling>,
    /// What this proxy is called in traces.
    pub service_name: String,
    /// What else is said of it.
    pub attributes: BTreeMap<String, String>,
    /// Spans that may wait to be sent; more are dropped and counted.
    pub queue: usize,
    /// How long the collector may take to answer.
    pub timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            endpoint: None,
            protocol: Protocol::Http,
            auth: None,
            sample: 1.0,
            propagation: vec![Spelling::W3c],
            service_name: "wayside".to_owned(),
            attributes: BTreeMap::new(),
            queue: 2048,
            timeout: Duration::from_secs(10),
        }
    }
}

/// How a collector is spoken with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP/HTTP, with Protocol Buffers as bodies.
    Http,
    /// OTLP/gRPC.
    Grpc,
}

impl Protocol {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Http, Self::Grpc];

    /// The word for it in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
        }
    }
}

/// The URL of a collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Uri);

/// A text is not an [`Endpoint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it has to begin with http:// or https:// and a host")]
pub struct EndpointError;

impl Endpoint {
    /// Its parts: scheme and authority are there.
    pub const fn uri(&self) -> &Uri {
        &self.0
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let uri: Uri = text.parse().map_err(|_| EndpointError)?;
        let is_known = matches!(uri.scheme_str(), Some("http" | "https"));
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        // What stands before an @ would be shown with the rest.
        let is_bare = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        if is_known && has_host && is_bare { Ok(Self(uri)) } else { Err(EndpointError) }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A header that proves to a collector who we are: `Authorization`, or one that is named.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    /// Its name.
    pub name: HeaderName,
    /// Its value, marked as a secret.
    pub value: HeaderValue,
}

/// A text is not an [`Auth`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it has characters that no header has")]
pub struct AuthError;

impl FromStr for Auth {
    type Err = AuthError;

    fn from_str(text: &str) -> Result<Self, AuthError> {
        let named = text.split_once(": ").and_then(|(name, value)| Some((name.parse().ok()?, value)));
        let (name, value) = named.unwrap_or((http::header::AUTHORIZATION, text));
        let mut value = HeaderValue::from_str(value).map_err(|_| AuthError)?;
        value.set_sensitive(true);
        Ok(Self { name, value })
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Auth({}: ***)", self.name)
    }
}

/// Decides which requests are traced, and takes their spans. Shared by all workers; does nothing when it is off.
#[derive(Debug, Default)]
pub struct Tracer(Option<On>);

#[derive(Debug)]
struct On {
    /// Of 2^56 trace ids, so many are sampled.
    sampled_below: u64,
    propagation: Propagation,
    spans: mpsc::Sender<Box<Span>>,
    metrics: TraceMetrics,
}

/// The spans that wait to be sent.
pub type Queue = mpsc::Receiver<Box<Span>>;

/// The bits of a trace id that are random by all accounts (W3C Trace Context level 2, random trace id).
const RANDOM_BITS: u32 = 56;

impl Tracer {
    /// The tracer that these settings ask for, and what it takes, where it is on.
    pub fn new(settings: &Settings, metrics: &Metrics) -> (Arc<Self>, Option<Queue>) {
        if settings.endpoint.is_none() || !IS_BUILT {
            return (Arc::default(), None);
        }
        let (spans, queue) = mpsc::channel(settings.queue.max(1));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share from 0 to 1 of a number that floating point has exactly"
        )]
        let sampled_below = (settings.sample * (1_u64 << RANDOM_BITS) as f64) as u64;
        let propagation = settings.propagation.iter().copied().collect();
        let on = On { sampled_below, propagation, spans, metrics: metrics.traces.clone() };
        (Arc::new(Self(Some(on))), Some(queue))
    }

    /// Whether anything is traced.
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// How providers are told of a trace, beside the ways in which the caller told of it.
    pub fn propagation(&self) -> Propagation {
        self.0.as_ref().map_or_else(Propagation::default, |on| on.propagation)
    }

    /// Whether a trace is sampled that begins here, or whose caller leaves that open. All who go by the id decide alike.
    pub fn samples(&self, trace: TraceId) -> bool {
        let random = (trace.0 & ((1 << RANDOM_BITS) - 1)) as u64;
        self.0.as_ref().is_some_and(|on| random < on.sampled_below)
    }

    /// Takes a span that has ended, or drops and counts it when too many wait.
    pub fn take(&self, span: Box<Span>) {
        let Some(on) = &self.0 else { return };
        if on.spans.try_send(span).is_err() {
            on.metrics.dropped_total.inc();
        }
    }
}

#[cfg(test)]
mod tests;
