//! Folders: two of a service, of several parts, that come and go with what is in them; and names that are the records.

use std::time::Instant;

use wayside::provider::Tenure;

use super::*;
use crate::support::zookeeper::Release;

/// A service of Dubbo's.
pub(super) const INTERFACE: &str = "com.foo.BarService";
const FOLDER: &str = "/dubbo/com.foo.BarService";

/// Where a provider of Dubbo announces itself: its name is its record.
pub(super) fn provider(number: usize) -> String {
    let (host, port) = (format!("10.0.{}.{}", number / 250, number % 250), "50051");
    format!("{FOLDER}/providers/tri%3A%2F%2F{host}%3A{port}%2F{INTERFACE}%3Fside%3Dprovider")
}

/// Where an operator gives all providers a weight.
pub(super) fn configurator(weight: u32) -> String {
    format!(
        "{FOLDER}/configurators/override%3A%2F%2F0.0.0.0%2F{INTERFACE}%3Fcategory%3Dconfigurators%26weight%3D{weight}"
    )
}

fn weights(watching: &Watching, service: &str) -> Option<Vec<u32>> {
    Some(watching.providers(service)?.iter().map(|provider| provider.weight.hundredths()).collect())
}

/// Names and rules are followed, in a service that is asked for in another case.
async fn names_and_rules_are_followed(zookeeper: &mut ZooKeeper) {
    let writer = zookeeper.writer().await;
    let service = INTERFACE.to_lowercase();
    let weighs =
        |watching: &Watching, expected: &[u32]| (weights(watching, &service)? == expected).then_some(());
    writer.put(&format!("{FOLDER}/consumers/consumer"), "").await;
    let watching = watch(zookeeper, "format=dubbo&audit=2s&spread=0s", &[&service]);
    eventually(SOON, "it is not there", || watching.is_absent(&service)).await;
    writer.put(&provider(1), "").await;
    eventually(SOON, "it comes", || weighs(&watching, &[100])).await;
    writer.put(&configurator(50), "").await;
    eventually(SOON, "the rule is followed", || weighs(&watching, &[50])).await;
    writer.put(&provider(2), "").await;
    eventually(SOON, "another comes", || weighs(&watching, &[50, 50])).await;
    assert_eq!(watching.listing(&service).unwrap().reads, 1, "only the new one is read");
    writer.delete(&configurator(50)).await;
    eventually(SOON, "the rule goes", || weighs(&watching, &[100, 100])).await;
    writer.delete(&format!("{FOLDER}/configurators")).await;
    writer.put(&configurator(20), "").await;
    eventually(SOON, "the rules come back", || weighs(&watching, &[20, 20])).await;

    let count = watching.count();
    zookeeper.server().kill();
    eventually(SOON, "the loss is reported", || watching.disconnected_since(count)).await;
    zookeeper.server().start();
    zookeeper.server().ready().await;
    let writer = zookeeper.writer().await;
    writer.put(&configurator(30), "").await;
    writer.delete(&configurator(20)).await;
    writer.put(&provider(3), "").await;
    eventually(SOON * 3, "all is seen", || weighs(&watching, &[30, 30, 30])).await;
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
    writer.put(&format!("{FOLDER}/providers"), "").await;
    writer.client.create(&provider(2), b"", &leased).await.unwrap();
    writer.put(&provider(1), "").await;
    let options = "format=dubbo&session_timeout=40s&connection_timeout=15s&spread=0s";
    let watching = watch(&zookeeper, options, &[INTERFACE]);
    let providers = eventually(SOON, "both are listed", || watching.providers(INTERFACE)).await;
    let order: Vec<&str> = providers.iter().map(|provider| &*provider.record).collect();
    assert_eq!(order, [provider(2), provider(1)], "the one made last is last");
    let stat = writer.client.check_stat(&provider(2)).await.unwrap().unwrap();
    let tenures = [providers[0].tenure, providers[1].tenure];
    assert_eq!(tenures, [Tenure::Leased(stat.ephemeral_owner.cast_unsigned()), Tenure::Lasting]);
    assert_eq!(watching.listing(INTERFACE).unwrap().reads, 2);

    let count = watching.count();
    zookeeper.server().kill();
    zookeeper.server().start();
    let listing = || watching.lists_since(count, INTERFACE).pop();
    let listing = eventually(SOON * 6, "it is listed anew", listing).await;
    assert_eq!(listing.reads, 0);
    assert_eq!(watching.failures(), [""; 0], "the session was to live on");
}

/// Five thousand names as long as Dubbo's are where services have many methods.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_long_names_are_listed() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    writer.put(&format!("{FOLDER}/providers"), "").await;
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let path = |number: usize| format!("{}%26methods%3D{}", provider(number), "sayHello%2C".repeat(64));
    for some in (0..5000).collect::<Vec<_>>().chunks(250) {
        let mut multi = writer.client.new_multi_writer();
        for number in some {
            multi.add_create(&path(*number), b"10.9.9.9", &options).unwrap();
        }
        multi.commit().await.unwrap();
    }
    let bytes = path(0).len() * 5000;
    let begin = Instant::now();
    let watching = watch(&zookeeper, "format=dubbo", &[INTERFACE]);
    let providers = eventually(SOON, "all are listed", || watching.providers(INTERFACE)).await;
    println!("5,000 names, {bytes} bytes of them, listed {:?} after the start", begin.elapsed());
    assert_eq!(providers.len(), 5000);
    writer.delete(&path(7)).await;
    eventually(SOON, "one goes", || (watching.providers(INTERFACE)?.len() == 4999).then_some(())).await;
    assert_eq!(watching.listing(INTERFACE).unwrap().reads, 1);
    assert_eq!(watching.failures(), [""; 0]);
}

/// An instance as Curator writes it.
fn instance(port: u16) -> String {
    format!(
        r#"{{"name":"orders","id":"a","address":"10.0.0.12","port":{port},"sslPort":null,"payload":null}}"#
    )
}

/// As Curator keeps its services: ephemeral nodes whose data changes in place, in containers that the server removes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_vanish_and_return_with_what_is_in_them() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    let leased = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
    let container = CreateMode::Container.with_acls(Acls::anyone_all());
    let watching = watch(&zookeeper, "format=curator", &["orders"]);
    eventually(SOON, "there is nothing", || watching.is_absent("orders")).await;
    for _ in 0..2 {
        for folder in ["/services", "/services/orders"] {
            writer.client.create(folder, b"", &container).await.unwrap();
        }
        writer.client.create("/services/orders/a", instance(80).as_bytes(), &leased).await.unwrap();
        eventually(SOON, "it comes", || watching.has("orders", &["a"])).await;
        writer.client.set_data("/services/orders/a", instance(81).as_bytes(), None).await.unwrap();
        let moved = || (watching.providers("orders")?[0].address.port() == 81).then_some(());
        eventually(SOON, "it changes in its place", moved).await;
        writer.delete("/services/orders/a").await;
        eventually(SOON * 3, "both containers are gone", || watching.is_absent("orders")).await;
        while writer.client.check_stat("/services").await.unwrap().is_some() {}
    }
    assert!(watching.lists_since(0, "orders").iter().all(|listing| !listing.healed));
    assert_eq!(watching.failures(), [""; 0]);
}
