//! Reach: connections to endpoints, kept in pools of their own per endpoint and worker.

mod connect;
mod connection;
mod fault;
mod frames;
mod http1;
mod http2;
mod interim;
mod news;
mod pool;
mod pools;
mod seat;
mod send_error;
mod stream;
pub mod tls;
mod wire;

use std::time::Duration;

pub use connect::{ConnectError, Dialler};
pub use frames::{Frames, Progress};
pub use interim::{Hear, Interim};
pub use pools::{Pools, Reuse, Sending};
pub use send_error::{Arrival, SendCause, SendError};
pub use stream::{Stream, abort};

use crate::provider::Allowed;

/// How endpoints are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a connection may take to be made, name resolution and TLS included.
    pub connect_timeout: Duration,
    /// How long a connection may idle before it is closed; under the idle timeout of every common server.
    pub idle_timeout: Duration,
    /// Whether what a provider says, and does, of idle connections takes the place of that time.
    pub idle_learnt: bool,
    /// Idle connections kept per endpoint and worker.
    pub idle_max: usize,
    /// Connections per endpoint and worker.
    pub connections_max: usize,
    /// Bytes of a response head.
    pub header_bytes_max: usize,
    /// The reserved addresses that may be dialled.
    pub allowed: Allowed,
    /// How TLS is spoken, where a provider's record asks for it.
    pub tls: tls::Settings,
}

/// Longer than a second, after which the system repeats the first packet of a connection that was lost (RFC 6298, 2.1): given up
/// by then, one lost packet is a provider that cannot be reached.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_timeout: CONNECT_TIMEOUT,
            idle_timeout: Duration::from_secs(4),
            idle_learnt: true,
            idle_max: 1024,
            connections_max: 1024,
            header_bytes_max: 64 * 1024,
            allowed: Allowed::default(),
            tls: tls::Settings::default(),
        }
    }
}
