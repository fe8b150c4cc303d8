//! Metrics of client connections that did not begin as their listener asks.

use prometheus::{IntCounter, IntCounterVec};

use super::name::Names;

/// Client connections that ended before HTTP began, since they did not begin as their listener asks.
#[derive(Clone, Debug)]
pub struct FailedOpenings {
    tls: IntCounterVec,
    proxy_header: IntCounterVec,
}

impl FailedOpenings {
    pub(super) fn new(names: &Names) -> Self {
        Self {
            tls: names.counters(
                "tls_failures_total",
                "Client connections ended because there was no TLS handshake, or it failed.",
                &["cause"],
            ),
            proxy_header: names.counters(
                "proxy_header_failures_total",
                "Client connections ended because they did not begin with a PROXY header, as they have to.",
                &["cause"],
            ),
        }
    }

    /// Handshakes that failed for one cause, such as `clear_text` or `certificate`.
    pub fn tls(&self, cause: &'static str) -> IntCounter {
        self.tls.with_label_values(&[cause])
    }

    /// Connections without the PROXY header that they have to begin with, for one cause, such as `missing` or `timeout`.
    pub fn proxy_header(&self, cause: &'static str) -> IntCounter {
        self.proxy_header.with_label_values(&[cause])
    }
}
