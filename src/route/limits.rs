//! Limits: how long a request may take, and how often it may be tried.

use std::time::Duration;

/// How long a request may take, and how often it may be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long the whole request may take, all attempts together, until the answer's head; a caller's own deadline (Go
    /// Micro's `Timeout`, gRPC's `grpc-timeout`) takes its place.
    pub request_timeout: Duration,
    /// How long one attempt may take until the answer's head; `None`: as long as the request. What is idempotent and has
    /// no body is then tried elsewhere.
    pub attempt_timeout: Option<Duration>,
    /// Attempts after the first, each on another provider, for what provably never reached one.
    pub retries: u8,
    /// Whether an idempotent request (RFC 9110, 9.2.2) without a body is sent again when its connection ended before an
    /// answer.
    pub retry_idempotent: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(15),
            attempt_timeout: None,
            retries: 3,
            retry_idempotent: true,
        }
    }
}
