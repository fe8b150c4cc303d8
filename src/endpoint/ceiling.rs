//! A ceiling: a bound of what is in flight at an endpoint that follows its latency, where its operator wants that.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Moment;

/// Where it begins. This and what follows are the figures of `Gradient2Limit` in Netflix's concurrency-limits, unless said otherwise.
const START: f64 = 20.0;
/// How much slower than in the long run answers may be without consequence.
const TOLERANCE: f64 = 1.5;
/// How much of the way to a new bound is gone at a time.
const SMOOTHING: f64 = 0.2;
/// What may queue at the provider.
const QUEUE: f64 = 4.0;
/// Windows that the long run goes back.
const LONG_RUN: f64 = 600.0;
/// What is left of the bound after a window in which something timed out or was told to wait, as in its `AIMDLimit`.
const BACKED_OFF: f64 = 0.9;
/// A window lasts at least so long, ours: sidecars see enough requests in less than a second.
const WINDOW: Duration = Duration::from_millis(100);
/// And has at least so many answers, with what should have been one.
const ANSWERS_MIN: u64 = 10;

/// The longest time of an answer that is told apart, in microseconds.
const TOOK_MAX: u64 = 10_000_000;
/// Bits of the number of answers in what a window sums up; the rest is the sum of their times.
const COUNT_BITS: u32 = 20;

/// Between which numbers it stays.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) min: u32,
    pub(super) max: u32,
}

/// A bound of what is in flight that follows latency.
///
/// Of each window the mean time of answers is held against that of the long run: while answers are no slower, the bound
/// grows by a little; when they are, it shrinks in proportion. It does not change while less than half of it is used. When
/// something timed out it shrinks, and all the more when nothing was answered at all.
#[derive(Debug, Default)]
pub(super) struct Ceiling {
    /// The bound in whole attempts; 0 before the first window. Written by whoever ends a window, read at each pick.
    whole: AtomicU32,
    /// The bits of the bound. Written and read by whoever ends a window.
    exact: AtomicU64,
    /// The bits of the mean time of answers in the long run, in microseconds; 0 before the first window.
    long_run: AtomicU64,
    /// The bits of the moment at which the window ends. Written and read by workers.
    until: AtomicU64,
    /// The number of answers in the window and the sum of their times. Written by workers.
    sum: AtomicU64,
    /// What in the window timed out or was told to wait. Written by workers.
    strains: AtomicU32,
}

impl Ceiling {
    /// One that is there.
    pub(super) fn at(limit: u32) -> Self {
        Self { whole: AtomicU32::new(limit), ..Self::default() }
    }

    /// What may be in flight.
    pub(super) fn limit(&self, bounds: Bounds) -> u32 {
        match self.whole.load(Ordering::Relaxed) {
            0 => whole(START, bounds),
            limit => limit.clamp(bounds.min, bounds.max.max(bounds.min)),
        }
    }

    /// Notes how an attempt went: how long its answer took, or `None` when it timed out or was told to wait.
    pub(super) fn note(&self, took: Option<Duration>, in_flight: u32, now: Moment, bounds: Bounds) {
        let (sum, strains) = match took {
            Some(took) => {
                let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).clamp(1, TOOK_MAX);
                let sum = self.sum.fetch_add((micros << COUNT_BITS) | 1, Ordering::Relaxed);
                (sum, self.strains.load(Ordering::Relaxed))
            }
            None => {
                let strains = self.strains.fetch_add(1, Ordering::Relaxed);
                (self.sum.load(Ordering::Relaxed), strains)
            }
        };
        let until = self.until.load(Ordering::Relaxed);
        let noted = (sum & count_mask()) + u64::from(strains) + 1;
        if until > now.to_bits() || noted < ANSWERS_MIN {
            return;
        }
        let next = now.after(WINDOW).to_bits();
        if self.until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.end_window(in_flight, bounds);
        }
    }

    fn end_window(&self, in_flight: u32, bounds: Bounds) {
        let sum = self.sum.swap(0, Ordering::Relaxed);
        let strains = self.strains.swap(0, Ordering::Relaxed);
        let answers = sum & count_mask();
        if answers == 0 && strains == 0 {
            return;
        }
        let before = Estimate {
            limit: f64::from_bits(self.exact.load(Ordering::Relaxed)),
            long_run: f64::from_bits(self.long_run.load(Ordering::Relaxed)),
        };
        #[expect(clippy::cast_precision_loss, reason = "a mean need not be exact")]
        let mean = (sum >> COUNT_BITS) as f64 / answers as f64;
        let after = if answers == 0 {
            before.backed_off(bounds)
        } else {
            before.after(mean, in_flight, strains > 0, bounds)
        };
        self.long_run.store(after.long_run.to_bits(), Ordering::Relaxed);
        self.exact.store(after.limit.to_bits(), Ordering::Relaxed);
        self.whole.store(whole(after.limit, bounds), Ordering::Relaxed);
    }

    /// Forgets everything: another process is there.
    pub(super) fn forget(&self) {
        for bits in [&self.exact, &self.long_run, &self.until, &self.sum] {
            bits.store(0, Ordering::Relaxed);
        }
        for count in [&self.strains, &self.whole] {
            count.store(0, Ordering::Relaxed);
        }
    }
}

