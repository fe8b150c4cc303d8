//! Metrics in the Prometheus text format; the only room that names one.

mod announce;
mod catalog;
mod config;
mod exemplars;
mod name;
mod open_metrics;
mod openings;
mod proxy;
mod raw;
mod recorder;
mod retries;
mod sample;
mod scrape;
mod shadow;
mod traces;
mod traffic;

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::proto::MetricFamily;
use prometheus::{Registry, TextEncoder};

pub use announce::AnnounceMetrics;
pub use catalog::{CatalogMetrics, RegistryMetrics};
pub use config::{CertificateEnd, ConfigMetrics, Reloaded};
pub use exemplars::Exemplar;
pub use openings::FailedOpenings;
pub use proxy::ProxyMetrics;
pub use raw::{RawCounters, RawMetrics};
pub use recorder::{Recorder, Totals};
pub use retries::{HedgeCounter, HedgeResult, RetryCause, RetryCounter};
pub use sample::{EndpointSample, ServiceSample};
pub use scrape::{Scrape, Traffic};
pub use shadow::ShadowSample;
pub use traces::TraceMetrics;
pub use traffic::{Mirrored, TrafficMetrics};

use crate::provider::ServiceName;
use name::Names;
use recorder::Requests;

/// The media type of what [`Metrics::render`] gives.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The media type of what [`Metrics::render_open`] gives.
pub const OPEN_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bounds of the request histogram, in seconds: 0.5 ms to 60 s, about three for each power of ten.
///
/// A sidecar adds well under a millisecond, so the lowest bucket tells "as fast as the provider" from "something
/// waited"; the whole of a request ends after 15 s unless configured otherwise, and the highest one leaves room for that.
pub const REQUEST_BUCKETS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Bounds of the histogram from a registry's change to the snapshot that shows it, in seconds: 0.1 ms to 5 s.
///
/// A change after a quiet moment is applied at once, which takes well under a millisecond; a burst waits for its
/// deadline, 50 ms unless configured otherwise.
pub const SWAP_BUCKETS: [f64; 14] =
    [0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 1.0, 5.0];

/// Every metric of this process, each resolved once so that counting is an atomic addition.
pub struct Metrics {
    /// Of requests and connections. Written by workers.
    pub proxy: ProxyMetrics,
    /// Of the registry and what is known from it. Written by the catalog and the registries.
    pub catalog: CatalogMetrics,
    /// Of what is announced. Written by announcing.
    pub announce: AnnounceMetrics,
    /// Of what routes do with requests beside sending them on. Written by workers.
    pub traffic: TrafficMetrics,
    /// Of raw connections. Written by workers.
    pub raw: RawMetrics,
    /// Of the configuration in force. Written by whoever reads it again.
    pub config: ConfigMetrics,
    /// Of the spans that are sent to a collector.
    pub traces: TraceMetrics,
    requests: Arc<Requests>,
    dropped_lines: Mutex<Vec<DroppedLines>>,
    registry: Registry,
    /// The names of all in `registry`, those included that have no series yet.
    names: Vec<String>,
}

/// A log that can lose lines, and how to ask how many it lost.
struct DroppedLines {
    log: &'static str,
    count: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl Metrics {
    /// All metrics at zero.
    pub fn new() -> Arc<Self> {
        let names = Names::default();
        let mut metrics = Self {
            proxy: ProxyMetrics::new(&names),
            catalog: CatalogMetrics::new(&names),
            announce: AnnounceMetrics::new(&names),
            traffic: TrafficMetrics::new(&names),
            raw: RawMetrics::new(&names),
            config: ConfigMetrics::new(&names),
            traces: TraceMetrics::new(&names),
            requests: Arc::new(Requests::new(&names)),
            dropped_lines: Mutex::default(),
            registry: Registry::new(),
            names: Vec::new(),
        };
        (metrics.registry, metrics.names) = names.into_parts();
        Arc::new(metrics)
    }

    /// Where one worker counts the requests to one service.
    pub fn recorder(&self, service: &ServiceName) -> Recorder {
        Recorder::new(Arc::clone(&self.requests), Some(service.clone()))
    }

    /// Where one worker counts the requests that led to no service: those without a name, or with one that is refused.
    pub fn recorder_without_service(&self) -> Recorder {
        Recorder::new(Arc::clone(&self.requests), None)
    }

    /// What was counted of the requests to each service since its first one, in order of name.
    pub fn totals(&self) -> Vec<(ServiceName, Totals)> {
        self.requests.totals()
    }

    /// Drops the series of a service that is no longer followed.
    pub fn forget(&self, service: &ServiceName) {
        self.requests.forget(service);
        self.traffic.forget(service);
        self.raw.forget(service);
    }

    /// What counts a task that panicked, at each call.
    pub fn count_panics(&self) -> impl Fn() + Send + Sync + 'static {
        let panics = self.proxy.panics_total.clone();
        move || panics.inc()
    }

    /// Asks a log at every scrape how many lines it lost since the start. `log` is its one-word name.
    ///
    /// A log of the same name that was asked before is asked a last time, so a reload may replace one, and what is counted
    /// goes on.
    pub fn watch_dropped_lines(&self, log: &'static str, count: impl Fn() -> u64 + Send + Sync + 'static) {
        let mut logs = self.dropped_lines.lock();
        let before: u64 = logs.iter().filter(|known| known.log == log).map(|known| (known.count)()).sum();
        logs.retain(|known| known.log != log);
        logs.push(DroppedLines { log, count: Box::new(move || before + count()) });
    }

    /// What a scrape gets: all that was counted, and for each service what the catalog says of it now.
    pub fn render(&self, services: &[ServiceSample]) -> String {
        TextEncoder::new()
            .encode_to_string(&self.gather(services))
            .expect("every family has a name and metrics of one type, which is all that can fail")
    }

    /// The same as OpenMetrics, with the ids of slow requests.
    pub fn render_open(&self, services: &[ServiceSample]) -> String {
        let (histogram, exemplars) = (name::prefixed(recorder::SECONDS), self.requests.exemplars.all());
        open_metrics::render(&self.gather(services), &histogram, &exemplars)
    }

    fn gather(&self, services: &[ServiceSample]) -> Vec<MetricFamily> {
        let mut families = self.registry.gather();
        families.extend(sample::families(services));
        let logs = self.dropped_lines.lock();
        families.extend(sample::dropped_lines(logs.iter().map(|log| (log.log, (log.count)()))));
        drop(logs);
        families.sort_by(|left, right| left.name().cmp(right.name()));
        families
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
