//! What a snapshot picks, whatever state its endpoints are in.

use proptest::prelude::*;

use super::*;
use crate::balance::{Ask, Policy};
use crate::endpoint::Memory;
use crate::provider::{Address, Protocol, Provider, Weight};

pub(super) const NOW: Moment = Moment::START;

pub(super) fn snapshot(weights: &[u32], policy: Policy) -> Snapshot {
    let endpoint = |(index, weight): (usize, &u32)| {
        let address: Address = format!("10.0.0.1:{}", index + 1).parse().unwrap();
        let mut provider = Provider::new(format!("p{index}"), address.clone());
        provider.weight = Weight::from_hundredths(*weight);
        Endpoint::new(Arc::new(provider), Arc::new(Memory::new(index as u64, address)))
    };
    let endpoints: Arc<[Endpoint]> = weights.iter().enumerate().map(endpoint).collect();
    Snapshot::new(&Members::of(endpoints), &claim(policy), &Snapshot::not_listed(), NOW, &mut rng())
}

pub(super) fn claim(policy: Policy) -> Claim {
    Claim::on("svc".parse().unwrap(), policy)
}

pub(super) fn rng() -> SmallRng {
    crate::balance::rng::for_worker(1, 1)
}

/// How often each endpoint is picked on first attempts.
fn counts(snapshot: &Snapshot, picks: usize) -> Vec<usize> {
    let mut rng = rng();
    let mut counts = vec![0; snapshot.endpoints.len()];
    for _ in 0..picks {
        counts
            [usize::try_from(snapshot.pick(&mut Ask::new(NOW, &mut rng)).unwrap().memory.number).unwrap()] +=
            1;
    }
    counts
}

fn fail(snapshot: &Snapshot, index: usize) {
    snapshot.endpoints[index].memory.fail_to_connect(NOW, 0.5);
}

#[test]
fn says_why_there_is_nothing() {
    let nothing = |snapshot: Snapshot| snapshot.pick(&mut Ask::new(NOW, &mut rng())).unwrap_err();
    let of = |members: Members| {
        Snapshot::new(&members, &claim(Policy::Random), &Snapshot::not_listed(), NOW, &mut rng())
    };
    let empty = |absent| of(Members { absent, ..Members::of(Arc::new([])) });
    let tcp = || {
        let provider = Provider::new("p", "10.0.0.1:1".parse().unwrap());
        let memory = Memory::new(1, provider.address.clone());
        let provider = Provider { protocol: Protocol::Tcp, ..provider };
        of(Members::of(Arc::new([Endpoint::new(Arc::new(provider), Arc::new(memory))])))
    };
    assert_eq!(nothing(Snapshot::not_listed()), NoEndpoint::NotListed);
    assert_eq!(nothing(empty(true)), NoEndpoint::Absent);
    assert_eq!(nothing(empty(false)), NoEndpoint::Empty);
    assert_eq!(nothing(tcp()), NoEndpoint::OutOfReach);
}

#[test]
fn a_bound_that_follows_latency_is_not_for_what_is_passed_on_raw() {
    let care = Arc::new(Care { adaptive: Some(crate::endpoint::Adaptive::USUAL), ..Care::default() });
    let members = Members { care, ..Members::of(snapshot(&[100], Policy::RoundRobin).endpoints) };
    let _held: Vec<_> = (0..20).map(|_| members.endpoints[0].memory.begin()).collect();
    let raw = claim(Policy::RoundRobin).raw();
    for (claim, expected) in [(claim(Policy::RoundRobin), Err(NoEndpoint::Full)), (raw, Ok(0))] {
        let snapshot = Snapshot::new(&members, &claim, &Snapshot::not_listed(), NOW, &mut rng());
        let mut rng = rng();
        let picked = snapshot.pick(&mut Ask::new(NOW, &mut rng)).map(|endpoint| endpoint.memory.number);
        assert_eq!(picked, expected);
        assert!(snapshot.says(&members, &claim), "it is not made anew each time");
    }
}

