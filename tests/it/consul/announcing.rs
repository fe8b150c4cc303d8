//! Announcing with a real agent: in place, put back, moved, withdrawn, refused.

use std::collections::BTreeMap;
use std::time::SystemTime;

use wayside::provider::Provider;
use wayside::registry::announcer::{Announcement, Standing};
use wayside::registry::consul;

use super::*;
use crate::support::announcing::Announcing;

fn announcement(id: &str, port: u16) -> Announcement {
    let mut provider = Provider::new(id, format!("10.0.0.1:{port}").parse().unwrap());
    provider.protocol = Protocol::Mucp;
    provider.version = "1.0.0".into();
    provider.zone = Some("a".into());
    Announcement {
        service: "greeter".parse().unwrap(),
        provider,
        service_metadata: BTreeMap::new(),
        endpoints: vec![json!({"name": "Say.Hello", "request": null, "response": null, "metadata": {}})],
        ttl: Duration::from_secs(30),
        since: SystemTime::UNIX_EPOCH,
    }
}

fn settings(consul: &Consul, options: &str) -> consul::Settings {
    format!("//{}?{options}", consul.address()).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_announced_is_read_put_back_moved_and_withdrawn() {
    let consul = Consul::start().await;
    for (options, tags) in [("announce=go-micro", 4), ("announce=plain", 0)] {
        let mut announcing = Announcing::start(Arc::new(consul::announcer(settings(&consul, options))));
        let watching = watch(&consul, "", &["greeter"]);
        announcing.want(&[announcement("one", 80), announcement("two", 81)]);
        eventually(SOON, "both are in place", || announcing.all_in_place(2)).await;
        eventually(SOON, "both are read", || watching.has("greeter", &["one", "two"])).await;
        let read = watching.providers("greeter").unwrap().remove(0);
        let said = (read.protocol, &*read.version, read.zone.as_deref());
        assert_eq!(said, (Protocol::Mucp, "1.0.0", Some("a")));
        let kept = consul.get("/v1/agent/service/one").await;
        assert_eq!(kept["Tags"].as_array().unwrap().len(), tags);
        let checks = consul.get("/v1/agent/checks").await;
        assert_eq!(checks["service:one"]["Status"], "passing");

        let begun = std::time::Instant::now();
        consul.deregister("one").await;
        eventually(SOON, "it is gone", || watching.has("greeter", &["two"])).await;
        eventually(SOON, "and put back", || watching.has("greeter", &["one", "two"])).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "after {:?}", begun.elapsed());
        consul.register(&instance("two", 99)).await;
        eventually(SOON, "what was written over it is", || {
            let providers = watching.providers("greeter")?;
            providers.iter().any(|provider| provider.address.port() == 99).then_some(())
        })
        .await;
        eventually(SOON, "put right", || {
            let providers = watching.providers("greeter")?;
            providers.iter().all(|provider| provider.address.port() != 99).then_some(())
        })
        .await;

        announcing.want(&[announcement("one", 82)]);
        eventually(SOON, "one moves, and the other is withdrawn", || {
            let providers = watching.providers("greeter")?;
            (providers.len() == 1 && providers[0].address.port() == 82).then_some(())
        })
        .await;
        announcing.end().await;
        assert_eq!(announcing.standings(), []);
        eventually(SOON, "all is withdrawn", || watching.is_absent("greeter")).await;
        assert_eq!(announcing.failures(), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_begins_anew_is_told_anew_and_signs_of_life_keep_it_passing() {
    let mut consul = Consul::start().await;
    let announcing = Announcing::start(Arc::new(consul::announcer(settings(&consul, ""))));
    let mut short = announcement("one", 80);
    short.ttl = Duration::from_secs(3);
    announcing.want(&[short]);
    eventually(SOON, "it is in place", || announcing.all_in_place(1)).await;
    let watching = watch(&consul, "", &["greeter"]);
    eventually(SOON, "it is read", || watching.has("greeter", &["one"])).await;
    let count = watching.count();
    consul
        .register(&json!({"ID": "clock", "Name": "clock", "Check": {"TTL": "6s", "Status": "passing"}}))
        .await;
    let clock = watch(&consul, "", &["clock"]);
    eventually(SOON * 2, "six seconds have passed", || {
        skipped(&clock, "clock")?.iter().any(|skipped| skipped.detail.contains("TTL expired")).then_some(())
    })
    .await;
    assert!(watching.lists_since(count, "greeter").is_empty(), "the check expired in between");

    consul.kill();
    eventually(SOON, "the loss is noticed", || announcing.failures().pop()).await;
    consul.run();
    consul.ready().await;
    eventually(SOON, "it is in place again", || announcing.all_in_place(1)).await;
    eventually(SOON, "and read again", || watching.has("greeter", &["one"])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_announced_is_refused_with_the_cause_and_holds_up_nothing() {
    let consul = Consul::start_guarded().await;
    let rules = "service \"greeter\" { policy = \"write\" } node_prefix \"\" { policy = \"read\" }";
    consul.put("/v1/acl/policy", &json!({"Name": "one", "Rules": rules})).await;
    let token = consul.put("/v1/acl/token", &json!({"Policies": [{"Name": "one"}]})).await;
    let token: Value = serde_json::from_slice(&token).unwrap();
    let secret = token["SecretID"].as_str().unwrap().parse().unwrap();
    let announcing = Announcing::start(Arc::new(consul::announcer(settings(&consul, "").with_auth(secret))));
    let mut foreign = announcement("two", 81);
    foreign.service = "billing".parse().unwrap();
    let same = announcement("one", 82);
    announcing.want_as([("1", announcement("one", 80)), ("2", foreign), ("3", same)]);
    let standings = eventually(SOON, "all is told", || {
        Some(announcing.standings()).filter(|standings| standings.len() == 3)
    })
    .await;
    assert_eq!(standings[0], Standing::Announced { record: "one".to_owned() });
    let cause = |standing: &Standing| match standing {
        Standing::Refused { cause } => cause.clone(),
        Standing::Announced { record } => panic!("{record} is announced"),
    };
    assert!(cause(&standings[1]).contains("403: Permission denied"), "{:?}", standings[1]);
    assert!(cause(&standings[2]).contains("has the id \"one\" too"), "{:?}", standings[2]);
    assert_eq!(announcing.failures(), [""; 0]);
}
