//! No pick allocates, whatever the policy and however its endpoints are: the allocator counts.

#![expect(clippy::unwrap_used, reason = "a test stops at what cannot happen")]

use std::sync::Arc;
use std::time::Duration;

use wayside::balance::Ask;
use wayside::balance::{Choice, LoadBound, Policy, rng};
use wayside::catalog::{Claim, Members, Snapshot};
use wayside::clock::Moment;
use wayside::endpoint::{Care, Ending, Endpoint, Memory, Outcome, Said};
use wayside::provider::{Address, Provider, Weight};

fn snapshot(count: u32, choice: Choice) -> Snapshot {
    let endpoint = |index: u32| {
        let address: Address = format!("10.0.{}.{}:80", index / 250, index % 250).parse().unwrap();
        let mut provider = Provider::new(address.to_string(), address.clone());
        provider.weight = Weight::from_hundredths(100 * (1 + index % 3));
        Endpoint::new(Arc::new(provider), Arc::new(Memory::new(u64::from(index), address)))
    };
    let endpoints: Arc<[Endpoint]> = (0..count).map(endpoint).collect();
    let claim = Claim::on("svc".parse().unwrap(), choice);
    let mut rng = rng::for_worker(1, 0);
    Snapshot::new(&Members::of(endpoints), &claim, &Snapshot::not_listed(), Moment::START, &mut rng)
}

/// What is allocated by so many picks with and without keys, at the first attempt and later ones.
fn allocated(snapshot: &Snapshot) -> u64 {
    let mut rng = rng::for_worker(1, 1);
    let picks = || {
        for step in 0..1_000 {
            let now = Moment::START.after(Duration::from_millis(step * 3));
            let key = (step % 2 == 0).then_some(step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            for tried in [&[][..], &[1], &[1, 2]] {
                let picked = snapshot.pick(&mut Ask { tried, key, ..Ask::new(now, &mut rng) });
                std::hint::black_box(picked.is_ok());
            }
        }
    };
    allocation_counter::measure(picks).count_total
}

#[test]
fn no_pick_allocates() {
    let mut choices: Vec<Choice> = Policy::ALL.into_iter().map(Choice::from).collect();
    choices.push(Choice { load_bound: LoadBound::from_hundredths(125), ..Policy::Maglev.into() });
    choices.extend(Policy::ALL.map(|shadow| Choice { shadow: Some(shadow), ..Choice::default() }));
    for choice in choices {
        for count in [1, 3, 300] {
            let snapshot = snapshot(count, choice);
            assert_eq!(allocated(&snapshot), 0, "{choice:?}, {count} endpoints");
            for endpoint in snapshot.endpoints.iter().skip(1) {
                endpoint.memory.note(
                    Outcome::Unreachable,
                    Said::Nothing,
                    Ending::at(Moment::START),
                    &Care::default(),
                );
            }
            assert_eq!(allocated(&snapshot), 0, "{choice:?}, {count} endpoints, all but one out");
        }
    }
}

#[test]
fn the_allocator_counts() {
    assert_eq!(allocation_counter::measure(|| drop(std::hint::black_box(Box::new(7)))).count_total, 1);
}
