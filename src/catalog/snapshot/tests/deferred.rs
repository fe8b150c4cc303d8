//! What is picked where some should get no more just now: those that are new, and those that asked for less.

use super::*;
use crate::endpoint::{Ending, LoadGuard, Outcome, Said};

/// Makes so many picks, each of which stays in flight; gives how many are at each endpoint.
fn hold(snapshot: &Snapshot, picks: usize) -> (Vec<u32>, Vec<LoadGuard>) {
    let mut rng = rng();
    let pick = |_| snapshot.pick(&mut Ask::new(NOW, &mut rng)).unwrap().memory.begin();
    let guards = (0..picks).map(pick).collect();
    (snapshot.endpoints.iter().map(|endpoint| endpoint.memory.in_flight()).collect(), guards)
}

fn ask_for_less(snapshot: &Snapshot, index: usize) {
    let busy = Outcome::Busy { pause: None };
    snapshot.endpoints[index].memory.note(busy, Said::Nothing, Ending::at(NOW), &snapshot.care);
}

#[test]
fn who_is_new_gets_no_more_than_its_ramp_while_others_are_ready() {
    for policy in Policy::ALL {
        for count in [2, 5, 30] {
            let snapshot = snapshot(&vec![100; count], policy);
            let memory = &snapshot.endpoints[1].memory;
            memory.begin_slowly();
            for allowed in 1..4 {
                let (held, _guards) = hold(&snapshot, 200);
                assert_eq!((memory.ramp(), held[1]), (Some(allowed), allowed), "{policy}: {held:?}");
                memory.note(Outcome::Success, Said::Nothing, Ending::at(NOW), &snapshot.care);
            }
        }
    }
}

#[test]
fn where_all_are_new_each_is_picked() {
    for policy in Policy::ALL {
        for count in [1, 3, 100] {
            let snapshot = snapshot(&vec![100; count], policy);
            snapshot.endpoints.iter().for_each(|endpoint| endpoint.memory.begin_slowly());
            let (held, _guards) = hold(&snapshot, count * 20);
            assert!(held.iter().all(|held| *held >= 1), "{policy}: {held:?}");
        }
    }
}

#[test]
fn who_asks_for_less_is_passed_over_until_all_do() {
    for policy in Policy::ALL {
        let snapshot = snapshot(&[100; 3], policy);
        ask_for_less(&snapshot, 0);
        assert_eq!(counts(&snapshot, 300)[0], 0, "{policy}");
        ask_for_less(&snapshot, 2);
        assert_eq!(counts(&snapshot, 300), [0, 300, 0], "{policy}");
        ask_for_less(&snapshot, 1);
        assert!(counts(&snapshot, 300).iter().all(|count| *count > 50), "{policy}");
    }
}

#[test]
fn where_all_ask_for_less_each_gets_its_share() {
    for policy in Policy::ALL {
        for count in [2, 8, 10, 40, 64] {
            let snapshot = snapshot(&vec![100; count], policy);
            (0..count).for_each(|index| ask_for_less(&snapshot, index));
            let counts = counts(&snapshot, count * 200);
            assert!(counts.iter().all(|count| (120..300).contains(count)), "{policy}: {counts:?}");
        }
    }
}
