//! Where one worker counts the requests to one service, without sharing a cache line with the others.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use prometheus::core::Metric as _;
use prometheus::local::{LocalHistogram, LocalIntCounter};
use prometheus::{HistogramVec, IntCounterVec};

use super::REQUEST_BUCKETS;
use super::exemplars::{Exemplar, Exemplars, Placed};
use super::name::Names;
use crate::provider::ServiceName;

/// The histogram of requests, without the prefix.
pub(super) const SECONDS: &str = "request_duration_seconds";

/// The request metrics of all services.
pub(super) struct Requests {
    /// The ids of slow ones. Written when workers tell what they counted.
    pub(super) exemplars: Exemplars,
    total: IntCounterVec,
    seconds: HistogramVec,
    detours: IntCounterVec,
    /// The series of each service that is not forgotten, so that they can be dropped. Written when a worker begins to count.
    series: Mutex<BTreeMap<ServiceName, Vec<Series>>>,
}

/// What was counted of one service since its first request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests answered.
    pub requests: u64,
    /// Those that failed: answered with 5xx by whomever, or broken off.
    pub failed: u64,
    /// How many took how long: those within each of [`REQUEST_BUCKETS`] and not within the one before, then the rest.
    pub buckets: [u64; REQUEST_BUCKETS.len() + 1],
}

/// The reason of an answer that its provider broke off.
const BODY_BROKEN: &str = "body_broken";

/// What leads picks away.
pub const DETOURS: [&str; 3] = ["spill", "panic", "failover"];

/// What tells one counter of a service from another.
type Series = (&'static str, &'static str);

impl Requests {
    pub(super) fn new(names: &Names) -> Self {
        Self {
            total: names.counters(
                "requests_total",
                "Requests answered, by class of status; the reason is empty unless this proxy made the answer or broke it off, or \
                 the client went away.",
                &["service", "class", "reason"],
            ),
            seconds: names.histograms(
                SECONDS,
                "From the head of a request to the end of its response.",
                &REQUEST_BUCKETS,
                &["service"],
            ),
            detours: names.counters(
                "detours_total",
                "Picks that were led away from the nearest endpoints that are well, by what led them: spill to a further \
                 tier, panic since too few are well, failover to another service.",
                &["service", "kind"],
            ),
            series: Mutex::default(),
            exemplars: Exemplars::default(),
        }
    }

    pub(super) fn forget(&self, service: &ServiceName) {
        // First of all: what is counted from here on is told from what is to be dropped.
        let known = self.series.lock().remove(service).unwrap_or_default();
        self.exemplars.forget(service);
        for (class, reason) in known {
            // Both are absent when another worker's series was never flushed, which is as good as removed.
            let _ = self.total.remove_label_values(&[service.as_str(), class, reason]);
        }
        let _ = self.seconds.remove_label_values(&[service.as_str()]);
        for kind in DETOURS {
            let _ = self.detours.remove_label_values(&[service.as_str(), kind]);
        }
    }

    /// What was counted of each service since it was first asked for.
    pub(super) fn totals(&self) -> Vec<(ServiceName, Totals)> {
        let known = self.series.lock();
        let totals = known.iter().map(|(service, series)| {
            let mut totals = Totals::default();
            for &(class, reason) in series {
                let count = self.total.with_label_values(&[service.as_str(), class, reason]).get();
                totals.requests += count;
                // As the latest failures of a service are chosen, which its page shows beside this.
                if class == "5xx" || reason == BODY_BROKEN {
                    totals.failed += count;
                }
            }
            let metric = self.seconds.with_label_values(&[service.as_str()]).metric();
            let histogram = metric.get_histogram();
            let mut below = 0;
            for (count, bucket) in totals.buckets.iter_mut().zip(histogram.get_bucket()) {
                *count = bucket.cumulative_count().saturating_sub(below);
                below = bucket.cumulative_count();
            }
            totals.buckets[REQUEST_BUCKETS.len()] = histogram.get_sample_count().saturating_sub(below);
            (service.clone(), totals)
        });
        totals.collect()
    }

    /// Begins to count for a service: from now on it has series, until it is forgotten.
    fn begin(&self, service: Option<&ServiceName>) -> LocalHistogram {
        let mut known = self.series.lock();
        if let Some(service) = service {
            known.entry(service.clone()).or_default();
        }
        self.seconds.with_label_values(&[label(service)]).local()
    }

