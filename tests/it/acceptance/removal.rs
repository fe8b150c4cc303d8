//! Providers whose records go by accident or outlive them, under load from twelve connections.

use std::net::SocketAddr;

use serde_json::Value;
use wayside::provider::ServiceName;
use zookeeper_client::{Acls, CreateMode};

use super::*;
use crate::support::light::Process;
use crate::support::load::Load;
use crate::support::program::get;
use crate::support::zookeeper::ZooKeeper;

/// Providers at first.
const PROVIDERS: usize = 4;

/// A proxy, its providers, and the ZooKeeper in between.
struct Scene {
    zookeeper: ZooKeeper,
    writer: Writer,
    running: Running,
    providers: Vec<Process>,
}

impl Scene {
    /// Providers with lasting records, as Go Micro writes them.
    async fn lasting() -> Self {
        Self::lasting_with("").await
    }

    /// The same, with more in the proxy's configuration.
    async fn lasting_with(more: &str) -> Self {
        let zookeeper = ZooKeeper::start().await;
        let writer = zookeeper.writer().await;
        let providers = processes(PROVIDERS).await;
        for (number, provider) in providers.iter().enumerate() {
            announce(&writer, &format!("greeter-{number}"), provider.address).await;
        }
        let running = proxy(&format!("zookeeper://{}", zookeeper.addresses()), more);
        claim_on_greeter(&running).await;
        Self { zookeeper, writer, running, providers }
    }

    fn load(&self) -> Load {
        Load::start(self.running.listeners[0], "greeter", CLIENTS, None)
    }

    /// What `/services/greeter` says of the endpoint at an address.
    async fn endpoint(&self, address: SocketAddr) -> Option<Value> {
        let answer = get(self.running.admin.unwrap(), "/services/greeter").await;
        let service: Value = serde_json::from_slice(answer.body()).unwrap();
        let endpoints = service["endpoints"].as_array().unwrap().clone();
        endpoints.into_iter().find(|endpoint| endpoint["address"] == address.to_string())
    }

    /// Waits until an endpoint is in a state; `gone` for one that is not there.
    async fn reaches(&self, address: SocketAddr, state: &str) {
        let begun = std::time::Instant::now();
        loop {
            let endpoint = self.endpoint(address).await;
            let found = endpoint.as_ref().map_or("gone", |endpoint| endpoint["state"].as_str().unwrap());
            if found == state {
                return;
            }
            assert!(begun.elapsed() < LATER, "{address} is {found}, not {state}");
        }
    }

    /// Waits until so many of its providers have gone in that way.
    async fn happens(&self, event: &str, times: usize) {
        let count = || {
            let events = self.running.catalog.events(Some("greeter"), 1000);
            let named = |told: &wayside::catalog::Event| serde_json::to_value(told.event).unwrap() == event;
            let count = events.iter().filter(|told| named(told)).count();
            (count >= times).then_some(())
        };
        eventually(LATER, &format!("{times} times {event}"), count).await;
    }
}

