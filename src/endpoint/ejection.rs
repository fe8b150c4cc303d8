//! Ejection: an endpoint that fails is out for a while, then tried by one request at a time until one succeeds.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::care::Ejecting;
use super::tally::Grounds;
use crate::clock::Moment;

/// Once an endpoint has been back for so many times its last pause, its ejections are forgotten: the next pause is the first again.
const FORGOTTEN_AFTER: u32 = 10;

/// Whether an endpoint is ejected.
///
/// A pause doubles with each ejection, up to a bound, and is varied by a quarter either way so that a fleet does not return
/// at once. By itself, apart from its [`Past`], since this is read at each pick.
#[derive(Debug, Default)]
pub(super) struct Ejection {
    /// The bits of the moment at which the pause ends; 0 while in use.
    until: AtomicU64,
}

/// How often an endpoint was ejected, and why.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// Ejections that are not forgotten. Written by workers, read by admin.
    times: AtomicU32,
    /// The last pause in milliseconds. Written and read by workers.
    pause: AtomicU64,
    /// The bits of the moment it came back last. Written and read by workers.
    back: AtomicU64,
    /// What it was first ejected for, as a number. Written by workers, read by admin.
    grounds: AtomicU64,
    /// The bits of the moment of that. Written by workers, read by admin.
    since: AtomicU64,
}

/// How an endpoint is ejected, for an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EjectionState {
    /// What it was ejected for.
    pub grounds: Grounds,
    /// How often it was ejected, as far as not forgotten.
    pub times: u32,
    /// Time until a request may try it; zero when one may now.
    pub pause: Duration,
}

/// That an endpoint is ejected, as another process found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejected {
    /// What an operator was told.
    pub state: EjectionState,
    /// The whole of its present pause.
    pub whole: Duration,
}

impl Past {
    /// How often it was ejected, as far as that is not forgotten.
    pub(super) fn times(&self) -> u32 {
        self.times.load(Ordering::Relaxed)
    }

    /// When it was ejected last by this process, trials that failed since aside.
    pub(super) fn since(&self) -> Option<Moment> {
        Moment::from_bits(self.since.load(Ordering::Relaxed))
    }
}

impl Ejection {
    /// Whether it is ejected, or on probation.
    pub(super) fn is_out(&self) -> bool {
        self.until.load(Ordering::Relaxed) != 0
    }

    /// Whether its pause is over, so that a request may try it.
    pub(super) fn is_due(&self, now: Moment) -> bool {
        Moment::from_bits(self.until.load(Ordering::Relaxed)).is_some_and(|until| until <= now)
    }

    /// Lets it last until a moment, as that does of which it is the copy.
    pub(super) fn stay_out(&self, until: Moment) {
        self.until.store(until.to_bits(), Ordering::Relaxed);
    }

    /// Begins it; gives the pause, `least` or more, unless it was out already. `luck`, from 0 to 1, varies the pause.
    pub(super) fn begin(
        &self,
        past: &Past,
        grounds: Grounds,
        now: Moment,
        luck: f64,
        by: &Ejecting,
        least: Duration,
    ) -> Option<Duration> {
        let pause = self.prolong(past, 0, now, luck, by, least)?;
        past.grounds.store(pack(grounds), Ordering::Relaxed);
        past.since.store(now.to_bits(), Ordering::Relaxed);
        Some(pause)
    }

    /// Begins it again, since the request that tried it failed; gives the pause, unless somebody else did.
    pub(super) fn begin_again(
        &self,
        past: &Past,
        now: Moment,
        luck: f64,
        by: &Ejecting,
        least: Duration,
    ) -> Option<Duration> {
        let until = self.until.load(Ordering::Relaxed);
        if until == 0 { None } else { self.prolong(past, until, now, luck, by, least) }
    }

