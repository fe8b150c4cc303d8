//! Requests: from a connection of the app to an answer of a provider.

mod admission;
mod answer;
mod client;
mod directory;
mod error;
mod headers;
mod http;
mod http2;
mod layer;
mod listener;
mod outcome;
mod recent;
mod record;
mod reply;
mod request;
mod stack;
mod switch;
mod takeover;
mod time_left;
mod traits;
mod websocket;
mod worker;

use std::net::SocketAddr;
use std::time::Duration;

pub use admission::Admission;
pub use listener::{bind, listen};
pub use worker::{Pseudonym, Shared, Worker};

use crate::provider::ServiceName;

/// One address on which requests are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// The address to bind; port 0 takes a free one.
    pub address: SocketAddr,
    /// The service that every request of this listener goes to, whatever the request says.
    pub service: Option<ServiceName>,
    /// Whether a request may say which provider it wants, where its route lets it.
    pub trusted: bool,
}

/// How requests are taken and bounded, alike on all listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Client connections open at once, over all workers.
    pub connections_max: usize,
    /// Requests in flight at once, over all workers.
    pub requests_max: usize,
    /// Requests that wait at most, over all workers, for one of those to end.
    pub queue_max: usize,
    /// How long each of them waits.
    pub queue_timeout: Duration,
    /// How long the head of a request may take, from its first byte.
    pub header_timeout: Duration,
    /// How long a client connection may idle.
    pub client_idle_timeout: Duration,
    /// The age up to which an idle connection of a Go Micro client is never closed (its pool keeps it for 60 s).
    pub go_micro_keep: Duration,
    /// How long a body may stall in either direction.
    pub stream_idle_timeout: Duration,
    /// Bytes of a request head.
    pub header_bytes_max: usize,
    /// Headers of a request.
    pub headers_max: usize,
    /// Bytes of a request target.
    pub uri_bytes_max: usize,
    /// Whether `X-Forwarded-For`, `-Proto` and `-Host` are added.
    pub forwarded_headers: bool,
    /// Whether an `X-Request-Id` is made where the request has none.
    pub request_id: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            requests_max: 10_000,
            // Who is overloaded says so at once: what waits here keeps its caller from asking elsewhere. Envoy has no such
            // line either; HAProxy's has no end but its time.
            queue_max: 0,
            queue_timeout: Duration::from_secs(1),
            header_timeout: Duration::from_secs(10),
            client_idle_timeout: Duration::from_mins(5),
            go_micro_keep: Duration::from_secs(65),
            stream_idle_timeout: Duration::from_mins(5),
            header_bytes_max: 64 * 1024,
            headers_max: 100,
            uri_bytes_max: 32 * 1024,
            forwarded_headers: true,
            request_id: true,
        }
    }
}
