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
    /// Services followed now.
    pub services: IntGauge,
    /// Subscriptions refused because too many services are followed, or the service is not declared.
    pub subscriptions_refused_total: IntCounter,
    /// Snapshots replaced.
    pub swaps_total: IntCounter,
    /// From a change in the registry, by its clock, to the snapshot that shows it, in seconds.
    pub change_to_swap_seconds: Histogram,
    /// From the arrival of a registry's word of a change to the snapshot that shows it, in seconds.
    pub notification_to_swap_seconds: Histogram,
    /// From a snapshot's making to the first pick from it, in seconds.
    pub swap_to_pick_seconds: Histogram,
    /// Lists in which reading found what the registry had not told of.
    pub healed_total: IntCounter,
    skipped: IntCounterVec,
    removals: IntCounterVec,
    probes: IntCounterVec,
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
            notification_to_swap_seconds: names.histogram(
                "notification_to_swap_seconds",
                "From the arrival of a registry's word of a change to the snapshot that shows it.",
                &SWAP_BUCKETS,
            ),
            swap_to_pick_seconds: names.histogram(
                "swap_to_first_pick_seconds",
                "From a snapshot's making to the first pick from it.",
                &SWAP_BUCKETS,
            ),
            healed_total: counter(
                "registry_healed_total",
                "Lists in which reading found what the registry had not told of.",
            ),
            removals: names.counters(
                "endpoint_removals_total",
                "Endpoints that left the list of their service, by what it was taken for.",
                &["cause"],
            ),
            probes: names.counters("probes_total", "Probes of endpoints in doubt, by result.", &["result"]),
            skipped: names.counters(
                "registry_records_skipped_total",
                "Records that are no provider, by reason.",
                &["reason"],
            ),
        }
    }

    /// Endpoints that left their list for one cause: `withdrawn`, or a word of the fixed set that the catalog gives.
    pub fn removals(&self, cause: &'static str) -> IntCounter {
        self.removals.with_label_values(&[cause])
    }

    /// Probes that ended so: `well` or `failed`.
    pub fn probes(&self, result: &'static str) -> IntCounter {
        self.probes.with_label_values(&[result])
    }

    /// Records skipped for one reason: a word of the fixed set that formats give.
    pub fn skipped(&self, reason: &'static str) -> IntCounter {
        self.skipped.with_label_values(&[reason])
    }
}
