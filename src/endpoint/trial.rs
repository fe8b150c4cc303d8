//! A trial: the right of a single request to try an endpoint that is out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Moment;

/// How long a trial request may take before another one may try.
const LIMIT: Duration = Duration::from_secs(5);

/// How soon after a trial that told nothing another one may be made.
const REST: Duration = Duration::from_secs(1);

/// The right of a single request to try an endpoint that is out.
#[derive(Debug, Default)]
pub(super) struct Trial {
    /// The bits of the moment at which the present trial times out; 0 without one. Written and read by workers.
    until: AtomicU64,
}

impl Trial {
    /// Claims it: true for one caller, until the trial has ended or timed out.
    pub(super) fn try_claim(&self, now: Moment) -> bool {
        let running = self.until.load(Ordering::Relaxed);
        let next = now.after(LIMIT).to_bits();
        is_free(running, now)
            && self.until.compare_exchange(running, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether a claim could succeed.
    pub(super) fn is_free(&self, now: Moment) -> bool {
        is_free(self.until.load(Ordering::Relaxed), now)
    }

    /// Notes that the trial was broken off and told nothing: not all that come are to try the same.
    pub(super) fn break_off(&self, now: Moment) {
        let (until, rest) = (self.until.load(Ordering::Relaxed), now.after(REST).to_bits());
        if until > rest {
            let _ = self.until.compare_exchange(until, rest, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Notes that the trial has ended, however it went.
    pub(super) fn end(&self) {
        if self.until.load(Ordering::Relaxed) != 0 {
            self.until.store(0, Ordering::Relaxed);
        }
    }
}

fn is_free(until: u64, now: Moment) -> bool {
    Moment::from_bits(until).is_none_or(|until| until <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_none_for_ever() {
        let at = Moment::from_millis;
        let trial = Trial::default();
        assert!(trial.is_free(at(1000)) && trial.try_claim(at(1000)) && !trial.is_free(at(1000)));
        assert!(!trial.try_claim(at(1000)) && !trial.try_claim(at(5999)));
        assert!(trial.try_claim(at(6000)), "a trial that never ended gives way to another");
        assert!(!trial.try_claim(at(6000)));
        trial.end();
        assert!(trial.try_claim(at(6000)));
        trial.break_off(at(6100));
        assert!(!trial.is_free(at(7099)) && trial.try_claim(at(7100)), "another one a second later");
        trial.end();
        trial.break_off(at(7200));
        assert!(trial.is_free(at(7200)), "there was none");
    }

    #[test]
    fn of_many_threads_one_claims_it() {
        let trial = Trial::default();
        let claims = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    if trial.try_claim(Moment::from_millis(1)) {
                        claims.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(claims.into_inner(), 1);
    }
}
