//! etcd as a registry, against a real server.

mod announcing;
mod outage;
mod secure;
mod size;

use std::sync::Arc;
use std::time::Duration;

use wayside::provider::{Protocol, Tenure};
use wayside::registry::format::Reason;
use wayside::registry::{Registry, Skipped, View, etcd, kinds};

use crate::support::etcd::{Etcd, Writer};
use crate::support::patience::eventually;
use crate::support::watching::Watching;

/// What a healthy registry needs for anything, many times over.
const SOON: Duration = Duration::from_secs(10);
/// What a server that was away needs to be back, many times over.
const LATER: Duration = Duration::from_secs(60);

/// A record as go-micro v2 writes it.
fn record(id: &str, address: &str) -> String {
    format!(
        r#"{{"name":"greeter","version":"latest","metadata":null,"endpoints":null,"nodes":[{{"id":"{id}","address":"{address}","metadata":{{"protocol":"mucp"}}}}]}}"#
    )
}

fn registry(url: &str) -> Arc<dyn Registry> {
    url.parse::<kinds::Settings>().unwrap().open()
}

fn watch(etcd: &Etcd, options: &str, services: &[&str]) -> Watching {
    Watching::start(registry(&format!("etcd://{}?{options}", etcd.address())), services)
}

async fn announce(writer: &mut Writer, service: &str, id: &str, address: &str) -> i64 {
    writer.put(&format!("/micro/registry/{service}/{id}"), record(id, address)).await
}

