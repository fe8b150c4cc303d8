//! A registry that is not there when the proxy starts.

use http::StatusCode;
use serde_json::Value;

use super::*;
use crate::support::client::Client;
use crate::support::light::Light;
use crate::support::patience::at_last;
use crate::support::zookeeper::ZooKeeper;

/// What `/readyz` answers.
async fn ready(running: &Running) -> (StatusCode, Value) {
    let response = Client::connect(running.admin.unwrap()).await.get("localhost", "/readyz").await;
    (response.status(), serde_json::from_slice(response.body()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_absent_at_start_is_named_until_it_comes() {
    let mut zookeeper = ZooKeeper::start().await;
    let provider = Light::start().await;
    announce(&zookeeper.writer().await, "a", provider.address).await;
    zookeeper.server().kill();
    let servers = zookeeper.addresses();
    let running = proxy(&format!("zookeeper://{servers}"), "");
    let mut client = Client::connect(running.listeners[0]).await;

    let response = client.get("greeter", "/").await;
    let told = String::from_utf8(response.body().to_vec()).unwrap();
    println!("absent at start: a request is answered {}: {told}", response.status());
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(told.contains("greeter") && told.contains(&servers) && told.contains("zookeeper"), "{told}");

    let down = || (running.catalog.registries().remove(0).state == "down").then_some(());
    eventually(SOON, "the registry is known to be down", down).await;
    let (status, answer) = ready(&running).await;
    println!("absent at start: /readyz is answered {status}: {}", answer["why"]);
    assert_eq!((status, &answer["ready"]), (StatusCode::SERVICE_UNAVAILABLE, &Value::Bool(false)));
    let why = answer["why"].to_string();
    assert!(why.contains(&servers) && why.contains("does not answer: cannot open a session"), "{why}");
    assert!(why.contains("check that it runs there"), "the cure is told: {why}");

    zookeeper.server().start();
    zookeeper.server().ready().await;
    let begin = std::time::Instant::now();
    at_last("requests are answered", async || client.get("greeter", "/").await.status() == StatusCode::OK)
        .await;
    println!("absent at start: healed {:.1?} after ZooKeeper was ready", begin.elapsed());
    let (status, answer) = ready(&running).await;
    assert_eq!((status, &answer["ready"]), (StatusCode::OK, &Value::Bool(true)), "{answer}");
}
