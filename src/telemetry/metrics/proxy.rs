//! Metrics of requests and connections.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use super::REQUEST_BUCKETS;
use super::name::Names;
use super::openings::FailedOpenings;
use super::retries::{HedgeCounter, RetryCounter};

/// Metrics of requests and connections, shared by all workers. Those by service are in [`super::Recorder`].
#[derive(Clone, Debug)]
pub struct ProxyMetrics {
    /// Client connections open now.
    pub connections_open: IntGauge,
    /// Client connections accepted.
    pub connections_total: IntCounter,
    /// Client connections closed at once because too many were open.
    pub connections_refused_total: IntCounter,
    /// Requests begun whose response has not ended.
    pub requests_in_flight: IntGauge,
    /// Requests that wait for one in flight to end.
    pub admission_waiting: IntGauge,
    /// Requests for which none ended in time.
    pub admission_timeouts_total: IntCounter,
    /// How long requests waited, of those that had to.
    pub admission_wait_seconds: Histogram,
    /// Requests whose client went away before the response had ended.
    pub requests_abandoned_total: IntCounter,
    /// Connections to endpoints open now.
    pub upstream_connections_open: IntGauge,
    /// Connections to endpoints begun.
    pub upstream_dials_total: IntCounter,
    /// Connections to endpoints that could not be made.
    pub upstream_dial_failures_total: IntCounter,
    /// Connections to endpoints that broke while an answer was awaited or under way.
    pub upstream_resets_total: IntCounter,
    /// Idle connections to endpoints that proved to be closed when a request was sent on them.
    pub upstream_stale_total: IntCounter,
    /// Attempts after the first one of their request.
    pub retries_total: RetryCounter,
    /// Requests not sent again because the budget of their service was used up.
    pub retry_budget_exhausted_total: IntCounter,
    /// Second providers asked.
    pub hedges_total: HedgeCounter,
    /// Picks among endpoints of which none was available.
    pub desperate_picks_total: IntCounter,
    /// Ejections not made since too many other endpoints were out.
    pub ejections_withheld_total: IntCounter,
    /// Requests that wait now until an endpoint has room.
    pub queue_waiting: IntGauge,
    /// Requests that waited in vain until an endpoint had room.
    pub queue_timeouts_total: IntCounter,
    /// Connections switched to another protocol, WebSocket for one, open now.
    pub upgrades_open: IntGauge,
    /// Tasks that panicked; each is a fault of this program.
    pub panics_total: IntCounter,
    /// Client connections that did not begin as their listener asks.
    pub openings: FailedOpenings,
    ejections: IntCounterVec,
    upstream_tls_failures: IntCounterVec,
}

impl ProxyMetrics {
    pub(super) fn new(names: &Names) -> Self {
        let (gauge, counter) = (|name, help| names.gauge(name, help), |name, help| names.counter(name, help));
        Self {
            connections_open: gauge("connections_open", "Client connections open now."),
            connections_total: counter("connections_total", "Client connections accepted."),
            connections_refused_total: counter(
                "connections_refused_total",
                "Client connections closed at once because too many were open.",
            ),
            requests_in_flight: gauge("requests_in_flight", "Requests whose response has not ended."),
            admission_waiting: gauge("admission_waiting", "Requests that wait for one in flight to end."),
            admission_timeouts_total: counter(
                "admission_timeouts_total",
                "Requests that waited there in vain.",
            ),
            admission_wait_seconds: waits(names),
            requests_abandoned_total: counter(
                "requests_abandoned_total",
                "Requests whose client went away before the response had ended.",
            ),
            upstream_connections_open: gauge(
                "upstream_connections_open",
                "Connections to endpoints open now.",
            ),
            upstream_dials_total: counter("upstream_dials_total", "Connections to endpoints begun."),
            upstream_dial_failures_total: counter(
                "upstream_dial_failures_total",
                "Connections to endpoints that could not be made.",
            ),
            upstream_resets_total: counter(
                "upstream_resets_total",
                "Connections to endpoints that broke while an answer was awaited or under way.",
            ),
            upstream_stale_total: counter(
                "upstream_stale_total",
                "Idle connections to endpoints that proved to be closed when a request was sent on them.",
            ),
            retries_total: RetryCounter::new(names),
            retry_budget_exhausted_total: counter(
                "retry_budget_exhausted_total",
                "Requests not sent again because the retry budget of their service was used up.",
            ),
            hedges_total: HedgeCounter::new(names),
            desperate_picks_total: counter(
                "desperate_picks_total",
                "Picks among endpoints of which none was available.",
            ),
            ejections: names.counters(
                "ejections_total",
                "Endpoints ejected because attempts failed: in a row, at a rate, or the trial after a pause.",
                &["cause"],
            ),
            ejections_withheld_total: counter(
                "ejections_withheld_total",
                "Ejections not made since too many other endpoints of the service were out.",
            ),
            queue_waiting: gauge(
                "queue_waiting",
                "Requests that wait now until an endpoint of their service has room.",
            ),
            queue_timeouts_total: counter(
                "queue_timeouts_total",
                "Requests that waited in vain until an endpoint of their service had room.",
            ),
            upgrades_open: gauge("upgrades_open", "Connections switched to another protocol, open now."),
            panics_total: counter("panics_total", "Tasks that panicked; each is a fault of this program."),
            openings: FailedOpenings::new(names),
            upstream_tls_failures: upstream_tls_failures(names),
        }
    }

    /// Handshakes of TLS with endpoints that failed for a reason: the word that stands in answers too.
    pub fn upstream_tls_failures(&self, reason: &'static str) -> IntCounter {
        self.upstream_tls_failures.with_label_values(&[reason])
    }

    /// Ejections for one cause: `in_a_row`, `rate` or `trial`.
    pub fn ejections(&self, cause: &'static str) -> IntCounter {
        self.ejections.with_label_values(&[cause])
    }
}

fn upstream_tls_failures(names: &Names) -> IntCounterVec {
    let help = "Handshakes of TLS with endpoints that failed, of requests, checks and probes, by the reason.";
    names.counters("upstream_tls_failures_total", help, &["reason"])
}

fn waits(names: &Names) -> Histogram {
    let help = "How long requests waited for one in flight to end, of those that had to.";
    names.histogram("admission_wait_seconds", help, &REQUEST_BUCKETS)
}
