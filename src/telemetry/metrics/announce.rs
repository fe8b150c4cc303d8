//! Metrics of what this process announces.

use std::collections::BTreeMap;

use prometheus::core::Collector as _;
use prometheus::{IntCounter, IntCounterVec, IntGaugeVec};

use super::name::Names;
use crate::provider::ServiceName;

/// Metrics of what this process announces.
#[derive(Clone, Debug)]
pub struct AnnounceMetrics {
    /// Checks that found an app not to be well.
    pub checks_failed_total: IntCounter,
    /// Times that announcing ended because the registry failed.
    pub failures_total: IntCounter,
    announced: IntGaugeVec,
    changes: IntCounterVec,
}

impl AnnounceMetrics {
    pub(super) fn new(names: &Names) -> Self {
        Self {
            checks_failed_total: names.counter(
                "announce_checks_failed_total",
                "Checks that found an app not to be well enough to be announced.",
            ),
            failures_total: names.counter(
                "announce_failures_total",
                "Times that announcing ended because the registry failed.",
            ),
            announced: names.gauges(
                "announced",
                "Providers of the service that this process announces at present.",
                &["service"],
            ),
            changes: names.counters(
                "announcement_changes_total",
                "Changes of how announcements stand: announced, withdrawn, refused or lost.",
                &["change"],
            ),
        }
    }

    /// Changes of how announcements stand: `announced`, `withdrawn` or `refused`.
    pub fn changed(&self, change: &'static str) -> IntCounter {
        self.changes.with_label_values(&[change])
    }

    /// How many providers of each service are announced; services that are not among these have no series any more.
    pub fn set_announced(&self, services: &BTreeMap<ServiceName, i64>) {
        for (service, count) in services {
            self.announced.with_label_values(&[service.as_str()]).set(*count);
        }
        for family in self.announced.collect() {
            for metric in family.get_metric() {
                let service = metric.get_label().first().map_or("", |label| label.value());
                if !services.contains_key(service) {
                    // It is there, since it was just collected by the only one who writes it.
                    let _ = self.announced.remove_label_values(&[service]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn a_service_that_is_not_announced_any_more_takes_its_series_along() {
        let metrics = Metrics::new();
        let set = |services: &[(&str, i64)]| {
            let services = services.iter().map(|(name, count)| (name.parse().unwrap(), *count));
            metrics.announce.set_announced(&services.collect::<BTreeMap<ServiceName, i64>>());
            let text = metrics.render(&[]);
            text.lines()
                .filter(|line| line.starts_with("wayside_announced{"))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let (a, b) = ("wayside_announced{service=\"a\"} 0", "wayside_announced{service=\"b\"} 2");
        assert_eq!(set(&[("a", 0), ("b", 2)]), [a, b]);
        assert_eq!(set(&[("a", 0)]), [a]);
        assert_eq!(set(&[]), [""; 0]);
    }
}
