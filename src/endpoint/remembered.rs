//! What is worth knowing of an endpoint in another process: ages and times left, since each process has moments of its own.

use std::time::Duration;

use super::{Care, Checking, Ejected, Ghost, Memory, ReachState};
use crate::clock::Moment;

/// What is worth knowing of an endpoint in another process. All times are as of its making.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remembered {
    /// How long ago it answered last.
    pub answered: Option<Duration>,
    /// How long it was expected to take.
    pub latency: Option<Duration>,
    /// That connections fail.
    pub unreachable: Option<Unreachable>,
    /// That attempts fail.
    pub ejected: Option<Ejected>,
    /// How much should be in flight there, while it is new.
    pub ramp: Option<u32>,
    /// What is behind its record, if that outlived its provider.
    pub ghost: Option<Ghost>,
    /// What checks found, unless all is well.
    pub check: Option<Checking>,
}

/// That connections to an endpoint fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreachable {
    /// Failures in a row.
    pub failures: u32,
    /// Time until one request may try.
    pub pause: Duration,
    /// For how long none succeeded.
    pub failing: Duration,
}

impl Memory {
    /// What is worth knowing of it in another process.
    pub fn remember(&self, now: Moment) -> Remembered {
        let unreachable = match self.reach.state(now) {
            ReachState::Reachable => None,
            ReachState::Unreachable { failures, pause } => {
                Some(Unreachable { failures, pause, failing: self.reach.failing_for(now) })
            }
        };
        let is_worth = |checking: &Checking| checking.unwell.is_some() || checking.cause.is_some();
        Remembered {
            answered: self.answered().map(|answered| now.since(answered)),
            latency: self.latency.known(now),
            unreachable,
            ejected: self.ejection.remember(&self.history.past, now),
            ramp: self.ramp(),
            ghost: self.ghost(),
            check: self.checked.state(now).filter(is_worth),
        }
    }

