//! The Consul registry against real agents, and what no real agent does on demand against a played one.

mod announcing;
mod guarded;
mod outage;
mod played;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use wayside::provider::Protocol;
use wayside::registry::format::Reason;
use wayside::registry::{Registry, Skipped, View, kinds};

use crate::support::consul::Consul;
use crate::support::patience::eventually;
use crate::support::watching::Watching;

/// What a healthy registry needs for anything, many times over.
const SOON: Duration = Duration::from_secs(10);

fn registry(url: &str) -> Arc<dyn Registry> {
    url.parse::<kinds::Settings>().unwrap().open()
}

fn watch(consul: &Consul, options: &str, services: &[&str]) -> Watching {
    Watching::start(registry(&format!("consul://{}?{options}", consul.address())), services)
}

/// An instance of greeter without a check.
fn instance(id: &str, port: u16) -> Value {
    json!({"ID": id, "Name": "greeter", "Address": "10.0.0.1", "Port": port})
}

/// The same with a check that is passing while it is told so.
fn checked(id: &str, port: u16) -> Value {
    let mut instance = instance(id, port);
    instance["Check"] = json!({"CheckID": format!("service:{id}"), "TTL": "10m", "Status": "passing"});
    instance["Weights"] = json!({"Passing": 4, "Warning": 1});
    instance
}

async fn turn(consul: &Consul, id: &str, status: &str, output: &str) {
    let body = json!({"Status": status, "Output": output});
    consul.put(&format!("/v1/agent/check/update/service:{id}"), &body).await;
}

