//! What a change costs in a large service: from the list to the snapshot that shows it.

#![expect(clippy::unwrap_used, reason = "a bench may stop at what cannot happen")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use wayside::balance::{Policy, rng};
use wayside::catalog::reconcile::reconcile;
use wayside::catalog::{Claim, Members, Snapshot};
use wayside::clock::Moment;
use wayside::endpoint::Endpoint;
use wayside::provider::{Address, Provider, Weight};

const PROVIDERS: u32 = 10_000;

fn providers(weight: impl Fn(u32) -> u32) -> Vec<Arc<Provider>> {
    let provider = |index: u32| {
        let address: Address = format!("10.{}.{}.1:80", index / 250, index % 250).parse().unwrap();
        let mut provider = Provider::new(format!("greeter-{index}"), address);
        provider.weight = Weight::from_hundredths(weight(index));
        provider.metadata.insert("protocol".into(), "http".into());
        Arc::new(provider)
    };
    (0..PROVIDERS).map(provider).collect()
}

fn change(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("10,000 providers");
    group.sample_size(30);
    let list = providers(|_| 100);
    let mut number = 0;
    let mut count = || {
        number += 1;
        number
    };
    let known: Arc<[Endpoint]> = reconcile(&[], list.clone(), &Arc::default(), &mut count).endpoints.into();
    group.bench_function("reconcile all new", |bencher| {
        bencher.iter_batched(
            || list.clone(),
            |list| black_box(reconcile(&[], list, &Arc::default(), &mut count)),
            BatchSize::LargeInput,
        );
    });
    let mut one_less = list.clone();
    one_less.remove(5000);
    group.bench_function("reconcile one gone", |bencher| {
        bencher.iter_batched(
            || one_less.clone(),
            |list| black_box(reconcile(&known, list, &Arc::default(), || unreachable!())),
            BatchSize::LargeInput,
        );
    });
    // As registries list them: read anew, so that values are compared and not pointers.
    group.bench_function("reconcile one gone, read anew", |bencher| {
        bencher.iter_batched(
            || one_less.iter().map(|provider| Arc::new(Provider::clone(provider))).collect(),
            |list| black_box(reconcile(&known, list, &Arc::default(), || unreachable!())),
            BatchSize::LargeInput,
        );
    });
    let mut rng = rng::for_worker(1, 0);
    for (name, weight) in [
        ("equal", (|_| 100) as fn(u32) -> u32),
        ("unequal", |index| 100 * (1 + index % 5)),
        ("awkward", |index| 100 + index * 7),
    ] {
        let endpoints: Arc<[Endpoint]> =
            reconcile(&[], providers(weight), &Arc::default(), &mut count).endpoints.into();
        for policy in Policy::ALL {
            group.bench_function(format!("snapshot, {policy}, {name} weights"), |bencher| {
                let (before, members) = (Snapshot::not_listed(), Members::of(Arc::clone(&endpoints)));
                let claim = Claim::on("svc".parse().unwrap(), policy);
                bencher.iter(|| black_box(Snapshot::new(&members, &claim, &before, Moment::START, &mut rng)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, change);
criterion_main!(benches);
