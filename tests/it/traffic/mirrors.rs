//! Mirrors: a second service gets copies, and the first one's callers never notice.

use std::time::{Duration, Instant};

use http::Request;
use http_body_util::Full;
use wayside::app::Running;
use wayside::telemetry::metrics::Mirrored;

use super::{provider, proxied, registry};
use crate::support::client::{Client, Raw};
use crate::support::patience::{PATIENCE, eventually};
use crate::support::provider::{Echo, Script};

fn config(a: &Echo, b: &str) -> String {
    registry(&[("a", &[provider(a, "")]), ("b", &[format!("\"{b}\"")])])
        + "[[service]]\nname = \"a\"\nmirror = { service = \"b\" }\n"
}

async fn mirrored(proxy: &Running, result: Mirrored, count: u64) {
    let metric = || proxy.metrics.traffic.mirrored(&"b".parse().unwrap(), result).get();
    eventually(PATIENCE, "copies are counted", || (metric() == count).then_some(())).await;
}

async fn post(client: &mut Client, bytes: usize) -> http::StatusCode {
    let request = Request::post("/x?y").header("host", "a").header("x-user", "ann");
    client.send(request.body(Full::from(vec![b'7'; bytes])).unwrap()).await.status()
}

#[tokio::test]
async fn a_copy_has_all_of_the_request_and_its_mark() {
    let (a, script) = (Echo::start().await, Script::start().await);
    let (proxy, mut client) = proxied(&config(&a, &script.address().to_string())).await;
    assert_eq!(post(&mut client, 5).await, 200);
    let mut copy = Raw::from(script.accept().await);
    let heard = copy.hear_until("77777").await.to_lowercase();
    for part in
        ["post /x?y http/1.1\r\n", "x-user: ann\r\n", "x-wayside-mirror: 1\r\n", "content-length: 5\r\n"]
    {
        assert!(heard.contains(part), "{part:?} is missing in {heard}");
    }
    copy.say("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
    mirrored(&proxy, Mirrored::Answered, 1).await;
    assert_eq!(proxy.metrics.proxy.requests_in_flight.get(), 0);
}

#[tokio::test]
async fn a_mirror_that_hangs_or_is_gone_costs_the_caller_nothing() {
    let (a, silent) = (Echo::start().await, Script::start().await);
    let (proxy, mut client) = proxied(&config(&a, &silent.address().to_string())).await;
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(post(&mut client, 100).await, 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "nobody waited for a deadline of 15 s");
    let under_way = || (proxy.metrics.traffic.mirrors_in_flight.get() == 20).then_some(());
    eventually(PATIENCE, "20 copies hang", under_way).await;
    drop(client);

    let (other, mut client) = proxied(&config(&a, "127.0.0.1:1")).await;
    assert_eq!(post(&mut client, 0).await, 200);
    mirrored(&other, Mirrored::Failed, 1).await;
    let drained = tokio::task::spawn_blocking(move || {
        let begun = Instant::now();
        proxy.leave();
        proxy.wait();
        begun.elapsed()
    });
    assert!(drained.await.unwrap() < Duration::from_secs(5), "a drain does not wait for copies");
}

#[tokio::test]
async fn large_bodies_and_copies_are_not_copied() {
    let (a, b) = (Echo::start().await, Echo::start().await);
    let (proxy, mut client) = proxied(&config(&a, &b.address().to_string())).await;
    assert_eq!(post(&mut client, 64 * 1024 + 1).await, 200);
    mirrored(&proxy, Mirrored::TooLarge, 1).await;
    let mut raw = Raw::connect(proxy.listeners[0]).await;
    let chunk = format!("4000\r\n{}\r\n", "7".repeat(0x4000));
    raw.say("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n").await;
    raw.say(chunk.repeat(5) + "0\r\n\r\n").await;
    assert!(raw.hear_all().await.starts_with("HTTP/1.1 200"));
    mirrored(&proxy, Mirrored::TooLarge, 2).await;
    let copy = Request::get("/").header("host", "a").header("x-wayside-mirror", "1");
    assert_eq!(client.send(copy.body(Full::default()).unwrap()).await.status(), 200);
    assert_eq!(post(&mut client, 64 * 1024).await, 200);
    mirrored(&proxy, Mirrored::Answered, 1).await;
    assert_eq!((a.requests(), b.requests()), (4, 1));
}

#[tokio::test]
async fn copies_are_tried_elsewhere_and_requests_that_are_have_one_copy() {
    let (a, b) = (Echo::start().await, Echo::start().await);
    // A port that nobody listens at comes first, so that each worker meets it.
    let gone = || "\"127.0.0.1:1\"".to_owned();
    let text = registry(&[("a", &[gone(), provider(&a, "")]), ("b", &[gone(), provider(&b, "")])])
        + "[[service]]\nname = \"a\"\nmirror = { service = \"b\" }\n";
    let (proxy, mut client) = proxied(&text).await;
    for _ in 0..10 {
        assert_eq!(post(&mut client, 100).await, 200);
    }
    mirrored(&proxy, Mirrored::Answered, 10).await;
    assert_eq!((a.requests(), b.requests()), (10, 10), "none is lost, and none is doubled");
    let tried = proxy.metrics.proxy.retries_total.get();
    assert!(tried >= 2, "a request and a copy were tried again, not {tried}");
}

#[tokio::test]
async fn a_body_that_was_held_back_is_copied_once_it_came() {
    let (a, script) = (Echo::start().await, Script::start().await);
    let (proxy, _) = proxied(&config(&a, &script.address().to_string())).await;
    let mut client = Raw::connect(proxy.listeners[0]).await;
    client.say("POST /x HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n").await;
    client.hear_until("HTTP/1.1 100 Continue\r\n\r\n").await;
    client.say("77777").await;
    let mut copy = Raw::from(script.accept().await);
    let heard = copy.hear_until("77777").await.to_lowercase();
    assert!(heard.contains("x-wayside-mirror: 1\r\n") && !heard.contains("expect:"), "{heard}");
    copy.say("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let heard = client.hear_head().await;
    assert!(heard.starts_with("HTTP/1.1 200"), "what a copy is told is nobody's business: {heard}");
    mirrored(&proxy, Mirrored::Answered, 1).await;
}
