//! Room at providers: who waits until one has room, who is called, and who is told that there is none.

use wayside::app::Running;

use crate::support::client::Raw;
use crate::support::patience::{PATIENCE, eventually};
use crate::support::provider::Script;
use crate::support::proxy::{config_with, start};
use crate::support::registry::Told;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: svc\r\n\r\n")
}

/// A proxy whose one provider has room for one request, and has one: the client, the provider's side.
async fn full(line: &str) -> (Running, Script, Raw, Raw) {
    let provider = Script::start().await;
    let mut config = config_with(&format!("[services.limits]\nin_flight = 1\n{line}"));
    config.workers = 2;
    let proxy = start(config, Told::with("svc", &[provider.address()]));
    let mut client = Raw::connect(proxy.listeners[0]).await;
    client.say(get("/first")).await;
    let mut serving = Raw::from(provider.accept().await);
    serving.hear_head().await;
    (proxy, provider, client, serving)
}

/// One more client, whose request waits as the last of so many.
async fn waiting(proxy: &Running, path: &str, count: i64) -> Raw {
    let mut client = Raw::connect(proxy.listeners[0]).await;
    client.say(get(path)).await;
    let same = || (proxy.metrics.proxy.queue_waiting.get() == count).then_some(());
    eventually(PATIENCE, "so many requests wait", same).await;
    client
}

#[tokio::test]
async fn who_waits_for_a_provider_is_called_in_turn_whichever_worker_it_came_to() {
    // Connections are spread by chance: of sixteen, some will be the other worker's.
    let (proxy, provider, mut first, serving) = full("queue = 16\nqueue_timeout = \"10s\"").await;
    let mut line = Vec::new();
    for number in 0..16 {
        line.push(waiting(&proxy, &format!("/{number}"), number + 1).await);
    }
    let mut beyond = Raw::connect(proxy.listeners[0]).await;
    beyond.say(get("/beyond")).await;
    let refused = beyond.hear_head().await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after: 1\r\n"), "{refused}");
    assert!(refused.contains("details=\"endpoints_full\""), "{refused}");
    let mut known = vec![serving];
    known[0].say(OK).await;
    first.hear_until("ok").await;
    for (number, client) in line.iter_mut().enumerate() {
        let (head, at) = provider.hear_head(&mut known).await;
        assert!(head.starts_with(&format!("GET /{number} ")), "the first to come is served first: {head}");
        known[at].say(OK).await;
        client.hear_until("ok").await;
    }
    assert_eq!(proxy.metrics.proxy.queue_waiting.get(), 0);
}

#[tokio::test]
async fn who_waits_too_long_for_a_provider_is_told_so() {
    let (proxy, _provider, _first, _serving) = full("queue = 1\nqueue_timeout = \"50ms\"").await;
    let mut second = Raw::connect(proxy.listeners[0]).await;
    second.say(get("/second")).await;
    let told = second.hear_head().await;
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("retry-after: 1\r\n"), "{told}");
    assert!(told.contains("details=\"endpoint_queue_timeout\""), "{told}");
    assert_eq!(proxy.metrics.proxy.queue_timeouts_total.get(), 1);
}
