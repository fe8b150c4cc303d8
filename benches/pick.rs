//! What a pick costs, per policy and number of endpoints: it is on the path of every request.

#![expect(clippy::unwrap_used, reason = "a bench may stop at what cannot happen")]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwap, Cache};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use wayside::balance::{Ask, Policy, rng};
use wayside::catalog::{Claim, Members, Snapshot};
use wayside::clock::Moment;
use wayside::endpoint::{Endpoint, Memory};
use wayside::provider::{Address, Provider, Weight};

fn snapshot(count: u32, policy: Policy, weight: impl Fn(u32) -> u32) -> Snapshot {
    let endpoint = |index: u32| {
        let address: Address = format!("10.{}.{}.1:80", index / 250, index % 250).parse().unwrap();
        let mut provider = Provider::new(address.to_string(), address.clone());
        provider.weight = Weight::from_hundredths(weight(index));
        Endpoint::new(Arc::new(provider), Arc::new(Memory::new(u64::from(index), address)))
    };
    let endpoints: Arc<[Endpoint]> = (0..count).map(endpoint).collect();
    let mut rng = rng::for_worker(1, 0);
    let claim = Claim::on("svc".parse().unwrap(), policy);
    Snapshot::new(&Members::of(endpoints), &claim, &Snapshot::not_listed(), Moment::START, &mut rng)
}

/// A pick as a worker makes it: the cached snapshot, then the balancer, then the availability check.
fn pick(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick");
    for policy in Policy::ALL {
        for (weights, weight) in
            [("equal", (|_| 100) as fn(u32) -> u32), ("unequal", |index| 100 * (1 + index % 5))]
        {
            for count in [3, 100, 10_000] {
                let current = ArcSwap::from_pointee(snapshot(count, policy, weight));
                let mut cache = Cache::new(&current);
                let mut rng = rng::for_worker(1, 1);
                let id = BenchmarkId::new(format!("{policy}/{weights}"), count);
                group.bench_function(id, |bencher| {
                    bencher.iter(|| {
                        black_box(
                            cache.load().pick(&mut Ask::new(Moment::START, &mut rng)).unwrap().memory.number,
                        )
                    });
                });
            }
        }
    }
    group.finish();
}

/// The same while another worker picks from the same snapshot at full speed.
fn pick_beside_another(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick beside another worker");
    for policy in Policy::ALL {
        let snapshot = snapshot(100, policy, |_| 100);
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut rng = rng::for_worker(1, 2);
                while !ended.load(Ordering::Relaxed) {
                    black_box(snapshot.pick(&mut Ask::new(Moment::START, &mut rng)).unwrap().memory.number);
                }
            });
            let mut rng = rng::for_worker(1, 1);
            group.bench_function(BenchmarkId::new(policy.as_str(), 100), |bencher| {
                bencher.iter(|| {
                    black_box(snapshot.pick(&mut Ask::new(Moment::START, &mut rng)).unwrap().memory.number)
                });
            });
            ended.store(true, Ordering::Relaxed);
        });
    }
    group.finish();
}

/// With half of the endpoints out.
fn pick_around_failures(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick with half out");
    for policy in Policy::ALL {
        let snapshot = snapshot(100, policy, |_| 100);
        for endpoint in snapshot.endpoints.iter().take(50) {
            endpoint.memory.fail_to_connect(Moment::START, 0.5);
        }
        let mut rng = rng::for_worker(1, 1);
        group.bench_function(BenchmarkId::new(policy.as_str(), 100), |bencher| {
            bencher.iter(|| {
                black_box(snapshot.pick(&mut Ask::new(Moment::START, &mut rng)).unwrap().memory.number)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, pick, pick_beside_another, pick_around_failures);
criterion_main!(benches);
