//! Metrics of the configuration: how often it was read again, and what of it is not in force yet.

use prometheus::{IntCounterVec, IntGauge};

use super::name::Names;

/// Metrics of the configuration.
#[derive(Clone, Debug)]
pub struct ConfigMetrics {
    /// Keys that were changed since the start and wait for the next one.
    pub waiting_keys: IntGauge,
    reloads: IntCounterVec,
}

impl ConfigMetrics {
    pub(super) fn new(names: &Names) -> Self {
        let metrics = Self {
            waiting_keys: names.gauge(
                "config_waiting_keys",
                "Keys of the configuration that were changed since the start and take effect at the next one.",
            ),
            reloads: names.counters(
                "config_reloads_total",
                "Times the configuration was read again: applied, unchanged or refused.",
                &["result"],
            ),
        };
        for result in ["applied", "unchanged", "refused"] {
            metrics.reloads.with_label_values(&[result]);
        }
        metrics
    }

    /// It was read again, and what it said is in force as far as can be.
    pub fn applied(&self) {
        self.reloads.with_label_values(&["applied"]).inc();
    }

    /// It was read again, and says the same.
    pub fn unchanged(&self) {
        self.reloads.with_label_values(&["unchanged"]).inc();
    }

    /// It was read again and is wrong, so that what was in force stays.
    pub fn refused(&self) {
        self.reloads.with_label_values(&["refused"]).inc();
    }
}