fn skipped(watching: &Watching, service: &str) -> Option<Vec<Skipped>> {
    match watching.listing(service)?.view {
        View::Present { skipped, .. } => Some(skipped),
        View::Absent => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registered_changed_and_deregistered_is_seen() {
    let consul = Consul::start().await;
    let watching = watch(&consul, "", &["greeter"]);
    eventually(SOON, "there is none yet", || watching.is_absent("greeter")).await;
    consul.register(&instance("a", 80)).await;
    eventually(SOON, "it comes", || watching.has("greeter", &["a"])).await;
    consul.register(&instance("b", 81)).await;
    eventually(SOON, "the second comes", || watching.has("greeter", &["a", "b"])).await;
    let listing = watching.listing("greeter").unwrap();
    assert!(listing.revision.is_some() && listing.heard.is_some() && !listing.healed);
    assert_eq!(listing.reads, 2);
    consul.register(&instance("b", 82)).await;
    eventually(SOON, "it moves", || {
        let providers = watching.providers("greeter")?;
        providers.iter().any(|provider| provider.address.port() == 82).then_some(())
    })
    .await;
    let order: Vec<u16> =
        watching.providers("greeter").unwrap().iter().map(|provider| provider.address.port()).collect();
    assert_eq!(order, [80, 82], "the one written last comes last");
    consul.deregister("a").await;
    eventually(SOON, "one goes", || watching.has("greeter", &["b"])).await;
    consul.deregister("b").await;
    eventually(SOON, "with the last one goes the service", || watching.is_absent("greeter")).await;
    assert_eq!(watching.failures(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_worst_check_and_maintenance_decide() {
    let consul = Consul::start().await;
    consul.register(&checked("a", 80)).await;
    consul.register(&checked("b", 81)).await;
    let watching = watch(&consul, "", &["greeter"]);
    let strict = watch(&consul, "passing=true", &["greeter"]);
    eventually(SOON, "both are listed", || watching.has("greeter", &["a", "b"])).await;
    let weight = || Some(watching.providers("greeter")?.first()?.weight.hundredths());
    assert_eq!(weight(), Some(400));

    turn(&consul, "a", "warning", "slow").await;
    eventually(SOON, "a warning has its weight", || (weight()? == 100).then_some(())).await;
    eventually(SOON, "who wants passing ones has no other", || strict.has("greeter", &["b"])).await;
    turn(&consul, "a", "critical", "no answer").await;
    eventually(SOON, "a critical one is out", || watching.has("greeter", &["b"])).await;
    let out = skipped(&watching, "greeter").unwrap();
    assert_eq!((out.len(), out[0].record.as_str(), out[0].reason), (1, "node/a", Reason::Disabled));
    assert!(out[0].detail.contains("critical: no answer"), "{}", out[0].detail);

    turn(&consul, "a", "passing", "").await;
    eventually(SOON, "it is back", || watching.has("greeter", &["a", "b"])).await;
    for id in ["a", "b"] {
        let path = format!("/v1/agent/service/maintenance/{id}?enable=true&reason=upgrade");
        consul.put(&path, &Value::Null).await;
    }
    eventually(SOON, "in maintenance none is left, and the service is there", || {
        watching.has("greeter", &[])
    })
    .await;
    assert!(skipped(&watching, "greeter").unwrap()[0].detail.contains("in maintenance: upgrade"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn go_micro_and_plain_services_are_told_apart_and_found_in_any_case() {
    let consul = Consul::start().await;
    let tags = [
        "t-789caa562a28ca2fc94fcecf51b252ca2d4d2e50aa05040000ffff46a906e2",
        "v-789cca492c492d2e01040000ffff08cc028e",
    ];
    consul
        .register(&json!({"ID": "g-1", "Name": "Greeter", "Tags": tags, "Address": "10.0.0.1", "Port": 80}))
        .await;
    let meta = json!({"zone": "a", "version": "2", "protocol": "grpc"});
    consul.register(&json!({"ID": "w-1", "Name": "web", "Tags": ["canary"], "Meta": meta, "Port": 81})).await;
    consul.register(&json!({"ID": "w-2", "Name": "web", "Port": 0})).await;
    let watching = watch(&consul, "", &["greeter", "web", "odd/name-ü", "web-2"]);
    eventually(SOON, "Go Micro's is listed", || watching.has("greeter", &["g-1"])).await;
    let micro = watching.providers("greeter").unwrap().remove(0);
    assert_eq!((micro.protocol, &*micro.version), (Protocol::Mucp, "latest"));
    eventually(SOON, "the plain one is listed", || watching.has("web", &["w-1"])).await;
    let plain = watching.providers("web").unwrap().remove(0);
    assert_eq!((plain.protocol, &*plain.version, plain.zone.as_deref()), (Protocol::H2c, "2", Some("a")));
    assert_eq!(plain.metadata["tag.canary"], "true");
    assert_eq!(plain.address.to_string(), "127.0.0.1:81", "the node's address stands in");
    assert_eq!(skipped(&watching, "web").unwrap()[0].reason, Reason::Address);
    eventually(SOON, "any name can be asked for", || watching.is_absent("odd/name-ü")).await;

    let canaries = watch(&consul, "tag=canary&consistency=stale", &["web", "greeter"]);
    eventually(SOON, "the one with the tag is listed", || canaries.has("web", &["w-1"])).await;
    assert_eq!(skipped(&canaries, "web").unwrap()[0].reason, Reason::Filtered);
    watching.want(&["web"]);
    let count = watching.count();
    consul.register(&json!({"ID": "g-2", "Name": "greeter", "Port": 82})).await;
    consul.register(&json!({"ID": "w-3", "Name": "web", "Port": 83})).await;
    eventually(SOON, "what is wanted goes on", || watching.has("web", &["w-1", "w-3"])).await;
    assert!(watching.lists_since(count, "greeter").is_empty(), "let go, and still reported");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_services_than_queries_can_wait_at_once_are_all_followed() {
    let consul = Consul::start().await;
    let names: Vec<String> = (0..200).map(|number| format!("service-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let watching = watch(&consul, "", &names);
    eventually(SOON, "all are known", || {
        names.iter().all(|name| watching.is_absent(name).is_some()).then_some(())
    })
    .await;
    for name in &names {
        consul.register(&json!({"ID": name, "Name": name, "Port": 80})).await;
    }
    eventually(SOON * 3, "all that came are seen", || {
        names.iter().all(|name| watching.has(name, &[name]).is_some()).then_some(())
    })
    .await;
    assert_eq!(watching.failures(), [""; 0]);
}
