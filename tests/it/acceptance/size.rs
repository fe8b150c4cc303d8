//! Ten thousand providers in one service, followed by the program itself.

use std::time::Instant;

use zookeeper_client::{Acls, CreateMode};

use super::*;
use crate::support::client::Client;
use crate::support::patience::at_last;
use crate::support::program::Program;
use crate::support::zookeeper::ZooKeeper;

const PROVIDERS: usize = 10_000;

/// An address of loopback where nobody listens.
fn address(number: usize) -> String {
    format!("127.9.{}.{}:1", number >> 8, number & 255)
}

fn id(number: usize) -> String {
    format!("greeter-{number:05}-8d7e7d3c-5f3b-4c55-9d52-1a6c3f0d6a11")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_providers_are_there_at_once_and_a_change_costs_one_read() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    writer.put("/micro-registry/greeter", "").await;
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    for first in (0..PROVIDERS).step_by(500) {
        let mut multi = writer.client.new_multi_writer();
        for number in first..first + 500 {
            let data = record(&id(number), &address(number));
            multi.add_create(&path(&id(number)), data.as_bytes(), &options).unwrap();
        }
        multi.commit().await.unwrap();
    }
    let mut program =
        Program::run(&["--registry", &format!("zookeeper://{}", zookeeper.addresses()), "--workers", "2"])
            .await;
    at_last("the registry answers", async || program.metric("wayside_registry_up", "").await == 1.0).await;
    let mut client = Client::connect(program.listeners()[0]).await;
    assert_eq!(client.get("nobody", "/").await.status(), http::StatusCode::SERVICE_UNAVAILABLE);
    let before = program.resident();

    // The request waits for the first list, then finds that the provider picked refuses.
    let begin = Instant::now();
    let refused = http::StatusCode::BAD_GATEWAY;
    at_last("one is picked", async || client.get("greeter", "/").await.status() == refused).await;
    let took = begin.elapsed();
    let bytes = program.resident().saturating_sub(before);
    println!(
        "{PROVIDERS} providers: the first request of the service, which waits for the list, took {took:.3?}"
    );
    println!("{PROVIDERS} providers: {} bytes of memory for each", bytes / PROVIDERS as u64);
    assert!(took < either(SOON, Duration::from_secs(2)), "{took:?}");
    assert!(bytes / (PROVIDERS as u64) < 8192, "{bytes} bytes in all");

    let reads = program.metric("wayside_registry_records_read_total", "").await;
    // A scrape of so many is slow where nothing is optimised: the log tells as well.
    let told = |count: usize, change: &str| {
        let line = format!("providers={count} {change}");
        (!program.logged(&line).is_empty()).then_some(())
    };
    for (change, number) in [5_000, 7_000, 9_000].into_iter().enumerate() {
        writer.delete(&path(&id(number))).await;
        let left = PROVIDERS - 1 - change;
        eventually(SOON, "it goes", || told(left, "added=0 removed=1")).await;
    }
    announce(&writer, &id(5_000), address(5_000)).await;
    eventually(SOON, "it comes", || told(PROVIDERS - 2, "added=1 removed=0")).await;
    let read = program.metric("wayside_registry_records_read_total", "").await - reads;
    println!("{PROVIDERS} providers: three withdrawn and one announced, {read} records read");
    assert!(read <= 4.0, "{read} records read for four changes");
    let known = program.metric("wayside_endpoints", "\"greeter\"").await;
    assert_eq!(known, (PROVIDERS - 2) as f64);
    assert!(program.is_alive());
    assert!(program.logged("panic").is_empty(), "{:?}", program.logged("panic"));
}
