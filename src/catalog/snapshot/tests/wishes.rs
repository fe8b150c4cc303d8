//! What is picked for requests that wish for certain endpoints.

use super::*;
use crate::balance::Wish;
use crate::catalog::layout::Layout;

fn numbers(snapshot: &Snapshot, wish: &Wish, tried: &[u64]) -> Result<u64, NoEndpoint> {
    let mut rng = rng();
    let mut ask = Ask { tried, wish: Some(wish), ..Ask::new(NOW, &mut rng) };
    snapshot.pick(&mut ask).map(|endpoint| endpoint.memory.number)
}

#[test]
fn who_is_preferred_gets_it_while_it_is_well_and_has_room() {
    for policy in Policy::ALL {
        let snapshot = snapshot(&[100, 0, 100, 100], policy);
        let prefer = |index: usize| Wish::Prefer(snapshot.endpoints[index].token());
        for index in 0..4 {
            assert_eq!(numbers(&snapshot, &prefer(index), &[]), Ok(index as u64), "whatever its weight");
        }
        assert_ne!(numbers(&snapshot, &prefer(2), &[2]), Ok(2), "it was tried");
        fail(&snapshot, 2);
        assert_ne!(numbers(&snapshot, &prefer(2), &[]), Ok(2), "it is out");
        let guards: Vec<_> = (0..1024).map(|_| snapshot.endpoints[3].memory.begin()).collect();
        assert_eq!(numbers(&snapshot, &prefer(3), &[]), Ok(0), "it is full");
        drop(guards);
        let nobody = Wish::Prefer("0123456789abcdef".parse().unwrap());
        assert!(numbers(&snapshot, &nobody, &[]).is_ok());
    }
}

#[test]
fn one_that_is_preferred_and_out_is_tried_again_by_those_who_prefer_it() {
    for policy in Policy::ALL {
        for weight in [0, 100] {
            let snapshot = snapshot(&[100, weight, 100], policy);
            fail(&snapshot, 1);
            let wish = Wish::Prefer(snapshot.endpoints[1].token());
            assert_ne!(numbers(&snapshot, &wish, &[]), Ok(1), "it is out");
            let (mut rng, later) = (rng(), NOW.after(Duration::from_secs(2)));
            let mut pick = |tried: &[u64]| {
                let mut ask = Ask { tried, wish: Some(&wish), ..Ask::new(later, &mut rng) };
                snapshot.pick(&mut ask).unwrap().memory.number
            };
            assert_ne!(pick(&[7]), 1, "a second attempt is no trial");
            assert_eq!((0..50).filter(|_| pick(&[]) == 1).count(), 1, "one request finds out");
            snapshot.endpoints[1].memory.reached();
            assert_eq!(pick(&[]), 1, "{policy}: it has its sessions again");
        }
    }
}

#[test]
fn a_token_is_found_after_any_change() {
    let before = snapshot(&[100; 50], Policy::RoundRobin);
    let token = before.endpoints[30].token();
    assert_eq!(numbers(&before, &Wish::Prefer(token), &[]), Ok(30));
    let fewer = Members::of(before.endpoints[20..40].iter().cloned().collect());
    let after = Snapshot::new(&fewer, &claim(Policy::RoundRobin), &before, NOW, &mut rng());
    assert_eq!(numbers(&after, &Wish::Prefer(token), &[]), Ok(30));
}

#[test]
fn nobody_else_gets_what_is_for_one_alone() {
    for policy in Policy::ALL {
        let snapshot = snapshot(&[100, 0, 100], policy);
        for name in ["10.0.0.1:2", "p1", &snapshot.endpoints[1].token().to_string()] {
            assert_eq!(numbers(&snapshot, &Wish::only(name), &[]), Ok(1));
        }
        assert_eq!(numbers(&snapshot, &Wish::only("p9"), &[]), Err(NoEndpoint::Unknown));
        let guards: Vec<_> = (0..1024).map(|_| snapshot.endpoints[1].memory.begin()).collect();
        assert_eq!(numbers(&snapshot, &Wish::only("p1"), &[]), Err(NoEndpoint::Full));
        drop(guards);
        assert_eq!(
            numbers(&snapshot, &Wish::only("p1"), &[1]),
            Ok(1),
            "the connection may have been to blame"
        );
        fail(&snapshot, 1);
        assert_eq!(numbers(&snapshot, &Wish::only("p1"), &[]), Ok(1), "it may answer");
        assert_eq!(numbers(&snapshot, &Wish::only("p1"), &[1]), Err(NoEndpoint::AllTried));
    }
    assert_eq!(numbers(&Snapshot::not_listed(), &Wish::only("p1"), &[]), Err(NoEndpoint::NotListed));
}

/// So many endpoints, some of which announce version 2.
fn versioned(count: usize, second: std::ops::Range<usize>, policy: Policy) -> Snapshot {
    let mut endpoints = snapshot(&vec![100; count], policy).endpoints.to_vec();
    for endpoint in &mut endpoints[second] {
        let mut provider = Provider::clone(&endpoint.provider);
        provider.version = "2".into();
        endpoint.provider = Arc::new(provider);
    }
    Snapshot::new(&Members::of(endpoints.into()), &claim(policy), &Snapshot::not_listed(), NOW, &mut rng())
}

