//! No pick allocates, whatever the policy and however its endpoints are: the allocator counts.

#![expect(clippy::unwrap_used, reason = "a test stops at what cannot happen")]

use std::sync::Arc;
use std::time::Duration;

use wayside::balance::Ask;
use wayside::balance::{Choice, LoadBound, Policy, rng};
use wayside::catalog::{Claim, Layout, Members, Snapshot};
use wayside::clock::Moment;
use wayside::endpoint::{Care, Ending, Endpoint, LoadGuard, Memory, Outcome, Said, Verdict};
use wayside::provider::{Address, Provider, Weight};

/// Endpoints in two zones, seen as one tier or as two.
fn snapshot(count: u32, choice: Choice, zone: Option<&str>) -> Snapshot {
    let endpoint = |index: u32| {
        let address: Address = format!("10.0.{}.{}:80", index / 250, index % 250).parse().unwrap();
        let mut provider = Provider::new(address.to_string(), address.clone());
        provider.weight = Weight::from_hundredths(100 * (1 + index % 3));
        provider.zone = Some(if index.is_multiple_of(2) { "a" } else { "b" }.into());
        Endpoint::new(Arc::new(provider), Arc::new(Memory::new(u64::from(index), address)))
    };
    let endpoints: Arc<[Endpoint]> = (0..count).map(endpoint).collect();
    let claim = Claim::on("svc".parse().unwrap(), choice);
    let mut rng = rng::for_worker(1, 0);
    let layout = Arc::new(Layout { zone: zone.map(Into::into), ..Layout::default() });
    let care = Arc::new(Care { in_flight_max: 4, ..Care::default() });
    let members = Members { layout, care, ..Members::of(endpoints) };
    Snapshot::new(&members, &claim, &Snapshot::not_listed(), Moment::START, &mut rng)
}

/// What is allocated by so many picks with and without keys, at the first attempt and later ones.
fn allocated(snapshot: &Snapshot) -> u64 {
    let mut rng = rng::for_worker(1, 1);
    let picks = || {
        for step in 0..300 {
            let now = Moment::START.after(Duration::from_millis(step * 10));
            let key = (step % 2 == 0).then_some(step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            for tried in [&[][..], &[1], &[1, 2]] {
                let picked = snapshot.pick(&mut Ask { tried, key, ..Ask::new(now, &mut rng) });
                std::hint::black_box(picked.is_ok());
            }
        }
    };
    allocation_counter::measure(picks).count_total
}

/// Puts all endpoints but the first in some state, as far as that goes: half of them at most are ejected.
fn put(snapshot: &Snapshot, state: State) -> Vec<LoadGuard> {
    let (mut guards, ending) = (Vec::new(), Ending::at(Moment::START));
    for (index, endpoint) in snapshot.endpoints.iter().enumerate().skip(1) {
        let memory = &endpoint.memory;
        let note = |outcome| memory.note(outcome, Said::Nothing, ending, &snapshot.care);
        match state {
            State::Well => {}
            State::Unreachable => {
                note(Outcome::Unreachable);
            }
            State::Ejected => {
                for _ in 0..5 {
                    if let Verdict::Suspect(grounds) = note(Outcome::Failure) {
                        memory.eject(grounds, ending, &snapshot.care, &snapshot.peers(memory));
                    }
                }
            }
            State::Full => guards.extend((0..4).map(|_| memory.begin())),
            State::Ramping => {
                memory.begin_slowly();
                guards.push(memory.begin());
            }
            State::Busy if index % 3 > 0 => {
                note(Outcome::Busy { pause: None });
            }
            State::Busy => {}
        }
    }
    guards
}

#[derive(Clone, Copy, Debug)]
enum State {
    Well,
    Unreachable,
    Ejected,
    Full,
    Ramping,
    Busy,
}

#[test]
fn no_pick_allocates() {
    let mut choices: Vec<Choice> = Policy::ALL.into_iter().map(Choice::from).collect();
    choices.push(Choice { load_bound: LoadBound::from_hundredths(125), ..Policy::Maglev.into() });
    choices.extend(Policy::ALL.map(|shadow| Choice { shadow: Some(shadow), ..Choice::default() }));
    let states = [State::Well, State::Unreachable, State::Ejected, State::Full, State::Ramping, State::Busy];
    for choice in choices {
        for (count, zone) in [(1, None), (3, None), (3, Some("a")), (300, None), (300, Some("a"))] {
            for state in states {
                let snapshot = snapshot(count, choice, zone);
                let _guards = put(&snapshot, state);
                assert_eq!(
                    allocated(&snapshot),
                    0,
                    "{choice:?}, {count} endpoints, zone {zone:?}, {state:?}"
                );
            }
        }
    }
}

#[test]
fn the_allocator_counts() {
    assert_eq!(allocation_counter::measure(|| drop(std::hint::black_box(Box::new(7)))).count_total, 1);
}
