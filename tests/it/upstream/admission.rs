//! Room for requests: who waits in line, who is called, and who is told that it takes too long.

use wayside::app::Running;

use crate::support::client::Raw;
use crate::support::patience::{PATIENCE, eventually};
use crate::support::provider::Script;
use crate::support::proxy::{config_with, start};
use crate::support::registry::Told;

const GET: &str = "GET /x HTTP/1.1\r\nhost: svc\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A proxy with room for one request, one in flight, and those of its line: the client, the provider's side.
async fn full(line: &str, workers: usize) -> (Running, Script, Raw, Raw) {
    let provider = Script::start().await;
    let mut config = config_with(&format!("[limits]\nrequests = 1\n{line}"));
    config.workers = workers;
    let proxy = start(config, Told::with("svc", &[provider.address()]));
    let mut client = Raw::connect(proxy.listeners[0]).await;
    client.say(GET).await;
    let mut serving = Raw::from(provider.accept().await);
    serving.hear_head().await;
    (proxy, provider, client, serving)
}

/// One more client, whose request waits as the last of so many.
async fn waiting(proxy: &Running, request: &str, count: i64) -> Raw {
    let mut client = Raw::connect(proxy.listeners[0]).await;
    client.say(request).await;
    queued(proxy, count).await;
    client
}

async fn queued(proxy: &Running, count: i64) {
    let same = || (proxy.metrics.proxy.admission_waiting.get() == count).then_some(());
    eventually(PATIENCE, "so many requests wait", same).await;
}

#[tokio::test]
async fn who_waits_is_called_in_turn_whichever_worker_has_the_room() {
    // Connections are spread by chance: of sixteen, some will be the other worker's.
    let (proxy, provider, mut first, mut serving) = full("queue = 16\nqueue_timeout = \"10s\"", 2).await;
    let mut line = Vec::new();
    for number in 0..16 {
        let request = format!("GET /{number} HTTP/1.1\r\nhost: svc\r\n\r\n");
        line.push(waiting(&proxy, &request, number + 1).await);
    }
    let mut beyond = Raw::connect(proxy.listeners[0]).await;
    beyond.say(GET).await;
    let refused = beyond.hear_head().await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after: 1\r\n"), "{refused}");
    assert!(refused.contains("details=\"overloaded\""), "{refused}");
    serving.say(OK).await;
    first.hear_until("ok").await;
    let mut known = vec![serving];
    for (number, client) in line.iter_mut().enumerate() {
        let (head, at) = provider.hear_head(&mut known).await;
        assert!(head.starts_with(&format!("GET /{number} ")), "the first to come is served first: {head}");
        known[at].say(OK).await;
        client.hear_until("ok").await;
    }
    assert_eq!(proxy.metrics.proxy.admission_wait_seconds.get_sample_count(), 16);
}

#[tokio::test]
async fn who_goes_away_leaves_the_line() {
    let (proxy, _provider, mut first, mut serving) = full("queue = 2\nqueue_timeout = \"10s\"", 1).await;
    let gone = waiting(&proxy, GET, 1).await;
    let mut second = waiting(&proxy, GET, 2).await;
    drop(gone);
    queued(&proxy, 1).await;
    serving.say(OK).await;
    first.hear_until("ok").await;
    serving.hear_head().await;
    serving.say(OK).await;
    second.hear_until("ok").await;
}

#[tokio::test]
async fn who_waits_too_long_is_told_so() {
    let (proxy, _provider, _first, _serving) = full("queue = 2\nqueue_timeout = \"50ms\"", 1).await;
    let mut second = Raw::connect(proxy.listeners[0]).await;
    second.say(GET).await;
    let told = second.hear_head().await;
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("details=\"queue_timeout\""), "{told}");
    assert!(told.contains("retry-after: 1\r\n"), "{told}");
    assert_eq!(proxy.metrics.proxy.admission_timeouts_total.get(), 1);
}

#[tokio::test]
async fn the_whole_time_of_a_request_counts_while_it_waits() {
    let line = "queue = 2\nqueue_timeout = \"10s\"\n[timeouts]\nrequest = \"400ms\"\nconnect = \"100ms\"";
    let (proxy, _provider, _first, _serving) = full(line, 1).await;
    let mut second = Raw::connect(proxy.listeners[0]).await;
    second.say(GET).await;
    let told = second.hear_head().await;
    assert!(told.starts_with("HTTP/1.1 504") && told.contains("details=\"deadline\""), "{told}");
    queued(&proxy, 0).await;
}