#[test]
fn who_wishes_takes_no_turns_of_others() {
    let snapshot = versioned(10, 3..4, Policy::RoundRobin);
    let wish = Wish::Such { version: Some("2".into()), metadata: Default::default() };
    let (mut rng, mut counts) = (rng(), [0; 10]);
    for _ in 0..1000 {
        let picked = snapshot.pick(&mut Ask { wish: Some(&wish), ..Ask::new(NOW, &mut rng) }).unwrap();
        assert_eq!(picked.memory.number, 3);
        let picked = snapshot.pick(&mut Ask::new(NOW, &mut rng)).unwrap();
        counts[usize::try_from(picked.memory.number).unwrap()] += 1;
    }
    assert_eq!(counts, [100; 10]);
}

#[test]
fn those_of_a_kind_keep_keys_and_weights() {
    let mut endpoints = versioned(4, 0..3, Policy::Maglev).endpoints.to_vec();
    endpoints[0].weight = Weight::from_hundredths(200);
    endpoints[1].weight = Weight::ZERO;
    let members = Members::of(endpoints.into());
    let snapshot = Snapshot::new(&members, &claim(Policy::Maglev), &Snapshot::not_listed(), NOW, &mut rng());
    let wish = Wish::Such { version: Some("2".into()), metadata: Default::default() };
    let mut rng = rng();
    let mut pick = |key: Option<u64>| {
        let mut ask = Ask { key, wish: Some(&wish), ..Ask::new(NOW, &mut rng) };
        usize::try_from(snapshot.pick(&mut ask).unwrap().memory.number).unwrap()
    };
    let mut counts = [0_u32; 4];
    (0..3000).for_each(|_| counts[pick(None)] += 1);
    assert!(counts[0].abs_diff(2000) < 150 && counts[1] == 0 && counts[3] == 0, "{counts:?}");
    for key in 0..100 {
        let first = pick(Some(key));
        assert!((0..3).all(|_| pick(Some(key)) == first));
    }
}

#[test]
fn one_of_a_kind_that_is_out_is_tried_again_by_those_who_wish() {
    for policy in Policy::ALL {
        let snapshot = versioned(4, 0..2, policy);
        fail(&snapshot, 0);
        let wish = Wish::Such { version: Some("2".into()), metadata: Default::default() };
        let mut rng = rng();
        let mut trials = |seconds: u64| {
            let now = NOW.after(Duration::from_secs(seconds));
            let mut pick = || {
                let mut ask = Ask { wish: Some(&wish), ..Ask::new(now, &mut rng) };
                snapshot.pick(&mut ask).unwrap().memory.number
            };
            (0..50).filter(|_| pick() == 0).count()
        };
        assert_eq!([trials(0), trials(2), trials(2)], [0, 1, 0], "one request finds out");
    }
}

#[test]
fn nobody_far_away_is_tried_while_those_nearby_serve() {
    let layout = || Layout { zone: Some("a".into()), ..Layout::default() };
    let wish = Wish::Such { version: None, metadata: Default::default() };
    for policy in Policy::ALL {
        let snapshot = tiers::zoned(&[("a", 2), ("b", 1)], layout(), policy);
        fail(&snapshot, 2);
        let (mut rng, now) = (rng(), NOW.after(Duration::from_secs(2)));
        let mut pick = || {
            let mut ask = Ask { wish: Some(&wish), ..Ask::new(now, &mut rng) };
            snapshot.pick(&mut ask).unwrap().memory.number
        };
        assert!((0..50).all(|_| pick() < 2));
        for endpoint in snapshot.endpoints.iter().take(2) {
            endpoint.memory.fail_to_connect(now, 0.5);
        }
        assert_eq!(pick(), 2, "it may be back");
    }
}

#[test]
fn those_of_a_kind_share_what_is_for_them() {
    for policy in Policy::ALL {
        let snapshot = versioned(40, 10..14, policy);
        let of = |version: &str| Wish::Such { version: Some(version.into()), metadata: Default::default() };
        let (wish, mut rng, mut counts) = (of("2"), rng(), [0; 40]);
        for _ in 0..400 {
            let mut ask = Ask { wish: Some(&wish), ..Ask::new(NOW, &mut rng) };
            counts[usize::try_from(snapshot.pick(&mut ask).unwrap().memory.number).unwrap()] += 1;
        }
        assert_eq!(counts[10..14].iter().sum::<u32>(), 400);
        assert!(counts[10..14].iter().all(|count| *count > 40), "{counts:?}");
        (10..13).for_each(|index| fail(&snapshot, index));
        assert!((0..50).all(|_| numbers(&snapshot, &wish, &[]) == Ok(13)), "the one that is well");
        assert_eq!(numbers(&snapshot, &of("3"), &[]), Err(NoEndpoint::Unknown));
    }
}
