//! The ZooKeeper registry against real servers.

mod audit;
mod folders;
mod old;
mod outage;
mod size;
mod storm;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use wayside::provider::Protocol;
use wayside::registry::format::Reason;
use wayside::registry::{Registry, Skipped, View, kinds, zookeeper};
use zookeeper_client::{Acls, CreateMode};

use crate::support::patience::eventually;
use crate::support::watching::Watching;
use crate::support::zookeeper::{Writer, ZooKeeper};

/// What a healthy registry needs for anything, many times over.
const SOON: Duration = Duration::from_secs(10);

/// A record as go-micro v2 writes it.
fn record(id: &str, address: &str) -> String {
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

fn skipped(watching: &Watching, service: &str) -> Option<Vec<Skipped>> {
    match watching.listing(service)?.view {
        View::Present { skipped, .. } => Some(skipped),
        View::Absent => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_records_are_skipped_and_spoil_nothing() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    announce(&writer, "greeter", "good", "10.0.0.1:80").await;
    for (name, data) in
        [("empty", ""), ("null", "null"), ("cut", "{\"nodes\":[{"), ("nowhere", "{\"nodes\":[]}")]
    {
        writer.put(&format!("/micro-registry/greeter/{name}"), data).await;
    }
    writer.put("/micro-registry/greeter/folder/inside", "").await;
    let private = CreateMode::Persistent.with_acls(Acls::creator_all());
    let owner = zookeeper.writer().await;
    owner.client.auth("digest", b"scott:tiger").await.unwrap();
    owner.client.create("/micro-registry/greeter/private", b"", &private).await.unwrap();

    let watching = watch(&zookeeper, "", &["greeter"]);
    eventually(SOON, "the good one is listed", || watching.has("greeter", &["good"])).await;
    let reasons: Vec<(String, Reason)> =
        skipped(&watching, "greeter").unwrap().into_iter().map(|bad| (bad.record, bad.reason)).collect();
    let expected = [
        ("cut", Reason::Malformed),
        ("empty", Reason::Empty),
        ("nowhere", Reason::Address),
        ("null", Reason::Malformed),
        ("private", Reason::Denied),
    ];
    assert_eq!(reasons, expected.map(|(name, reason)| (format!("/micro-registry/greeter/{name}"), reason)));

    announce(&writer, "greeter", "cut", "10.0.0.2:80").await;
    eventually(SOON, "the mended one is listed", || watching.has("greeter", &["cut", "good"])).await;
    writer.put("/micro-registry/greeter/good/inside", "").await;
    eventually(SOON, "what has a child is none", || watching.has("greeter", &["cut"])).await;
    writer.delete("/micro-registry/greeter/good/inside").await;
    eventually(SOON, "without it, it is one again", || watching.has("greeter", &["cut", "good"])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_come_and_go_and_are_wanted_and_let_go() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    announce(&writer, "first", "a", "10.0.0.1:80").await;
    announce(&writer, "MixedCase", "m", "10.0.0.9:80").await;
    let watching = watch(&zookeeper, "", &["first", "later", "mixedcase", "odd\u{e000}"]);
    eventually(SOON, "the one is listed", || watching.has("first", &["a"])).await;
    eventually(SOON, "the other is not there", || watching.is_absent("later")).await;
    eventually(SOON, "a name in another case is found", || watching.has("mixedcase", &["m"])).await;
    eventually(SOON, "a name that ZooKeeper cannot hold is not there", || watching.is_absent("odd\u{e000}"))
        .await;

    announce(&writer, "later", "b", "10.0.0.2:80").await;
    eventually(SOON, "it comes", || watching.has("later", &["b"])).await;
    announce(&writer, "MixedCase", "n", "10.0.0.8:80").await;
    eventually(SOON, "the one in another case is watched", || watching.has("mixedcase", &["m", "n"])).await;
    writer.delete("/micro-registry/later/b").await;
    eventually(SOON, "it is there without a provider", || watching.has("later", &[])).await;
    writer.delete("/micro-registry/later").await;
    eventually(SOON, "it goes", || watching.is_absent("later")).await;

    announce(&writer, "more", "c", "10.0.0.3:80").await;
    watching.want(&["later", "more"]);
    eventually(SOON, "what is wanted later is listed", || watching.has("more", &["c"])).await;
    let server = &zookeeper.servers[0];
    eventually(SOON, "only what is wanted is watched", || (server.watches() == 2).then_some(())).await;
    assert_eq!(server.number("zk_global_sessions"), 2, "one for the writer, and one for all that is watched");
    let count = watching.count();
    announce(&writer, "first", "d", "10.0.0.4:80").await;
    announce(&writer, "stranger", "e", "10.0.0.5:80").await;
    announce(&writer, "later", "f", "10.0.0.6:80").await;
    eventually(SOON, "what is wanted goes on", || watching.has("later", &["f"])).await;
    assert!(watching.lists_since(count, "first").is_empty(), "let go, and still reported");
    assert_eq!(watching.failures(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_records_with_one_address_the_newer_comes_last() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    for id in ["z-dead", "m-other", "a-restarted"] {
        announce(&writer, "greeter", id, "10.0.0.1:80").await;
    }
    let watching = watch(&zookeeper, "", &["greeter"]);
    let order = || {
        Some(
            watching.providers("greeter")?.iter().map(|provider| provider.id.to_string()).collect::<Vec<_>>(),
        )
    };
    let first = eventually(SOON, "all are listed", order).await;
    assert_eq!(first, ["z-dead", "m-other", "a-restarted"]);
    announce(&writer, "greeter", "m-other", "10.0.0.1:80").await;
    eventually(SOON, "the one written last comes last", || {
        (order()? == ["z-dead", "a-restarted", "m-other"]).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_credentials_is_read_with_them_and_holds_up_nothing_without() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    announce(&writer, "open", "o", "10.0.0.1:80").await;
    let owner = zookeeper.writer().await;
    owner.client.auth("digest", b"scott:tiger").await.unwrap();
    let private = CreateMode::Persistent.with_acls(Acls::creator_all());
    owner.client.create("/micro-registry/private", b"", &private).await.unwrap();
    let data = record("p", "10.0.0.2:80");
    owner.client.create("/micro-registry/private/p", data.as_bytes(), &private).await.unwrap();

    let without = watch(&zookeeper, "", &["open", "private"]);
    eventually(SOON, "what is open is listed", || without.has("open", &["o"])).await;
    let settings: zookeeper::Settings = format!("//{}", zookeeper.addresses()).parse().unwrap();
    let with = zookeeper::open(settings.with_auth("scott:tiger".parse().unwrap()));
    assert!(!format!("{with:?} {}", with.location()).contains("tiger"));
    let with = Watching::start(Arc::new(with), &["open", "private"]);
    eventually(SOON, "with credentials all is listed", || with.has("private", &["p"])).await;
    owner
        .client
        .create("/micro-registry/private/q", record("q", "10.0.0.3:80").as_bytes(), &private)
        .await
        .unwrap();
    eventually(SOON, "and followed", || with.has("private", &["p", "q"])).await;
    assert!(without.listing("private").is_none(), "what cannot be read is neither empty nor absent");
    assert_eq!((without.failures().len(), with.failures().len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chroot_and_a_prefix_of_ones_own() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    let url = format!("zookeeper://{}/tenants/blue?prefix=/my/services", zookeeper.addresses());
    let watching = Watching::start(registry(&url), &["greeter", "web/users"]);
    eventually(SOON, "not even the chroot is there", || watching.is_absent("greeter")).await;
    let root = "/tenants/blue/my/services";
    writer.put(&format!("{root}/greeter/a"), record("a", "10.0.0.1:80")).await;
    writer.put(&format!("{root}/web-users/b"), record("b", "10.0.0.2:80")).await;
    writer.put(&format!("{root}/greeter/bad"), "{}").await;
    eventually(SOON, "it comes", || watching.has("greeter", &["a"])).await;
    eventually(SOON, "a slash in a name is a dash", || watching.has("web/users", &["b"])).await;
    let bad =
        eventually(SOON, "the whole path of a bad one is told", || skipped(&watching, "greeter")?.pop())
            .await;
    assert_eq!(bad.record, format!("{root}/greeter/bad"));
    assert_eq!(watching.failures(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_real_go_micro_programs_wrote_is_found() {
    let zookeeper = ZooKeeper::start().await;
    let writer = zookeeper.writer().await;
    let dump = include_str!("../fixtures/znodes/go-micro-1.18-and-2.9.json");
    let dump: serde_json::Value = serde_json::from_str(dump).unwrap();
    for node in dump["nodes"].as_array().unwrap() {
        let data =
            base64::engine::general_purpose::STANDARD.decode(node["data_b64"].as_str().unwrap()).unwrap();
        writer.put(node["path"].as_str().unwrap(), data).await;
    }
    let watching = watch(&zookeeper, "", &["greeter", "greeter.grpc", "greeter.web", "go.micro.http.broker"]);
    for (service, count, protocol) in [
        ("greeter", 4, Protocol::Mucp),
        ("greeter.grpc", 1, Protocol::H2c),
        ("greeter.web", 2, Protocol::Http1),
        ("go.micro.http.broker", 2, Protocol::Http1),
    ] {
        let providers = eventually(SOON, service, || watching.providers(service)).await;
        assert_eq!(providers.len(), count, "{service}");
        assert!(providers.iter().all(|provider| provider.protocol == protocol), "{service}");
        assert_eq!(skipped(&watching, service).unwrap(), [], "{service}");
    }
}
