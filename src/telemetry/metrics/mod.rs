//! Metrics in the Prometheus text format; the only room that names one.

mod announce;
mod catalog;
mod name;
mod openings;
mod proxy;
mod raw;
mod recorder;
mod retries;
mod sample;
mod shadow;
mod traffic;

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::{Registry, TextEncoder};

pub use announce::AnnounceMetrics;
pub use catalog::{CatalogMetrics, RegistryMetrics};
pub use openings::FailedOpenings;
pub use proxy::ProxyMetrics;
pub use raw::{RawCounters, RawMetrics};
pub use recorder::{Recorder, Totals};
pub use retries::{HedgeCounter, HedgeResult, RetryCause, RetryCounter};
pub use sample::{EndpointSample, ServiceSample};
pub use shadow::ShadowSample;
pub use traffic::{Mirrored, TrafficMetrics};

use crate::provider::ServiceName;
use name::Names;
use recorder::Requests;

/// The media type of what [`Metrics::render`] gives.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

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
    requests: Arc<Requests>,
    dropped_lines: Mutex<Vec<DroppedLines>>,
    registry: Registry,
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
        let metrics = Self {
            proxy: ProxyMetrics::new(&names),
            catalog: CatalogMetrics::new(&names),
            announce: AnnounceMetrics::new(&names),
            traffic: TrafficMetrics::new(&names),
            raw: RawMetrics::new(&names),
            requests: Arc::new(Requests::new(&names)),
            dropped_lines: Mutex::default(),
            registry: names.into_registry(),
        };
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
    /// A log of the same name that was asked before is forgotten, so a reload may replace one.
    pub fn watch_dropped_lines(&self, log: &'static str, count: impl Fn() -> u64 + Send + Sync + 'static) {
        let mut logs = self.dropped_lines.lock();
        logs.retain(|known| known.log != log);
        logs.push(DroppedLines { log, count: Box::new(count) });
    }

    /// What a scrape gets: all that was counted, and for each service what the catalog says of it now.
    pub fn render(&self, services: &[ServiceSample]) -> String {
        let mut families = self.registry.gather();
        families.extend(sample::families(services));
        let logs = self.dropped_lines.lock();
        families.extend(sample::dropped_lines(logs.iter().map(|log| (log.log, (log.count)()))));
        drop(logs);
        families.sort_by(|left, right| left.name().cmp(right.name()));
        TextEncoder::new()
            .encode_to_string(&families)
            .expect("every family has a name and metrics of one type, which is all that can fail")
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::*;

    fn metrics() -> (Arc<Metrics>, Vec<ServiceSample>) {
        let metrics = Metrics::new();
        let recorder = metrics.recorder(&"greeter".parse().unwrap());
        recorder.record(200, None, Duration::from_millis(3));
        recorder.record(503, Some("connect_failed"), Duration::from_millis(9));
        recorder.detour("spill");
        recorder.flush();
        metrics.recorder_without_service().record(404, Some("no_route"), Duration::ZERO);
        let raw = metrics.raw.begin(&"greeter".parse().unwrap());
        raw.received.inc_by(3);
        metrics.raw.end(&"greeter".parse().unwrap(), "idle");
        metrics.traffic.split("api", "greeter[version=2]").inc();
        metrics.traffic.mirrored(&"greeter".parse().unwrap(), Mirrored::TooLarge).inc();
        metrics.traffic.fault("delay").inc();
        metrics.catalog.skipped("malformed").inc();
        metrics.proxy.ejections("in_a_row").inc();
        metrics.proxy.openings.tls("clear_text").inc();
        metrics.proxy.openings.proxy_header("missing").inc();
        metrics.announce.changed("announced").inc();
        metrics.announce.set_announced(&BTreeMap::from([("own".parse().unwrap(), 1)]));
        metrics.catalog.registry("zookeeper").up.set(1);
        metrics.catalog.change_to_swap_seconds.observe(0.0004);
        metrics.watch_dropped_lines("access", || 7);
        let endpoint = EndpointSample {
            address: "10.0.0.1:80".parse().unwrap(),
            state: "reachable",
            attempts: 5,
            failures: 1,
            in_flight: 2,
        };
        let service = "greeter".parse().unwrap();
        let sample = ServiceSample {
            service,
            stale: Duration::from_secs(4),
            words: vec![
                ("zookeeper".into(), Some(77), Duration::from_secs(3)),
                ("dns".into(), None, Duration::ZERO),
            ],
            changed: Some(Duration::from_secs(9)),
            endpoints: vec![endpoint],
            shadows: vec![("etcd".into(), 3)],
            policies: vec![shadow(), shadow()],
        };
        (metrics, vec![sample])
    }

    fn shadow() -> ShadowSample {
        ShadowSample {
            policies: ["round-robin", "peak-ewma"],
            choices: [3, 4],
            in_flight: [5, 6],
            latency_us: [7_000, 2_000_000],
            chosen: vec![("10.0.0.1:80".parse().unwrap(), 7)],
        }
    }

    /// The names and types of all that is ever exposed, without values: what dashboards and alerts are built on.
    #[test]
    fn names_are_stable() {
        let (metrics, services) = metrics();
        let text = metrics.render(&services);
        let types = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .filter(|line| !line.starts_with("process_"));
        insta::assert_snapshot!(types.collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn a_scrape_shows_what_was_recorded() {
        let (metrics, services) = metrics();
        let text = metrics.render(&services);
        for line in [
            "wayside_requests_total{class=\"2xx\",reason=\"\",service=\"greeter\"} 1",
            "wayside_requests_total{class=\"5xx\",reason=\"connect_failed\",service=\"greeter\"} 1",
            "wayside_requests_total{class=\"4xx\",reason=\"no_route\",service=\"\"} 1",
            "wayside_request_duration_seconds_count{service=\"greeter\"} 2",
            "wayside_request_duration_seconds_bucket{service=\"greeter\",le=\"0.005\"} 1",
            "wayside_detours_total{kind=\"spill\",service=\"greeter\"} 1",
            "wayside_raw_connections_open{service=\"greeter\"} 1",
            "wayside_raw_connections_total{reason=\"idle\",service=\"greeter\"} 1",
            "wayside_raw_bytes_total{direction=\"received\",service=\"greeter\"} 3",
            "wayside_ejections_total{cause=\"in_a_row\"} 1",
            "wayside_tls_failures_total{cause=\"clear_text\"} 1",
            "wayside_proxy_header_failures_total{cause=\"missing\"} 1",
            "wayside_announced{service=\"own\"} 1",
            "wayside_announcement_changes_total{change=\"announced\"} 1",
            "wayside_registry_records_skipped_total{reason=\"malformed\"} 1",
            "wayside_endpoints{service=\"greeter\",state=\"reachable\"} 1",
            "wayside_endpoint_attempts_total{service=\"greeter\",endpoint=\"10.0.0.1:80\"} 5",
            "wayside_endpoint_failures_total{service=\"greeter\",endpoint=\"10.0.0.1:80\"} 1",
            "wayside_endpoint_attempts_in_flight{service=\"greeter\",endpoint=\"10.0.0.1:80\"} 2",
            // Two claims on one service are told together.
            "wayside_shadow_policy_choices_total{service=\"greeter\",policy=\"round-robin\",shadow=\"peak-ewma\",choice=\"different\"} 8",
            "wayside_shadow_policy_endpoint_choices_total{service=\"greeter\",policy=\"round-robin\",shadow=\"peak-ewma\",endpoint=\"10.0.0.1:80\"} 14",
            "wayside_shadow_policy_in_flight_total{service=\"greeter\",policy=\"round-robin\",shadow=\"peak-ewma\",of=\"made\"} 10",
            "wayside_shadow_policy_latency_seconds_total{service=\"greeter\",policy=\"round-robin\",shadow=\"peak-ewma\",of=\"shadow\"} 4",
            "wayside_service_stale_seconds{service=\"greeter\"} 4",
            "wayside_service_revision{registry=\"zookeeper\",service=\"greeter\"} 77",
            "wayside_service_registry_stale_seconds{registry=\"zookeeper\",service=\"greeter\"} 3",
            "wayside_service_registry_stale_seconds{registry=\"dns\",service=\"greeter\"} 0",
            "wayside_service_unchanged_seconds{service=\"greeter\"} 9",
            "wayside_registry_up{registry=\"zookeeper\"} 1",
            "wayside_shadow_differences{registry=\"etcd\",service=\"greeter\"} 3",
            "wayside_log_lines_dropped_total{log=\"access\"} 7",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn what_left_takes_its_series_along() {
        let (metrics, services) = metrics();
        assert!(metrics.render(&services).contains("10.0.0.1:80"));
        let service = "greeter".parse().unwrap();
        metrics.forget(&service);
        let text = metrics.render(&[]);
        let is_of_it = |line: &str| line.contains("\"greeter\"") || line.contains("10.0.0.1:80");
        assert!(!text.lines().any(is_of_it), "{text}");
    }

    /// The checker that ships with Prometheus has nothing to say; where it is not installed, the names alone are compared.
    #[test]
    fn the_prometheus_checker_is_content() {
        let (metrics, services) = metrics();
        let promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut promtool) = promtool else { return };
        promtool.stdin.take().unwrap().write_all(metrics.render(&services).as_bytes()).unwrap();
        let output = promtool.wait_with_output().unwrap();
        let said =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.is_empty(), "{said}");
    }
}
