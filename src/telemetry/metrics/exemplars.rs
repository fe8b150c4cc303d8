//! Exemplars: of the slow requests of each service, one by its id, so that a graph leads to its line in the log and its trace.

use std::collections::BTreeMap;
use std::time::SystemTime;

use parking_lot::Mutex;

use super::REQUEST_BUCKETS;
use crate::provider::ServiceName;

/// The most characters that names and values of an exemplar may have together (OpenMetrics 1.0, exemplars).
const CHARACTERS_MAX: usize = 128;

/// One request by its ids.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Its `X-Request-Id`, if it has one.
    pub request_id: Option<String>,
    /// The id of its trace in hex digits, where it is traced.
    pub trace_id: Option<String>,
}

impl Exemplar {
    /// Its labels; the id of the request is left out where there is no room for it.
    pub(super) fn labels(&self) -> Vec<(&'static str, &str)> {
        let pairs = [("trace_id", &self.trace_id), ("request_id", &self.request_id)];
        let mut room = CHARACTERS_MAX;
        let mut labels = Vec::new();
        for (name, value) in pairs {
            let Some(value) = value else { continue };
            let length = name.len() + value.chars().count();
            if length <= room {
                room -= length;
                labels.push((name, value.as_str()));
            }
        }
        labels
    }
}

/// An exemplar in its bucket.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) exemplar: Exemplar,
    /// How long it took.
    pub(super) seconds: f64,
    /// When it had ended.
    pub(super) at: SystemTime,
}

/// One for each bucket, the last for what is beyond all bounds.
pub(super) type Buckets = [Option<Placed>; REQUEST_BUCKETS.len() + 1];

/// The latest exemplars of all services. Written by workers about once a second, read by scrapes that ask for them.
#[derive(Default)]
pub(super) struct Exemplars(Mutex<BTreeMap<String, Buckets>>);

impl Exemplars {
    pub(super) fn put(&self, service: &str, placed: Placed) {
        let place = REQUEST_BUCKETS.iter().position(|bound| placed.seconds <= *bound);
        let mut services = self.0.lock();
        if !services.contains_key(service) {
            services.insert(service.to_owned(), Buckets::default());
        }
        if let Some(buckets) = services.get_mut(service) {
            buckets[place.unwrap_or(REQUEST_BUCKETS.len())] = Some(placed);
        }
    }

    pub(super) fn forget(&self, service: &ServiceName) {
        self.0.lock().remove(service.as_str());
    }

    pub(super) fn all(&self) -> BTreeMap<String, Buckets> {
        self.0.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exemplar_has_the_labels_for_which_there_is_room() {
        let of = |request: usize, trace: usize| {
            let text = |length: usize| (length > 0).then(|| "x".repeat(length));
            let exemplar = Exemplar { request_id: text(request), trace_id: text(trace) };
            exemplar.labels().into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(of(32, 32), ["trace_id", "request_id"]);
        assert_eq!(of(78, 32), ["trace_id", "request_id"]);
        assert_eq!(of(79, 32), ["trace_id"]);
        assert_eq!((of(118, 0), of(119, 0)), (vec!["request_id"], vec![]));
    }
}
