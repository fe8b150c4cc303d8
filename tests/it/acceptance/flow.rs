//! Ten thousand providers of which one in a hundred changes each second, followed by the program itself.

use std::time::Instant;

use zookeeper_client::{Acls, CreateMode};

use super::*;
use crate::support::program::Program;
use crate::support::zookeeper::ZooKeeper;

const PROVIDERS: usize = 10_000;
/// How often some of them change, and how many.
const BEAT: Duration = Duration::from_millis(100);
const CHANGED_PER_BEAT: usize = PROVIDERS / 1000;

/// An address of loopback where nobody listens, of the provider of that number in its life of that number.
fn address(number: usize, life: usize) -> String {
    format!("127.{}.{}.{}:1", 9 + life, number >> 8, number & 255)
}

fn id(number: usize) -> String {
    format!("greeter-{number:05}-8d7e7d3c-5f3b-4c55-9d52-1a6c3f0d6a11")
}

fn data(number: usize, life: usize) -> String {
    record(&id(number), &address(number, life))
}

async fn known(program: &Program) -> BTreeSet<String> {
    let service = program.ask_json("/services/greeter").await;
    let address = |endpoint: &serde_json::Value| endpoint["address"].as_str().unwrap().to_owned();
    service["endpoints"].as_array().into_iter().flatten().map(address).collect()
}

/// Waits until the program knows exactly these.
async fn shows(program: &Program, lives: &[usize]) {
    let expected: BTreeSet<String> =
        lives.iter().enumerate().map(|(number, life)| address(number, *life)).collect();
    let (begin, mut looks) = (Instant::now(), tokio::time::interval(Duration::from_millis(250)));
    loop {
        looks.tick().await;
        let known = known(program).await;
        if known == expected {
            return;
        }
        let missed = expected.difference(&known).count();
        assert!(begin.elapsed() < LATER, "{missed} changes are missed, {} are known", known.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_ten_thousand_providers_a_hundred_change_each_second() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    writer.put("/micro-registry/greeter", "").await;
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    for first in (0..PROVIDERS).step_by(500) {
        let mut multi = writer.client.new_multi_writer();
        for number in first..first + 500 {
            multi.add_create(&path(&id(number)), data(number, 0).as_bytes(), &options).unwrap();
        }
        multi.commit().await.unwrap();
    }
    let registry = format!("zookeeper://{}", zookeeper.addresses());
    let program = Program::run(&["--registry", &registry, "--workers", "2", "--service", "greeter"]).await;
    let mut lives = vec![0; PROVIDERS];
    shows(&program, &lives).await;
    let count = async |name: &str| program.metric(name, "").await;
    let (records, listings) = ("wayside_registry_records_read_total", "wayside_registry_listings_total");
    let before = (count(records).await, count(listings).await);
    let (begin, busy) = (Instant::now(), program.processor_time());

    let beats = either(30, 600);
    let mut beat = tokio::time::interval(BEAT);
    for round in 0..beats {
        beat.tick().await;
        let mut multi = writer.client.new_multi_writer();
        for change in 0..CHANGED_PER_BEAT {
            // Every one in its turn, far from the one before; one in five goes and comes back instead of changing its record.
            let number = (round * CHANGED_PER_BEAT + change) * 7919 % PROVIDERS;
            lives[number] += 1;
            let (path, data) = (path(&id(number)), data(number, lives[number]));
            if change % 5 == 0 {
                multi.add_delete(&path, None).unwrap();
                multi.add_create(&path, data.as_bytes(), &options).unwrap();
            } else {
                multi.add_set_data(&path, data.as_bytes(), None).unwrap();
            }
        }
        multi.commit().await.unwrap();
    }
    let (took, busy) = (begin.elapsed(), program.processor_time() - busy);
    shows(&program, &lives).await;
    let changes = (beats * CHANGED_PER_BEAT) as f64;
    let (records, listings) = (count(records).await - before.0, count(listings).await - before.1);
    println!(
        "{PROVIDERS} providers, {changes} changes in {took:.1?}: {:.0} % of a processor, {:.2} records read for each \
         change, {:.1} readings a second; none missed",
        100.0 * busy.as_secs_f64() / took.as_secs_f64(),
        records / changes,
        listings / took.as_secs_f64(),
    );
    assert!(records <= changes * 1.05, "{records} records read for {changes} changes");
    assert!(listings / took.as_secs_f64() < 8.0, "{listings} readings in {took:?}");
}
