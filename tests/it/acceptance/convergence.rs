//! How soon after a change in ZooKeeper a pick reflects it, beside what a bare watcher needs to hear of it.

use std::time::Instant;

use parking_lot::Mutex;
use wayside::balance::{Ask, rng};
use wayside::clock::Moment;
use zookeeper_client::{Acls, AddWatchMode, Client, CreateMode, EventType};

use super::*;
use crate::support::patience::spot;
use crate::support::zookeeper::ZooKeeper;

/// Between a pick and the next change, so that none falls among those that are gathered behind the ones before.
const APART: Duration = Duration::from_millis(260);
/// Changes that warm up the server.
const WARM_UP: usize = 6;

/// The address of a provider that is there all the time: the last one would be used on without a record.
const STAYS: &str = "10.0.1.1:80";

/// The address that a request would be sent to, besides that one.
fn picked(subscription: &Subscription) -> Option<String> {
    let snapshot = subscription.snapshot().load();
    let mut rng = rng::for_worker(1, 1);
    // One that stays is there besides, and round robin takes turns.
    let turns = (0..2).filter_map(|_| snapshot.pick(&mut Ask::new(Moment::START, &mut rng)).ok());
    let mut turns = turns.map(|endpoint| endpoint.provider.address.to_string());
    turns.find(|address| address != STAYS)
}

/// What is done to the record, as a watcher hears of it, and what a pick gives then.
fn change(number: usize) -> (EventType, Option<String>) {
    let address = format!("10.0.0.{}:80", number % 250 + 1);
    match number % 3 {
        0 => (EventType::NodeCreated, Some(address)),
        1 => (EventType::NodeDataChanged, Some(address)),
        _ => (EventType::NodeDeleted, None),
    }
}

async fn make(writer: &Writer, number: usize) {
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let path = path("moving");
    let data = change(number).1.map(|address| record("moving", &address));
    match data {
        Some(data) if number.is_multiple_of(3) => {
            writer.client.create(&path, data.as_bytes(), &options).await.unwrap();
        }
        Some(data) => {
            writer.client.set_data(&path, data.as_bytes(), None).await.unwrap();
        }
        None => writer.delete(&path).await,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pick_reflects_a_change_soon_after_a_bare_watcher_hears_of_it() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    announce(&writer, "staying", STAYS).await;
    let running = proxy(&format!("zookeeper://{}", zookeeper.addresses()), "");
    let subscription = claim_on_greeter(&running).await;
    let client = Client::connect(&zookeeper.addresses()).await.unwrap();
    let mut watcher =
        client.watch("/micro-registry/greeter", AddWatchMode::PersistentRecursive).await.unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    let task = tokio::spawn(async move {
        loop {
            let event = watcher.changed().await;
            hears.lock().push((Instant::now(), event.event_type));
        }
    });

    let mut apart = tokio::time::interval(APART);
    let (mut bare, mut ours, mut between) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..either(48, 201) + WARM_UP {
        apart.tick().await;
        let (event, expected) = change(number);
        let looks = Arc::clone(&subscription);
        let seen = tokio::spawn(spot("a pick reflects the change", move || picked(&looks) == expected));
        let begin = Instant::now();
        make(&writer, number).await;
        let seen = seen.await.unwrap();
        let told = || heard.lock().get(number).copied();
        let (heard_at, heard_event) = eventually(SOON, "the bare watcher hears of it", told).await;
        assert_eq!(heard_event, event);
        apart.reset();
        if number >= WARM_UP {
            bare.push(heard_at - begin);
            ours.push(seen - begin);
            between.push(seen.saturating_duration_since(heard_at));
        }
    }
    task.abort();
    let bare = spread("convergence: from a change to the bare watcher's event", bare);
    let ours = spread("convergence: from a change to the pick that reflects it", ours);
    let between = spread("convergence: from the one to the other", between);
    // Everyday runs share the machine with other tests: a read then takes as long as other things do.
    let limit = either(Duration::from_millis(20) + bare * 4, Duration::from_millis(2));
    assert!(between < limit, "the median is {ours:?} beside {bare:?}, {between:?} apart");
}
