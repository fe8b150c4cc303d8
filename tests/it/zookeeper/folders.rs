//! Folders: two of a service, of several parts, that come and go with what is in them; and names that are the records.

use std::time::Instant;

use wayside::provider::Tenure;

use super::*;
use crate::support::names::{self, Names};
use crate::support::zookeeper::Release;

fn weights(watching: &Watching) -> Option<Vec<u32>> {
    Some(watching.providers("greeter")?.iter().map(|provider| provider.weight.hundredths()).collect())
}

/// The providers' names, and the folders above them.
async fn put(writer: &Writer, name: &str) {
    writer.put(&format!("/names/Greeter/{name}"), "").await;
}

/// Names and rules are followed, in a service whose folder is spelt otherwise.
async fn names_and_rules_are_followed(zookeeper: &mut ZooKeeper) {
    let writer = zookeeper.writer().await;
    put(&writer, "consumers/10.9.9.9:1").await;
    let watching = names::watch(&zookeeper.addresses(), "audit=2s&spread=0s", Names);
    eventually(SOON, "it is not there", || watching.is_absent("greeter")).await;
    put(&writer, "providers/10.0.0.1:80").await;
    eventually(SOON, "it comes", || watching.has("greeter", &["10.0.0.1:80"])).await;
    put(&writer, "rules/50").await;
    eventually(SOON, "the rule is followed", || (weights(&watching)? == [50]).then_some(())).await;
    put(&writer, "providers/10.0.0.2:80").await;
    eventually(SOON, "another comes", || (weights(&watching)? == [50, 50]).then_some(())).await;
    assert_eq!(watching.listing("greeter").unwrap().reads, 1, "only the new one is read");
    writer.delete("/names/Greeter/rules/50").await;
    eventually(SOON, "the rule goes", || (weights(&watching)? == [100, 100]).then_some(())).await;
    writer.delete("/names/Greeter/rules").await;
    put(&writer, "rules/20").await;
    eventually(SOON, "the rules come back", || (weights(&watching)? == [20, 20]).then_some(())).await;

    let count = watching.count();
    zookeeper.server().kill();
    eventually(SOON, "the loss is reported", || watching.disconnected_since(count)).await;
    zookeeper.server().start();
    zookeeper.server().ready().await;
    let writer = zookeeper.writer().await;
    put(&writer, "rules/30").await;
    writer.delete("/names/Greeter/rules/20").await;
    put(&writer, "providers/10.0.0.3:80").await;
    eventually(SOON * 3, "all is seen", || (weights(&watching)? == [30, 30, 30]).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_and_rules_are_followed_with_recursive_watches() {
    names_and_rules_are_followed(&mut ZooKeeper::start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_and_rules_are_followed_with_watches_that_fire_once() {
    names_and_rules_are_followed(&mut ZooKeeper::start_release(Release::V3_4).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_names_that_did_not_change_nothing_is_read_after_a_reconnect() {
    let mut zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    let leased = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
    writer.put("/names/greeter/providers", "").await;
    writer.client.create("/names/greeter/providers/10.0.0.2:80", b"", &leased).await.unwrap();
    writer.put("/names/greeter/providers/10.0.0.1:80", "").await;
    let watching =
        names::watch(&zookeeper.addresses(), "session_timeout=40s&connection_timeout=15s&spread=0s", Names);
    let providers = eventually(SOON, "both are listed", || watching.providers("greeter")).await;
    let order: Vec<&str> = providers.iter().map(|provider| &*provider.id).collect();
    assert_eq!(order, ["10.0.0.2:80", "10.0.0.1:80"], "the one made last is last");
    let stat = writer.client.check_stat("/names/greeter/providers/10.0.0.2:80").await.unwrap().unwrap();
    let owner = stat.ephemeral_owner.cast_unsigned();
    let tenures = [providers[0].tenure, providers[1].tenure];
    assert_eq!(tenures, [Tenure::Leased(owner), Tenure::Lasting]);
    assert_eq!(watching.listing("greeter").unwrap().reads, 2);

    let count = watching.count();
    zookeeper.server().kill();
    zookeeper.server().start();
    let listing = || watching.lists_since(count, "greeter").pop();
    let listing = eventually(SOON * 6, "it is listed anew", listing).await;
    assert_eq!(listing.reads, 0);
    assert_eq!(watching.failures(), [""; 0], "the session was to live on");
}

/// Five thousand names as long as Dubbo's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_long_names_are_listed() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    writer.put("/names/greeter/providers", "").await;
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let name = |number: usize| {
        format!("10.1.{}.{}:80?{}", number / 250, number % 250, "methods%3Dsay%26".repeat(56))
    };
    for some in (0..5000).collect::<Vec<_>>().chunks(250) {
        let mut multi = writer.client.new_multi_writer();
        for number in some {
            multi.add_create(&format!("/names/greeter/providers/{}", name(*number)), b"", &options).unwrap();
        }
        multi.commit().await.unwrap();
    }
    let bytes = name(0).len() * 5000;
    let begin = Instant::now();
    let watching = names::watch(&zookeeper.addresses(), "", Names);
    let providers = eventually(SOON, "all are listed", || watching.providers("greeter")).await;
    println!("5,000 names, {bytes} bytes of them, listed {:?} after the start", begin.elapsed());
    assert_eq!(providers.len(), 5000);
    writer.delete(&format!("/names/greeter/providers/{}", name(7))).await;
    eventually(SOON, "one goes", || (watching.providers("greeter")?.len() == 4999).then_some(())).await;
    assert_eq!(watching.listing("greeter").unwrap().reads, 1);
    assert_eq!(watching.failures(), [""; 0]);
}

/// As Curator keeps its services: ephemeral nodes whose data changes in place, in containers that the server removes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_vanish_and_return_with_what_is_in_them() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    let leased = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
    let container = CreateMode::Container.with_acls(Acls::anyone_all());
    let watching = watch(&zookeeper, "prefix=/services", &["orders"]);
    eventually(SOON, "there is nothing", || watching.is_absent("orders")).await;
    for round in 0..2 {
        for folder in ["/services", "/services/orders"] {
            writer.client.create(folder, b"", &container).await.unwrap();
        }
        let first = record("a", "10.0.0.1:80");
        writer.client.create("/services/orders/a", first.as_bytes(), &leased).await.unwrap();
        eventually(SOON, "it comes", || watching.has("orders", &["a"])).await;
        let moved = format!("10.0.0.{}:80", round + 2);
        writer.client.set_data("/services/orders/a", record("a", &moved).as_bytes(), None).await.unwrap();
        eventually(SOON, "it changes in its place", || {
            (watching.providers("orders")?[0].address.to_string() == moved).then_some(())
        })
        .await;
        writer.delete("/services/orders/a").await;
        eventually(SOON * 3, "both containers are gone", || watching.is_absent("orders")).await;
        while writer.client.check_stat("/services").await.unwrap().is_some() {}
    }
    assert!(watching.lists_since(0, "orders").iter().all(|listing| !listing.healed));
    assert_eq!(watching.failures(), [""; 0]);
}
