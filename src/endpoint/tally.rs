//! A tally: how many attempts at an endpoint went well lately and how many failed, and how many failed in a row.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::care::Ejecting;
use crate::clock::Moment;

/// The parts a window is counted in: what is a window old goes a tenth at a time.
const PARTS: usize = 10;

/// What makes an endpoint suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grounds {
    /// So many attempts in a row failed.
    InARow {
        /// How many.
        failures: u32,
    },
    /// Too many of the attempts within the window failed.
    Rate {
        /// Those that failed.
        failures: u32,
        /// Those that went well or failed.
        attempts: u32,
    },
    /// The request that tried it again failed.
    Trial,
}

impl Grounds {
    /// One word for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InARow { .. } => "in_a_row",
            Self::Rate { .. } => "rate",
            Self::Trial => "trial",
        }
    }
}

impl fmt::Display for Grounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InARow { failures } => write!(f, "{failures} failures in a row"),
            Self::Rate { failures, attempts } => write!(f, "{failures} of {attempts} attempts failed"),
            Self::Trial => f.write_str("the request that tried it failed"),
        }
    }
}

/// How attempts at an endpoint went lately.
///
/// Written by workers at the end of each attempt, read by whoever notes a failure. Raced by several workers it may lose
/// the count of an attempt at the turn of a part, and no more.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Failures since the last success.
    in_a_row: AtomicU32,
    /// The parts of the window, in turn.
    ring: [AtomicU64; PARTS],
}

/// A part of the window as it is kept in one number: which part it is, what went well and what failed in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Part {
    /// Its number, as far as [`Part::NUMBER_BITS`] go.
    number: u64,
    well: u64,
    failed: u64,
}

impl Part {
    const NUMBER_BITS: u32 = 24;
    const COUNT_BITS: u32 = 20;
    const COUNT_MASK: u64 = (1 << Self::COUNT_BITS) - 1;
    const NUMBER_MASK: u64 = (1 << Self::NUMBER_BITS) - 1;
    /// Counts stop here, well before they overflow: as many additions may race as there are threads.
    const COUNT_MAX: u64 = Self::COUNT_MASK - 1024;
    const ONE_WELL: u64 = 1 << Self::COUNT_BITS;
    const ONE_FAILED: u64 = 1;

    const fn from_bits(bits: u64) -> Self {
        Self {
            number: bits >> (2 * Self::COUNT_BITS),
            well: (bits >> Self::COUNT_BITS) & Self::COUNT_MASK,
            failed: bits & Self::COUNT_MASK,
        }
    }

    /// The bits of a part of that number in which nothing was counted yet.
    const fn begun(number: u64) -> u64 {
        (number & Self::NUMBER_MASK) << (2 * Self::COUNT_BITS)
    }

    /// How many parts ago this one was, at the part of that number; negative when another worker is ahead.
    const fn age(self, number: u64) -> i64 {
        let age = number.wrapping_sub(self.number) & Self::NUMBER_MASK;
        let half = 1 << (Self::NUMBER_BITS - 1);
        if age < half { age.cast_signed() } else { age.cast_signed() - 2 * half.cast_signed() }
    }

    /// Whether what belongs to the part of that number is counted here: it is that part, or the one a round later, as another
    /// worker that is ahead has begun it.
    const fn takes(self, number: u64) -> bool {
        let age = self.age(number);
        age <= 0 && age.unsigned_abs() <= PARTS as u64
    }

    /// Whether it belongs to the window that ends with the part of that number.
    const fn is_recent(self, number: u64) -> bool {
        self.age(number).unsigned_abs() < PARTS as u64
    }
}

/// The number of the part that a moment is in.
fn part_at(now: Moment, window: Duration) -> u64 {
    let width = u64::try_from(window.as_millis()).unwrap_or(u64::MAX) / PARTS as u64;
    now.to_bits() / width.max(1)
}

impl Tally {
    /// Counts an attempt.
    pub(super) fn count(&self, failed: bool, now: Moment, window: Duration) {
        if failed {
            let more = |count: u32| count.checked_add(1);
            let _ = self.in_a_row.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        } else if self.in_a_row.load(Ordering::Relaxed) != 0 {
            self.in_a_row.store(0, Ordering::Relaxed);
        }
        let number = part_at(now, window);
        let kept = &self.ring[usize::try_from(number % PARTS as u64).unwrap_or(0)];
        let one = if failed { Part::ONE_FAILED } else { Part::ONE_WELL };
        let mut bits = kept.load(Ordering::Relaxed);
        loop {
            let part = Part::from_bits(bits);
            if part.takes(number) {
                if part.well.max(part.failed) < Part::COUNT_MAX {
                    kept.fetch_add(one, Ordering::Relaxed);
                }
                return;
            }
            let begun = Part::begun(number) | one;
            match kept.compare_exchange_weak(bits, begun, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => bits = now,
            }
        }
    }

    /// What makes the endpoint suspect now, if anything does.
    pub(super) fn judge(&self, now: Moment, by: &Ejecting) -> Option<Grounds> {
        let failures = self.in_a_row.load(Ordering::Relaxed);
        if by.failures_in_a_row > 0 && failures >= by.failures_in_a_row {
            return Some(Grounds::InARow { failures });
        }
        let (well, failed) = self.lately(now, by.window);
        let attempts = well + failed;
        let is_too_low = well * 100 < u64::from(by.success_percent) * attempts;
        let fit = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        (attempts >= u64::from(by.attempts_min.max(1)) && is_too_low)
            .then(|| Grounds::Rate { failures: fit(failed), attempts: fit(attempts) })
    }

