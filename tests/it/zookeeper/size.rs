//! Many providers, many services, and how fast one change arrives.

use std::collections::BTreeSet;
use std::time::Instant;

use parking_lot::Mutex;
use wayside::registry::Report;
use zookeeper_client::{AddWatchMode, Client, EventType};

use super::*;
use crate::support::patience::either;

/// Between two changes, so that none is held back behind those before it.
const APART: Duration = Duration::from_millis(260);

/// Writes records by the hundred.
async fn put_all(writer: &Writer, paths_and_data: Vec<(String, String)>) {
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    for some in paths_and_data.chunks(500) {
        let mut multi = writer.client.new_multi_writer();
        for (path, data) in some {
            multi.add_create(path, data.as_bytes(), &options).unwrap();
        }
        multi.commit().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_providers_are_listed_at_once_and_a_change_costs_one_read() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    writer.put("/micro-registry/big", "").await;
    let address = |number: usize| format!("10.{}.{}.{}:8080", number >> 16, number >> 8 & 255, number & 255);
    let of = |number: usize| {
        let id = format!("big-{number:05}-8d7e7d3c-5f3b-4c55-9d52-1a6c3f0d6a11");
        (format!("/micro-registry/big/{id}"), record(&id, &address(number)))
    };
    put_all(&writer, (0..10_000).map(of).collect()).await;

    let begin = Instant::now();
    let watching = watch(&zookeeper, "", &["big"]);
    let providers = eventually(SOON, "all are listed", || watching.providers("big")).await;
    let took = begin.elapsed();
    println!("10,000 providers: listed {took:?} after the start, session and all");
    assert_eq!((providers.len(), watching.listing("big").unwrap().reads), (10_000, 10_000));
    assert!(took < either(SOON, Duration::from_secs(2)), "{took:?}");

    let begin = Instant::now();
    writer.delete(&of(5_000).0).await;
    eventually(SOON, "one goes", || (watching.providers("big")?.len() == 9_999).then_some(())).await;
    println!("10,000 providers: one withdrawn, listed {:?} after", begin.elapsed());
    assert_eq!(watching.listing("big").unwrap().reads, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_services_than_there_is_room_for_watches_survive_a_reconnect() {
    let mut zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    // 700 paths of 256 bytes: more than the 128 KiB that the client can bring back after a reconnect.
    let names: Vec<String> = (0..700).map(|number| format!("{}-{number:03}", "n".repeat(236))).collect();
    writer.put("/micro-registry", "").await;
    put_all(&writer, names.iter().map(|name| (format!("/micro-registry/{name}"), String::new())).collect())
        .await;
    let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
    let watching = watch(&zookeeper, "session_timeout=40s&connection_timeout=15s", &wanted);
    let all_since = |count: usize| {
        let listed: BTreeSet<String> = watching
            .since(count)
            .into_iter()
            .filter_map(|(_, report)| match report {
                Report::Listed(listing) => Some(listing.service.to_string()),
                Report::Connected { .. } | Report::Disconnected { .. } | Report::Unheard { .. } => None,
            })
            .collect();
        (listed.len() == names.len()).then_some(())
    };
    eventually(SOON, "all are listed", || all_since(0)).await;
    let watches = 120 * 1024 / 256 + 1;
    assert_eq!(zookeeper.servers[0].watches(), watches, "one of them on the root");

    let count = watching.count();
    zookeeper.server().kill();
    eventually(SOON, "the loss is reported", || watching.disconnected_since(count)).await;
    zookeeper.server().start();
    zookeeper.server().ready().await;
    eventually(Duration::from_secs(60), "all are listed again", || all_since(count)).await;
    assert_eq!(watching.failures(), [""; 0], "the session was to live on");
    let server = &zookeeper.servers[0];
    eventually(SOON, "as many are watched", || (server.watches() == watches).then_some(())).await;
    let writer = zookeeper.writer().await;
    for name in [&names[0], &names[699]] {
        announce(&writer, name, "late", "10.0.0.1:80").await;
        eventually(SOON, "a change is heard", || watching.has(name, &["late"])).await;
    }
}

/// What happened to a record, as a watcher can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happened {
    Created,
    Changed,
    Deleted,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_reported_soon_after_a_bare_watcher_hears_of_it() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    for number in 0..20 {
        announce(&writer, "greeter", &format!("standing-{number}"), &format!("10.0.0.{number}:80")).await;
    }
    let watching = watch(&zookeeper, "", &["greeter"]);
    eventually(SOON, "all are listed", || watching.listing("greeter")).await;
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

    let (mut bare, mut ours, mut between) = (Vec::new(), Vec::new(), Vec::new());
    let mut apart = tokio::time::interval(APART);
    for number in 0..either(30, 204) {
        apart.tick().await;
        let happened = [Happened::Created, Happened::Changed, Happened::Deleted][number % 3];
        let count = watching.count();
        let path = "/micro-registry/greeter/moving";
        let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
        let data = record("moving", &format!("10.0.1.{}:80", number % 3));
        let begin = Instant::now();
        match happened {
            Happened::Created => drop(writer.client.create(path, data.as_bytes(), &options).await.unwrap()),
            Happened::Changed => drop(writer.client.set_data(path, data.as_bytes(), None).await.unwrap()),
            Happened::Deleted => writer.delete(path).await,
        }
        let (reported, _) = eventually(SOON, "the change is reported", || watching.since(count).pop()).await;
        let heard_at =
            eventually(SOON, "the bare watcher hears of it", || heard.lock().get(number).copied()).await;
        let expected = match happened {
            Happened::Created => EventType::NodeCreated,
            Happened::Changed => EventType::NodeDataChanged,
            Happened::Deleted => EventType::NodeDeleted,
        };
        assert_eq!(heard_at.1, expected);
        assert_eq!(watching.lists_since(count, "greeter").len(), 1);
        // The first few warm up the server.
        if number >= 4 {
            bare.push(heard_at.0 - begin);
            ours.push(reported - begin);
            between.push(reported.saturating_duration_since(heard_at.0));
        }
    }
    task.abort();
    let spread = |what: &str, mut times: Vec<Duration>| {
        times.sort();
        let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
        println!("{what}, {} changes: median {median:?}, worst {worst:?}", times.len());
        median
    };
    let bare = spread("a bare watcher hears", bare);
    let ours = spread("the registry reports", ours);
    let between = spread("from the one to the other", between);
    let limit = either(Duration::from_millis(20) + bare * 4, Duration::from_millis(2));
    assert!(between < limit, "the median is {ours:?} beside {bare:?}, {between:?} apart");
}