    /// Puts off the next trial, since the last one was told to come back later: by the present pause, which counts as no
    /// further one, and by so much at least.
    pub(super) fn put_off(&self, past: &Past, now: Moment, least: Duration) {
        let until = self.until.load(Ordering::Relaxed);
        if until != 0 {
            let pause = Duration::from_millis(past.pause.load(Ordering::Relaxed)).max(least);
            let next = now.after(pause).to_bits();
            let _ = self.until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    fn prolong(
        &self,
        past: &Past,
        before: u64,
        now: Moment,
        luck: f64,
        by: &Ejecting,
        least: Duration,
    ) -> Option<Duration> {
        let last = Duration::from_millis(past.pause.load(Ordering::Relaxed));
        let back = Moment::from_bits(past.back.load(Ordering::Relaxed));
        let is_forgotten =
            before == 0 && back.is_some_and(|back| now.since(back) >= last.saturating_mul(FORGOTTEN_AFTER));
        let times = if is_forgotten { 0 } else { past.times.load(Ordering::Relaxed) };
        let pause = by.pause.saturating_mul(1 << times.min(16)).min(by.pause_max);
        let luck = if luck.is_finite() { luck.clamp(0.0, 1.0) } else { 0.5 };
        let pause = pause.mul_f64(0.75 + luck / 2.0).max(least);
        let until = now.after(pause).to_bits();
        self.until.compare_exchange(before, until, Ordering::Relaxed, Ordering::Relaxed).ok()?;
        past.pause.store(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        past.times.store(times.saturating_add(1), Ordering::Relaxed);
        Some(pause)
    }

    /// Whether an attempt that began then is one that tries it again, so that its end tells whether it is well.
    pub(super) fn is_tried_by(&self, begun: Moment) -> bool {
        self.is_due(begun)
    }

    /// Ends it. True when that is news.
    pub(super) fn end(&self, past: &Past, now: Moment) -> bool {
        let was_out = self.is_out() && self.until.swap(0, Ordering::Relaxed) != 0;
        if was_out {
            past.back.store(now.to_bits(), Ordering::Relaxed);
        }
        was_out
    }

    /// Forgets everything: another process is there. True when it was out.
    pub(super) fn clear(&self, past: &Past) -> bool {
        past.times.store(0, Ordering::Relaxed);
        past.back.store(0, Ordering::Relaxed);
        self.until.swap(0, Ordering::Relaxed) != 0
    }

    /// What is worth knowing of it in another process, while it is out.
    pub(super) fn remember(&self, past: &Past, now: Moment) -> Option<Ejected> {
        let whole = Duration::from_millis(past.pause.load(Ordering::Relaxed));
        self.state(past, now).map(|state| Ejected { state, whole })
    }

    /// Takes over what another process found, `elapsed` after that was so: what is left of the pause, then one request may
    /// try. No pause is longer than this process would make it.
    pub(super) fn recall(&self, past: &Past, known: &Ejected, elapsed: Duration, now: Moment, by: &Ejecting) {
        let Ejected { state, whole } = known;
        let whole = u64::try_from(whole.min(&by.pause_max).as_millis()).unwrap_or(u64::MAX);
        past.pause.store(whole, Ordering::Relaxed);
        past.times.store(state.times.max(1), Ordering::Relaxed);
        past.grounds.store(pack(state.grounds), Ordering::Relaxed);
        let pause = state.pause.min(by.pause_max).saturating_sub(elapsed);
        self.until.store(now.after(pause).to_bits(), Ordering::Relaxed);
    }

    /// What an operator is told, while it is out.
    pub(super) fn state(&self, past: &Past, now: Moment) -> Option<EjectionState> {
        let until = Moment::from_bits(self.until.load(Ordering::Relaxed))?;
        Some(EjectionState {
            grounds: unpack(past.grounds.load(Ordering::Relaxed)),
            times: past.times.load(Ordering::Relaxed).max(1),
            pause: until.since(now),
        })
    }
}

/// Bits of each number of a [`Grounds`].
const NUMBER_BITS: u32 = 31;
const NUMBER_MAX: u32 = (1 << NUMBER_BITS) - 1;

fn pack(grounds: Grounds) -> u64 {
    let (kind, first, second) = match grounds {
        Grounds::Trial => (0, 0, 0),
        Grounds::InARow { failures } => (1, failures, 0),
        Grounds::Rate { failures, attempts } => (2, failures, attempts),
    };
    let fit = |number: u32| u64::from(number.min(NUMBER_MAX));
    kind << (2 * NUMBER_BITS) | fit(first) << NUMBER_BITS | fit(second)
}

fn unpack(bits: u64) -> Grounds {
    let number = |bits: u64| u32::try_from(bits & u64::from(NUMBER_MAX)).unwrap_or(NUMBER_MAX);
    let (failures, attempts) = (number(bits >> NUMBER_BITS), number(bits));
    match bits >> (2 * NUMBER_BITS) {
        1 => Grounds::InARow { failures },
        2 => Grounds::Rate { failures, attempts },
        _ => Grounds::Trial,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY: Ejecting = Ejecting::USUAL;
    const NO_LEAST: Duration = Duration::ZERO;
    const GROUNDS: Grounds = Grounds::InARow { failures: 5 };

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    #[test]
    fn pauses_double_up_to_a_minute_while_trials_fail() {
        let (ejection, past) = (Ejection::default(), Past::default());
        let mut now = at(0);
        let mut pause = ejection.begin(&past, GROUNDS, now, 0.5, &BY, NO_LEAST).unwrap();
        for expected in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            assert_eq!(pause, Duration::from_secs(expected));
            assert!(ejection.is_out() && !ejection.is_due(now));
            assert_eq!(ejection.begin(&past, GROUNDS, now, 0.5, &BY, NO_LEAST), None, "it is out already");
            now = now.after(pause);
            assert!(ejection.is_due(now) && ejection.is_tried_by(now));
            pause = ejection.begin_again(&past, now, 0.5, &BY, NO_LEAST).unwrap();
        }
        let state = ejection.state(&past, now).unwrap();
        assert_eq!((state.grounds, state.times), (GROUNDS, 10), "what it was first ejected for is told");
        assert!(ejection.end(&past, now) && !ejection.end(&past, now) && !ejection.is_out());
        assert_eq!(ejection.begin_again(&past, now, 0.5, &BY, NO_LEAST), None);
    }

    #[test]
    fn doubling_is_forgotten_after_ten_pauses_of_good_behaviour() {
        for (good, expected) in [(39_999, 4000), (40_000, 1000)] {
            let (ejection, past) = (Ejection::default(), Past::default());
            ejection.begin(&past, GROUNDS, at(0), 0.5, &BY, NO_LEAST);
            ejection.end(&past, at(1000));
            let pause = ejection.begin(&past, GROUNDS, at(2000), 0.5, &BY, NO_LEAST).unwrap();
            assert_eq!(pause, Duration::from_secs(2));
            // Of a pause of two seconds less than twenty are good behaviour enough.
            ejection.end(&past, at(4000));
            let again = ejection.begin(&past, GROUNDS, at(4000 + good / 2), 0.5, &BY, NO_LEAST).unwrap();
            assert_eq!(again, Duration::from_millis(expected));
        }
    }

    #[test]
    fn a_pause_is_varied_by_a_quarter_either_way() {
        for (luck, millis) in [(0.0, 750), (1.0, 1250), (7.0, 1250), (f64::NAN, 1000), (-1.0, 750)] {
            let pause = Ejection::default().begin(&Past::default(), GROUNDS, at(0), luck, &BY, NO_LEAST);
            assert_eq!(pause, Some(Duration::from_millis(millis)), "{luck}");
        }
    }

    #[test]
    fn who_asks_for_a_longer_pause_gets_it_and_who_asks_a_trial_for_one_counts_no_further() {
        let (ejection, past) = (Ejection::default(), Past::default());
        let long = Duration::from_secs(7);
        assert_eq!(ejection.begin(&past, GROUNDS, at(0), 0.5, &BY, long), Some(long));
        assert_eq!(ejection.begin_again(&past, at(7000), 0.5, &BY, NO_LEAST), Some(Duration::from_secs(2)));
        for (now, least, until) in [(9000, NO_LEAST, 11_000), (11_000, long, 18_000)] {
            ejection.put_off(&past, at(now), least);
            assert!(!ejection.is_due(at(until - 1)) && ejection.is_due(at(until)));
        }
        assert_eq!(ejection.state(&past, at(0)).map(|state| state.times), Some(2));
        ejection.end(&past, at(18_000));
        ejection.put_off(&past, at(18_000), long);
        assert!(!ejection.is_out(), "who is in use stays so");
    }

    #[test]
    fn an_attempt_from_before_the_pause_ended_tells_nothing() {
        let (ejection, past) = (Ejection::default(), Past::default());
        assert!(!ejection.is_tried_by(at(0)));
        ejection.begin(&past, GROUNDS, at(0), 0.5, &BY, NO_LEAST);
        assert!(!ejection.is_tried_by(at(999)) && ejection.is_tried_by(at(1000)));
        assert!(ejection.clear(&past) && !ejection.clear(&past));
        assert_eq!(ejection.begin(&past, GROUNDS, at(1), 0.5, &BY, NO_LEAST), Some(Duration::from_secs(1)));
    }

    #[test]
    fn grounds_are_kept_as_they_are() {
        for grounds in [
            Grounds::Trial,
            GROUNDS,
            Grounds::Rate { failures: 7, attempts: 99 },
            Grounds::Rate { failures: NUMBER_MAX, attempts: NUMBER_MAX },
        ] {
            assert_eq!(unpack(pack(grounds)), grounds);
        }
        assert_eq!(
            unpack(pack(Grounds::InARow { failures: u32::MAX })),
            Grounds::InARow { failures: NUMBER_MAX }
        );
    }
}
