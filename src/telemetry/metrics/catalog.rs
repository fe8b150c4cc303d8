//! Metrics of the registry and of what is known from it.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::SWAP_BUCKETS;
use super::name::Names;

/// Metrics of the registry and of what is known from it. What is computed at a scrape is in [`super::ServiceSample`].
#[derive(Clone, Debug)]
pub struct CatalogMetrics {
    /// Services followed now.
    pub services: IntGauge,
    /// Subscriptions refused because too many services are followed, or the service is not declared.
    pub subscriptions_refused_total: IntCounter,
    /// Snapshots replaced.
    pub swaps_total: IntCounter,
    /// From a change in the registry, by its clock, to the snapshot that shows it, in seconds.
    pub change_to_swap_seconds: Histogram,
    /// Files of last known providers written.
    pub store_writes_total: IntCounter,
    /// Files of last known providers that could not be written.
    pub store_failures_total: IntCounter,
    /// From the arrival of a registry's word of a change to the snapshot that shows it, in seconds.
    pub notification_to_swap_seconds: Histogram,
    /// From a snapshot's making to the first pick from it, in seconds.
    pub swap_to_pick_seconds: Histogram,
    skipped: IntCounterVec,
    removals: IntCounterVec,
    probes: IntCounterVec,
    checks: IntCounterVec,
    up: IntGaugeVec,
    disconnects: IntCounterVec,
    watch_failures: IntCounterVec,
    listings: IntCounterVec,
    records_read: IntCounterVec,
    healed: IntCounterVec,
}

/// Metrics of one registry.
#[derive(Clone, Debug)]
pub struct RegistryMetrics {
    /// 1 while the registry answers, else 0.
    pub up: IntGauge,
    /// Connections to the registry that were lost.
    pub disconnects_total: IntCounter,
    /// Watches that ended because the registry failed.
    pub watch_failures_total: IntCounter,
    /// Whole lists of a service received.
    pub listings_total: IntCounter,
    /// Records read from the registry.
    pub records_read_total: IntCounter,
    /// Lists in which reading found what the registry had not told of.
    pub healed_total: IntCounter,
}

impl CatalogMetrics {
    pub(super) fn new(names: &Names) -> Self {
        let (gauge, counter) = (|name, help| names.gauge(name, help), |name, help| names.counter(name, help));
        let of_registry = |name, help| names.counters(name, help, &["registry"]);
        Self {
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
            store_writes_total: counter("store_writes_total", "Files of last known providers written."),
            store_failures_total: counter(
                "store_failures_total",
                "Files of last known providers that could not be written.",
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
            removals: names.counters(
                "endpoint_removals_total",
                "Endpoints that left the list of their service, by what it was taken for.",
                &["cause"],
            ),
            probes: names.counters("probes_total", "Probes of endpoints in doubt, by result.", &["result"]),
            checks: names.counters(
                "checks_total",
                "Checks of endpoints by the check of their service, by result.",
                &["result"],
            ),
            skipped: names.counters(
                "registry_records_skipped_total",
                "Records that are no provider, by reason.",
                &["reason"],
            ),
            up: names.gauges("registry_up", "1 while the registry answers, else 0.", &["registry"]),
            disconnects: of_registry(
                "registry_disconnects_total",
                "Connections to the registry that were lost.",
            ),
            watch_failures: of_registry(
                "registry_watch_failures_total",
                "Watches that ended because the registry failed.",
            ),
            listings: of_registry("registry_listings_total", "Whole lists of a service received."),
            records_read: of_registry("registry_records_read_total", "Records read from the registry."),
            healed: of_registry(
                "registry_healed_total",
                "Lists in which reading found what the registry had not told of.",
            ),
        }
    }

    /// The metrics of one registry, by the name it has in the configuration.
    pub fn registry(&self, name: &str) -> RegistryMetrics {
        RegistryMetrics {
            up: self.up.with_label_values(&[name]),
            disconnects_total: self.disconnects.with_label_values(&[name]),
            watch_failures_total: self.watch_failures.with_label_values(&[name]),
            listings_total: self.listings.with_label_values(&[name]),
            records_read_total: self.records_read.with_label_values(&[name]),
            healed_total: self.healed.with_label_values(&[name]),
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

    /// Checks that ended so: `well`, or a word of the fixed set that checks give.
    pub fn checks(&self, result: &'static str) -> IntCounter {
        self.checks.with_label_values(&[result])
    }

    /// Records skipped for one reason: a word of the fixed set that formats give.
    pub fn skipped(&self, reason: &'static str) -> IntCounter {
        self.skipped.with_label_values(&[reason])
    }
}
