//! The latest requests to a service that failed, so that an operator sees what callers got.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use crate::provider::Address;

/// Failures kept of each service.
const KEPT_MAX: usize = 16;

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// When it ended.
    pub at: SystemTime,
    /// Where the last attempt went, if there was one.
    pub endpoint: Option<Address>,
    /// The status that the caller got; 0 where it was no request but a raw connection.
    pub status: u16,
    /// One word for what went wrong, where this proxy made the answer or broke it off.
    pub reason: Option<&'static str>,
    /// Attempts.
    pub attempts: u8,
    /// How long it took in all.
    pub took: Duration,
    /// Its id.
    pub request_id: Option<Box<str>>,
}

/// The latest requests to a service that failed. Written by workers, for those only; read by admin.
#[derive(Debug, Default)]
pub struct Failures(Mutex<VecDeque<Failure>>);

impl Failures {
    /// Keeps one more. What another worker keeps at this very moment stands for it as well: nobody waits here.
    pub fn keep(&self, failure: impl FnOnce() -> Failure) {
        let Some(mut kept) = self.0.try_lock() else { return };
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(failure());
    }

    /// The latest, the newest first.
    pub(super) fn latest(&self) -> impl Iterator<Item = Failure> {
        let kept = self.0.lock().clone();
        kept.into_iter().rev()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_kept() {
        let failures = Failures::default();
        for status in 500..530 {
            failures.keep(|| Failure {
                at: SystemTime::UNIX_EPOCH,
                endpoint: None,
                status,
                reason: Some("connect_failed"),
                attempts: 1,
                took: Duration::ZERO,
                request_id: None,
            });
        }
        let kept: Vec<u16> = failures.latest().map(|failure| failure.status).collect();
        assert_eq!((kept.len(), kept[0], kept[15]), (KEPT_MAX, 529, 514));
    }
}
