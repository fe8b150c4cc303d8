//! An agent with access control: what a token may, and what becomes of services when it may no more.

use wayside::registry::consul;

use super::*;

/// A token that may do what these rules say; gives its secret.
async fn token(consul: &Consul, rules: &str) -> (String, String) {
    let policy = json!({"Name": format!("p{}", rules.len()), "Rules": rules});
    consul.put("/v1/acl/policy", &policy).await;
    let answer = consul.put("/v1/acl/token", &json!({"Policies": [{"Name": policy["Name"]}]})).await;
    let token: Value = serde_json::from_slice(&answer).unwrap();
    let text = |key: &str| token[key].as_str().unwrap().to_owned();
    (text("SecretID"), text("AccessorID"))
}

fn with(consul: &Consul, secret: &str) -> consul::Settings {
    let settings: consul::Settings = format!("//{}?audit=1s", consul.address()).parse().unwrap();
    settings.with_auth(secret.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_reads_what_it_may_and_what_it_read_stands_when_it_is_taken_away() {
    let consul = Consul::start_guarded().await;
    consul.register(&instance("a", 80)).await;
    let rules = "service_prefix \"\" { policy = \"read\" } node_prefix \"\" { policy = \"read\" }";
    let (secret, accessor) = token(&consul, rules).await;
    let registry = consul::open(with(&consul, &secret));
    assert!(!format!("{registry:?} {}", registry.location()).contains(&secret));
    let watching = Watching::start(Arc::new(registry), &["greeter"]);
    eventually(SOON, "it is listed", || watching.has("greeter", &["a"])).await;
    consul.register(&instance("b", 81)).await;
    eventually(SOON, "and followed", || watching.has("greeter", &["a", "b"])).await;

    let count = watching.count();
    consul.ask("DELETE", &format!("/v1/acl/token/{accessor}"), bytes::Bytes::new()).await;
    consul.register(&instance("c", 82)).await;
    let other = Watching::start(Arc::new(consul::open(with(&consul, &secret))), &["greeter"]);
    eventually(SOON, "an agent that refuses is there all the same", || other.connected_since(0)).await;
    assert!(other.listing("greeter").is_none(), "what cannot be read is neither empty nor absent");
    for listing in watching.lists_since(count, "greeter") {
        let View::Present { providers, .. } = listing.view else { panic!("taken for absent") };
        assert!(providers.len() >= 2, "{providers:?}");
    }
    assert_eq!((watching.failures().len(), other.failures().len()), (0, 0));
}
