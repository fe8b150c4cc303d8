//! What follows from outcomes, as it is noted.

use std::sync::Arc;

use super::*;
use crate::endpoint::{Endpoint, Group, Refusal};
use crate::provider::Provider;

fn at(millis: u64) -> Moment {
    Moment::from_millis(millis)
}

/// Endpoints of one service, all of one tier.
struct Tier {
    endpoints: Vec<Endpoint>,
    refusal: Refusal,
}

impl std::ops::Deref for Tier {
    type Target = [Endpoint];

    fn deref(&self) -> &[Endpoint] {
        &self.endpoints
    }
}

/// So many endpoints of one service.
fn endpoints(count: u16) -> Tier {
    let group = Arc::<Group>::default();
    let endpoint = |port: u16| {
        let address: crate::provider::Address = format!("10.0.0.1:{port}").parse().unwrap();
        let memory = Memory::among(Arc::clone(&group), port.into(), address.clone());
        Endpoint::new(Arc::new(Provider::new("p", address)), Arc::new(memory))
    };
    Tier { endpoints: (1..=count).map(endpoint).collect(), refusal: Refusal::default() }
}

/// An attempt at one of them that ends at once; what becomes of the endpoint if it is suspect.
fn attempt(endpoints: &Tier, index: usize, outcome: Outcome, millis: u64) -> (Verdict, Option<Sentence>) {
    let (memory, care, ending) = (&endpoints[index].memory, Care::default(), Ending::at(at(millis)));
    let verdict = memory.note(outcome, Said::Status(503), ending, &care);
    let peers = Peers { tier: endpoints, all: endpoints, refusal: &endpoints.refusal };
    let sentence = match verdict {
        Verdict::Suspect(grounds) => Some(memory.eject(grounds, ending, &care, &peers)),
        Verdict::Nothing | Verdict::Unreachable | Verdict::StillOut(_) | Verdict::Back => None,
    };
    (verdict, sentence)
}

