//! Many providers, large records, many services, many events at once.

use std::time::Instant;

use etcd_client::{Txn, TxnOp};

use super::*;
use crate::support::patience::either;

/// Writes records by the hundred.
async fn put_all(writer: &mut Writer, records: impl IntoIterator<Item = (String, String)>) {
    let mut puts: Vec<TxnOp> = records.into_iter().map(|(key, value)| TxnOp::put(key, value, None)).collect();
    while !puts.is_empty() {
        let some: Vec<TxnOp> = puts.drain(..puts.len().min(100)).collect();
        writer.client.txn(Txn::new().and_then(some)).await.unwrap();
    }
}

fn of(service: &str, number: usize) -> (String, String) {
    let id = format!("{service}-{number:05}-8d7e7d3c-5f3b-4c55-9d52-1a6c3f0d6a11");
    let address = format!("10.{}.{}.{}:8080", number >> 16, number >> 8 & 255, number & 255);
    (format!("/micro/registry/{service}/{id}"), record(&id, &address))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_providers_are_listed_in_pages_and_a_change_costs_nothing_but_itself() {
    let etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    put_all(&mut writer, (0..10_000).map(|number| of("big", number))).await;
    let begin = Instant::now();
    let watching = watch(&etcd, "", &["big"]);
    let providers = eventually(SOON, "all are listed", || watching.providers("big")).await;
    let took = begin.elapsed();
    println!("etcd, 10,000 providers: listed {took:?} after the start, session and all");
    assert_eq!((providers.len(), watching.listing("big").unwrap().reads), (10_000, 10_000));
    assert!(took < either(SOON, Duration::from_secs(2)), "{took:?}");
    let begin = Instant::now();
    writer.delete(&of("big", 5_000).0).await;
    eventually(SOON, "one goes", || (watching.providers("big")?.len() == 9_999).then_some(())).await;
    println!("etcd, 10,000 providers: one withdrawn, listed {:?} after", begin.elapsed());
    assert_eq!(watching.listing("big").unwrap().reads, 1);
    assert_eq!(watching.failures(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_are_large_together_are_listed_all_the_same() {
    let etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    // 40 MB: a hundred of them are more than one answer may have.
    let padding = "x".repeat(200_000);
    for number in 0..200 {
        let (key, value) = of("heavy", number);
        writer.put(&key, format!("{value}{}", " ".repeat(padding.len()))).await;
    }
    let watching = watch(&etcd, "", &["heavy"]);
    let providers = eventually(SOON, "all are listed", || watching.providers("heavy")).await;
    assert_eq!((providers.len(), watching.failures()), (200, Vec::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_pages_are_of_one_revision() {
    let etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    put_all(&mut writer, (0..3_000).map(|number| of("moving", number))).await;
    // One is always there, now under the first key and now under the last: pages of several times would have none or both.
    let ends = ["/micro/registry/moving/!", "/micro/registry/moving/~"];
    writer.put(ends[0], record("one", "10.9.9.9:80")).await;
    let mut mover = writer.clone();
    let moving = tokio::spawn(async move {
        for turn in 0.. {
            let (from, to) = (ends[turn % 2], ends[(turn + 1) % 2]);
            let both = [TxnOp::delete(from, None), TxnOp::put(to, record("one", "10.9.9.9:80"), None)];
            mover.client.txn(Txn::new().and_then(both)).await.unwrap();
        }
    });
    for _ in 0..either(10, 50) {
        let watching = watch(&etcd, "", &["moving"]);
        eventually(SOON, "it is listed and followed", || (watching.count() > 5).then_some(())).await;
        for listing in watching.lists_since(0, "moving") {
            let View::Present { providers, .. } = listing.view else { panic!("absent") };
            let ones = providers.iter().filter(|provider| &*provider.id == "one").count();
            assert_eq!((ones, providers.len()), (1, 3_001));
        }
    }
    moving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_of_a_batch_counts() {
    let etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    put_all(&mut writer, (0..100).map(|number| of("batch", number))).await;
    let watching = watch(&etcd, "", &["batch"]);
    eventually(SOON, "all are listed", || (watching.providers("batch")?.len() == 100).then_some(())).await;
    let count = watching.count();
    let mut all: Vec<TxnOp> = (0..50).map(|number| TxnOp::delete(of("batch", number).0, None)).collect();
    all.extend((100..170).map(|number| {
        let (key, value) = of("batch", number);
        TxnOp::put(key, value, None)
    }));
    writer.client.txn(Txn::new().and_then(all)).await.unwrap();
    eventually(SOON, "all of it is seen", || (watching.providers("batch")?.len() == 120).then_some(())).await;
    let lists = watching.lists_since(count, "batch");
    assert_eq!((lists.len(), lists[0].reads), (1, 120), "one list for one transaction");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_services_are_followed_over_one_stream() {
    let etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    let names: Vec<String> = (0..1_000).map(|number| format!("service-{number:04}")).collect();
    put_all(&mut writer, names.iter().map(|name| of(name, 1))).await;
    let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
    let begin = Instant::now();
    let watching = watch(&etcd, "", &wanted);
    let of_all = |providers: usize| {
        let full = |name: &&String| watching.providers(name).is_some_and(|all| all.len() == providers);
        (names.iter().filter(full).count() == names.len()).then_some(())
    };
    eventually(SOON, "all are listed", || of_all(1)).await;
    println!("etcd, 1,000 services: listed {:?} after the start", begin.elapsed());
    put_all(&mut writer, names.iter().map(|name| of(name, 2))).await;
    eventually(SOON, "and all are heard", || of_all(2)).await;
    assert_eq!(watching.failures(), [""; 0]);
}