    /// Takes over what another process knew of it, `elapsed` after that was remembered. To be called before anybody else
    /// knows of it. Whatever is told, nothing lasts longer than if this process had found it out now, by this care.
    pub fn recall(&self, remembered: &Remembered, elapsed: Duration, care: &Care, now: Moment) {
        let Remembered { answered, latency, unreachable, ejected, ramp, ghost, check } = remembered;
        if let Some(ago) = answered {
            let bits = now.before(ago.saturating_add(elapsed)).to_bits();
            self.history.answered.store(bits, std::sync::atomic::Ordering::Relaxed);
        }
        if let Some(latency) = latency {
            self.latency.recall(*latency, elapsed, now);
        }
        if let Some(unreachable) = unreachable {
            self.reach.recall(unreachable, elapsed, now);
        }
        if let (Some(ejected), Some(by)) = (ejected, &care.ejecting) {
            self.ejection.recall(&self.history.past, ejected, elapsed, now, by);
        }
        self.ramp.recall(*ramp);
        if let Some(ghost) = ghost.filter(|_| unreachable.is_some()) {
            self.haunting.begin(ghost);
        }
        if let Some(check) = check {
            self.checked.recall(check, elapsed, now);
        }
        if !self.is_available() {
            self.group.change();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::endpoint::{
        Counts, Ejecting, EjectionState, Ending, Grounds, Outcome, Peers, Refusal, Said, Sentence, Verdict,
    };

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    fn memory() -> Memory {
        Memory::new(1, "10.0.0.1:80".parse().unwrap())
    }

    fn endpoint(port: u16) -> super::super::Endpoint {
        let address: crate::provider::Address = format!("10.0.0.1:{port}").parse().unwrap();
        let provider = crate::provider::Provider::new("p", address.clone());
        super::super::Endpoint::new(provider.into(), Memory::new(port.into(), address).into())
    }

    fn note(memory: &Memory, outcome: Outcome, ending: Ending) -> Verdict {
        memory.note(outcome, Said::Nothing, ending, &Care::default())
    }

    /// The same endpoint in another process, this long after.
    fn handed_over(memory: &Memory, at: Moment, elapsed: Duration, now: Moment) -> Memory {
        let next = self::memory();
        next.recall(&memory.remember(at), elapsed, &Care::default(), now);
        next
    }

    #[test]
    fn who_is_out_stays_out_for_the_rest_of_its_pause_and_is_tried_once() {
        let memory = memory();
        for second in [100, 101, 103] {
            note(&memory, Outcome::Unreachable, Ending::at(at(second)));
        }
        assert_eq!(memory.remember(at(104)).unreachable.map(|it| it.pause), Some(3 * SECOND));
        let next = handed_over(&memory, at(104), SECOND, at(0));
        assert_eq!(next.reach.state(at(0)), ReachState::Unreachable { failures: 3, pause: 2 * SECOND });
        assert!(!next.is_available() && !next.try_claim(Moment::from_millis(1999)));
        assert!(next.try_claim(at(2)) && !next.try_claim(at(2)), "one, and not two");
        next.answer(at(3));
        assert!(next.is_available());
        let later = handed_over(&memory, at(104), 50 * SECOND, at(7));
        assert!(!later.is_available() && later.try_claim(at(7)), "its pause is over, and one may try");
        note(&later, Outcome::Unreachable, Ending::at(at(8)));
        assert_eq!(later.reach.state(at(8)), ReachState::Unreachable { failures: 4, pause: 8 * SECOND });
    }

    #[test]
    fn who_is_ejected_stays_so_and_its_next_pause_is_longer() {
        let (memory, care) = (memory(), Care::default());
        let suspect = (0..10).find_map(|_| match note(&memory, Outcome::Failure, Ending::at(at(100))) {
            Verdict::Suspect(grounds) => Some(grounds),
            Verdict::Nothing | Verdict::Unreachable | Verdict::StillOut(_) | Verdict::Back => None,
        });
        let grounds = suspect.unwrap();
        let others = [endpoint(2), endpoint(3)];
        let peers = Peers { tier: &others, all: &others, refusal: &Refusal::default() };
        let sentence = memory.eject(grounds, Ending::at(at(100)), &care, &peers);
        assert_eq!(sentence, Sentence::Ejected(SECOND));
        let elapsed = Duration::from_millis(400);
        let next = handed_over(&memory, at(100), elapsed, at(0));
        let state = next.ejection(at(0)).unwrap();
        assert_eq!((state.times, state.pause), (1, Duration::from_millis(600)));
        assert!(matches!(state.grounds, Grounds::InARow { failures: 5 }), "{state:?}");
        assert!(!next.is_available() && !next.try_claim(Moment::from_millis(599)));
        assert!(next.try_claim(at(1)), "one may try");
        let verdict = note(&next, Outcome::Failure, Ending::at(at(1)));
        assert_eq!(verdict, Verdict::StillOut(2 * SECOND), "the second pause in a row");
        assert!(next.try_claim(at(3)));
        assert_eq!(note(&next, Outcome::Success, Ending::at(at(3))), Verdict::Back);
    }

    #[test]
    fn who_is_known_need_not_begin_slowly() {
        let memory = memory();
        let next = self::memory();
        next.begin_slowly();
        next.recall(&memory.remember(at(9)), SECOND, &Care::default(), at(0));
        assert_eq!(next.ramp(), None);
        memory.begin_slowly();
        for _ in 0..5 {
            note(&memory, Outcome::Success, Ending::at(at(10)));
        }
        assert_eq!(memory.ramp(), Some(6));
        assert_eq!(handed_over(&memory, at(11), SECOND, at(0)).ramp(), Some(6), "it goes on where it was");
    }

    #[test]
    fn checks_go_on_where_they_were() {
        let (memory, counts) = (memory(), Counts { rise: 2, fall: 3 });
        for second in 1..=4 {
            memory.check(Err("GET / answered 500"), counts, at(second));
        }
        memory.check(Ok(()), counts, at(5));
        let next = handed_over(&memory, at(6), SECOND, at(100));
        let state = next.checked.state(at(100)).unwrap();
        assert_eq!((state.unwell, state.last, state.in_a_row), (Some(4 * SECOND), 2 * SECOND, 1));
        assert!(!next.is_available() && next.check(Ok(()), counts, at(101)), "the second pass in a row");
        assert!(next.is_available());
        assert_eq!(next.remember(at(101)).check, None, "there is nothing to tell of who is well");
    }

    #[test]
    fn a_latency_fades_on_the_way() {
        let memory = memory();
        assert_eq!(memory.remember(at(1)).latency, None, "a guess is nobody's experience");
        note(&memory, Outcome::Success, Ending { took: Duration::from_millis(200), ..Ending::at(at(10)) });
        assert_eq!(memory.remember(at(10)).latency, Some(Duration::from_millis(200)));
        let at_once = handed_over(&memory, at(10), Duration::ZERO, at(3));
        assert_eq!(at_once.latency.expected(at(3)), Duration::from_millis(200));
        let later = handed_over(&memory, at(10), 10 * SECOND, at(3));
        let expected = later.latency.expected_ms(at(3));
        assert!((72.0..75.0).contains(&expected), "a third is left after ten seconds: {expected}");
        assert_eq!(later.latency.expected_ms(at(3)).to_bits(), memory.latency.expected_ms(at(20)).to_bits());
    }

    #[test]
    fn ghosts_and_answers_are_handed_over() {
        let memory = memory();
        memory.answer(at(10));
        memory.haunt(Ghost::Stranger, at(20), 0.5);
        let next = handed_over(&memory, at(30), Duration::ZERO, at(60));
        assert_eq!((next.ghost(), next.answered()), (Some(Ghost::Stranger), Some(at(40))));
        let early = handed_over(&memory, at(30), Duration::ZERO, at(0));
        assert_eq!(
            early.answered(),
            Some(Moment::START),
            "a process that has just begun knows no earlier moment"
        );
        assert_eq!(handed_over(&self::memory(), at(5), SECOND, at(0)).remember(at(0)), Remembered::default());
    }

    #[test]
    fn an_ejection_lasts_no_longer_than_this_process_would_have_it() {
        let state = EjectionState { grounds: Grounds::Trial, times: 9, pause: 600 * SECOND };
        let remembered =
            Remembered { ejected: Some(Ejected { state, whole: 600 * SECOND }), ..Remembered::default() };
        let by =
            |pause_max| Care { ejecting: Some(Ejecting { pause_max, ..Ejecting::USUAL }), ..Care::default() };
        for (care, pause) in
            [(by(5 * SECOND), Some(4 * SECOND)), (Care { ejecting: None, ..Care::default() }, None)]
        {
            let next = memory();
            next.recall(&remembered, SECOND, &care, at(0));
            assert_eq!(next.ejection(at(0)).map(|state| state.pause), pause);
            assert_eq!(next.is_available(), pause.is_none());
        }
    }

    proptest! {
        /// Whatever a file says: nobody is out for more than a minute and a trial, or waits longer than the fact itself would.
        #[test]
        fn nothing_lasts_longer_than_if_it_were_found_out_now(
            (failures, pause, failing, elapsed) in any::<(u32, u64, u64, u64)>(),
            (is_unreachable, is_ejected, is_unwell) in any::<(bool, bool, bool)>(),
            ghost in prop::option::of(prop_oneof![Just(Ghost::Silent), Just(Ghost::Stranger)]),
            now in 0..u64::MAX / 2,
        ) {
            let (memory, now, care) = (memory(), Moment::from_millis(now), Care::default());
            let millis = Duration::from_millis;
            let unreachable = Unreachable { failures, pause: millis(pause), failing: millis(failing) };
            let state = EjectionState { grounds: Grounds::Trial, times: failures, pause: millis(pause) };
            let ejected = Ejected { state, whole: millis(failing) };
            let (last, cause) = (millis(failing), is_unwell.then(|| "it fails".into()));
            let check = Checking { unwell: is_unwell.then_some(last), last, in_a_row: failures, cause };
            let remembered = Remembered {
                answered: Some(millis(failing)),
                latency: Some(millis(pause)),
                unreachable: is_unreachable.then_some(unreachable),
                ejected: is_ejected.then_some(ejected),
                ramp: Some(failures),
                ghost,
                check: Some(check),
            };
            memory.recall(&remembered, millis(elapsed), &care, now);
            let is_out = is_unreachable || is_ejected || is_unwell;
            prop_assert_eq!(memory.is_available(), !is_out);
            let expected = memory.latency.expected_ms(now);
            prop_assert!(expected > 0.0 && expected <= 300_000.0, "{expected}");
            let ghost = ghost.filter(|_| is_unreachable);
            prop_assert_eq!(memory.ghost(), ghost);
            let may_try = memory.try_claim(now.after(Duration::from_secs(60)));
            prop_assert_eq!(may_try, is_out && ghost.is_none() && !is_unwell);
            // The next pause is no longer than the longest, however often it is said to have failed.
            note(&memory, Outcome::Unreachable, Ending::at(now.after(Duration::from_secs(61))));
            memory.find_well();
            let later = Ending::at(now.after(Duration::from_secs(122)));
            note(&memory, Outcome::Failure, later);
            if let Some(state) = memory.ejection(later.now) {
                prop_assert!(state.pause <= Duration::from_secs(75), "{state:?}");
                note(&memory, Outcome::Success, Ending::at(later.now.after(state.pause)));
            }
            for _ in 0..2 {
                memory.check(Ok(()), Counts { rise: 2, fall: 3 }, later.now);
            }
            prop_assert!(memory.is_available());
        }
    }
}
