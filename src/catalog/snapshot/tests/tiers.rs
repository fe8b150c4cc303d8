//! What is picked where endpoints are laid out in tiers.

use super::*;
use crate::balance::Detour;
use crate::endpoint::{Ending, Group, Outcome, Said, Sentence, Verdict};

/// A service seen from zone `a`, with so many endpoints in each zone; the third octet of an address says the zone.
pub(super) fn zoned(counts: &[(&str, u32)], layout: Layout, policy: Policy) -> Snapshot {
    let group = Arc::new(Group::default());
    let mut endpoints = Vec::new();
    for (octet, (zone, count)) in counts.iter().enumerate() {
        for host in 0..*count {
            let address: Address = format!("10.{octet}.{}.{}:80", host / 250, host % 250).parse().unwrap();
            let mut provider = Provider::new(address.to_string(), address.clone());
            provider.zone = (!zone.is_empty()).then(|| Arc::from(*zone));
            let number = endpoints.len() as u64;
            endpoints.push(Endpoint::new(
                Arc::new(provider),
                Arc::new(Memory::among(Arc::clone(&group), number, address)),
            ));
        }
    }
    endpoints.sort_by(|a, b| a.memory.address.cmp(&b.memory.address));
    let members = Members { layout: Arc::new(layout), ..Members::of(endpoints.into()) };
    Snapshot::new(&members, &claim(policy), &Snapshot::not_listed(), NOW, &mut rng())
}

fn in_a() -> Layout {
    Layout { zone: Some("a".into()), ..Layout::default() }
}

/// How many of so many picks fall to each zone, and what detours they make.
fn spread(snapshot: &Snapshot, picks: u32) -> ([u32; 4], [u32; 2]) {
    let (mut rng, mut zones, mut detours) = (rng(), [0; 4], [0; 2]);
    for _ in 0..picks {
        let mut ask = Ask::new(NOW, &mut rng);
        let endpoint = snapshot.pick(&mut ask).unwrap();
        let zone = endpoint.provider.zone.as_deref();
        zones[["a", "b", "c"].iter().position(|known| zone == Some(*known)).unwrap_or(3)] += 1;
        match ask.detour {
            None => {}
            Some(Detour::Spill) => detours[0] += 1,
            Some(Detour::Panic) => detours[1] += 1,
        }
    }
    (zones, detours)
}

fn kill(snapshot: &Snapshot, zone: &str, count: usize) {
    let of_zone = |endpoint: &&Endpoint| endpoint.provider.zone.as_deref() == Some(zone);
    for endpoint in snapshot.endpoints.iter().filter(of_zone).take(count) {
        endpoint.memory.fail_to_connect(NOW, 0.5);
    }
}

fn about(count: u32, expected: u32) -> bool {
    count.abs_diff(expected) < 300
}

#[test]
fn the_own_zone_gets_all_until_it_cannot_take_it() {
    for policy in Policy::ALL {
        let snapshot = zoned(&[("b", 10), ("a", 10), ("", 10)], in_a(), policy);
        assert_eq!(snapshot.tiers.list.len(), 2);
        assert_eq!(spread(&snapshot, 1000), ([1000, 0, 0, 0], [0, 0]));
        kill(&snapshot, "a", 3);
        assert_eq!(spread(&snapshot, 1000), ([1000, 0, 0, 0], [0, 0]));
        kill(&snapshot, "a", 5);
        // Five of ten are 5 / 7 of what is enough.
        let (zones, [spilled, panicked]) = spread(&snapshot, 10_000);
        assert!(about(zones[0], 7143) && about(zones[1], 1429) && about(zones[3], 1429), "{zones:?}");
        assert_eq!((spilled, panicked), (10_000 - zones[0], 0));
        kill(&snapshot, "a", 10);
        assert_eq!(spread(&snapshot, 1000).0[0], 0);
        snapshot.endpoints.iter().for_each(|endpoint| endpoint.memory.reached());
        assert_eq!(spread(&snapshot, 1000), ([1000, 0, 0, 0], [0, 0]), "it is back");
    }
}

#[test]
fn zones_come_in_their_order() {
    let layout = Layout { zones: vec!["c".into(), "b".into()], ..in_a() };
    let snapshot = zoned(&[("a", 2), ("b", 2), ("c", 2), ("d", 2)], layout, Policy::RoundRobin);
    for (killed, expected) in
        [("", [100, 0, 0, 0]), ("a", [0, 0, 100, 0]), ("c", [0, 100, 0, 0]), ("b", [0, 0, 0, 100])]
    {
        kill(&snapshot, killed, 2);
        assert_eq!(spread(&snapshot, 100).0, expected, "without {killed}");
    }
}

