//! A ramp: how many answers may be awaited of an endpoint that is new, or back from being out, while it gives its first ones.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// What may be awaited when the ramp is over. An endpoint that bears as much bears what its share is.
const TOP: u32 = 64;
/// An answer that takes longer than the quickest by more than this part of it shows that what is in flight queues up there: a half.
const SLOWER: u32 = 2;
/// How much of the way to a slower answer the quickest is raised, as a part: one quick answer must not hold up the ramp for long.
const FORGETTING: u32 = 128;

/// How many answers may be awaited of an endpoint while it gives its first ones.
///
/// As in the slow start of TCP (RFC 5681, section 3.1): one attempt at first, and one more with each answer, so that what is
/// awaited doubles each time all of it was answered; a failure halves it. As in HyStart (RFC 9406) it does not grow while
/// answers take longer than when less was awaited: what is cold works on a few requests at a time.
#[derive(Debug, Default)]
pub(super) struct Ramp {
    /// A [`Step`] as a number; 0 when there is no ramp. Written by workers while there is, read at each pick.
    step: AtomicU32,
}

/// Where a ramp stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    /// What may be awaited, from 1 to [`TOP`].
    allowed: u32,
    /// What the quickest answers took, in units of 16 microseconds; 0 before the first.
    quickest: u32,
}

impl Step {
    const BEGIN: Self = Self { allowed: 1, quickest: 0 };
    const QUICKEST_BITS: u32 = 24;
    const QUICKEST_MAX: u32 = (1 << Self::QUICKEST_BITS) - 1;
    const UNIT_MICROS: u128 = 16;

    const fn from_bits(bits: u32) -> Option<Self> {
        let (allowed, quickest) = (bits >> Self::QUICKEST_BITS, bits & Self::QUICKEST_MAX);
        if allowed == 0 { None } else { Some(Self { allowed, quickest }) }
    }

    const fn to_bits(self) -> u32 {
        self.allowed << Self::QUICKEST_BITS | self.quickest
    }

    /// The step after an answer that took so long; `None` when the ramp is over.
    fn after(self, took: Duration) -> Option<Self> {
        let took = u32::try_from(took.as_micros() / Self::UNIT_MICROS).unwrap_or(u32::MAX);
        let took = took.clamp(1, Self::QUICKEST_MAX);
        let Self { allowed, quickest } = self;
        if quickest > 0 && took > quickest + quickest / SLOWER {
            let raised = quickest + ((took - quickest) / FORGETTING).max(1);
            return Some(Self { quickest: raised.min(Self::QUICKEST_MAX), ..self });
        }
        let quickest = if quickest == 0 { took } else { took.min(quickest) };
        (allowed < TOP).then_some(Self { allowed: allowed + 1, quickest })
    }
}

impl Ramp {
    /// Begins, or begins anew.
    pub(super) fn begin(&self) {
        self.step.store(Step::BEGIN.to_bits(), Ordering::Relaxed);
    }

    /// Ends it before its time.
    pub(super) fn end(&self) {
        if self.step.load(Ordering::Relaxed) != 0 {
            self.step.store(0, Ordering::Relaxed);
        }
    }

    /// Takes over where another process was with it: at its end if `None`.
    pub(super) fn recall(&self, allowed: Option<u32>) {
        let step = allowed.map(|allowed| Step { allowed: allowed.clamp(1, TOP), ..Step::BEGIN });
        self.step.store(step.map_or(0, Step::to_bits), Ordering::Relaxed);
    }

    /// What may be awaited; `None` when there is no ramp.
    pub(super) fn allowed(&self) -> Option<u32> {
        Step::from_bits(self.step.load(Ordering::Relaxed)).map(|step| step.allowed)
    }

    /// Notes an answer that took so long.
    pub(super) fn succeed(&self, took: Duration) {
        self.change(|step| step.after(took));
    }

    /// Notes a failure, or that it asked for less.
    pub(super) fn fail(&self) {
        self.change(|step| Some(Step { allowed: (step.allowed / 2).max(1), ..step }));
    }

    fn change(&self, to: impl Fn(Step) -> Option<Step>) {
        let change = |bits| Some(to(Step::from_bits(bits)?).map_or(0, Step::to_bits));
        let _ = self.step.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn ramp() -> Ramp {
        let ramp = Ramp::default();
        assert_eq!(ramp.allowed(), None, "there is none unless it is begun");
        ramp.succeed(ms(5));
        ramp.fail();
        assert_eq!(ramp.allowed(), None);
        ramp.begin();
        ramp
    }

    /// Answers all that may be in flight at once; gives what may be then.
    fn round(ramp: &Ramp, took: Duration) -> Option<u32> {
        (0..ramp.allowed().unwrap_or(0)).for_each(|_| ramp.succeed(took));
        ramp.allowed()
    }

    #[test]
    fn doubles_with_each_round_until_it_is_over() {
        let ramp = ramp();
        assert_eq!(ramp.allowed(), Some(1));
        for expected in [2, 4, 8, 16, 32, 64] {
            assert_eq!(round(&ramp, ms(5)), Some(expected));
        }
        assert_eq!(round(&ramp, ms(5)), None);
    }

    #[test]
    fn a_failure_halves_it() {
        let ramp = ramp();
        assert_eq!([(); 3].map(|()| round(&ramp, ms(5))).last(), Some(&Some(8)));
        for expected in [4, 2, 1, 1] {
            ramp.fail();
            assert_eq!(ramp.allowed(), Some(expected));
        }
    }

    #[test]
    fn stays_while_answers_are_slower_and_goes_on_once_they_are_not() {
        let ramp = ramp();
        assert_eq!(round(&ramp, ms(50)), Some(2));
        (0..5).for_each(|_| ramp.succeed(ms(120)));
        assert_eq!(ramp.allowed(), Some(2));
        assert_eq!(round(&ramp, ms(5)), Some(4));
    }

    #[test]
    fn one_quick_answer_does_not_hold_it_up_for_long() {
        let ramp = ramp();
        ramp.succeed(ms(1));
        let answers = (1..1000).find(|_| {
            ramp.succeed(ms(20));
            ramp.allowed() > Some(3)
        });
        assert!(answers.is_some_and(|answers| answers < 160), "{answers:?}");
    }

    proptest! {
        #[test]
        fn is_always_between_one_and_its_top(answers in prop::collection::vec((any::<u32>(), any::<bool>()), 0..400)) {
            let ramp = ramp();
            for (micros, failed) in answers {
                if failed { ramp.fail() } else { ramp.succeed(Duration::from_micros(u64::from(micros) << 8)) }
                prop_assert!(ramp.allowed().is_none_or(|allowed| (1..=TOP).contains(&allowed)));
            }
        }

        /// Whatever the answers are like, as long as they stay so: it comes to its end.
        #[test]
        fn ends_when_answers_vary_within_bounds(times in prop::collection::vec(1_u64..10_000, 1..20)) {
            let ramp = ramp();
            let ends = times.iter().cycle().take(20_000).any(|micros| {
                ramp.succeed(Duration::from_micros(*micros));
                ramp.allowed().is_none()
            });
            prop_assert!(ends);
        }
    }
}