    /// How many attempts went well within the window, and how many failed.
    pub(super) fn lately(&self, now: Moment, window: Duration) -> (u64, u64) {
        let number = part_at(now, window);
        let parts = self.ring.iter().map(|kept| Part::from_bits(kept.load(Ordering::Relaxed)));
        let recent = parts.filter(|part| part.is_recent(number));
        recent.fold((0, 0), |(well, failed), part| (well + part.well, failed + part.failed))
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.in_a_row.store(0, Ordering::Relaxed);
        for kept in &self.ring {
            kept.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BY: Ejecting = Ejecting::USUAL;
    const WINDOW: Duration = BY.window;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    fn tally(attempts: &[(u64, bool)]) -> Tally {
        let tally = Tally::default();
        for (millis, failed) in attempts {
            tally.count(*failed, at(*millis), WINDOW);
        }
        tally
    }

    #[test]
    fn five_failures_in_a_row_are_suspect_and_a_success_between_them_is_not() {
        let mut attempts = vec![(0, false); 100];
        attempts.extend([(0, true); 4]);
        assert_eq!(tally(&attempts).judge(at(0), &BY), None);
        attempts.push((0, true));
        assert_eq!(tally(&attempts).judge(at(0), &BY), Some(Grounds::InARow { failures: 5 }));
        attempts.push((0, false));
        assert_eq!(tally(&attempts).judge(at(0), &BY), None);
        let never = Ejecting { failures_in_a_row: 0, success_percent: 0, ..BY };
        assert_eq!(tally(&[(0, true); 999]).judge(at(0), &never), None);
    }

    #[test]
    fn less_than_four_in_five_of_at_least_five_are_suspect() {
        let attempts = [(0, false), (0, true), (0, false), (0, false), (0, false), (0, true)];
        assert_eq!(tally(&attempts[..2]).judge(at(0), &BY), None, "too few to tell");
        assert_eq!(tally(&attempts[..5]).judge(at(0), &BY), None, "four of five are well");
        let grounds = Some(Grounds::Rate { failures: 2, attempts: 6 });
        assert_eq!(tally(&attempts).judge(at(0), &BY), grounds);
        assert_eq!(tally(&attempts).judge(at(9_000), &BY), grounds);
        assert_eq!(
            tally(&attempts).judge(at(11_000), &BY),
            None,
            "what is older than the window is forgotten"
        );
    }

    #[test]
    fn a_clock_that_is_behind_or_ahead_costs_no_count() {
        let tally = tally(&[(5_000, false), (4_000, true), (6_000, true)]);
        assert_eq!(tally.lately(at(5_000), WINDOW), (1, 2));
        tally.count(true, at(16_000), WINDOW);
        tally.count(true, at(15_100), WINDOW);
        assert_eq!(tally.lately(at(16_000), WINDOW), (0, 2));
        tally.clear();
        assert_eq!(tally.lately(at(16_000), WINDOW), (0, 0));
    }

    #[test]
    fn counts_end_at_their_bound() {
        let tally = Tally::default();
        for _ in 0..Part::COUNT_MASK + 5_000 {
            tally.count(true, at(0), WINDOW);
        }
        assert_eq!(tally.lately(at(0), WINDOW), (0, Part::COUNT_MAX));
        tally.in_a_row.store(u32::MAX, Ordering::Relaxed);
        tally.count(true, at(0), WINDOW);
        assert_eq!(tally.in_a_row.load(Ordering::Relaxed), u32::MAX);
    }

    #[test]
    fn workers_that_race_lose_next_to_nothing() {
        let tally = Tally::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for millis in 0..5_000 {
                        tally.count(millis % 4 == 0, at(millis), WINDOW);
                    }
                });
            }
        });
        let (well, failed) = tally.lately(at(4_999), WINDOW);
        assert_eq!((well, failed), (15_000, 5_000));
    }

    proptest! {
        /// Against the plain list of attempts: what is counted is what lies within the window, by whole parts.
        #[test]
        fn counts_what_lies_in_the_window(
            steps in prop::collection::vec((0_u64..3_000, any::<bool>()), 1..200), window in 10_u64..20_000,
        ) {
            let window = Duration::from_millis(window);
            let (tally, mut now, mut all) = (Tally::default(), 0, Vec::new());
            for (step, failed) in steps {
                now += step;
                tally.count(failed, at(now), window);
                all.push((part_at(at(now), window), failed));
            }
            let last = part_at(at(now), window);
            let count = |failed| all.iter().filter(|(part, f)| last - part < 10 && *f == failed).count() as u64;
            prop_assert_eq!(tally.lately(at(now), window), (count(false), count(true)));
        }

        #[test]
        fn no_moment_and_no_window_panics(moments in prop::collection::vec(any::<u64>(), 1..50), window: u64) {
            let window = Duration::from_millis(window);
            let tally = Tally::default();
            for millis in moments {
                tally.count(true, at(millis), window);
                tally.judge(at(millis), &Ejecting { window, ..BY });
            }
        }
    }
}
