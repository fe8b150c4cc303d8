//! A fleet of sidecars that hear of a change at the same moment must not call on the same provider next.

use std::sync::Arc;

use rand::RngExt as _;
use wayside::balance::{Ask, rng};
use wayside::catalog::{Claim, Members, Snapshot};
use wayside::clock::Moment;
use wayside::endpoint::{Endpoint, Memory};
use wayside::provider::{Address, Provider, Weight};

use super::*;

const SIDECARS: u64 = 1000;
/// No provider is to get more than so many times its share in the second after the change.
const MOST: f64 = 1.2;
/// What chance alone may add, in standard deviations of what a provider gets: where each sidecar sends only a few requests,
/// nobody who does not know of the others can do better than chance.
const CHANCE: f64 = 4.0;
/// What chance may add and need not be allowed for.
const LITTLE: f64 = 0.1;

/// The endpoints of providers with these weights.
fn endpoints(weights: &[u32]) -> Vec<Endpoint> {
    let endpoint = |(number, weight): (u64, &u32)| {
        let address: Address = format!("10.0.0.{number}:80").parse().unwrap();
        let mut provider = Provider::new(address.to_string(), address.clone());
        provider.weight = Weight::from_hundredths(*weight);
        Endpoint::new(Arc::new(provider), Arc::new(Memory::new(number, address)))
    };
    let mut endpoints: Vec<Endpoint> = (10..).zip(weights).map(endpoint).collect();
    endpoints.sort_by(|a, b| a.provider.address.cmp(&b.provider.address));
    endpoints
}

/// A change, by name: what is there afterwards.
fn changes(before: &[Endpoint]) -> [(&'static str, Vec<Endpoint>); 5] {
    let middle = before.len() / 2;
    let without = |from: usize, count: usize| {
        let left = before.iter().enumerate().filter(|(place, _)| !(from..from + count).contains(place));
        left.map(|(_, endpoint)| endpoint.clone()).collect::<Vec<_>>()
    };
    let mut heavier = before.to_vec();
    heavier[middle].weight = Weight::from_hundredths(heavier[middle].weight.hundredths() * 2);
    let mut more = before.to_vec();
    more.push(
        endpoints(&vec![100; before.len() + 1])
            .into_iter()
            .find(|new| before.iter().all(|known| known.provider.address != new.provider.address))
            .unwrap(),
    );
    more.sort_by(|a, b| a.provider.address.cmp(&b.provider.address));
    [
        ("nothing", before.to_vec()),
        ("one left", without(middle, 1)),
        ("three neighbours left", without(middle, 3)),
        ("one came", more),
        ("one got heavier", heavier),
    ]
}

/// How many times its share the provider gets that gets the most in the second after a change, and what part of a share chance
/// may add to that.
fn worst(before: &[Endpoint], after: &[Endpoint], requests: u64, seed: u64) -> (f64, f64) {
    let claim = Claim::on("svc".parse().unwrap(), Policy::RoundRobin);
    let (before, after) = (Members::of(before.into()), Members::of(after.into()));
    let mut counts = vec![0_u64; usize::from(u8::MAX)];
    for sidecar in 0..SIDECARS {
        let mut rng = rng::for_worker(seed, sidecar);
        let pick = |snapshot: &Snapshot, rng: &mut rand::rngs::SmallRng| {
            snapshot.pick(&mut Ask::new(Moment::START, rng)).unwrap().memory.number
        };
        let snapshot = Snapshot::new(&before, &claim, &Snapshot::not_listed(), Moment::START, &mut rng);
        for _ in 0..rng.random_range(1..3 * before.endpoints.len()) {
            pick(&snapshot, &mut rng);
        }
        let snapshot = Snapshot::new(&after, &claim, &snapshot, Moment::START, &mut rng);
        for _ in 0..requests {
            counts[usize::try_from(pick(&snapshot, &mut rng)).unwrap()] += 1;
        }
    }
    let total: u32 = after.endpoints.iter().map(|endpoint| endpoint.weight.hundredths()).sum();
    let times = |endpoint: &Endpoint| {
        let share = f64::from(endpoint.weight.hundredths()) / f64::from(total);
        let expected = (SIDECARS * requests) as f64 * share;
        // Whole rounds are sure; whether there is one more turn is chance, sidecar by sidecar.
        let more = (requests as f64 * share).fract();
        let chance = CHANCE * (SIDECARS as f64 * more * (1.0 - more)).sqrt();
        let count = counts[usize::try_from(endpoint.memory.number).unwrap()] as f64;
        (count / expected, chance / expected)
    };
    let all = after.endpoints.iter().map(times);
    all.max_by(|a, b| (a.0 - allowed(a.1)).total_cmp(&(b.0 - allowed(b.1)))).unwrap()
}

/// How many times its share a provider may get where chance adds this part of a share.
fn allowed(chance: f64) -> f64 {
    if chance <= LITTLE { MOST } else { MOST + chance }
}

#[test]
fn no_provider_gets_more_than_its_share_after_a_change() {
    let mut at_worst = [0.0_f64; 2];
    for count in [10, 25, 50] {
        for weights in [vec![100; count], (0..count).map(|place| 100 * (1 + place as u32 % 3)).collect()] {
            let before = endpoints(&weights);
            for (change, after) in changes(&before) {
                for requests in [1, 2, 5, 20, 100] {
                    for seed in 0..either(1, 3) {
                        let (times, chance) = worst(&before, &after, requests, seed);
                        let kind = if weights[0] == weights[1] { "equal" } else { "unequal" };
                        assert!(
                            times <= allowed(chance),
                            "{count} providers of {kind} weight, {change}, {requests} requests each: {times:.2} times its share, \
                             where chance adds {chance:.2}"
                        );
                        let worst = &mut at_worst[usize::from(chance > LITTLE)];
                        *worst = worst.max(times);
                    }
                }
            }
        }
    }
    let [worst, by_chance] = at_worst;
    println!(
        "{SIDECARS} sidecars after a change: at worst {worst:.2} times its share, and {by_chance:.2} times where \
         requests are so few that chance counts"
    );
}
