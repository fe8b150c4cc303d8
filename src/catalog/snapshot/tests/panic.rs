//! What is picked where too few are available.

use super::tiers::zoned;
use super::*;
use crate::balance::Detour;
use crate::catalog::layout::Layout;
use crate::endpoint::{Counts, Ghost};

fn alone(count: u32, layout: Layout, policy: Policy) -> Snapshot {
    zoned(&[("a", count)], layout, policy)
}

/// A check finds these to be unwell: they are out, and can be reached.
fn fall_ill(snapshot: &Snapshot, numbers: std::ops::Range<usize>) {
    for number in numbers {
        snapshot.endpoints[number].memory.check(Err("ill"), Counts { rise: 1, fall: 1 }, NOW);
    }
}

/// How often each is picked, and how many of the picks are told to be made in panic.
fn picks(snapshot: &Snapshot, count: usize) -> (Vec<usize>, usize) {
    let (mut rng, mut counts, mut panicked) = (rng(), vec![0; snapshot.endpoints.len()], 0);
    for _ in 0..count {
        let mut ask = Ask::new(NOW, &mut rng);
        counts[usize::try_from(snapshot.pick(&mut ask).unwrap().memory.number).unwrap()] += 1;
        panicked += usize::from(ask.detour == Some(Detour::Panic));
    }
    (counts, panicked)
}

fn is_even(counts: &[usize], expected: usize) -> bool {
    counts.iter().all(|count| count.abs_diff(expected) < expected / 4)
}

#[test]
fn with_half_of_them_well_the_others_are_left_alone() {
    for policy in Policy::ALL {
        let snapshot = alone(10, Layout::default(), policy);
        fall_ill(&snapshot, 0..5);
        let (counts, panicked) = picks(&snapshot, 5000);
        assert_eq!((counts[..5].iter().sum::<usize>(), panicked), (0, 0));
    }
}

#[test]
fn with_fewer_all_are_picked_but_those_that_cannot_be_reached() {
    for policy in Policy::ALL {
        let snapshot = alone(10, Layout::default(), policy);
        fall_ill(&snapshot, 0..3);
        (3..5).for_each(|number| fail(&snapshot, number));
        snapshot.endpoints[5].memory.haunt(Ghost::Silent, NOW, 0.5);
        let (counts, panicked) = picks(&snapshot, 7000);
        assert_eq!(counts[3..6], [0; 3], "a refused connection carries no load");
        if matches!(policy, Policy::LeastRequest | Policy::PeakEwma) {
            // Of two that are drawn the one that is well is taken: nobody gets more than twice his part.
            assert!(counts[6..].iter().all(|count| *count < 2000), "{counts:?}");
            assert!(counts[..3].iter().all(|count| *count > 300), "{counts:?}");
        } else {
            assert!(is_even(&counts[..3], 1000) && is_even(&counts[6..], 1000), "{counts:?}");
        }
        assert_eq!(panicked, counts[..3].iter().sum::<usize>());
        fall_ill(&snapshot, 6..10);
        assert!(is_even(&picks(&snapshot, 7000).0[..3], 1000), "and so it is with none that is well");
        snapshot.endpoints.iter().for_each(|endpoint| {
            endpoint.memory.uncheck();
            endpoint.memory.find_well();
        });
        assert_eq!(picks(&snapshot, 1000).1, 0, "it is over");
    }
}

#[test]
fn panic_can_be_turned_off_and_made_rarer() {
    for (panic_below, ill, expected) in [(0, 9, false), (30, 7, false), (30, 8, true)] {
        let layout = Layout { panic_below, ..Layout::default() };
        let snapshot = alone(10, layout, Policy::RoundRobin);
        fall_ill(&snapshot, 0..ill);
        assert_eq!(picks(&snapshot, 100).1 > 0, expected, "{ill} are ill, {panic_below} %");
    }
}

