//! The ZooKeeper registry against real servers.

use std::sync::Arc;
use std::time::Duration;

use wayside::registry::{Registry, kinds};

use crate::support::eventually;
use crate::support::watching::Watching;
use crate::support::zookeeper::{Release, Writer, ZooKeeper};

/// What a healthy registry needs for anything, many times over.
const SOON: Duration = Duration::from_secs(10);

/// A record as go-micro v2 writes it.
pub(crate) fn record(id: &str, address: &str) -> String {
    format!(
        r#"{{"name":"greeter","version":"latest","metadata":null,"endpoints":null,"nodes":[{{"id":"{id}","address":"{address}","metadata":{{"protocol":"mucp"}}}}]}}"#
    )
}

fn registry(url: &str) -> Arc<dyn Registry> {
    url.parse::<kinds::Settings>().unwrap().open()
}

fn watch(zookeeper: &ZooKeeper, options: &str, services: &[&str]) -> Watching {
    Watching::start(registry(&format!("zookeeper://{}?{options}", zookeeper.addresses())), services)
}

async fn announce(writer: &Writer, service: &str, id: &str, address: &str) {
    writer.put(&format!("/micro-registry/{service}/{id}"), record(id, address)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn announced_changed_and_withdrawn_is_seen_with_one_read_each() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    announce(&writer, "greeter", "a", "10.0.0.1:80").await;
    announce(&writer, "greeter", "b", "10.0.0.2:80").await;
    let watching = watch(&zookeeper, "", &["greeter"]);
    eventually(SOON, "both are listed", || watching.has("greeter", &["a", "b"])).await;
    assert_eq!(watching.listing("greeter").unwrap().reads, 2);

    announce(&writer, "greeter", "c", "10.0.0.3:80").await;
    eventually(SOON, "the third is announced", || watching.has("greeter", &["a", "b", "c"])).await;
    let listing = watching.listing("greeter").unwrap();
    assert_eq!(listing.reads, 1);
    assert!(listing.changed_at.is_some() && listing.revision.is_some());

    announce(&writer, "greeter", "c", "10.0.0.4:80").await;
    eventually(SOON, "the third moves", || {
        let providers = watching.providers("greeter")?;
        providers.iter().any(|provider| provider.address.to_string() == "10.0.0.4:80").then_some(())
    })
    .await;
    assert_eq!(watching.listing("greeter").unwrap().reads, 1);

    writer.delete("/micro-registry/greeter/a").await;
    eventually(SOON, "the first is withdrawn", || watching.has("greeter", &["b", "c"])).await;
    assert_eq!(watching.failures(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_recursive_watches_is_followed_all_the_same() {
    let mut zookeeper = ZooKeeper::start_release(Release::V3_4).await;
    let writer = zookeeper.writer().await;
    announce(&writer, "greeter", "a", "10.0.0.1:80").await;
    writer.put("/micro-registry/Upper/u", record("u", "10.0.0.9:80")).await;
    let watching = watch(&zookeeper, "audit=2s", &["greeter", "later", "upper"]);
    eventually(SOON, "the first is listed", || watching.has("greeter", &["a"])).await;
    eventually(SOON, "there is no other yet", || watching.is_absent("later")).await;
    eventually(SOON, "a name in another case is found", || watching.has("upper", &["u"])).await;

    announce(&writer, "greeter", "b", "10.0.0.2:80").await;
    eventually(SOON, "the second is announced", || watching.has("greeter", &["a", "b"])).await;
    announce(&writer, "later", "c", "10.0.0.3:80").await;
    eventually(SOON, "the service comes", || watching.has("later", &["c"])).await;
    writer.delete("/micro-registry/greeter/a").await;
    eventually(SOON, "the first is withdrawn", || watching.has("greeter", &["b"])).await;
    announce(&writer, "greeter", "b", "10.0.0.4:80").await;
    eventually(SOON, "the audit finds the changed record", || {
        (watching.providers("greeter")?[0].address.to_string() == "10.0.0.4:80").then_some(())
    })
    .await;
    watching.want(&["greeter"]);
    writer.delete("/micro-registry/later/c").await;
    writer.delete("/micro-registry/later").await;

    let count = watching.count();
    zookeeper.server().kill();
    eventually(SOON, "the loss is reported", || watching.disconnected_since(count)).await;
    zookeeper.server().start();
    zookeeper.server().ready().await;
    Writer::connect(&zookeeper.addresses())
        .await
        .put("/micro-registry/greeter/d", record("d", "10.0.0.5:80"))
        .await;
    eventually(SOON, "the change after the return is seen", || watching.has("greeter", &["b", "d"])).await;
    assert!(watching.failures().len() <= 1, "{:?}", watching.failures());
}
