//! Limits: how long a request may take, and what is done when its first attempt comes to nothing.

use std::time::Duration;

use super::Retries;

/// How long a request may take, and what is done when its first attempt comes to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long the whole request may take, all attempts together, until the answer's head; a caller's own deadline (Go
    /// Micro's `Timeout`, gRPC's `grpc-timeout`) takes its place.
    pub request_timeout: Duration,
    /// How long one attempt may take until the answer's head; `None`: as long as the request. What is idempotent is then
    /// tried elsewhere.
    pub attempt_timeout: Option<Duration>,
    /// What is sent again.
    pub retries: Retries,
}

impl Default for Limits {
    fn default() -> Self {
        Self { request_timeout: Duration::from_secs(15), attempt_timeout: None, retries: Retries::default() }
    }
}