#[test]
fn what_belongs_together_spills_together() {
    let snapshot = zoned(&[("a", 10), ("b", 10)], in_a(), Policy::Random);
    kill(&snapshot, "a", 5);
    let mut rng = rng();
    let mut zone = |key: u64| {
        let mut ask = Ask { key: Some(key.wrapping_mul(0x9e37_79b9_7f4a_7c15)), ..Ask::new(NOW, &mut rng) };
        snapshot.pick(&mut ask).unwrap().provider.zone.clone()
    };
    for key in 0..200 {
        let first = zone(key);
        assert!((0..5).all(|_| zone(key) == first));
    }
    assert!((0..200).any(|key| zone(key).as_deref() == Some("a")));
    assert!((0..200).any(|key| zone(key).as_deref() == Some("b")));
}

#[test]
fn a_tier_that_is_full_spills_too() {
    let snapshot = zoned(&[("a", 2), ("b", 2)], in_a(), Policy::RoundRobin);
    let full = |zone: &str| -> Vec<_> {
        let of_zone = |endpoint: &&Endpoint| endpoint.provider.zone.as_deref() == Some(zone);
        let endpoints = snapshot.endpoints.iter().filter(of_zone);
        endpoints.flat_map(|endpoint| (0..1024).map(|_| endpoint.memory.begin())).collect()
    };
    let a = full("a");
    assert_eq!(spread(&snapshot, 100), ([0, 100, 0, 0], [100, 0]));
    let b = full("b");
    assert_eq!(snapshot.pick(&mut Ask::new(NOW, &mut rng())).unwrap_err(), NoEndpoint::Full);
    drop(a);
    assert_eq!(spread(&snapshot, 100), ([100, 0, 0, 0], [0, 0]));
    drop(b);
}

#[test]
fn a_second_attempt_goes_on_to_the_next_tier_once_all_of_the_first_were_tried() {
    let snapshot = zoned(&[("a", 1), ("b", 1)], in_a(), Policy::RoundRobin);
    let mut rng = rng();
    let mut ask = Ask { tried: &[0], ..Ask::new(NOW, &mut rng) };
    assert_eq!(snapshot.pick(&mut ask).unwrap().memory.number, 1);
    assert_eq!(ask.detour, Some(Detour::Spill));
}

#[test]
fn a_zone_that_gets_nothing_is_tried_again_all_the_same() {
    for policy in Policy::ALL {
        let snapshot = zoned(&[("a", 3), ("b", 3)], in_a(), policy);
        kill(&snapshot, "a", 3);
        let mut rng = rng();
        let mut trials = |seconds: u64| {
            let now = NOW.after(Duration::from_secs(seconds));
            let pick = |_| snapshot.pick(&mut Ask::new(now, &mut rng)).unwrap().memory.number;
            (0..200).map(pick).filter(|number| *number < 3).count()
        };
        assert_eq!(trials(0), 0);
        assert_eq!(trials(2), 3, "one request for each");
        assert_eq!(trials(2), 0);
    }
}

#[test]
fn a_zone_behind_one_that_is_lost_is_tried_again_all_the_same() {
    for (policy, panic_below) in Policy::ALL.into_iter().flat_map(|policy| [(policy, 0), (policy, 50)]) {
        let snapshot = zoned(&[("a", 5), ("b", 1)], Layout { panic_below, ..in_a() }, policy);
        kill(&snapshot, "a", 5);
        kill(&snapshot, "b", 1);
        // Those nearby are found dead once more, and are left alone for longer.
        for endpoint in snapshot.endpoints.iter().take(5) {
            endpoint.memory.fail_to_connect(NOW.after(Duration::from_secs(1)), 0.5);
        }
        let (mut rng, now) = (rng(), NOW.after(Duration::from_secs(2)));
        let mut number = || snapshot.pick(&mut Ask::new(now, &mut rng)).unwrap().memory.number;
        assert_eq!((0..200).filter(|_| number() == 5).count(), 1, "one request finds out");
    }
}

#[test]
fn weight_zero_in_the_whole_zone_sends_its_traffic_on() {
    let snapshot = zoned(&[("a", 3), ("b", 3)], in_a(), Policy::RoundRobin);
    let mut endpoints = snapshot.endpoints.to_vec();
    endpoints[..3].iter_mut().for_each(|endpoint| endpoint.weight = Weight::ZERO);
    let members = Members { layout: Arc::new(in_a()), ..Members::of(endpoints.into()) };
    let claim = claim(Policy::RoundRobin);
    let drained = Snapshot::new(&members, &claim, &snapshot, NOW, &mut rng());
    assert_eq!(spread(&drained, 100).0, [0, 100, 0, 0]);
    kill(&drained, "b", 3);
    assert_eq!(
        spread(&drained, 100).0,
        [0, 100, 0, 0],
        "they are out, and still the only ones that want traffic"
    );
}

