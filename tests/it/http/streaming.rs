//! Streaming: bytes pass as they come, no faster than they are taken, and stop when nobody wants them.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use super::{Played, body, endpoint_loads, get, hear_answer, status};
use crate::support::client::Raw;
use crate::support::patience::{PATIENCE, eventually};

/// What may lie between a sender and a reader that stands still: the buffers of four sockets and the proxy's own. Linux lets those
/// of a socket that is sent to grow to 32 MiB where it sees fit, and those of one that sends to 4 MiB.
const AHEAD_MAX: usize = 96 * 1024 * 1024;

/// Sends until nothing is taken for a while, and tells how much was taken.
async fn send_until_full(sender: &mut Raw, piece: &[u8]) -> usize {
    let mut sent = 0;
    let still = Duration::from_millis(500);
    while let Ok(written) = tokio::time::timeout(still, sender.stream.write(piece)).await {
        sent += written.unwrap();
        assert!(sent < AHEAD_MAX, "{sent} bytes were taken although nobody reads");
    }
    sent
}

#[tokio::test]
async fn a_slow_client_holds_the_provider_back() {
    let played = Played::start().await;
    let (mut client, mut provider, _) = played.asked(&get("")).await;
    provider.say("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await;
    assert_eq!(status(&client.hear_head().await), 200);
    send_until_full(&mut provider, &[b'x'; 64 * 1024]).await;
    assert_eq!(endpoint_loads(&played.proxy), 1);
    drop(client);
    played.settled().await;
}

#[tokio::test]
async fn a_slow_provider_holds_the_client_back() {
    let played = Played::start().await;
    let (mut client, provider, _) =
        played.asked("POST /x HTTP/1.1\r\nhost: svc\r\ncontent-length: 1000000000\r\n\r\n").await;
    send_until_full(&mut client, &[b'x'; 64 * 1024]).await;
    drop(provider);
    assert_eq!(status(&client.hear_head().await), 502);
    played.settled().await;
}

#[tokio::test]
async fn an_early_answer_does_not_end_the_request() {
    let played = Played::start().await;
    let (mut client, mut provider, _) =
        played.asked("POST /x HTTP/1.1\r\nhost: svc\r\ncontent-length: 6\r\n\r\nabc").await;
    provider.say("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly").await;
    assert!(client.hear_until("early").await.starts_with("HTTP/1.1 200"));
    assert_eq!(played.proxy.metrics.proxy.requests_in_flight.get(), 1, "its body still comes in");
    client.say("def").await;
    provider.hear_until("def").await;
    played.settled().await;
    // Both connections go on with the next request.
    client.say(get("")).await;
    provider.hear_head().await;
    provider.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    client.hear_until("ok").await;
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let played = Played::start().await;
    let mut client = played.client().await;
    client.say("POST /x HTTP/1.1\r\nhost: other\r\ncontent-length: 10000000\r\n\r\nhello").await;
    let heard = hear_answer(&mut client).await;
    assert!(status(&heard) == 503 && body(&heard).contains("other"), "{heard}");
    assert_eq!(client.hear_all().await, "", "nothing more is to be said");
    // A reset would fail one of these, and a client that fails to send may never look for an answer.
    for _ in 0..16 {
        client.say([b'x'; 64 * 1024]).await;
    }
    client.finish().await;
    // Nor may what comes behind the last request that is answered.
    let mut client = played.client().await;
    client.say(format!("GET / HTTP/1.1\r\nhost: other\r\nconnection: close\r\n\r\n{}", get(""))).await;
    assert_eq!(status(&hear_answer(&mut client).await), 503);
    assert_eq!(client.hear_all().await, "");
    for _ in 0..16 {
        client.say([b'x'; 64 * 1024]).await;
    }
    client.finish().await;
    played.settled().await;
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_request_along() {
    let played = Played::start().await;
    // While its answer is awaited, while it is under way, and while the request is.
    let (client, mut provider, _) = played.asked(&get("")).await;
    assert_eq!(endpoint_loads(&played.proxy), 1);
    drop(client);
    provider.hear_all().await;
    played.settled().await;

    let (mut client, mut provider, _) = played.asked(&get("")).await;
    provider.say("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello").await;
    client.hear_until("hello").await;
    drop(client);
    provider.hear_all().await;
    played.settled().await;

    let request = "POST /x HTTP/1.1\r\nhost: svc\r\ncontent-length: 10\r\n\r\nhello";
    let (client, mut provider, _) = played.asked(request).await;
    drop(client);
    provider.hear_all().await;
    played.settled().await;
    // The third may be noticed by its body first, which breaks off.
    assert!(played.proxy.metrics.proxy.requests_abandoned_total.get() >= 2);
    let closed = || (played.proxy.metrics.proxy.upstream_connections_open.get() == 0).then_some(());
    eventually(PATIENCE, "no connection is kept that broke off", closed).await;
}

#[tokio::test]
async fn what_a_provider_breaks_off_does_not_look_whole() {
    let played = Played::start().await;
    let heard = played.answered(&get(""), "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello").await;
    assert_eq!(body(&heard), "hello", "fewer than the ten bytes told");
    let heard = played
        .answered(&get(""), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
        .await;
    assert!(body(&heard).contains("hello") && !body(&heard).ends_with("0\r\n\r\n"), "{heard}");
    played.settled().await;
    assert_eq!(played.proxy.metrics.proxy.upstream_resets_total.get(), 2);
    assert_eq!(played.proxy.metrics.proxy.requests_abandoned_total.get(), 0);
}

#[tokio::test]
async fn what_breaks_off_together_with_its_head_is_passed_on_as_far_as_it_came() {
    let played = Played::start().await;
    for came in ["", "hello"] {
        let (mut client, mut provider, _) = played.asked(&get("")).await;
        // So that the end comes with the bytes before it.
        socket2::SockRef::from(&provider.stream).set_tcp_cork(true).unwrap();
        provider.say(format!("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{came}")).await;
        drop(provider);
        let heard = client.hear_all().await;
        assert!(!heard.is_empty(), "{came:?}: whoever hears nothing takes it for not asked");
        assert_eq!((status(&heard), body(&heard)), (200, came));
    }
    played.settled().await;
}