    /// A counter; none once the service is forgotten: a request that ends later than that would bring back series that nobody
    /// drops any more, and names are the clients' to choose.
    fn counter(&self, service: Option<&ServiceName>, series: Series) -> Option<LocalIntCounter> {
        let mut known = self.series.lock();
        if let Some(service) = service {
            let known = known.get_mut(service)?;
            if !known.contains(&series) {
                known.push(series);
            }
        }
        Some(self.total.with_label_values(&[label(service), series.0, series.1]).local())
    }

    /// A counter of detours; none once the service is forgotten.
    fn detour(&self, service: Option<&ServiceName>, kind: &'static str) -> Option<LocalIntCounter> {
        let known = self.series.lock();
        let is_known = service.is_none_or(|service| known.contains_key(service));
        is_known.then(|| self.detours.with_label_values(&[label(service), kind]).local())
    }

    /// Keeps an exemplar, unless its service is forgotten.
    fn place(&self, service: Option<&ServiceName>, placed: Placed) {
        let known = self.series.lock();
        if service.is_none_or(|service| known.contains_key(service)) {
            self.exemplars.put(label(service), placed);
        }
    }
}

/// Where one worker counts the requests to one service (or to none). Not shared between threads: what it counts is
/// seen by scrapes after [`Recorder::flush`], and after its end.
pub struct Recorder {
    requests: Arc<Requests>,
    service: Option<ServiceName>,
    counters: RefCell<Vec<(Series, LocalIntCounter)>>,
    seconds: LocalHistogram,
    detours: RefCell<Vec<(&'static str, LocalIntCounter)>>,
    /// How long the slowest request took since the last flush.
    slowest: Cell<Duration>,
    /// Which that was.
    exemplar: RefCell<Option<Box<Placed>>>,
}

impl Recorder {
    pub(super) fn new(requests: Arc<Requests>, service: Option<ServiceName>) -> Self {
        let seconds = requests.begin(service.as_ref());
        Self {
            requests,
            service,
            counters: RefCell::default(),
            seconds,
            detours: RefCell::default(),
            slowest: Cell::new(Duration::ZERO),
            exemplar: RefCell::default(),
        }
    }

    /// Counts one request that has ended: the status of its answer, the reason if we made it, and how long it took.
    pub fn record(&self, status: u16, reason: Option<&'static str>, elapsed: Duration) {
        self.seconds.observe(elapsed.as_secs_f64());
        let series = (class(status), reason.unwrap_or_default());
        let mut counters = self.counters.borrow_mut();
        if let Some((_, counter)) = counters.iter().find(|(known, _)| *known == series) {
            counter.inc();
            return;
        }
        let Some(counter) = self.requests.counter(self.service.as_ref(), series) else { return };
        counter.inc();
        counters.push((series, counter));
    }

    /// Whether a request that took so long is the slowest since the last flush, so that its ids are wanted.
    pub fn is_slowest(&self, elapsed: Duration) -> bool {
        elapsed > self.slowest.get()
    }

    /// Notes the ids of the slowest request since the last flush, which has ended now; one may have none.
    pub fn note_slowest(&self, elapsed: Duration, exemplar: Option<Exemplar>) {
        self.slowest.set(elapsed);
        let placed = |exemplar| Placed { exemplar, seconds: elapsed.as_secs_f64(), at: SystemTime::now() };
        self.exemplar.replace(exemplar.map(|exemplar| Box::new(placed(exemplar))));
    }

    /// Counts one pick that was led away, by one of the words of `DETOURS`.
    pub fn detour(&self, kind: &'static str) {
        debug_assert!(DETOURS.contains(&kind), "{kind} would outlive its service");
        let mut detours = self.detours.borrow_mut();
        if let Some((_, counter)) = detours.iter().find(|(known, _)| *known == kind) {
            counter.inc();
            return;
        }
        let Some(counter) = self.requests.detour(self.service.as_ref(), kind) else { return };
        counter.inc();
        detours.push((kind, counter));
    }

    /// Adds what was counted since the last time to what scrapes see; to be called about each second.
    pub fn flush(&self) {
        for (_, counter) in self.counters.borrow().iter() {
            counter.flush();
        }
        for (_, counter) in self.detours.borrow().iter() {
            counter.flush();
        }
        self.seconds.flush();
        self.slowest.set(Duration::ZERO);
        if let Some(placed) = self.exemplar.take() {
            self.requests.place(self.service.as_ref(), *placed);
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.flush();
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("service", &self.service).finish_non_exhaustive()
    }
}

fn label(service: Option<&ServiceName>) -> &str {
    service.map_or("", ServiceName::as_str)
}

fn class(status: u16) -> &'static str {
    match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "other",
    }
}
