//! Limits: of heads, of requests, of connections.

use super::{Played, body, get, hear_answer, line, status};
use crate::support::client::Raw;
use crate::support::patience::{PATIENCE, eventually};
use crate::support::proxy::config_with;

#[tokio::test]
async fn heads_have_their_limits() {
    let played =
        Played::with(config_with("[limits]\nheader_bytes = \"16KiB\"\nheaders = 20\nuri_bytes = \"1KiB\""))
            .await;
    for (case, expected, reason, request) in [
        ("too large", 431, "head_too_large", get(&format!("x: {}\r\n", "x".repeat(17_000)))),
        (
            "too large, and never complete",
            431,
            "head_too_large",
            format!("GET / HTTP/1.1\r\nx: {}", "x".repeat(17_000)),
        ),
        ("too many", 431, "head_too_large", get(&"x: 1\r\n".repeat(20))),
        (
            "too long a target",
            414,
            "uri_too_long",
            format!("GET /{} HTTP/1.1\r\nhost: svc\r\n\r\n", "x".repeat(1024)),
        ),
        ("a target longer than any head", 414, "uri_too_long", format!("GET /{}", "x".repeat(17_000))),
    ] {
        let mut client = played.client().await;
        client.say(&request).await;
        let heard = hear_answer(&mut client).await;
        assert_eq!(status(&heard), expected, "{case}: {heard}");
        let told = line(&heard, "proxy-status").unwrap();
        assert!(told.ends_with(&format!("details=\"{reason}\"")), "{case}: {told}");
        assert!(body(&heard).contains("target") == (expected == 414), "{case}: {heard}");
        let class = format!("wayside_requests_total{{class=\"4xx\",reason=\"{reason}\",service=\"\"}}");
        let counted = || played.proxy.metrics.render(&[]).contains(&class).then_some(());
        eventually(PATIENCE, &class, counted).await;
    }
    let lines = "x: 1\r\n".repeat(18) + &format!("y: {}\r\n", "y".repeat(15_000));
    let (_, _, heard) = played.asked(&get(&lines)).await;
    assert_eq!(line(&heard, "y").map(str::len), Some(15_000), "what is within the limits passes");
}

#[tokio::test]
async fn one_request_too_many_is_refused_at_once() {
    let played = Played::with(config_with("[limits]\nrequests = 1")).await;
    let (mut first, mut provider, _) = played.asked(&get("")).await;
    let mut second = played.client().await;
    second.say(get("")).await;
    let heard = second.hear_head().await;
    assert_eq!(status(&heard), 503);
    assert!(line(&heard, "proxy-status").unwrap().contains("details=\"overloaded\""), "{heard}");
    provider.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    first.hear_until("ok").await;
    played.settled().await;
    first.say(get("")).await;
    provider.hear_head().await;
    provider.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    first.hear_until("ok").await;
}

#[tokio::test]
async fn one_connection_too_many_is_closed_at_once() {
    let played = Played::with(config_with("[limits]\nconnections = 1")).await;
    let (mut first, mut provider, _) = played.asked(&get("connection: close\r\n")).await;
    let mut second = played.client().await;
    assert_eq!(second.hear_all().await, "");
    assert_eq!(played.proxy.metrics.proxy.connections_refused_total.get(), 1);
    provider.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    first.hear_all().await;
    crate::support::patience::at_last("there is room again", async || {
        let mut third = Raw::connect(played.proxy.listeners[0]).await;
        third.say("GET / HTTP/1.1\r\nhost: other\r\nconnection: close\r\n\r\n").await;
        third.hear_all().await.starts_with("HTTP/1.1 503")
    })
    .await;
}
