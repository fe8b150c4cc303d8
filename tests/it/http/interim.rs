//! Interim answers, and bodies that are held back until they are asked for.

use super::{Played, body, get, hear_answer, line, status};
use crate::support::client::Raw;
use crate::support::patience::{PATIENCE, eventually};
use crate::support::proxy::{config, start};
use crate::support::registry::Told;

const WAITING: &str = "POST /x HTTP/1.1\r\nhost: svc\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";

#[tokio::test]
async fn hints_reach_the_client_before_the_answer() {
    let played = Played::start().await;
    let (mut client, mut provider, _) = played.asked(&get("")).await;
    provider
        .say(
            "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\nconnection: x-hop\r\nx-hop: 1\r\n\
             content-length: 3\r\n\r\n",
        )
        .await;
    let heard = client.hear_until("\r\n\r\n").await;
    assert!(heard.starts_with("HTTP/1.1 103 Early Hints\r\n"), "{heard}");
    assert_eq!(line(&heard, "link"), Some("</style.css>; rel=preload"));
    assert!(line(&heard, "via").unwrap().starts_with("1.1 wayside-"), "{heard}");
    for hop in ["connection", "x-hop", "content-length"] {
        assert_eq!(line(&heard, hop), None, "{heard}");
    }
    provider.say("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let heard = client.hear_until("ok").await;
    assert!(heard.starts_with("HTTP/1.1 102 Processing\r\n") && heard.contains("HTTP/1.1 200 OK"), "{heard}");
    // The connections are none the worse.
    client.say(get("")).await;
    provider.hear_head().await;
    provider.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert!(client.hear_until("ok").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn hints_come_between_answers_and_never_within_one() {
    const LARGE: usize = 4 * 1024 * 1024;
    let played = Played::start().await;
    let mut client = played.client().await;
    client.say(get("").repeat(2)).await;
    let mut provider = Raw::from(played.provider.accept().await);
    provider.hear_head().await;
    // More than all buffers take, so that the client's socket is full when the next answer is there.
    let large = "x".repeat(LARGE);
    provider.say(format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n")).await;
    let answering = async {
        provider.say(&large).await;
        provider.hear_head().await;
        provider.say("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").await;
        provider.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    };
    let hearing = async {
        let mut heard = client.hear_head().await;
        while !heard.ends_with("\r\n\r\nok") {
            heard += &client.hear_some().await;
        }
        heard
    };
    let ((), heard) = tokio::join!(answering, hearing);
    let (first, rest) = heard.split_at(heard.find("\r\n\r\n").unwrap() + 4 + LARGE);
    assert!(first.ends_with('x') && rest.starts_with("HTTP/1.1 103 "), "{}", &rest[..200.min(rest.len())]);
    assert_eq!(rest.matches("HTTP/1.1 ").count(), 2, "{rest}");
}

#[tokio::test]
async fn a_body_is_asked_for_only_when_the_provider_asks() {
    let played = Played::start().await;
    let (mut client, mut provider, heard) = played.asked(WAITING).await;
    assert_eq!((line(&heard, "expect"), body(&heard)), (Some("100-continue"), ""));
    provider.say("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(client.hear_until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.say("hello").await;
    provider.hear_until("hello").await;
    provider.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let heard = client.hear_until("ok").await;
    assert!(heard.starts_with("HTTP/1.1 200") && line(&heard, "connection").is_none(), "{heard}");
    // Both connections go on.
    client.say(get("")).await;
    provider.hear_head().await;
    provider.say("HTTP/1.1 204 No Content\r\n\r\n").await;
    client.hear_until("\r\n\r\n").await;
    played.settled().await;
}

#[tokio::test]
async fn an_answer_instead_of_the_body_leaves_it_unasked() {
    let played = Played::start().await;
    // Also where both come at once, so that the body could not be asked for in between.
    let tolds = ["417 Expectation Failed", "401 Unauthorized", "413 Content Too Large", "200 OK"];
    let asked = "HTTP/1.1 100 Continue\r\n\r\n";
    for (before, told) in tolds.map(|told| ("", told)).into_iter().chain([(asked, tolds[1])]) {
        let (mut client, mut provider, _) = played.asked(WAITING).await;
        provider.say(format!("{before}HTTP/1.1 {told}\r\ncontent-length: 2\r\n\r\nno")).await;
        let heard = client.hear_all().await;
        assert!(heard.starts_with(&format!("HTTP/1.1 {told}\r\n")) && heard.ends_with("no"), "{heard}");
        assert_eq!(line(&heard, "connection"), Some("close"), "what comes next could be the body or not");
        assert_eq!(provider.hear_all().await, "", "the body was neither asked for nor made up");
    }
    played.settled().await;
    let closed = || (played.proxy.metrics.proxy.upstream_connections_open.get() == 0).then_some(());
    eventually(PATIENCE, "no connection waits for a body that never comes", closed).await;
}

#[tokio::test]
async fn a_provider_that_knows_no_expectation_gets_the_body_after_a_while() {
    let played = Played::start().await;
    let (mut client, mut provider, _) = played.asked(WAITING).await;
    assert_eq!(client.hear_until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.say("hello").await;
    provider.hear_until("hello").await;
    provider.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert!(client.hear_until("ok").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_refusal_of_ours_says_that_the_body_is_not_read() {
    let proxy = start(config(), Told::with("svc", &[super::nobody()]));
    let mut client = Raw::connect(proxy.listeners[0]).await;
    client.say(WAITING).await;
    let heard = client.hear_all().await;
    assert_eq!((status(&heard), line(&heard, "connection")), (502, Some("close")), "{heard}");
    assert_eq!(heard.matches("HTTP/1.1 ").count(), 1, "the body was asked for: {heard}");
}

#[tokio::test]
async fn a_second_attempt_waits_to_be_asked_as_well() {
    let played = Played::start().await;
    let put = WAITING.replace("POST", "PUT");
    let (mut client, provider, _) = played.asked(&put).await;
    drop(provider);
    let mut provider = Raw::from(played.provider.accept().await);
    let heard = provider.hear_head().await;
    assert_eq!((line(&heard, "expect"), body(&heard)), (Some("100-continue"), ""));
    provider.say("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(client.hear_until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.say("hello").await;
    provider.hear_until("hello").await;
    provider.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let heard = hear_answer(&mut client).await;
    assert!(status(&heard) == 200 && body(&heard) == "ok", "{heard}");
    played.settled().await;
}

#[tokio::test]
async fn what_nobody_holds_back_is_not_asked_for() {
    let played = Played::start().await;
    for request in [
        "POST /x HTTP/1.0\r\nhost: svc\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\nhello",
        "GET /x HTTP/1.1\r\nhost: svc\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
    ] {
        let (mut client, mut provider, heard) = played.asked(request).await;
        assert_eq!(line(&heard, "expect"), None, "{heard}");
        provider.say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        let heard = client.hear_all().await;
        assert!(status(&heard) == 200 && heard.ends_with("ok"), "{heard}");
    }
    let other = "POST /x HTTP/1.1\r\nhost: svc\r\nexpect: something-else\r\ncontent-length: 5\r\n\r\nhello";
    let (_, _, heard) = played.asked(other).await;
    assert_eq!(line(&heard, "expect"), Some("something-else"), "whoever knows it may meet it");
}

#[tokio::test]
async fn a_body_for_http2_is_asked_for_as_well() {
    let echo = crate::support::provider::Echo::start().await;
    let registry = Told::new();
    registry.tell("svc", wayside::provider::Protocol::H2c, &[echo.address()]);
    let proxy = start(config(), registry);
    let mut client = Raw::connect(proxy.listeners[0]).await;
    client.say(WAITING).await;
    assert_eq!(client.hear_until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.say("hello").await;
    let heard = hear_answer(&mut client).await;
    assert!(status(&heard) == 200 && body(&heard).contains(r#""body":"hello""#), "{heard}");
}