#[test]
fn there_is_no_panic_while_another_tier_can_take_it() {
    let layout = Layout { zone: Some("a".into()), ..Layout::default() };
    let snapshot = zoned(&[("a", 10), ("b", 10)], layout, Policy::RoundRobin);
    fall_ill(&snapshot, 0..8);
    let (counts, panicked) = picks(&snapshot, 1000);
    assert_eq!((counts[..8].iter().sum::<usize>(), panicked), (0, 0));
    fall_ill(&snapshot, 10..18);
    let (counts, _) = picks(&snapshot, 1000);
    assert_eq!(counts[10..].iter().sum::<usize>(), 0, "all of the own zone can be tried");
    assert!(is_even(&counts[..10], 100), "{counts:?}");
    (0..8).for_each(|number| fail(&snapshot, number));
    let (counts, _) = picks(&snapshot, 10_000);
    // Two of ten can be tried here, and all there: 0.2 / 0.7 of what comes stays.
    let near = counts[..10].iter().sum::<usize>();
    assert!(near.abs_diff(2857) < 300, "{near}");
    assert_eq!(counts[..8].iter().sum::<usize>(), 0);
}

#[test]
fn who_is_ill_helps_out_when_those_who_are_well_are_full() {
    let snapshot = alone(4, Layout::default(), Policy::RoundRobin);
    fall_ill(&snapshot, 0..3);
    let guards: Vec<_> = (0..1024).map(|_| snapshot.endpoints[3].memory.begin()).collect();
    let (counts, panicked) = picks(&snapshot, 300);
    assert_eq!((counts[3], panicked), (0, 300));
    drop(guards);
}

#[test]
fn nobody_gets_more_than_it_may_have_however_it_is() {
    for policy in Policy::ALL {
        for panic_below in [0, 50] {
            let snapshot = alone(3, Layout { panic_below, ..Layout::default() }, policy);
            fall_ill(&snapshot, 0..2);
            snapshot.endpoints[2].memory.fail_to_connect(NOW, 0.5);
            let full = |index: usize| -> Vec<_> {
                (0..1024).map(|_| snapshot.endpoints[index].memory.begin()).collect()
            };
            let mut rng = rng();
            let mut pick = |seconds: u64| {
                let now = NOW.after(Duration::from_secs(seconds));
                snapshot.pick(&mut Ask::new(now, &mut rng)).map(|picked| picked.memory.number)
            };
            let first = full(0);
            assert!((0..20).all(|_| pick(0) == Ok(1)), "the one that has room");
            let second = full(1);
            assert!((0..20).all(|_| pick(0) == Ok(2)), "then one that cannot be reached");
            let third = full(2);
            assert!((0..20).all(|_| pick(9) == Err(NoEndpoint::Full)), "nor is it tried");
            drop((first, second, third));
            assert!(pick(0).is_ok());
        }
    }
}

#[test]
fn who_can_be_reached_is_picked_before_who_cannot() {
    for panic_below in [0, 50] {
        for policy in Policy::ALL {
            let snapshot = alone(3, Layout { panic_below, ..Layout::default() }, policy);
            fail(&snapshot, 0);
            snapshot.endpoints[1].memory.haunt(Ghost::Silent, NOW, 0.5);
            fall_ill(&snapshot, 2..3);
            let mut rng = rng();
            let mut pick = |tried: &[u64]| {
                snapshot.pick(&mut Ask { tried, ..Ask::new(NOW, &mut rng) }).unwrap().memory.number
            };
            assert!((0..20).all(|_| pick(&[]) == 2));
            assert!((0..20).all(|_| pick(&[2]) == 0), "then a ghost last of all");
            assert!((0..20).all(|_| pick(&[2, 0]) == 1));
        }
    }
}

#[test]
fn workers_that_reckon_at_once_agree_in_the_end() {
    let layout = Layout { zone: Some("a".into()), ..Layout::default() };
    let snapshot = zoned(&[("a", 20), ("b", 20)], layout, Policy::RoundRobin);
    let storm = |seed: usize| {
        let mut rng = crate::balance::rng::for_worker(seed as u64, 0);
        for turn in 0..2000 {
            let memory = &snapshot.endpoints[(turn * 7 + seed) % 20].memory;
            if turn % 2 == 0 {
                memory.fail_to_connect(NOW, 0.5);
            } else {
                memory.reached();
            }
            snapshot.pick(&mut Ask::new(NOW, &mut rng)).unwrap();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| storm(0));
        storm(1);
    });
    snapshot.endpoints.iter().take(20).for_each(|endpoint| endpoint.memory.reached());
    let (counts, _) = picks(&snapshot, 1000);
    assert_eq!(counts[20..].iter().sum::<usize>(), 0, "all of the own zone are back");
}
