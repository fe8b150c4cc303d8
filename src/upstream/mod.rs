//! Reach: connections to endpoints, kept in pools of their own per endpoint and worker.

use std::time::Duration;

/// How endpoints are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a connection may take to be made, name resolution included.
    pub connect_timeout: Duration,
    /// How long a connection may idle before it is closed; under the idle timeout of every common server.
    pub idle_timeout: Duration,
    /// Idle connections kept per endpoint and worker.
    pub idle_max: usize,
    /// Connections per endpoint and worker.
    pub connections_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(4),
            idle_max: 1024,
            connections_max: 1024,
        }
    }
}
