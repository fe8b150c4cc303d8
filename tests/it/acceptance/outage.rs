//! ZooKeeper killed, hung and without its leader, under load.

use std::time::Instant;

use super::*;
use crate::support::light::Light;
use crate::support::load::Load;
use crate::support::zookeeper::ZooKeeper;

/// How often each client asks: as much as an application would, and the machine has other things to do.
const PACE: Option<Duration> = Some(Duration::from_millis(5));
/// Sessions that end long before the outage does.
const SHORT_SESSION: &str = "session_timeout=3s&connection_timeout=1s";

fn outage() -> Duration {
    Duration::from_secs(either(8, 300))
}

/// Three providers, announced as a, b and c, and one that is not yet.
async fn providers(writer: &Writer) -> (Vec<Light>, Vec<String>) {
    let providers = Light::several(4).await;
    let addresses: Vec<String> = providers.iter().map(|provider| provider.address.to_string()).collect();
    for (id, address) in ["a", "b", "c"].iter().zip(&addresses) {
        announce(writer, id, address).await;
    }
    (providers, addresses)
}

/// Waits until the registry has been down for so long.
async fn has_been_down(running: &Running, long: Duration) {
    let down = || {
        let status = running.catalog.registries().remove(0);
        (status.state == "down" && u128::from(status.for_ms) >= long.as_millis()).then_some(())
    };
    eventually(long + LATER, "the registry has been down for so long", down).await;
}

/// What is to hold at the end of an outage: nobody noticed, and the three are still what is known.
fn nothing_is_given_up(running: &Running, subscription: &Subscription) {
    let state = running.catalog.service("greeter").unwrap().freshness.state;
    assert_eq!((state, addresses(subscription).len()), ("stale", 3));
}

/// What is to hold once the changes appeared: requests go to whom they tell of, and to nobody else.
async fn requests_follow(load: &Load, providers: &[Light]) {
    let before: Vec<usize> = providers.iter().map(Light::requests).collect();
    load.goes_on().await;
    let since: Vec<usize> =
        providers.iter().zip(before).map(|(provider, before)| provider.requests() - before).collect();
    // What was picked before the change may still have been on its way.
    assert!(since[0] <= CLIENTS && since[1..].iter().all(|count| *count > 20), "{since:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_zookeeper_is_dead() {
    let mut zookeeper = ZooKeeper::start().await;
    let (providers, all) = providers(&zookeeper.writer().await).await;
    let running = proxy(&format!("zookeeper://{}?{SHORT_SESSION}", zookeeper.addresses()), "");
    let subscription = claim_on_greeter(&running).await;
    let load = Load::start(running.listeners[0], "greeter", CLIENTS, PACE);
    load.goes_on().await;
    zookeeper.server().kill();
    has_been_down(&running, outage()).await;
    nothing_is_given_up(&running, &subscription);
    // On another port, so that the changes are made before the proxy can see the server.
    let public = zookeeper.server().move_to(None);
    zookeeper.server().start();
    zookeeper.server().ready().await;
    let writer = zookeeper.writer().await;
    writer.delete(&path("a")).await;
    announce(&writer, "d", &all[3]).await;
    drop(writer);
    zookeeper.server().kill();
    nothing_is_given_up(&running, &subscription);
    zookeeper.server().move_to(Some(public));
    zookeeper.server().start();
    zookeeper.server().ready().await;
    let begin = Instant::now();
    picks_from(&subscription, &[&all[1], &all[2], &all[3]]).await;
    println!("ZooKeeper killed: {:.1?} after its return, changes made meanwhile appeared", begin.elapsed());
    requests_follow(&load, &providers).await;
    load.finish().await.none_failed(&format!("ZooKeeper killed for {:?}", outage()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_zookeeper_hangs() {
    let zookeeper = ZooKeeper::start_ensemble().await;
    let (providers, all) = providers(&zookeeper.writer().await).await;
    // The proxy knows one member only, which hangs; the others take the changes.
    let leader = eventually(LATER, "there is a leader", || zookeeper.leader()).await;
    let member = (leader + 1) % 3;
    let server = &zookeeper.servers[member];
    let running = proxy(&format!("zookeeper://{}?{SHORT_SESSION}", server.address()), "");
    let subscription = claim_on_greeter(&running).await;
    let load = Load::start(running.listeners[0], "greeter", CLIENTS, PACE);
    load.goes_on().await;
    server.pause();
    has_been_down(&running, outage() / 2).await;
    let writer = Writer::connect(&zookeeper.servers[leader].address()).await;
    writer.delete(&path("a")).await;
    announce(&writer, "d", &all[3]).await;
    has_been_down(&running, outage()).await;
    nothing_is_given_up(&running, &subscription);
    server.resume();
    let begin = Instant::now();
    picks_from(&subscription, &[&all[1], &all[2], &all[3]]).await;
    println!("ZooKeeper hung: {:.1?} after its return, changes made meanwhile appeared", begin.elapsed());
    requests_follow(&load, &providers).await;
    load.finish().await.none_failed(&format!("ZooKeeper hung for {:?}", outage()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_when_an_ensemble_loses_its_leader() {
    let mut zookeeper = ZooKeeper::start_ensemble().await;
    let (_providers, all) = providers(&zookeeper.writer().await).await;
    let running = proxy(&format!("zookeeper://{}", zookeeper.addresses()), "");
    let subscription = claim_on_greeter(&running).await;
    let load = Load::start(running.listeners[0], "greeter", CLIENTS, PACE);
    for round in 0..either(1, 6) {
        load.goes_on().await;
        let leader = eventually(LATER, "there is a leader", || zookeeper.leader()).await;
        zookeeper.servers[leader].kill();
        let begin = Instant::now();
        eventually(LATER, "there is another", || zookeeper.leader()).await;
        let elected = begin.elapsed();
        let writer = zookeeper.writer().await;
        let expected = if round % 2 == 0 {
            announce(&writer, "d", &all[3]).await;
            &all[..]
        } else {
            writer.delete(&path("d")).await;
            &all[..3]
        };
        let written = Instant::now();
        picks_from(&subscription, &expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
        println!(
            "leader killed: another after {elected:.1?}; a change appeared {:.1?} after it was written",
            written.elapsed()
        );
        zookeeper.servers[leader].start();
        zookeeper.servers[leader].ready().await;
    }
    load.goes_on().await;
    load.finish().await.none_failed("leader killed");
}
