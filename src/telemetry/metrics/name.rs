//! How metrics get their names: the prefix, and the one place where a bad one is noticed.

use std::cell::RefCell;

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use crate::telemetry::build::BUILD;

/// Makes metrics, each with the prefix before its name, and remembers them for scrapes.
pub(super) struct Names {
    registry: Registry,
    /// All that there are.
    given: RefCell<Vec<String>>,
}

impl Default for Names {
    fn default() -> Self {
        let registry = Registry::new();
        #[cfg(target_os = "linux")]
        registry
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
            .expect("the process metrics are registered once");
        let names = Self { registry, given: RefCell::default() };
        let version = Opts::new(prefixed("build_info"), "What runs, and what it was built from; always 1.")
            .const_label("version", BUILD.version)
            .const_label("commit", BUILD.commit.unwrap_or_default())
            .const_label("rustc", BUILD.rustc.trim_start_matches("rustc "))
            .const_label("target", BUILD.target)
            .const_label("features", BUILD.features);
        names.keep(IntGauge::with_opts(version)).set(1);
        names
    }
}

impl Names {
    /// What is asked at scrapes, and the names that were given.
    pub(super) fn into_parts(self) -> (Registry, Vec<String>) {
        (self.registry, self.given.into_inner())
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.keep(IntCounter::with_opts(Opts::new(prefixed(name), help)))
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.keep(IntCounterVec::new(Opts::new(prefixed(name), help), labels))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.keep(IntGauge::with_opts(Opts::new(prefixed(name), help)))
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.keep(IntGaugeVec::new(Opts::new(prefixed(name), help), labels))
    }

    pub(super) fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let options = HistogramOpts::new(prefixed(name), help).buckets(buckets.to_vec());
        self.keep(Histogram::with_opts(options))
    }

    pub(super) fn histograms(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
        labels: &[&str],
    ) -> HistogramVec {
        let options = HistogramOpts::new(prefixed(name), help).buckets(buckets.to_vec());
        self.keep(HistogramVec::new(options, labels))
    }

    fn keep<M: Collector + Clone + 'static>(&self, metric: prometheus::Result<M>) -> M {
        let metric =
            metric.expect("names, labels and buckets are constants of this folder, made by its tests");
        self.given.borrow_mut().extend(metric.desc().into_iter().map(|described| described.fq_name.clone()));
        self.registry
            .register(Box::new(metric.clone()))
            .expect("no two metrics of this folder share a name, as its tests show");
        metric
    }
}

/// The full name of a metric of ours.
pub(super) fn prefixed(name: &str) -> String {
    format!("wayside_{name}")
}
