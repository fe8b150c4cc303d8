//! Requests: from a connection of the app to an answer of a provider.

mod admission;
mod answer;
mod answering;
mod client;
mod cross_site;
mod directory;
mod disclosure;
mod error;
pub mod explain;
mod forwarded;
#[cfg(fuzzing)]
pub mod fuzzed;
mod headers;
mod hops;
mod http1;
mod http2;
mod interim;
mod layer;
mod listener;
mod noting;
mod outcome;
mod past;
mod pick;
mod proxy_protocol;
mod raw;
mod recent;
mod record;
mod reply;
mod request;
mod request_id;
mod spans;
mod stack;
mod switch;
mod takeover;
mod target;
mod telling;
mod time_left;
mod timers;
pub mod tls;
mod traits;
mod tunnel;
mod upgrade;
mod websocket;
mod worker;

use std::time::Duration;

pub use admission::Admission;
pub use disclosure::Disclosure;
pub use forwarded::Forwarding;
pub use listener::{
    Front, ListenAddress, Listener, Listening, NameError, SocketFile, UNIX, UnixError, UnixName, UnixShare,
    adopt, bind, bind_unix, is_free, listen,
};
pub use past::{AttemptDocument, MemoirDocument, Pasts, Remembering};
pub use telling::{MadeDocument, ReplayError};
pub use worker::{Pseudonym, Shared, Worker};

use crate::provider::ServiceName;

/// One address on which requests are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Where to listen.
    pub address: ListenAddress,
    /// The permissions of the file, where it is a Unix socket that has one.
    pub mode: u32,
    /// The service that every request of this listener goes to, whatever the request says.
    pub service: Option<ServiceName>,
    /// Whether a request may say which provider it wants, where its route lets it, and is believed whom it comes from.
    pub trusted: bool,
    /// Whether requests are refused that a page of another site had a browser send.
    pub refuse_cross_site: bool,
    /// How TLS is spoken with clients, where it is.
    pub tls: Option<tls::Settings>,
    /// Whether every connection begins with a header of the PROXY protocol, which names the client.
    pub proxy_protocol: bool,
    /// The service that connections go to as raw bytes, on a listener where nothing is known of what they say.
    pub raw: Option<ServiceName>,
}

/// The permissions of a Unix socket's file where nothing is said of them: whoever else may connect is to be said aloud.
pub const MODE: u32 = 0o600;

impl ListenerSettings {
    /// What holds of a listener at an address where nothing else is said.
    pub fn at(address: impl Into<ListenAddress>) -> Self {
        let address = address.into();
        let trusted = address.is_local();
        Self {
            address,
            mode: MODE,
            service: None,
            trusted,
            refuse_cross_site: false,
            tls: None,
            proxy_protocol: false,
            raw: None,
        }
    }
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
    /// How long no byte may move on a raw connection, in either direction.
    pub raw_idle_timeout: Duration,
    /// Bytes of a request head.
    pub header_bytes_max: usize,
    /// Headers of a request.
    pub headers_max: usize,
    /// Bytes of a request target.
    pub uri_bytes_max: usize,
    /// How providers are told whom a request comes from.
    pub forwarding: Forwarding,
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
            // A pool of connections to a database may have nothing to ask for a night; TCP's own keep-alive begins after two hours.
            raw_idle_timeout: Duration::from_hours(1),
            header_bytes_max: 64 * 1024,
            headers_max: 100,
            uri_bytes_max: 32 * 1024,
            forwarding: Forwarding::Usual,
            request_id: true,
        }
    }
}
