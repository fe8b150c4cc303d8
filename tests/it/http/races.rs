//! Races: a connection that ends just when a request is sent on it, and providers that are not there.

use std::time::Instant;

use super::{Played, get, line, nobody, status};
use crate::support::client::{Client, Raw};
use crate::support::patience::PATIENCE;
use crate::support::provider::Echo;
use crate::support::proxy::{config, config_with, start};
use crate::support::registry::Told;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn post(body: &str) -> String {
    format!("POST /x HTTP/1.1\r\nhost: svc\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// A client and a provider whose connections were used once and are kept.
async fn kept(played: &Played) -> (Raw, Raw) {
    let (mut client, mut provider, _) = played.asked(&get("")).await;
    provider.say(OK).await;
    client.hear_until("ok").await;
    (client, provider)
}

#[tokio::test]
async fn what_was_not_sent_on_a_closed_connection_is_sent_on_another() {
    let played = Played::start().await;
    for request in [get(""), post("hello"), post(&"x".repeat(100_000))] {
        let (mut client, provider) = kept(&played).await;
        drop(provider);
        client.say(&request).await;
        let mut provider = Raw::from(played.provider.accept().await);
        provider.hear_head().await;
        provider.say(OK).await;
        assert!(client.hear_until("ok").await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn what_may_have_arrived_is_sent_again_only_if_that_is_harmless() {
    let played = Played::start().await;
    let (mut client, mut provider) = kept(&played).await;
    client.say(get("")).await;
    provider.hear_head().await;
    drop(provider);
    let mut provider = Raw::from(played.provider.accept().await);
    provider.hear_head().await;
    provider.say(OK).await;
    assert!(client.hear_until("ok").await.starts_with("HTTP/1.1 200"));

    client.say(post("hello")).await;
    provider.hear_until("hello").await;
    drop(provider);
    let heard = client.hear_head().await;
    assert_eq!(status(&heard), 502);
    assert!(line(&heard, "proxy-status").unwrap().contains("details=\"connection_stale\""), "{heard}");
    assert_eq!(played.proxy.metrics.proxy.upstream_resets_total.get(), 2, "of a GET and of a POST");
    // The next connection that comes is the next request's.
    client.say(get("x-next: 1\r\n")).await;
    let mut provider = Raw::from(played.provider.accept().await);
    assert_eq!(line(&provider.hear_head().await, "x-next"), Some("1"));
}

#[tokio::test]
async fn repeating_harmless_requests_can_be_turned_off() {
    let played = Played::with(config_with("[retries]\nidempotent = false")).await;
    let (mut client, mut provider, _) = played.asked(&get("")).await;
    provider.say("HT").await;
    drop(provider);
    assert_eq!(status(&client.hear_head().await), 502);
    assert_eq!(played.proxy.metrics.proxy.retries_total.get(), 0);
}

#[tokio::test]
async fn bytes_that_nobody_asked_for_answer_no_other_request() {
    let played = Played::start().await;
    let (mut client, mut provider, _) = played.asked(&get("")).await;
    provider.say(format!("{OK}HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged")).await;
    client.hear_until("ok").await;
    client.say(get("")).await;
    let mut provider = Raw::from(played.provider.accept().await);
    provider.hear_head().await;
    provider.say(OK).await;
    assert!(!client.hear_until("ok").await.contains("forged"));
}

#[tokio::test]
async fn one_living_provider_among_four_is_found() {
    let echo = Echo::start().await;
    let addresses = [nobody(), nobody(), echo.address(), nobody()];
    for _ in 0..4 {
        let proxy = start(config(), Told::with("svc", &addresses));
        let mut client = Client::connect(proxy.listeners[0]).await;
        assert_eq!(client.get("svc", "/").await.status(), 200, "three retries lead to the fourth");
    }
    let proxy = start(config_with("[retries]\nmax = 0"), Told::with("svc", &[nobody()]));
    let mut client = Client::connect(proxy.listeners[0]).await;
    assert_eq!(client.get("svc", "/").await.status(), 502);
    assert_eq!(proxy.metrics.proxy.retries_total.get(), 0);
}

#[tokio::test]
async fn when_all_are_dead_that_is_said_at_once() {
    let addresses = [nobody(), nobody(), nobody()];
    let proxy = start(config(), Told::with("svc", &addresses));
    let mut client = Client::connect(proxy.listeners[0]).await;
    for _ in 0..5 {
        let begun = Instant::now();
        let response = client.get("svc", "/").await;
        assert_eq!(response.status(), 502);
        let told = response.headers()["proxy-status"].to_str().unwrap();
        assert!(told.contains("error=connection_refused"), "{told}");
        let text = String::from_utf8_lossy(response.body());
        assert!(text.contains("refuses connections") && text.contains("3 known"), "{text}");
        assert!(begun.elapsed() < PATIENCE / 10, "{:?}", begun.elapsed());
    }
    let dials = proxy.metrics.proxy.upstream_dials_total.get();
    assert!(proxy.metrics.proxy.desperate_picks_total.get() > 0);
    assert!(dials <= 5 * 4, "{dials} connections were tried for five requests");
}