#[test]
fn the_share_of_one_that_is_out_falls_to_all_others_alike() {
    let snapshot = snapshot(&[100; 5], Policy::RoundRobin);
    fail(&snapshot, 2);
    assert_eq!(counts(&snapshot, 4000), [1000, 1000, 0, 1000, 1000]);
}

#[test]
fn even_when_neighbours_are_out_together() {
    let snapshot = snapshot(&[100; 200], Policy::RoundRobin);
    (20..200).for_each(|index| fail(&snapshot, index));
    let counts = counts(&snapshot, 20_000);
    assert_eq!(counts[20..].iter().sum::<usize>(), 0);
    // Those behind the gap may get some more, but not the whole share of those in it.
    assert!(counts[..20].iter().all(|count| (700..1400).contains(count)), "{:?}", &counts[..20]);
}

#[test]
fn what_was_tried_is_not_picked_again_while_there_is_another() {
    for policy in Policy::ALL {
        let snapshot = snapshot(&[100; 3], policy);
        let mut rng = rng();
        for _ in 0..100 {
            assert_eq!(
                snapshot.pick(&mut Ask { tried: &[0, 2], ..Ask::new(NOW, &mut rng) }).unwrap().memory.number,
                1
            );
        }
        fail(&snapshot, 1);
        assert_eq!(
            snapshot.pick(&mut Ask { tried: &[0, 2], ..Ask::new(NOW, &mut rng) }).unwrap().memory.number,
            1,
            "it may answer"
        );
        let again =
            snapshot.pick(&mut Ask { tried: &[0, 1, 2], ..Ask::new(NOW, &mut rng) }).unwrap().memory.number;
        assert_ne!(again, 1, "all were tried: an available one again");
        fail(&snapshot, 0);
        fail(&snapshot, 2);
        assert_eq!(
            snapshot.pick(&mut Ask { tried: &[0, 1, 2], ..Ask::new(NOW, &mut rng) }).unwrap_err(),
            NoEndpoint::AllTried
        );
    }
}

#[test]
fn weight_zero_is_picked_only_when_there_is_nothing_else() {
    for policy in Policy::ALL {
        let some = snapshot(&[0, 100, 0], policy);
        assert_eq!(counts(&some, 300), [0, 300, 0]);
        fail(&some, 1);
        assert_eq!(counts(&some, 300), [0, 300, 0], "out, but the only one that wants traffic");
        let none = snapshot(&[0, 0, 0], policy);
        assert!(counts(&none, 300).iter().all(|count| *count > 60));
    }
}

#[test]
fn one_request_at_a_time_tries_one_that_is_out() {
    let snapshot = snapshot(&[100; 2], Policy::RoundRobin);
    fail(&snapshot, 0);
    let later = NOW.after(Duration::from_secs(2));
    let mut rng = rng();
    let mut picks = |tried: &[u64], count: usize| -> Vec<u64> {
        (0..count)
            .map(|_| snapshot.pick(&mut Ask { tried, ..Ask::new(later, &mut rng) }).unwrap().memory.number)
            .collect()
    };
    assert!(picks(&[7], 10).iter().all(|number| *number == 1), "a second attempt is no trial");
    let trials = picks(&[], 10);
    assert_eq!(trials.iter().filter(|number| **number == 0).count(), 1, "{trials:?}");
    snapshot.endpoints[0].memory.reached();
    assert_eq!(picks(&[], 10).iter().filter(|number| **number == 0).count(), 5);
}

#[test]
fn an_unchanged_list_keeps_the_balancer() {
    let before = snapshot(&[100; 3], Policy::RoundRobin);
    let claim = claim(Policy::RoundRobin);
    let (care, layout) = (Arc::clone(&before.care), Arc::clone(&before.tiers.layout));
    let same = Members { care, layout, ..Members::of(Arc::clone(&before.endpoints)) };
    let other = Members::of(Arc::clone(&before.endpoints));
    assert!(before.says(&same, &claim) && !before.says(&other, &claim), "these are treated otherwise");
    let after = Snapshot::new(&other, &claim, &before, NOW, &mut rng());
    assert!(Arc::ptr_eq(&before.tiers.list[0].balancer, &after.tiers.list[0].balancer));
}