#[test]
fn a_tier_keeps_its_order_while_another_changes() {
    let before = zoned(&[("a", 3), ("b", 3)], in_a(), Policy::RoundRobin);
    let fewer: Arc<[Endpoint]> = before.endpoints[..5].iter().cloned().collect();
    let members = Members { layout: Arc::clone(&before.tiers.layout), ..Members::of(fewer) };
    let after = Snapshot::new(&members, &claim(Policy::RoundRobin), &before, NOW, &mut rng());
    let is_kept =
        |number: usize| Arc::ptr_eq(&before.tiers.list[number].balancer, &after.tiers.list[number].balancer);
    assert_eq!((is_kept(0), is_kept(1)), (true, false));
}

#[test]
fn a_storm_of_changes_in_a_large_service_is_looked_at_rarely() {
    let snapshot = zoned(&[("a", 3000), ("b", 10)], in_a(), Policy::RoundRobin);
    let at = |millis: u64| NOW.after(Duration::from_millis(millis));
    let mut rng = rng();
    let mut share = |millis: u64| {
        let pick = |_| snapshot.pick(&mut Ask::new(at(millis), &mut rng)).unwrap().provider.zone.clone();
        (0..100).map(pick).filter(|zone| zone.as_deref() == Some("b")).count()
    };
    assert_eq!(share(10), 0);
    kill(&snapshot, "a", 2000);
    assert_eq!(share(12), 0, "what was reckoned two milliseconds ago stands");
    assert!((20..80).contains(&share(13)), "a third of a is less than half of what is enough");
}

#[test]
fn priority_comes_before_the_zone() {
    let snapshot = zoned(&[("a", 2), ("b", 2)], in_a(), Policy::RoundRobin);
    let mut endpoints = snapshot.endpoints.to_vec();
    for (endpoint, priority) in endpoints.iter_mut().zip(["1", "", "0", "nonsense"]) {
        let mut provider = Provider::clone(&endpoint.provider);
        provider.metadata.insert("tier".into(), priority.into());
        endpoint.provider = Arc::new(provider);
    }
    let layout = Layout { priority: Some("tier".into()), ..in_a() };
    let names: Vec<_> = layout
        .part(&endpoints.clone().into())
        .iter()
        .map(|(place, all)| (layout.name(*place), all.len()))
        .collect();
    let expected = [("priority 0, zone a", 1), ("priority 0, other zones", 2), ("priority 1, zone a", 1)];
    assert_eq!(names, expected.map(|(name, count)| (name.to_owned(), count)));
}

#[test]
fn a_sample_is_used_until_it_cannot_take_it() {
    let layout = |identity| Layout {
        sample: std::num::NonZeroUsize::new(5),
        identity: Some(identity),
        ..Layout::default()
    };
    let snapshot = zoned(&[("a", 50)], layout(1), Policy::RoundRobin);
    let used = |snapshot: &Snapshot| {
        let (mut rng, mut used) = (rng(), std::collections::BTreeSet::new());
        for _ in 0..1000 {
            used.insert(snapshot.pick(&mut Ask::new(NOW, &mut rng)).unwrap().memory.number);
        }
        used
    };
    let sample = used(&snapshot);
    assert_eq!(sample.len(), 5);
    assert_ne!(
        sample,
        used(&zoned(&[("a", 50)], layout(2), Policy::RoundRobin)),
        "another proxy draws others"
    );
    assert_eq!(
        sample,
        used(&zoned(&[("a", 50)], layout(1), Policy::RoundRobin)),
        "and the same one the same"
    );
    for endpoint in snapshot.tiers.list[0].endpoints.iter().take(3) {
        endpoint.memory.fail_to_connect(NOW, 0.5);
    }
    assert_eq!(used(&snapshot).len(), 2 + 45, "the rest takes what is missing");
    let few = zoned(&[("a", 5)], layout(1), Policy::RoundRobin);
    assert_eq!((few.tiers.list.len(), used(&few).len()), (1, 5));
}