fn skipped(watching: &Watching, service: &str) -> Option<Vec<Skipped>> {
    match watching.listing(service)?.view {
        View::Present { skipped, .. } => Some(skipped),
        View::Absent => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn announced_changed_and_withdrawn_is_heard_and_nothing_is_read_for_it() {
    let etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    announce(&mut writer, "greeter", "a", "10.0.0.1:80").await;
    announce(&mut writer, "greeter", "b", "10.0.0.2:80").await;
    announce(&mut writer, "greeter2", "x", "10.0.0.9:80").await;
    let watching = watch(&etcd, "", &["greeter", "unknown"]);
    eventually(SOON, "both are listed", || watching.has("greeter", &["a", "b"])).await;
    eventually(SOON, "no such service", || watching.is_absent("unknown")).await;
    let listing = watching.listing("greeter").unwrap();
    assert_eq!((listing.reads, listing.heard, listing.changed_at), (2, None, None));

    let at = announce(&mut writer, "greeter", "c", "10.0.0.3:80").await;
    eventually(SOON, "the third is announced", || watching.has("greeter", &["a", "b", "c"])).await;
    let listing = watching.listing("greeter").unwrap();
    assert_eq!((listing.reads, listing.revision, listing.healed), (1, Some(at), false));
    assert!(listing.heard.is_some());

    announce(&mut writer, "greeter", "a", "10.0.0.4:80").await;
    eventually(SOON, "the first moves, and is the newest then", || {
        let providers = watching.providers("greeter")?;
        (providers.last()?.address.to_string() == "10.0.0.4:80" && providers.len() == 3).then_some(())
    })
    .await;
    announce(&mut writer, "unknown", "u", "10.0.0.5:80").await;
    eventually(SOON, "the unknown comes", || watching.has("unknown", &["u"])).await;
    for id in ["a", "b", "c"] {
        writer.delete(&format!("/micro/registry/greeter/{id}")).await;
    }
    eventually(SOON, "with its last provider the service is gone", || watching.is_absent("greeter")).await;
    assert_eq!(watching.failures(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_records_are_skipped_and_spoil_nothing() {
    let etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    announce(&mut writer, "greeter", "a", "10.0.0.1:80").await;
    writer.put("/micro/registry/greeter/empty", "").await;
    writer.put("/micro/registry/greeter/torn", r#"{"name":"gree"#).await;
    writer.put("/micro/registry/greeter/deeper/x", record("x", "10.0.0.7:80")).await;
    let watching = watch(&etcd, "", &["greeter"]);
    eventually(SOON, "the good one is listed", || watching.has("greeter", &["a"])).await;
    let of = |watching: &Watching| {
        let skipped = skipped(watching, "greeter")?;
        Some(skipped.into_iter().map(|skipped| (skipped.record, skipped.reason)).collect::<Vec<_>>())
    };
    let key = |name: &str| format!("/micro/registry/greeter/{name}");
    let both = [(key("empty"), Reason::Empty), (key("torn"), Reason::Malformed)];
    assert_eq!(of(&watching).unwrap(), both);
    announce(&mut writer, "greeter", "torn", "10.0.0.2:80").await;
    writer.put(&key("a"), "null").await;
    eventually(SOON, "one is mended, another torn", || watching.has("greeter", &["torn"])).await;
    assert_eq!(of(&watching).unwrap(), [(key("a"), Reason::Malformed), (key("empty"), Reason::Empty)]);
    assert_eq!(watching.failures(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wanted_comes_and_goes_on_one_stream() {
    let etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    announce(&mut writer, "first", "a", "10.0.0.1:80").await;
    announce(&mut writer, "later", "b", "10.0.0.2:80").await;
    let watching = watch(&etcd, "", &[]);
    eventually(SOON, "it answers though nothing is wanted", || watching.connected_since(0)).await;
    watching.want(&["first"]);
    eventually(SOON, "the first is listed", || watching.has("first", &["a"])).await;
    for _ in 0..20 {
        watching.want(&["first"]);
        watching.want(&["later", "first"]);
        watching.want(&["later"]);
    }
    eventually(SOON, "the second is listed", || watching.has("later", &["b"])).await;
    let count = watching.count();
    announce(&mut writer, "first", "c", "10.0.0.3:80").await;
    announce(&mut writer, "later", "d", "10.0.0.4:80").await;
    eventually(SOON, "what is wanted goes on", || watching.has("later", &["b", "d"])).await;
    assert!(watching.lists_since(count, "first").is_empty(), "let go, and still reported");
    watching.want(&["first"]);
    eventually(SOON, "wanted again, it is listed again", || watching.has("first", &["a", "c"])).await;
    assert_eq!(watching.failures(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_ends_with_its_lease() {
    let etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    announce(&mut writer, "greeter", "lasting", "10.0.0.1:80").await;
    let lease = writer.lease("/micro/registry/greeter/leased", record("leased", "10.0.0.2:80"), 2).await;
    let watching = watch(&etcd, "", &["greeter"]);
    let providers = eventually(SOON, "both are listed", || {
        watching.has("greeter", &["lasting", "leased"]).and_then(|()| watching.providers("greeter"))
    })
    .await;
    let tenures: Vec<Tenure> = providers.iter().map(|provider| provider.tenure).collect();
    assert_eq!(tenures, [Tenure::Lasting, Tenure::Leased(lease.cast_unsigned())]);
    assert_eq!(&*providers[1].record, "/micro/registry/greeter/leased");
    eventually(SOON, "the lease ends", || watching.has("greeter", &["lasting"])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_layouts_that_go_micro_had_and_keys_without_a_prefix() {
    let etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    for (key, id) in [
        ("/micro/registry/greeter/now", "now"),
        ("/micro/registry/blue/greeter/domain", "domain"),
        ("/micro-registry/greeter/older", "older"),
        ("greeter/bare", "bare"),
    ] {
        writer.put(key, record(id, "10.0.0.1:80")).await;
    }
    for (options, id) in [
        ("", "now"),
        ("prefix=/micro/registry/blue", "domain"),
        ("prefix=/micro-registry", "older"),
        ("prefix=/", "bare"),
        ("prefix=", "bare"),
    ] {
        let watching = watch(&etcd, options, &["greeter"]);
        eventually(SOON, options, || watching.has("greeter", &[id])).await;
        assert_eq!(skipped(&watching, "greeter").unwrap(), [], "{options}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_formats_lie_where_their_makers_put_them() {
    let etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    let kratos =
        r#"{"id":"k","name":"greeter","version":"v1","metadata":null,"endpoints":["http://10.0.0.1:80"]}"#;
    writer.put("/microservices/greeter/k", kratos).await;
    writer.put("greeter/10.0.0.1:80", r#"{"Op":0,"Addr":"10.0.0.1:80","Metadata":null}"#).await;
    writer.put("greeter.rpc/7587870460981677828", "10.0.0.1:80").await;
    writer.put("/services/greeter/p", "10.0.0.1:80").await;
    for (format, service) in
        [("kratos", "greeter"), ("grpc", "greeter"), ("go-zero", "greeter.rpc"), ("plain", "greeter")]
    {
        let watching = watch(&etcd, &format!("format={format}"), &[service, "other"]);
        let providers = eventually(SOON, format, || watching.providers(service)).await;
        assert_eq!(
            (providers.len(), providers[0].address.to_string().as_str()),
            (1, "10.0.0.1:80"),
            "{format}"
        );
        assert_eq!(skipped(&watching, service).unwrap(), [], "{format}");
        eventually(SOON, format, || watching.is_absent("other")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_in_another_case_finds_the_service_unless_there_is_one_spelt_so() {
    let etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    announce(&mut writer, "Greeter", "a", "10.0.0.1:80").await;
    announce(&mut writer, "greeters", "x", "10.0.0.9:80").await;
    let watching = watch(&etcd, "audit=1s", &["greeter", "other"]);
    eventually(SOON, "it is found", || watching.has("greeter", &["a"])).await;
    eventually(SOON, "the other is not", || watching.is_absent("other")).await;
    announce(&mut writer, "Greeter", "b", "10.0.0.2:80").await;
    eventually(SOON, "and followed", || watching.has("greeter", &["a", "b"])).await;
    assert!(watching.listing("greeter").unwrap().heard.is_some());
    announce(&mut writer, "Other", "c", "10.0.0.3:80").await;
    eventually(LATER, "one that comes later is found later", || watching.has("other", &["c"])).await;
    announce(&mut writer, "other", "d", "10.0.0.4:80").await;
    eventually(LATER, "the right one is preferred", || watching.has("other", &["d"])).await;
    announce(&mut writer, "other", "e", "10.0.0.5:80").await;
    eventually(SOON, "and followed", || watching.has("other", &["d", "e"])).await;
    for id in ["d", "e"] {
        writer.delete(&format!("/micro/registry/other/{id}")).await;
    }
    eventually(LATER, "it goes, and the other one is left", || watching.has("other", &["c"])).await;
    let healed = watching.lists_since(0, "other").iter().any(|listing| listing.healed);
    assert!(!healed, "nothing was missed");
    assert_eq!(watching.failures(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_real_go_micro_programs_wrote_is_found() {
    let etcd = Etcd::start().await;
    let mut writer = etcd.writer().await;
    let dump = include_str!("../fixtures/znodes/etcd-go-micro.json");
    let dump: serde_json::Value = serde_json::from_str(dump).unwrap();
    for record in dump.as_array().unwrap() {
        let (key, value) = (record["key"].as_str().unwrap(), record["value"].as_str().unwrap());
        writer.lease(key, value, 90).await;
    }
    let watching = watch(&etcd, "", &["greeter", "greeter.web", "go.micro.http.broker"]);
    for (service, addresses, protocol) in [
        ("greeter", &["127.0.0.1:43563", "127.0.0.1:46419"][..], Protocol::Mucp),
        ("greeter.web", &["127.0.0.1:41175"], Protocol::Http1),
        ("go.micro.http.broker", &["127.0.0.1:36231"], Protocol::Http1),
    ] {
        let providers = eventually(SOON, service, || watching.providers(service)).await;
        let mut found: Vec<String> = providers.iter().map(|provider| provider.address.to_string()).collect();
        found.sort();
        assert_eq!(found, addresses, "{service}");
        assert!(providers.iter().all(|provider| provider.protocol == protocol), "{service}");
        assert!(providers.iter().all(|provider| matches!(provider.tenure, Tenure::Leased(_))), "{service}");
        assert_eq!(skipped(&watching, service).unwrap(), [], "{service}");
    }
}
