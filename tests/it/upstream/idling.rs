//! Idle connections: how long a provider keeps them is learnt from what it says and from what it does.

use std::time::Duration;

use serde_json::Value;
use wayside::app::Running;

use crate::support::client::Raw;
use crate::support::patience::{PATIENCE, at_last, eventually};
use crate::support::provider::Script;
use crate::support::proxy::{config_with, start};
use crate::support::registry::Told;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn get(service: &str) -> String {
    format!("GET /x HTTP/1.1\r\nhost: {service}\r\n\r\n")
}

/// What operators see of the one provider of a service.
fn idle(proxy: &Running, service: &str) -> Value {
    let status = serde_json::to_value(proxy.catalog.service(service).unwrap()).unwrap();
    status["endpoints"][0]["idle"].clone()
}

#[tokio::test]
async fn a_provider_that_says_how_long_it_keeps_connections_is_believed() {
    let (told, silent) = (Script::start().await, Script::start().await);
    let registry = Told::with("told", &[told.address()]);
    registry.tell("silent", wayside::provider::Protocol::Http1, &[silent.address()]);
    let proxy = start(config_with("[upstream]\nidle_timeout = \"100ms\""), registry);
    let mut client = Raw::connect(proxy.listeners[0]).await;
    client.say(get("told")).await;
    let mut kept = Raw::from(told.accept().await);
    kept.hear_head().await;
    kept.say("HTTP/1.1 200 OK\r\nkeep-alive: timeout=30\r\ncontent-length: 2\r\n\r\nok").await;
    client.hear_until("ok").await;
    client.say(get("silent")).await;
    let mut dropped = Raw::from(silent.accept().await);
    dropped.hear_head().await;
    dropped.say(OK).await;
    client.hear_until("ok").await;
    // Used later than the other one, this one is closed, as that one would have been.
    assert_eq!(dropped.hear_all().await, "");
    client.say(get("told")).await;
    kept.hear_head().await;
    kept.say(OK).await;
    client.hear_until("ok").await;
    let shown = idle(&proxy, "told");
    assert_eq!(shown["limit_ms"], 29_000, "{shown}");
    assert!(shown["why"].as_str().unwrap().contains("Keep-Alive"), "{shown}");
    assert!(idle(&proxy, "silent").is_null());
}

#[tokio::test]
async fn a_provider_that_closes_idle_connections_again_and_again_is_understood() {
    let provider = Script::start().await;
    let proxy = start(config_with(""), Told::with("svc", &[provider.address()]));
    let mut client = Raw::connect(proxy.listeners[0]).await;
    at_last("the closes are learnt from", async || {
        client.say(get("svc")).await;
        let mut serving = Raw::from(provider.accept().await);
        serving.hear_head().await;
        serving.say(OK).await;
        client.hear_until("ok").await;
        drop(serving);
        let gone = || (proxy.metrics.proxy.upstream_connections_open.get() == 0).then_some(());
        eventually(PATIENCE, "the end of the connection is seen", gone).await;
        !idle(&proxy, "svc").is_null()
    })
    .await;
    let shown = idle(&proxy, "svc");
    assert!(shown["limit_ms"].as_u64().unwrap() < 4_000, "{shown}");
    assert!(shown["why"].as_str().unwrap().contains("close"), "{shown}");
}

#[tokio::test]
async fn a_stale_connection_is_replaced_even_where_there_is_room_for_one_alone() {
    let provider = Script::start().await;
    let config = config_with("[upstream]\nconnections_max = 1");
    let proxy = start(config, Told::with("svc", &[provider.address()]));
    let mut client = Raw::connect(proxy.listeners[0]).await;
    client.say(get("svc")).await;
    let mut serving = Raw::from(provider.accept().await);
    serving.hear_head().await;
    serving.say(OK).await;
    client.hear_until("ok").await;
    client.say(get("svc")).await;
    serving.hear_head().await;
    drop(serving);
    let mut serving = Raw::from(provider.accept().await);
    serving.hear_head().await;
    serving.say(OK).await;
    client.hear_until("ok").await;
    let metrics = &proxy.metrics.proxy;
    assert_eq!((metrics.upstream_stale_total.get(), metrics.upstream_dials_total.get()), (1, 2));
    assert_eq!(metrics.retries_total.get(), 0);
    let one = || (metrics.upstream_connections_open.get() == 1).then_some(());
    eventually(Duration::from_secs(5), "one connection is open", one).await;
}