proptest! {
    #[test]
    fn every_endpoint_is_of_one_tier(
        zones in prop::collection::vec("[a-e]?", 0..60), priorities in prop::collection::vec(0_u32..30, 60),
        size in prop::option::of(1_usize..10),
    ) {
        let counts: Vec<(&str, u32)> = zones.iter().map(|zone| (zone.as_str(), 1)).collect();
        let mut endpoints = zoned(&counts, Layout::default(), Policy::Random).endpoints.to_vec();
        for (endpoint, priority) in endpoints.iter_mut().zip(priorities) {
            let mut provider = Provider::clone(&endpoint.provider);
            provider.metadata.insert("p".into(), priority.to_string());
            endpoint.provider = Arc::new(provider);
        }
        let sample = size.and_then(std::num::NonZeroUsize::new);
        let layout = Layout { priority: Some("p".into()), zones: vec!["b".into()], sample, ..in_a() };
        let tiers = layout.part(&endpoints.clone().into());
        prop_assert!(tiers.len() <= crate::catalog::layout::TIERS_MAX);
        prop_assert!(tiers.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let mut all: Vec<Endpoint> = Vec::new();
        for (_, tier) in &tiers {
            prop_assert!(!tier.is_empty());
            prop_assert!(tier.windows(2).all(|pair| pair[0].memory.address < pair[1].memory.address));
            all.extend(tier.iter().cloned());
        }
        all.sort_by(|a, b| a.memory.address.cmp(&b.memory.address));
        prop_assert!(same_endpoints(&all, &endpoints));
    }
}

#[test]
fn whoever_fails_is_judged_among_those_of_its_tier() {
    let snapshot = zoned(&[("a", 3), ("b", 5)], in_a(), Policy::RoundRobin);
    for endpoint in snapshot.all() {
        let zone = &endpoint.provider.zone;
        let peers = snapshot.peers(&endpoint.memory).tier;
        let count = if zone.as_deref() == Some("a") { 3 } else { 5 };
        assert!(peers.len() == count && peers.iter().all(|peer| peer.provider.zone == *zone));
    }
    let stranger = Memory::new(99, "10.9.9.9:80".parse().unwrap());
    assert_eq!(snapshot.peers(&stranger).tier.len(), 8);
}

/// Lets an endpoint fail until it is judged.
fn condemn(snapshot: &Snapshot, index: usize) -> Sentence {
    let (memory, ending) = (&snapshot.endpoints[index].memory, Ending::at(NOW));
    let mut verdicts = (0..10).map(|_| memory.note(Outcome::Failure, Said::Nothing, ending, &snapshot.care));
    let grounds = verdicts.find_map(|verdict| match verdict {
        Verdict::Suspect(grounds) => Some(grounds),
        Verdict::Nothing | Verdict::Unreachable | Verdict::StillOut(_) | Verdict::Back => None,
    });
    memory.eject(grounds.unwrap(), ending, &snapshot.care, &snapshot.peers(memory))
}

#[test]
fn the_last_of_a_tier_may_be_ejected_while_another_has_one_and_the_last_of_all_never() {
    let snapshot = zoned(&[("a", 1), ("b", 4), ("c", 1)], in_a(), Policy::RoundRobin);
    let is_ejected = |index: usize| matches!(condemn(&snapshot, index), Sentence::Ejected(_));
    assert!(is_ejected(0), "the only one of its zone");
    assert_eq!(spread(&snapshot, 100).0[0], 0);
    // Of the other zones, five endpoints, the half.
    assert!(is_ejected(1) && is_ejected(2));
    assert_eq!(condemn(&snapshot, 3), Sentence::Withheld, "the share is that of the tier");
    let snapshot = zoned(&[("a", 1), ("b", 1)], in_a(), Policy::RoundRobin);
    assert!(matches!(condemn(&snapshot, 0), Sentence::Ejected(_)));
    assert_eq!(condemn(&snapshot, 1), Sentence::Withheld, "the last of all");
}

#[test]
fn what_one_tier_is_refused_holds_up_no_other() {
    let snapshot = zoned(&[("a", 4), ("b", 4)], in_a(), Policy::RoundRobin);
    assert!((0..2).all(|index| matches!(condemn(&snapshot, index), Sentence::Ejected(_))));
    assert_eq!(condemn(&snapshot, 2), Sentence::Withheld);
    assert_eq!(condemn(&snapshot, 3), Sentence::Adjourned);
    assert!(matches!(condemn(&snapshot, 4), Sentence::Ejected(_)));
}

#[test]
fn the_last_of_many_tiers_says_that_it_is_of_more_than_its_name() {
    let zones: Vec<String> = (0..20).map(|number| format!("z{number:02}")).collect();
    let counts: Vec<(&str, u32)> = zones.iter().map(|zone| (zone.as_str(), 1)).collect();
    let layout = |count: usize| Layout {
        zones: zones[..count].iter().map(|zone| zone.as_str().into()).collect(),
        ..in_a()
    };
    let last = |count: usize| {
        let snapshot = zoned(&counts[..count], layout(count), Policy::Random);
        let name = snapshot.tiers().last().unwrap().name.clone();
        (snapshot.tiers().count(), name)
    };
    assert_eq!(last(16), (16, "zone z15".to_owned()));
    assert_eq!(last(20), (16, "zone z15, and beyond".to_owned()));
}
