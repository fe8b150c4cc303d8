//! Metrics of what routes do with requests beside sending them on: sharing out, copying, disturbing.

use prometheus::{IntCounter, IntCounterVec, IntGauge};

use super::name::Names;
use crate::provider::ServiceName;

/// Metrics of what routes do with requests beside sending them on.
#[derive(Clone, Debug)]
pub struct TrafficMetrics {
    /// Copies of requests that are held or on their way. Workers also look here whether there is room for one more.
    pub mirrors_in_flight: IntGauge,
    /// Sessions that were given an endpoint, because they had none or theirs could not be used.
    pub sticky_moves_total: IntCounter,
    splits: IntCounterVec,
    mirrors: IntCounterVec,
    faults: IntCounterVec,
}

/// What became of the copy of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mirrored {
    /// It was answered, and not with a failure of the server.
    Answered,
    /// It was answered with a failure, or not at all.
    Failed,
    /// There was no answer in time.
    Late,
    /// There were as many copies as may be.
    NoRoom,
    /// The body is larger than what is held for it.
    TooLarge,
    /// The body of the request did not come in to its end.
    Incomplete,
}

impl Mirrored {
    const ALL: [Self; 6] =
        [Self::Answered, Self::Failed, Self::Late, Self::NoRoom, Self::TooLarge, Self::Incomplete];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Late => "late",
            Self::NoRoom => "no_room",
            Self::TooLarge => "too_large",
            Self::Incomplete => "incomplete",
        }
    }
}

impl TrafficMetrics {
    pub(super) fn new(names: &Names) -> Self {
        Self {
            mirrors_in_flight: names
                .gauge("mirrors_in_flight", "Copies of requests that are held or on their way."),
            sticky_moves_total: names.counter(
                "sticky_moves_total",
                "Sessions that were given an endpoint, since they had none or theirs could not be used.",
            ),
            splits: names.counters(
                "split_requests_total",
                "Requests of a route that is split, by the part they went to.",
                &["route", "part"],
            ),
            mirrors: names.counters(
                "mirrored_requests_total",
                "Copies of requests, by what became of them.",
                &["service", "result"],
            ),
            faults: names.counters(
                "faults_injected_total",
                "Requests that were disturbed on purpose, as the configuration says.",
                &["fault"],
            ),
        }
    }

    /// Requests of a route that went to a part of its split. Both names stand in the configuration.
    pub fn split(&self, route: &str, part: &str) -> IntCounter {
        self.splits.with_label_values(&[route, part])
    }

    /// Copies for a service, by what became of them.
    pub fn mirrored(&self, service: &ServiceName, result: Mirrored) -> IntCounter {
        self.mirrors.with_label_values(&[service.as_str(), result.as_str()])
    }

    /// Requests that were disturbed in this way.
    pub fn fault(&self, fault: &str) -> IntCounter {
        self.faults.with_label_values(&[fault])
    }

    pub(super) fn forget(&self, service: &ServiceName) {
        for result in Mirrored::ALL {
            // Most are absent, which is as good as removed.
            let _ = self.mirrors.remove_label_values(&[service.as_str(), result.as_str()]);
        }
    }
}
