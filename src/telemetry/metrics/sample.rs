//! Metrics that are computed at a scrape from what is known then, so that what left leaves no series behind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::name::prefixed;
use super::shadow::{self, ShadowSample};
use crate::provider::{Address, ServiceName};

/// What is known of a service at the moment of a scrape.
#[derive(Clone, Debug)]
pub struct ServiceSample {
    /// The service.
    pub service: ServiceName,
    /// How long ago the registry last vouched for it; zero while it does.
    pub stale: Duration,
    /// Of each registry that is asked for it: its name, its version of the last list (zxid, revision, index) where it has
    /// one, and how long ago it last vouched for that; zero while it does.
    pub words: Vec<(Arc<str>, Option<i64>, Duration)>,
    /// How long ago what is known last changed, when it was ever listed.
    pub changed: Option<Duration>,
    /// Its endpoints.
    pub endpoints: Vec<EndpointSample>,
    /// The registries that are only compared, and the number of addresses each tells otherwise of.
    pub shadows: Vec<(Arc<str>, usize)>,
    /// The policies that are compared with those in use.
    pub policies: Vec<ShadowSample>,
}

/// What is known of an endpoint at the moment of a scrape.
#[derive(Clone, Debug)]
pub struct EndpointSample {
    /// Where it listens.
    pub address: Address,
    /// One word of a fixed set for how it is.
    pub state: &'static str,
    /// Attempts begun.
    pub attempts: u64,
    /// Attempts that failed on the way to it or at it.
    pub failures: u64,
    /// Attempts in flight now.
    pub in_flight: u32,
}

/// The computed metrics of these services.
pub(super) fn families(services: &[ServiceSample]) -> Vec<MetricFamily> {
    let mut attempts = Family::counter("endpoint_attempts_total", "Attempts begun, by endpoint.");
    let mut failures = Family::counter("endpoint_failures_total", "Attempts that failed, by endpoint.");
    let mut in_flight = Family::gauge("endpoint_attempts_in_flight", "Attempts in flight, by endpoint.");
    let mut states = Family::gauge("endpoints", "Endpoints known, by state.");
    let mut stale = Family::gauge(
        "service_stale_seconds",
        "How long ago the registry last vouched for the list of a service; 0 while it does.",
    );
    let mut revision = Family::gauge(
        "service_revision",
        "The registry's version of the last list: zxid, revision or index.",
    );
    let mut ages = Family::gauge(
        "service_registry_stale_seconds",
        "How long ago a registry last vouched for its list of a service; 0 while it does.",
    );
    let mut changed =
        Family::gauge("service_unchanged_seconds", "How long ago what is known of a service last changed.");
    let mut shadows = Family::gauge(
        "shadow_differences",
        "Addresses of a service that a registry in the role of shadow tells otherwise of than is used.",
    );
    for sample in services {
        let service = sample.service.as_str();
        for (registry, version, age) in &sample.words {
            let labels = [("registry", &**registry), ("service", service)];
            ages.add(&labels, age.as_secs_f64());
            if let Some(version) = version {
                revision.add(&labels, signed(*version));
            }
        }
        if let Some(age) = sample.changed {
            changed.add(&[("service", service)], age.as_secs_f64());
        }
        stale.add(&[("service", service)], sample.stale.as_secs_f64());
        for (registry, differences) in &sample.shadows {
            let labels = [("registry", &**registry), ("service", service)];
            shadows.add(&labels, number(*differences as u64));
        }
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        for endpoint in &sample.endpoints {
            *counts.entry(endpoint.state).or_default() += 1;
            let address = endpoint.address.to_string();
            let labels = [("service", service), ("endpoint", address.as_str())];
            attempts.add(&labels, number(endpoint.attempts));
            failures.add(&labels, number(endpoint.failures));
            in_flight.add(&labels, f64::from(endpoint.in_flight));
        }
        for (state, count) in counts {
            states.add(&[("service", service), ("state", state)], f64::from(count));
        }
    }
    [attempts, failures, in_flight, states, stale, revision, ages, changed, shadows]
        .into_iter()
        .filter_map(Family::finish)
        .chain(shadow::families(services))
        .collect()
}

/// Lines lost by each log.
pub(super) fn dropped_lines(logs: impl Iterator<Item = (&'static str, u64)>) -> Option<MetricFamily> {
    let mut family =
        Family::counter("log_lines_dropped_total", "Lines lost because a log could not keep up.");
    for (log, count) in logs {
        family.add(&[("log", log)], number(count));
    }
    family.finish()
}

/// A metric family in the making.
pub(super) struct Family {
    name: String,
    help: &'static str,
    kind: MetricType,
    metrics: Vec<Metric>,
}

impl Family {
    pub(super) fn counter(name: &str, help: &'static str) -> Self {
        Self { name: prefixed(name), help, kind: MetricType::COUNTER, metrics: Vec::new() }
    }

    pub(super) fn gauge(name: &str, help: &'static str) -> Self {
        Self { name: prefixed(name), help, kind: MetricType::GAUGE, metrics: Vec::new() }
    }

    pub(super) fn add(&mut self, labels: &[(&str, &str)], value: f64) {
        let pair = |(name, value): &(&str, &str)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        };
        let mut metric = Metric::from_label(labels.iter().map(pair).collect());
        if self.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.metrics.push(metric);
    }

    /// The family, unless it is empty: the text format has no families without metrics.
    pub(super) fn finish(self) -> Option<MetricFamily> {
        if self.metrics.is_empty() {
            return None;
        }
        let mut family = MetricFamily::default();
        family.set_name(self.name);
        family.set_help(self.help.to_owned());
        family.set_field_type(self.kind);
        family.set_metric(self.metrics);
        Some(family)
    }
}

/// Exact up to 2^53, which no counter here reaches in a century.
#[expect(clippy::cast_precision_loss, reason = "the text format carries floating point numbers")]
pub(super) const fn number(count: u64) -> f64 {
    count as f64
}

/// Exact up to 2^53: a zxid beyond has seen more than two million leaders.
#[expect(clippy::cast_precision_loss, reason = "the text format carries floating point numbers")]
const fn signed(number: i64) -> f64 {
    number as f64
}