/// Lets one fail until it is suspect.
fn condemn(endpoints: &Tier, index: usize, millis: u64) -> Sentence {
    (0..10)
        .find_map(|_| attempt(endpoints, index, Outcome::Failure, millis).1)
        .expect("it fails often enough")
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn five_failures_eject_and_one_request_brings_back() {
    let endpoints = endpoints(3);
    let memory = &endpoints[0].memory;
    let changes = memory.group().changes();
    assert_eq!(condemn(&endpoints, 0, 0), Sentence::Ejected(SECOND));
    assert_eq!(memory.failures(), 5);
    assert!(!endpoints[0].is_available() && memory.is_ejected() && memory.group().changes() > changes);
    assert_eq!(
        (endpoints[0].state(), endpoints[0].fit(&Care::default(), at(400))),
        ("ejected", crate::endpoint::Fit::Out)
    );
    assert_eq!(memory.ejection(at(400)).unwrap().pause, Duration::from_millis(600));

    assert!(!memory.try_claim(at(999)) && memory.try_claim(at(1000)) && !memory.try_claim(at(1000)));
    let (verdict, _) = attempt(&endpoints, 0, Outcome::Late, 1500);
    assert_eq!(verdict, Verdict::StillOut(2 * SECOND));
    assert!(!memory.try_claim(at(3499)) && memory.try_claim(at(3500)) && !memory.try_claim(at(3500)));
    assert_eq!(attempt(&endpoints, 0, Outcome::Busy { pause: None }, 3600).0, Verdict::Nothing);
    let state = memory.ejection(at(3600)).unwrap();
    assert_eq!(
        (state.times, state.pause),
        (2, 2 * SECOND),
        "to be told to wait is no success, and no failure: the same pause once more"
    );
    assert!(!memory.is_due(at(5599)) && memory.try_claim(at(5600)) && !memory.is_due(at(5600)));
    let changes = memory.group().changes();
    assert_eq!(attempt(&endpoints, 0, Outcome::Success, 5700).0, Verdict::Back);
    assert!(endpoints[0].is_available() && memory.group().changes() > changes);
    assert_eq!(memory.ramp(), Some(1), "it begins slowly");
    assert_eq!(
        attempt(&endpoints, 0, Outcome::Failure, 5800),
        (Verdict::Nothing, None),
        "what was is forgotten"
    );
}

#[test]
fn what_began_before_the_trial_neither_brings_back_nor_prolongs() {
    let endpoints = endpoints(3);
    condemn(&endpoints, 0, 0);
    let memory = &endpoints[0].memory;
    assert!(memory.try_claim(at(1000)));
    // One is a stream whose head came at once.
    for (outcome, took) in [(Outcome::Success, 4001), (Outcome::Failure, 4001), (Outcome::Broken, 20)] {
        let took = Duration::from_millis(took);
        let ending = Ending { now: at(5000), begun: at(999), took, luck: 0.5 };
        assert_eq!(memory.note(outcome, Said::Nothing, ending, &Care::default()), Verdict::Nothing);
    }
    assert!(memory.is_ejected() && memory.ejection(at(5000)).unwrap().times == 1);
    memory.note_abandoned(Ending { begun: at(999), ..Ending::at(at(1100)) });
    assert!(!memory.is_due(at(5999)), "nor does it end the trial");
    memory.note_abandoned(Ending { begun: at(1000), ..Ending::at(at(1100)) });
    assert!(!memory.is_due(at(2099)) && memory.try_claim(at(2100)), "that was the trial, and told nothing");
}

#[test]
fn who_asks_for_less_comes_after_others_for_that_time() {
    use crate::endpoint::Fit;
    let care = Care::default();
    let overloaded = |seconds| Outcome::Overloaded { pause: seconds * SECOND };
    for (outcome, millis) in [
        (Outcome::Busy { pause: None }, 1000),
        (Outcome::Busy { pause: Some(3 * SECOND) }, 3000),
        (overloaded(7), 7000),
        (overloaded(3600), 60_000),
    ] {
        let endpoints = endpoints(2);
        assert_eq!(attempt(&endpoints, 0, outcome, 0).0, Verdict::Nothing);
        let (endpoint, last) = (&endpoints[0], at(millis - 1));
        assert_eq!(
            (endpoint.fit(&care, last), endpoint.is_available()),
            (Fit::Deferred, true),
            "{outcome:?}"
        );
        assert_eq!(endpoint.fit(&care, at(millis)), Fit::Ready, "{outcome:?}");
        attempt(&endpoints, 0, outcome, 0);
        endpoint.memory.begin_anew();
        assert_eq!(endpoint.fit(&care, last), Fit::Ready);
    }
}

#[test]
fn who_fails_and_says_until_when_is_ejected_for_so_long() {
    let endpoints = endpoints(3);
    let overloaded = |seconds| Outcome::Overloaded { pause: seconds * SECOND };
    let sentence = (0..5).find_map(|_| attempt(&endpoints, 0, overloaded(8), 0).1);
    assert_eq!(sentence, Some(Sentence::Ejected(8 * SECOND)));
    let memory = &endpoints[0].memory;
    assert!(memory.try_claim(at(8000)));
    assert_eq!(attempt(&endpoints, 0, overloaded(1), 8100).0, Verdict::StillOut(2 * SECOND));
    assert!(memory.try_claim(at(10_100)));
    attempt(&endpoints, 0, Outcome::Busy { pause: Some(5 * SECOND) }, 10_200);
    assert!(!memory.try_claim(at(15_199)) && memory.try_claim(at(15_200)));
}

#[test]
fn four_hundreds_and_requests_for_less_are_no_failures() {
    let endpoints = endpoints(3);
    for _ in 0..100 {
        let busy = Outcome::Busy { pause: Some(SECOND) };
        assert_eq!(attempt(&endpoints, 0, busy, 0), (Verdict::Nothing, None));
    }
    assert_eq!(endpoints[0].memory.failures(), 0);
    assert!(endpoints[0].memory.answered().is_some(), "and yet they are answers");
}

#[test]
fn half_of_them_stay_and_the_last_one_does() {
    for (count, ejected) in [(1, 0), (2, 1), (3, 1), (4, 2), (11, 5)] {
        let endpoints = endpoints(count);
        for index in 0..usize::from(count) {
            // Later than the moment for which nobody asks again.
            let sentence = condemn(&endpoints, index, 200 * index as u64);
            let is_ejected = matches!(sentence, Sentence::Ejected(_));
            assert_eq!(is_ejected, index < ejected, "{index} of {count}: {sentence:?}");
        }
        assert_eq!(
            endpoints.iter().filter(|endpoint| endpoint.is_available()).count(),
            usize::from(count) - ejected
        );
    }
}

#[test]
fn of_two_the_one_that_can_be_reached_stays() {
    let endpoints = endpoints(2);
    endpoints[1].memory.fail_to_connect(at(0), 0.5);
    assert_eq!(condemn(&endpoints, 0, 0), Sentence::Withheld);
    assert_eq!(
        attempt(&endpoints, 0, Outcome::Failure, 50).1,
        Some(Sentence::Adjourned),
        "that was asked just now"
    );
    endpoints[1].memory.reached();
    assert!(matches!(attempt(&endpoints, 0, Outcome::Failure, 150).1, Some(Sentence::Ejected(_))));
}

#[test]
fn a_clock_that_goes_back_holds_nothing_up() {
    let endpoints = endpoints(2);
    endpoints[1].memory.fail_to_connect(at(60_000), 0.5);
    assert_eq!(condemn(&endpoints, 0, 60_000), Sentence::Withheld);
    endpoints[1].memory.reached();
    assert!(matches!(attempt(&endpoints, 0, Outcome::Failure, 59_000).1, Some(Sentence::Ejected(_))));
}

#[test]
fn failures_to_connect_put_out_by_themselves_and_use_up_no_share() {
    let endpoints = endpoints(3);
    assert_eq!(attempt(&endpoints, 0, Outcome::Unreachable, 0), (Verdict::Unreachable, None));
    for millis in (1000..200_000).step_by(1000) {
        assert_eq!(attempt(&endpoints, 0, Outcome::Unreachable, millis), (Verdict::Nothing, None));
    }
    assert!(!endpoints[0].memory.is_ejected());
    assert_eq!(endpoints[0].state(), "unreachable");
    assert_eq!(attempt(&endpoints, 0, Outcome::Success, 200_000).0, Verdict::Back);
    assert_eq!(endpoints[0].memory.ramp(), Some(1));
}

#[test]
fn another_process_at_the_address_begins_anew_and_slowly() {
    let endpoints = endpoints(3);
    condemn(&endpoints, 0, 0);
    let memory = &endpoints[0].memory;
    let care = Care { adaptive: Some(crate::endpoint::Adaptive { min: 1 }), ..Care::default() };
    for millis in (0..5000).step_by(10) {
        memory.note(Outcome::Late, Said::Nothing, Ending::at(at(millis)), &care);
    }
    assert!(memory.in_flight_max(&care) < 5 && memory.latency.expected(at(4990)) >= 5 * SECOND);
    memory.begin_anew();
    assert!(memory.is_available() && memory.ramp() == Some(1));
    assert_eq!(memory.in_flight_max(&care), 20, "what the other one bore says nothing");
    assert_eq!(memory.latency.expected(at(5000)), Duration::from_millis(30), "nor how long it took");
    assert_eq!(condemn(&endpoints, 0, 5100), Sentence::Ejected(SECOND), "pauses begin with the first");
}

#[test]
fn a_ramp_asks_for_others_first_and_ends_where_it_is_not_wanted() {
    let endpoints = endpoints(2);
    let (endpoint, memory) = (&endpoints[0], &endpoints[0].memory);
    memory.begin_slowly();
    let care = Care::default();
    assert_eq!(endpoint.fit(&care, at(0)), crate::endpoint::Fit::Ready);
    let _one = memory.begin();
    assert_eq!(endpoint.fit(&care, at(0)), crate::endpoint::Fit::Deferred);
    attempt(&endpoints, 0, Outcome::Success, 0);
    assert_eq!(endpoint.fit(&care, at(0)), crate::endpoint::Fit::Ready);
    let unwanted = Care { slow_start: false, in_flight_max: 1, ..Care::default() };
    assert_eq!(endpoint.fit(&unwanted, at(0)), crate::endpoint::Fit::Full);
    memory.note(Outcome::Success, Said::Nothing, Ending::at(at(0)), &unwanted);
    assert_eq!(memory.ramp(), None);
}

#[test]
fn what_lasts_does_not_keep_one_that_is_back_from_getting_more() {
    use crate::endpoint::Fit;
    let (endpoints, care) = (endpoints(2), Care::default());
    let memory = &endpoints[0].memory;
    let streams: Vec<_> = (0..30).map(|_| memory.begin()).collect();
    memory.fail_to_connect(at(0), 0.5);
    memory.connect(Ending::at(at(1000)), &care);
    let fit = || endpoints[0].fit(&care, at(1000));
    assert_eq!((memory.ramp(), memory.awaited(), fit()), (Some(2), 0, Fit::Ready), "they began before");
    let (one, other) = (memory.begin(), memory.begin());
    assert_eq!((memory.awaited(), fit()), (2, Fit::Deferred));
    one.heard();
    one.heard();
    assert_eq!((memory.awaited(), fit()), (1, Fit::Ready), "it was answered, and lasts");
    drop((streams, one, other));
    assert_eq!((memory.awaited(), memory.in_flight()), (0, 0));
}

#[test]
fn nobody_is_ejected_where_that_is_not_wanted_and_whoever_was_comes_back() {
    let endpoints = endpoints(3);
    condemn(&endpoints, 0, 0);
    let care = Care { ejecting: None, ..Care::default() };
    let note = |index: usize| {
        endpoints[index].memory.note(Outcome::Failure, Said::Nothing, Ending::at(at(1)), &care)
    };
    assert_eq!(note(0), Verdict::Back);
    assert!((0..100).all(|_| note(1) == Verdict::Nothing));
}

#[test]
fn a_bound_that_follows_latency_makes_full() {
    let endpoints = endpoints(1);
    let (endpoint, memory) = (&endpoints[0], &endpoints[0].memory);
    let care =
        Care { adaptive: Some(crate::endpoint::Adaptive { min: 2 }), in_flight_max: 30, ..Care::default() };
    assert_eq!(memory.in_flight_max(&care), 20, "where it begins");
    let guards: Vec<_> = (0..20).map(|_| memory.begin()).collect();
    assert_eq!(endpoint.fit(&care, at(0)), crate::endpoint::Fit::Full);
    for millis in (0..20_000).step_by(10) {
        let took = Duration::from_millis(if millis < 1000 { 10 } else { 200 });
        memory.note(Outcome::Success, Said::Nothing, Ending { took, ..Ending::at(at(millis)) }, &care);
        if millis == 5000 {
            assert!(memory.in_flight_max(&care) < 20);
        }
    }
    let found = memory.in_flight_max(&care);
    assert!((2..20).contains(&found), "{found}");
    assert_eq!(endpoint.fit(&care, at(20_000)), crate::endpoint::Fit::Full);
    drop(guards);
    assert_eq!(endpoint.fit(&care, at(20_000)), crate::endpoint::Fit::Ready);
}

#[test]
fn a_raw_connection_tells_how_near_its_endpoint_is_and_its_end_does_not() {
    let (endpoints, care) = (endpoints(1), Care::default());
    let memory = &endpoints[0].memory;
    memory.fail_to_connect(at(0), 0.5);
    let ending = |millis, took| Ending { took, ..Ending::at(at(millis)) };
    for millis in 0..3 {
        memory.connect(ending(millis, Duration::from_millis(100)), &care);
    }
    assert!(memory.is_available(), "it can be reached");
    assert_eq!(memory.ramp(), Some(4), "each that came about makes room for one more");
    let expected = memory.latency.expected(at(3));
    assert!(expected >= Duration::from_millis(99), "{expected:?}");
    assert_eq!(memory.note_raw(Outcome::Success, ending(3, SECOND * 1000), &care), Verdict::Nothing);
    assert_eq!((memory.latency.expected(at(3)), memory.ramp()), (expected, Some(4)));
    assert_eq!(memory.answered(), Some(at(3)));
}

#[test]
fn a_connection_shows_that_a_silent_ghost_is_none_and_says_nothing_of_a_stranger() {
    use crate::endpoint::Ghost;
    for (ghost, left) in [(Ghost::Silent, None), (Ghost::Stranger, Some(Ghost::Stranger))] {
        let (endpoints, care) = (endpoints(1), Care::default());
        let memory = &endpoints[0].memory;
        memory.haunt(ghost, at(0), 0.5);
        memory.connect(Ending::at(at(1)), &care);
        assert_eq!((memory.ghost(), memory.is_available()), (left, left.is_none()));
    }
}

#[test]
fn raw_connections_that_come_about_and_break_off_are_failures_in_a_row() {
    let (endpoints, care) =
        (endpoints(2), Care { adaptive: Some(crate::endpoint::Adaptive::USUAL), ..Care::default() });
    let memory = &endpoints[0].memory;
    let most = memory.in_flight_max(&care);
    let mut verdicts = (0..5).map(|millis| {
        memory.connect(Ending::at(at(millis)), &care);
        memory.note_raw(Outcome::Broken, Ending::at(at(millis)), &care)
    });
    assert!(verdicts.by_ref().take(4).all(|verdict| verdict == Verdict::Nothing));
    assert!(matches!(verdicts.next(), Some(Verdict::Suspect(_))));
    assert_eq!((memory.last_failure(), memory.in_flight_max(&care)), (Said::Broken, most));
}

/// Workers that note failures of all endpoints at once never eject more than half of them.
#[test]
fn racing_workers_leave_half_in_use() {
    for _ in 0..20 {
        let endpoints = endpoints(8);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..200 {
                        attempt(&endpoints, round % 8, Outcome::Failure, round as u64);
                    }
                });
            }
        });
        let out = endpoints.iter().filter(|endpoint| !endpoint.is_available()).count();
        assert!((1..=4).contains(&out), "{out} of 8 are out");
    }
}
