//! What reading records costs: one of each generation of Go Micro, and a service of ten thousand at once.

#![expect(clippy::unwrap_used, reason = "a bench may stop at what cannot happen")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wayside::registry::format::{Entry, kinds};

/// Records of a large service: its list is read whole after each reconnect.
const RECORDS: usize = 10_000;

/// What go-micro up to v1.7, up to v4.10 and since then writes; the second announces endpoints too, as servers do.
const GENERATIONS: [(&str, &str); 3] = [
    (
        "v1.7",
        r#"{"name":"greeter","version":"1.2","metadata":null,"endpoints":null,"nodes":[{"id":"greeter-8d7e","address":"10.0.0.5","port":43210,"metadata":{"protocol":"mucp","server":"rpc"}}]}"#,
    ),
    (
        "v2.9",
        r#"{"name":"greeter","version":"latest","metadata":null,"endpoints":[{"name":"Say.Hello","request":{"name":"Request","type":"Request","values":[{"name":"name","type":"string","values":null}]},"response":{"name":"Response","type":"Response","values":[{"name":"msg","type":"string","values":null}]},"metadata":{}}],"nodes":[{"id":"greeter-8d7e","address":"10.0.0.5:43210","metadata":{"broker":"http","protocol":"mucp","registry":"zookeeper","server":"mucp","transport":"http"}}]}"#,
    ),
    (
        "v4.10",
        r#"{"name":"greeter","version":"latest","metadata":null,"endpoints":null,"nodes":[{"metadata":{"protocol":"grpc"},"id":"greeter-8d7e","address":"10.0.0.5:43210"}]}"#,
    ),
];

fn decode(criterion: &mut Criterion) {
    let format = kinds::named("go-micro").unwrap();
    let service = "greeter".parse().unwrap();
    let mut group = criterion.benchmark_group("decode");
    for (generation, record) in GENERATIONS {
        group.throughput(Throughput::Bytes(record.len() as u64));
        group.bench_function(BenchmarkId::new("go-micro", generation), |bencher| {
            bencher.iter(|| format.decode(Entry::of(&service, "greeter-8d7e", black_box(record.as_bytes()))));
        });
    }
    let name = |index| (format!("greeter-{index}"), format!("10.{}.{}.1:80", index / 250, index % 250));
    let records: Vec<(String, String)> = (0..RECORDS)
        .map(name)
        .map(|(id, address)| {
            let record = GENERATIONS[1].1.replace("greeter-8d7e", &id).replace("10.0.0.5:43210", &address);
            (id, record)
        })
        .collect();
    group.throughput(Throughput::Elements(RECORDS as u64));
    group.sample_size(20);
    group.bench_function(BenchmarkId::new("go-micro", "10000 of v2.9"), |bencher| {
        bencher.iter(|| {
            let decoded =
                records.iter().map(|(name, data)| format.decode(Entry::of(&service, name, data.as_bytes())));
            assert_eq!(black_box(decoded.map(|one| one.providers.len()).sum::<usize>()), RECORDS);
        });
    });
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
