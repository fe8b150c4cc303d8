//! Picks, by each policy, of few endpoints and of many.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Cache};
use wayside::balance::{Ask, Choice, Policy, rng};
use wayside::catalog::{Claim, Members, Snapshot};
use wayside::clock::Moment;
use wayside::endpoint::{Care, Ending, Endpoint, Memory, Outcome, Said};
use wayside::provider::{Address, Provider, Weight};

use super::Case;

/// Enough for what differs from pick to pick to even out.
const CALLS: u64 = 20_000;

/// When everything is picked: endpoints were heard of within the second before.
const NOW: Moment = Moment::from_millis(1_000);

pub(crate) fn cases() -> impl Iterator<Item = Case> {
    Policy::ALL.into_iter().flat_map(|policy| {
        [3, 100].map(|count| {
            Case::here(format!("pick/{policy}/{count}"), CALLS, move |calls| picks(policy, count, calls))
        })
    })
}

/// Endpoints of unequal weight that were all heard of.
fn snapshot(policy: Policy, count: u32) -> Snapshot {
    let endpoint = |index: u32| {
        let address: Address = format!("10.0.{index}.1:80").parse().unwrap();
        let mut provider = Provider::new(address.to_string(), address.clone());
        provider.weight = Weight::from_hundredths(100 * (1 + index % 5));
        let memory = Memory::new(u64::from(index), address);
        let took = Duration::from_micros(1_000 + u64::from(index * 7 % 500));
        let heard = Moment::from_millis(u64::from(index * 37 % 1_000));
        memory.note(Outcome::Success, Said::Nothing, Ending { took, ..Ending::at(heard) }, &Care::default());
        Endpoint::new(Arc::new(provider), Arc::new(memory))
    };
    let endpoints: Arc<[Endpoint]> = (0..count).map(endpoint).collect();
    let claim = Claim::on("svc".parse().unwrap(), Choice::from(policy));
    Snapshot::new(&Members::of(endpoints), &claim, &Snapshot::not_listed(), NOW, &mut rng::for_worker(1, 0))
}

/// Picks as a worker makes them: from the snapshot that it has at hand, each with a key of its own.
fn picks(policy: Policy, count: u32, calls: u64) {
    let current = ArcSwap::from_pointee(snapshot(policy, count));
    let mut cache = Cache::new(&current);
    let (mut rng, mut key) = (rng::for_worker(1, 1), 0u64);
    for _ in 0..calls {
        key = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut ask = Ask { key: Some(key), ..Ask::new(NOW, &mut rng) };
        black_box(std::ptr::from_ref(cache.load().pick(&mut ask).unwrap()));
    }
}