const fn count_mask() -> u64 {
    (1 << COUNT_BITS) - 1
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it lies between two whole numbers"
)]
fn whole(limit: f64, Bounds { min, max }: Bounds) -> u32 {
    limit.clamp(f64::from(min), f64::from(max.max(min))).round() as u32
}

/// The bound and what it rests on; both 0 before the first window.
#[derive(Clone, Copy, Debug, Default)]
struct Estimate {
    limit: f64,
    long_run: f64,
}

impl Estimate {
    /// What it is after a window in which something timed out. That tells nothing of how long answers take.
    fn backed_off(self, bounds: Bounds) -> Self {
        let (min, max) = (f64::from(bounds.min), f64::from(bounds.max.max(bounds.min)));
        let limit = if self.limit > 0.0 { self.limit } else { START }.clamp(min, max);
        Self { limit: (limit * BACKED_OFF).clamp(min, max), ..self }
    }

    /// What it is after a window in which answers took this long in the mean.
    fn after(self, mean: f64, in_flight: u32, is_strained: bool, bounds: Bounds) -> Self {
        let (min, max) = (f64::from(bounds.min), f64::from(bounds.max.max(bounds.min)));
        let limit = if self.limit > 0.0 { self.limit } else { START }.clamp(min, max);
        let long_run = if self.long_run > 0.0 {
            let long_run = self.long_run + (mean - self.long_run) * 2.0 / (LONG_RUN + 1.0);
            // Back from a long time of slow answers, what was usual then must not allow a queue now.
            if long_run / mean > 2.0 { long_run * 0.95 } else { long_run }
        } else {
            mean
        };
        if is_strained {
            return Self { long_run, ..self.backed_off(bounds) };
        }
        if f64::from(in_flight) < limit / 2.0 {
            return Self { limit, long_run };
        }
        let gradient = (TOLERANCE * long_run / mean).clamp(0.5, 1.0);
        let next = limit + SMOOTHING * (limit * gradient + QUEUE - limit);
        Self { limit: next.clamp(min, max), long_run }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds { min: 4, max: 1024 };

    /// So many windows of answers that took this long, with as much in flight as may be.
    fn run(ceiling: &Ceiling, now: &mut u64, windows: u32, took: Duration) -> u32 {
        for _ in 0..windows {
            *now += 101;
            for _ in 0..ANSWERS_MIN {
                let limit = ceiling.limit(BOUNDS);
                ceiling.note(Some(took), limit, Moment::from_millis(*now), BOUNDS);
            }
        }
        ceiling.limit(BOUNDS)
    }

    const FAST: Duration = Duration::from_millis(10);
    const SLOW: Duration = Duration::from_millis(100);

    #[test]
    fn grows_while_latency_stays_shrinks_when_it_rises_and_recovers() {
        let (ceiling, mut now) = (Ceiling::default(), 0);
        assert_eq!(ceiling.limit(BOUNDS), 20);
        let grown = run(&ceiling, &mut now, 100, FAST);
        assert!(grown > 60, "{grown}");
        let shrunk = run(&ceiling, &mut now, 30, SLOW);
        assert!(shrunk < grown / 4, "{shrunk} after {grown}");
        let recovered = run(&ceiling, &mut now, 100, FAST);
        assert!(recovered > 60, "{recovered}");
    }

    #[test]
    fn a_time_out_backs_off_and_idleness_changes_nothing() {
        let (ceiling, mut now) = (Ceiling::default(), 0);
        let before = run(&ceiling, &mut now, 50, FAST);
        ceiling.note(None, before, Moment::from_millis(now), BOUNDS);
        let after = run(&ceiling, &mut now, 1, FAST);
        assert!(after < before, "{after} after {before}");
        for _ in 0..1000 {
            now += 50;
            ceiling.note(Some(FAST), 1, Moment::from_millis(now), BOUNDS);
        }
        assert_eq!(ceiling.limit(BOUNDS), after);
    }

    #[test]
    fn where_nothing_is_answered_it_backs_off_all_the_way() {
        for windows in [0, 100] {
            let (ceiling, mut now) = (Ceiling::default(), 0);
            let before = run(&ceiling, &mut now, windows, FAST);
            for round in 0..100 {
                now += 101;
                for _ in 0..ANSWERS_MIN {
                    ceiling.note(None, ceiling.limit(BOUNDS), Moment::from_millis(now), BOUNDS);
                }
                assert!(ceiling.limit(BOUNDS) < before, "in round {round}");
            }
            assert_eq!(ceiling.limit(BOUNDS), BOUNDS.min);
            let recovered = run(&ceiling, &mut now, 100, FAST);
            assert!(recovered > 60, "{recovered}");
            ceiling.forget();
            assert_eq!(ceiling.limit(BOUNDS), 20, "it begins anew");
        }
    }

    #[test]
    fn bounds_that_change_hold_at_once() {
        let (ceiling, mut now) = (Ceiling::default(), 0);
        run(&ceiling, &mut now, 100, FAST);
        assert_eq!(ceiling.limit(Bounds { min: 1, max: 8 }), 8);
        assert_eq!(
            ceiling.limit(Bounds { min: 2000, max: 8 }),
            2000,
            "a least above the most wins, and nothing panics"
        );
    }

    proptest! {
        #[test]
        fn stays_within_its_bounds(
            attempts in prop::collection::vec((any::<Option<u32>>(), any::<u16>(), 0_u64..200), 1..500),
            min in 1_u32..2000, max in 1_u32..2000,
        ) {
            let (ceiling, bounds, mut now) = (Ceiling::default(), Bounds { min, max }, 0);
            for (micros, in_flight, step) in attempts {
                now += step;
                let took = micros.map(|micros| Duration::from_micros(micros.into()));
                ceiling.note(took, in_flight.into(), Moment::from_millis(now), bounds);
                let limit = ceiling.limit(bounds);
                prop_assert!((min..=max.max(min)).contains(&limit), "{}", limit);
            }
        }

        #[test]
        fn no_estimate_is_out_of_bounds_or_no_number(
            limit in 0.0_f64..1e6, long_run in 0.0_f64..1e7, mean in 1.0_f64..1e7, in_flight: u32, strained: bool,
        ) {
            let after = Estimate { limit, long_run }.after(mean, in_flight, strained, BOUNDS);
            prop_assert!((4.0..=1024.0).contains(&after.limit) && after.long_run.is_finite() && after.long_run > 0.0);
        }

        /// From wherever it was pushed, steady answers let it grow again.
        #[test]
        fn recovers_from_anything(limit in 4.0_f64..1024.0, long_run in 1.0_f64..1e7, mean in 1.0_f64..1e7) {
            let mut estimate = Estimate { limit, long_run };
            let mut least = limit;
            for _ in 0..4000 {
                estimate = estimate.after(mean, 1024, false, BOUNDS);
                least = least.min(estimate.limit);
            }
            prop_assert!(estimate.limit >= least && estimate.limit > 500.0, "{:?}", estimate);
        }
    }
}
