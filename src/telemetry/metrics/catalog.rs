//! Metrics of the registry and of what is known from it.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use super::SWAP_BUCKETS;
use super::name::Names;

/// Metrics of the registry and of what is known from it. What is computed at a scrape is in [`super::ServiceSample`].
#[derive(Clone, Debug)]
pub struct CatalogMetrics {
    /// 1 while the registry answers, else 0.
    pub registry_up: IntGauge,
    /// Connections to the registry that were lost.
    pub registry_disconnects_total: IntCounter,
    /// Watches that ended because the registry failed.
    pub watch_failures_total: IntCounter,
    /// Whole lists of a service received.
    pub listings_total: IntCounter,
    /// Records read from the registry.
    pub records_read_total: IntCounter,
    /// Lists that showed a change which no word of the registry had told of.
    pub healed_total: IntCounter,
    /// Services followed now.
    pub services: IntGauge,
    /// Subscriptions refused because too many services are followed, or the service is not declared.
    pub subscriptions_refused_total: IntCounter,
    /// Snapshots replaced.
    pub swaps_total: IntCounter,
    /// From a change in the registry, by its clock, to the snapshot that shows it, in seconds.
    pub change_to_swap_seconds: Histogram,
    skipped: IntCounterVec,
}

impl CatalogMetrics {
    pub(super) fn new(names: &Names) -> Self {
        let (gauge, counter) = (|name, help| names.gauge(name, help), |name, help| names.counter(name, help));
        Self {
            registry_up: gauge("registry_up", "1 while the registry answers, else 0."),
            registry_disconnects_total: counter(
                "registry_disconnects_total",
                "Connections to the registry that were lost.",
            ),
            watch_failures_total: counter(
                "registry_watch_failures_total",
                "Watches that ended because the registry failed.",
            ),
            listings_total: counter("registry_listings_total", "Whole lists of a service received."),
            records_read_total: counter("registry_records_read_total", "Records read from the registry."),
            healed_total: counter(
                "registry_healed_total",
                "Lists that showed a change of which the registry had sent no word while it was connected.",
            ),
            services: gauge("services", "Services followed now."),
            subscriptions_refused_total: counter(
                "subscriptions_refused_total",
                "Subscriptions refused: too many services, or one that is not declared.",
            ),
            swaps_total: counter("snapshot_swaps_total", "Snapshots replaced."),
            change_to_swap_seconds: names.histogram(
                "change_to_swap_seconds",
                "From a change in the registry, by its clock, to the snapshot that shows it.",
                &SWAP_BUCKETS,
            ),
            skipped: names.counters(
                "registry_records_skipped_total",
                "Records that are no provider, by reason.",
                &["reason"],
            ),
        }
    }

    /// Records skipped for one reason: a word of the fixed set that formats give.
    pub fn skipped(&self, reason: &'static str) -> IntCounter {
        self.skipped.with_label_values(&[reason])
    }
}
