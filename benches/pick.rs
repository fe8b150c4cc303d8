//! What a pick costs, per policy and number of endpoints: it is on the path of every request.

#![expect(clippy::unwrap_used, reason = "a bench may stop at what cannot happen")]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, Cache};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rand::rngs::SmallRng;
use wayside::balance::{Ask, Choice, LoadBound, Policy, rng};
use wayside::catalog::{Claim, Layout, Members, Snapshot};
use wayside::clock::Moment;
use wayside::endpoint::{Care, Ending, Endpoint, LoadGuard, Memory, Outcome, Said, Verdict};
use wayside::provider::{Address, Provider, Weight};

/// When everything is picked: endpoints were heard of within the second before.
const NOW: Moment = Moment::from_millis(1_000);

/// Every policy by its name, and what settings make of one.
fn choices() -> Vec<(String, Choice)> {
    let mut choices: Vec<(String, Choice)> =
        Policy::ALL.iter().map(|policy| (policy.to_string(), Choice::from(*policy))).collect();
    let load_bound = LoadBound::from_hundredths(125);
    choices.push(("maglev, bounded".to_owned(), Choice { load_bound, ..Policy::Maglev.into() }));
    let shadow = Some(Policy::PeakEwma);
    choices.push(("round-robin, shadowed".to_owned(), Choice { shadow, ..Choice::default() }));
    choices
}

fn snapshot(count: u32, choice: Choice, weight: impl Fn(u32) -> u32) -> Snapshot {
    laid_out(count, choice, weight, Layout::default())
}

/// The same in two zones.
fn laid_out(count: u32, choice: Choice, weight: impl Fn(u32) -> u32, layout: Layout) -> Snapshot {
    let endpoint = |index: u32| {
        let address: Address = format!("10.{}.{}.1:80", index / 250, index % 250).parse().unwrap();
        let mut provider = Provider::new(address.to_string(), address.clone());
        provider.weight = Weight::from_hundredths(weight(index));
        provider.zone = Some(if index.is_multiple_of(2) { "a" } else { "b" }.into());
        let memory = Memory::new(u64::from(index), address);
        let heard = Moment::from_millis(u64::from(index * 37 % 1_000));
        let took = Duration::from_micros(1_000 + u64::from(index * 7 % 500));
        memory.note(Outcome::Success, Said::Nothing, Ending { took, ..Ending::at(heard) }, &Care::default());
        Endpoint::new(Arc::new(provider), Arc::new(memory))
    };
    let endpoints: Arc<[Endpoint]> = (0..count).map(endpoint).collect();
    let mut rng = rng::for_worker(1, 0);
    let claim = Claim::on("svc".parse().unwrap(), choice);
    let members = Members { layout: Arc::new(layout), ..Members::of(endpoints) };
    Snapshot::new(&members, &claim, &Snapshot::not_listed(), NOW, &mut rng)
}

/// One pick: the endpoint, not yet looked at. Keys differ from pick to pick.
fn one(snapshot: &Snapshot, key: &mut u64, rng: &mut SmallRng) -> *const Endpoint {
    *key = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    std::ptr::from_ref(snapshot.pick(&mut Ask { key: Some(*key), ..Ask::new(NOW, rng) }).unwrap())
}

/// A pick as a worker makes it: the cached snapshot, then the balancer, then the availability check.
fn pick(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick");
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(1));
    for (name, choice) in choices() {
        for (weights, weight) in
            [("equal", (|_| 100) as fn(u32) -> u32), ("unequal", |index| 100 * (1 + index % 5))]
        {
            for count in [3, 100, 10_000] {
                let current = ArcSwap::from_pointee(snapshot(count, choice, weight));
                let mut cache = Cache::new(&current);
                let (mut rng, mut key) = (rng::for_worker(1, 1), 0);
                let id = BenchmarkId::new(format!("{name}/{weights}"), count);
                group.bench_function(id, |bencher| {
                    bencher.iter(|| black_box(one(cache.load(), &mut key, &mut rng)));
                });
            }
        }
    }
    group.finish();
}

/// The same while another worker picks from the same snapshot at full speed.
fn pick_beside_another(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick beside another worker");
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(1));
    for (name, choice) in choices() {
        let snapshot = snapshot(100, choice, |_| 100);
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut rng, mut key) = (rng::for_worker(1, 2), 1);
                while !ended.load(Ordering::Relaxed) {
                    black_box(one(&snapshot, &mut key, &mut rng));
                }
            });
            let (mut rng, mut key) = (rng::for_worker(1, 1), 0);
            group.bench_function(BenchmarkId::new(&name, 100), |bencher| {
                bencher.iter(|| black_box(one(&snapshot, &mut key, &mut rng)));
            });
            ended.store(true, Ordering::Relaxed);
        });
    }
    group.finish();
}

/// What half of the endpoints are put into.
type Put = fn(&Snapshot, &Endpoint) -> Vec<LoadGuard>;

fn out(_: &Snapshot, endpoint: &Endpoint) -> Vec<LoadGuard> {
    endpoint.memory.fail_to_connect(NOW, 0.5);
    Vec::new()
}

fn ejected(snapshot: &Snapshot, endpoint: &Endpoint) -> Vec<LoadGuard> {
    let (memory, ending) = (&endpoint.memory, Ending::at(NOW));
    for _ in 0..5 {
        if let Verdict::Suspect(grounds) =
            memory.note(Outcome::Failure, Said::Nothing, ending, &snapshot.care)
        {
            memory.eject(grounds, ending, &snapshot.care, &snapshot.peers(memory));
        }
    }
    Vec::new()
}

fn full(snapshot: &Snapshot, endpoint: &Endpoint) -> Vec<LoadGuard> {
    (0..snapshot.care.in_flight_max).map(|_| endpoint.memory.begin()).collect()
}

fn ramping(_: &Snapshot, endpoint: &Endpoint) -> Vec<LoadGuard> {
    endpoint.memory.begin_slowly();
    vec![endpoint.memory.begin()]
}

/// With half of the endpoints in some state, and with half of them in another zone while half of one's own are out, so that
/// some picks go there.
fn pick_around(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick with half");
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(1));
    let zoned = || Layout { zone: Some("a".into()), ..Layout::default() };
    let states: [(&str, Put, Layout); 5] = [
        ("out", out, Layout::default()),
        ("ejected", ejected, Layout::default()),
        ("full", full, Layout::default()),
        ("ramping", ramping, Layout::default()),
        ("out, two zones", out, zoned()),
    ];
    for (state, put, layout) in states {
        for (name, choice) in choices() {
            let snapshot = laid_out(100, choice, |_| 100, layout.clone());
            let half = snapshot.endpoints.iter().take(50);
            let _guards: Vec<_> = half.flat_map(|endpoint| put(&snapshot, endpoint)).collect();
            let (mut rng, mut key) = (rng::for_worker(1, 1), 0);
            group.bench_function(BenchmarkId::new(format!("{state}/{name}"), 100), |bencher| {
                bencher.iter(|| black_box(one(&snapshot, &mut key, &mut rng)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, pick, pick_beside_another, pick_around);
criterion_main!(benches);