async fn processes(count: usize) -> Vec<Process> {
    let mut providers = Vec::new();
    for _ in 0..count {
        providers.push(Process::start().await);
    }
    providers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_outlives_its_provider_costs_no_request_and_is_named_a_ghost() {
    let mut scene = Scene::lasting().await;
    let load = scene.load();
    load.goes_on().await;
    let dead = scene.providers.remove(1);
    let address = dead.address;
    dead.kill().await;
    scene.reaches(address, "ghost").await;
    load.answers(either(5_000, 20_000)).await;
    let ghost = scene.endpoint(address).await.unwrap();
    assert_eq!(ghost["record"], "/micro-registry/greeter/greeter-1");
    assert!(ghost["why"].as_str().unwrap().contains("nobody answers there"), "{ghost}");
    let metrics = get(scene.running.admin.unwrap(), "/metrics").await;
    let metrics = String::from_utf8_lossy(metrics.body()).into_owned();
    assert!(metrics.contains("wayside_endpoints{service=\"greeter\",state=\"ghost\"} 1"), "{metrics}");
    let attempts = ghost["attempts"].as_u64().unwrap();
    load.answers(either(2_000, 20_000)).await;
    let later = scene.endpoint(address).await.unwrap();
    assert_eq!(later["attempts"], attempts, "a ghost is not picked");

    // Somebody starts anew at the same address, beside the dead record.
    let heir = Process::start_at(address).await;
    announce(&scene.writer, "greeter-new", heir.address).await;
    let begun = std::time::Instant::now();
    scene.reaches(address, "available").await;
    println!("ghost: a new record of the same address is used after {:.1?}", begun.elapsed());
    load.goes_on().await;
    assert!(scene.endpoint(address).await.unwrap()["attempts"].as_u64().unwrap() > attempts);
    load.finish().await.none_failed("ghost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_sessions_that_expire_at_once_cost_no_request() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    writer.put("/micro-registry/greeter", "").await;
    let providers = processes(PROVIDERS).await;
    let mut owners = Vec::new();
    for (number, provider) in providers.iter().enumerate() {
        let owner = zookeeper.writer().await;
        let options = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
        let id = format!("greeter-{number}");
        let data = record(&id, &provider.address.to_string());
        owner.client.create(&path(&id), data.as_bytes(), &options).await.unwrap();
        owners.push(owner);
    }
    let running = proxy(&format!("zookeeper://{}", zookeeper.addresses()), "");
    claim_on_greeter(&running).await;
    let mut scene = Scene { zookeeper, writer, running, providers };
    let load = scene.load();
    load.goes_on().await;
    // The sessions end in one moment, their owners live on.
    drop(owners);
    scene.happens("kept", PROVIDERS).await;
    load.answers(either(2_000, 10_000)).await;
    // One of them is dead indeed.
    let dead = scene.providers.pop().unwrap();
    let address = dead.address;
    dead.kill().await;
    scene.reaches(address, "gone").await;
    load.answers(either(1_000, 10_000)).await;
    // They come back, one after the other.
    for (number, provider) in scene.providers.iter().enumerate() {
        announce(&scene.writer, &format!("back-{number}"), provider.address).await;
    }
    scene.happens("returned", PROVIDERS - 1).await;
    load.goes_on().await;
    load.finish().await.none_failed("all sessions expired");
    let left = scene.running.catalog.service("greeter").unwrap();
    assert!(left.endpoints.iter().all(|endpoint| endpoint.limbo.is_none()), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_registry_costs_no_request() {
    let scene = Scene::lasting().await;
    let load = scene.load();
    load.goes_on().await;
    for number in 0..PROVIDERS {
        scene.writer.delete(&path(&format!("greeter-{number}"))).await;
    }
    scene.writer.delete("/micro-registry/greeter").await;
    scene.writer.delete("/micro-registry").await;
    scene.happens("kept", 1).await;
    // Beyond the second look, which finds it all gone again.
    let greeter: ServiceName = "greeter".parse().unwrap();
    let confirmed = || {
        let service = scene.running.catalog.service(greeter.as_str()).unwrap();
        let limbo = service.endpoints.iter().filter_map(|endpoint| endpoint.limbo.as_ref());
        limbo.clone().all(|limbo| !limbo.unconfirmed).then_some(limbo.count())
    };
    let left = eventually(LATER, "the wipe is confirmed", confirmed).await;
    println!("wipe: {left} of {PROVIDERS} providers are used on");
    assert!(left > 0);
    load.answers(either(2_000, 20_000)).await;
    load.finish().await.none_failed("wiped registry");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_replaced_within_ten_seconds_costs_no_request() {
    let mut scene = Scene::lasting().await;
    let load = scene.load();
    load.goes_on().await;
    let mut beats = tokio::time::interval(Duration::from_secs(10) / 2 / u32::try_from(PROVIDERS).unwrap());
    let begun = std::time::Instant::now();
    for number in 0..PROVIDERS {
        beats.tick().await;
        let next = Process::start().await;
        announce(&scene.writer, &format!("next-{number}"), next.address).await;
        let before = std::mem::replace(&mut scene.providers[number], next);
        beats.tick().await;
        // As a host that fails: the process first, the record behind it.
        before.kill().await;
        scene.writer.delete(&path(&format!("greeter-{number}"))).await;
    }
    println!("replaced: every provider within {:.1?}", begun.elapsed());
    scene.happens("added", PROVIDERS).await;
    load.answers(either(1_000, 10_000)).await;
    load.finish().await.none_failed("every record replaced");
    let now: Vec<String> = scene.providers.iter().map(|provider| provider.address.to_string()).collect();
    let only_new = || {
        let service = scene.running.catalog.service("greeter").unwrap();
        (service.endpoints.len() == now.len()
            && service.endpoints.iter().all(|endpoint| now.contains(&endpoint.address)))
        .then_some(())
    };
    eventually(LATER, "only the new ones are left", only_new).await;
    drop(scene.zookeeper);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_of_a_ghost_is_deleted_where_that_is_asked_for_and_no_other() {
    let mut scene = Scene::lasting_with("[services]\nghost_after = \"1s\"\nreap_after = \"10s\"\n").await;
    let load = scene.load();
    load.goes_on().await;
    let dead = scene.providers.remove(1);
    let address = dead.address;
    dead.kill().await;
    scene.reaches(address, "ghost").await;
    scene.happens("reaped", 1).await;
    let client = &scene.writer.client;
    let mut left = client.list_children("/micro-registry/greeter").await.unwrap();
    left.sort();
    assert_eq!(left, ["greeter-0", "greeter-2", "greeter-3"]);
    scene.reaches(address, "gone").await;
    load.goes_on().await;
    load.finish().await.none_failed("reaping");
}
