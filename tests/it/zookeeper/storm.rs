//! Changes without a pause while servers die and hang: the truth at the end, and never less than it in between.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use wayside::registry::Report;

use super::*;

/// What a server that was away needs to be back, many times over.
const LATER: Duration = Duration::from_secs(60);

/// Changes records of `greeter` every 5 ms, whatever fails, until told to stop; the standing ones stay.
async fn write_until(stop: Arc<AtomicBool>, cluster: String) {
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let mut writer = Writer::connect(&cluster).await;
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    for number in 0_usize.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let id = format!("moving-{:02}", number * 7 % 20);
        let path = format!("/micro-registry/greeter/{id}");
        let data = record(&id, &format!("10.0.{}.{}:80", number >> 8 & 255, number & 255));
        let write = async {
            match number % 3 {
                0 => writer.client.create(&path, data.as_bytes(), &options).await.map(drop),
                1 => writer.client.set_data(&path, data.as_bytes(), None).await.map(drop),
                _ => writer.client.delete(&path, None).await,
            }
        };
        let written = tokio::time::timeout(Duration::from_secs(1), write).await;
        if matches!(written, Err(_) | Ok(Err(zookeeper_client::Error::SessionExpired))) {
            writer = Writer::connect(&cluster).await;
        }
        pace.tick().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_ends_in_the_truth() {
    let mut zookeeper = ZooKeeper::start_ensemble().await;
    let setup = zookeeper.writer().await;
    for number in 0..5 {
        announce(&setup, "greeter", &format!("standing-{number}"), &format!("10.1.0.{number}:80")).await;
    }
    let watching = watch(&zookeeper, "session_timeout=6s&connection_timeout=1s", &["greeter"]);
    eventually(SOON, "it is listed", || watching.listing("greeter")).await;
    let stop = Arc::new(AtomicBool::new(false));
    let storm = tokio::spawn(write_until(Arc::clone(&stop), zookeeper.addresses()));
    for round in 0..6 {
        let server = round / 2;
        let count = watching.count();
        if round % 2 == 0 {
            zookeeper.servers[server].kill();
        } else {
            zookeeper.servers[server].pause();
        }
        let goes_on = || (watching.lists_since(count, "greeter").len() >= 16).then_some(());
        eventually(LATER, "changes go on to be seen", goes_on).await;
        if round % 2 == 0 {
            zookeeper.servers[server].start();
        } else {
            zookeeper.servers[server].resume();
        }
        zookeeper.servers[server].ready().await;
    }
    stop.store(true, Ordering::Relaxed);
    storm.await.unwrap();

    let reader = zookeeper.writer().await;
    reader.client.sync("/").await.unwrap();
    let mut truth = BTreeMap::new();
    for id in reader.client.list_children("/micro-registry/greeter").await.unwrap() {
        let (data, _) = reader.client.get_data(&format!("/micro-registry/greeter/{id}")).await.unwrap();
        truth.insert(id, String::from_utf8(data).unwrap());
    }
    let is_true = || {
        let providers = watching.providers("greeter")?;
        let told: BTreeMap<String, String> = providers
            .iter()
            .map(|provider| (provider.id.to_string(), record(&provider.id, &provider.address.to_string())))
            .collect();
        (told == truth).then_some(())
    };
    eventually(SOON, "what is listed is what is there, long before the audit", is_true).await;
    let mut lists = 0;
    for (_, report) in watching.since(0) {
        let Report::Listed(listing) = report else { continue };
        let View::Present { providers, .. } = listing.view else { panic!("absent") };
        let standing = providers.iter().filter(|provider| provider.id.starts_with("standing")).count();
        assert_eq!(standing, 5, "a provider that stood was missing");
        lists += 1;
    }
    println!("{lists} lists, {} sessions", watching.failures().len() + 1);
}