proptest! {
    #[test]
    fn something_is_picked_while_something_exists(
        weights in prop::collection::vec(0_u32..3, 1..20),
        out in prop::collection::btree_set(0_usize..20, 0..20),
        tried in prop::collection::vec(0_u64..20, 0..4),
        random: bool,
    ) {
        let policy = if random { Policy::Random } else { Policy::RoundRobin };
        let snapshot = snapshot(&weights, policy);
        for index in out.iter().filter(|index| **index < weights.len()) {
            fail(&snapshot, *index);
        }
        let wanted: Vec<&Endpoint> = {
            let weightless = weights.iter().all(|weight| *weight == 0);
            let wanted = |endpoint: &&Endpoint| weightless || endpoint.weight > Weight::ZERO;
            snapshot.endpoints.iter().filter(wanted).collect()
        };
        let fresh = |endpoint: &&Endpoint| !tried.contains(&endpoint.memory.number);
        match snapshot.pick(&mut Ask { tried: &tried, ..Ask::new(NOW, &mut rng()) }) {
            Ok(endpoint) => {
                prop_assert!(wanted.iter().any(|wanted| wanted.memory.number == endpoint.memory.number));
                let best = wanted.iter().any(|wanted| fresh(wanted) && wanted.is_available());
                prop_assert!(!best || (fresh(&endpoint) && endpoint.is_available()));
                prop_assert!(fresh(&endpoint) || !wanted.iter().any(&fresh));
            }
            Err(error) => {
                prop_assert_eq!(error, NoEndpoint::AllTried);
                prop_assert!(wanted.iter().all(|wanted| !fresh(wanted) && !wanted.is_available()));
            }
        }
    }
}

#[test]
fn spares_are_picked_only_when_no_other_is_available() {
    use crate::endpoint::{Cause, Limbo};
    let limbo = Limbo {
        cause: Cause::Session,
        since: NOW,
        until: None,
        is_spare: true,
        is_unconfirmed: false,
        failures: 0,
    };
    for policy in Policy::ALL {
        let mut endpoints = snapshot(&[100; 3], policy).endpoints.to_vec();
        endpoints[1].limbo = Some(Arc::new(limbo.clone()));
        let both: Arc<[Endpoint]> = endpoints.into();
        let before = Snapshot::not_listed();
        let claim = claim(policy);
        let members = Members::of(Arc::clone(&both));
        let some = Snapshot::new(&members, &claim, &before, NOW, &mut rng());
        let fewer = Members { endpoints: Arc::clone(&some.endpoints), ..members.clone() };
        assert!(some.says(&members, &claim) && !some.says(&fewer, &claim));
        let mut rng = rng();
        let mut pick =
            |tried: &[u64]| some.pick(&mut Ask { tried, ..Ask::new(NOW, &mut rng) }).unwrap().memory.number;
        assert!((0..100).all(|_| pick(&[]) != 1));
        assert_eq!(pick(&[0, 2]), 1, "rather than one that was tried");
        fail(&some, 0);
        fail(&some, 1);
        assert!((0..100).all(|_| pick(&[]) == 1), "rather than one that is out");
        let only: Arc<[Endpoint]> = both.iter().filter(|endpoint| endpoint.is_spare()).cloned().collect();
        let alone = Snapshot::new(&Members::of(only), &claim, &before, NOW, &mut super::tests::rng());
        assert_eq!((alone.endpoints.len(), alone.spares.len()), (1, 0), "nobody else is there");
    }
}

mod deferred;
mod panic;
mod tiers;
mod wishes;
