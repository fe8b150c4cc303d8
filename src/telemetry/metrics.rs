//! Metrics: the only place that names one.

use std::sync::Arc;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts};

use crate::provider::ServiceName;

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    /// What the catalog counts.
    pub catalog: CatalogMetrics,
}

/// What the catalog counts.
#[derive(Debug)]
pub struct CatalogMetrics {
    /// 1 while the registry answers.
    pub registry_up: IntGauge,
    /// Times the registry stopped answering.
    pub registry_disconnects_total: IntCounter,
    /// Watches that ended with an error.
    pub watch_failures_total: IntCounter,
    /// Lists received.
    pub listings_total: IntCounter,
    /// Records read for them.
    pub records_read_total: IntCounter,
    /// Snapshots replaced.
    pub swaps_total: IntCounter,
    /// Services followed now.
    pub services: IntGauge,
    /// Seconds from a change in the registry, by its clock, to the snapshots that show it.
    pub change_to_swap_seconds: Histogram,
    skipped: IntCounterVec,
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Arc<Self> {
        let counter = |name: &str| IntCounter::new(name, name).expect("the name is a valid metric name");
        let gauge = |name: &str| IntGauge::new(name, name).expect("the name is a valid metric name");
        Arc::new(Self {
            catalog: CatalogMetrics {
                registry_up: gauge("wayside_registry_up"),
                registry_disconnects_total: counter("wayside_registry_disconnects_total"),
                watch_failures_total: counter("wayside_watch_failures_total"),
                listings_total: counter("wayside_listings_total"),
                records_read_total: counter("wayside_records_read_total"),
                swaps_total: counter("wayside_swaps_total"),
                services: gauge("wayside_services"),
                change_to_swap_seconds: Histogram::with_opts(HistogramOpts::new(
                    "wayside_change_to_swap_seconds",
                    "From a change in the registry to the snapshots that show it",
                ))
                .expect("the name is a valid metric name"),
                skipped: IntCounterVec::new(
                    Opts::new("wayside_records_skipped_total", "Records that are no provider"),
                    &["reason"],
                )
                .expect("the name is a valid metric name"),
            },
        })
    }

    /// Lets go of the series of a service that is no longer followed.
    pub fn forget(&self, _service: &ServiceName) {}
}

impl CatalogMetrics {
    /// Records skipped for this reason, a word of a fixed set.
    pub fn skipped(&self, reason: &'static str) -> IntCounter {
        self.skipped.with_label_values(&[reason])
    }
}
