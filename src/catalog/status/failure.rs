//! What an operator is told of a request that failed.

use std::time::SystemTime;

use serde::Serialize;

use super::millis;
use crate::catalog::events::in_millis;
use crate::catalog::failures::Failure;

/// A request that failed.
#[derive(Clone, Debug, Serialize)]
pub struct FailureStatus {
    /// When it ended, in milliseconds since 1970.
    #[serde(rename = "at_ms", serialize_with = "in_millis")]
    pub at: SystemTime,
    /// The status that the caller got.
    pub status: u16,
    /// One word for what went wrong, where this proxy made the answer or broke it off; none where the provider said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// Where the last attempt went, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Attempts.
    pub attempts: u8,
    /// How long it took in all.
    pub took_ms: u64,
    /// Its id, to look for in logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl From<Failure> for FailureStatus {
    fn from(failure: Failure) -> Self {
        Self {
            at: failure.at,
            status: failure.status,
            reason: failure.reason,
            endpoint: failure.endpoint.as_ref().map(ToString::to_string),
            attempts: failure.attempts,
            took_ms: millis(failure.took),
            request_id: failure.request_id.map(Into::into),
        }
    }
}
