//! WebSocket within HTTP/2 (RFC 8441): asked for in the one way and passed on in the other, frame by frame.

use http::header::{SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY};
use tokio::io::AsyncReadExt as _;

use super::*;
use crate::support::client::Raw;
use crate::support::frames::request;
use crate::support::wire::{
    Code, DATA, ENABLE_CONNECT_PROTOCOL, END_HEADERS, END_STREAM, HEADERS, RESET, SETTINGS, fields, frame,
    reset, setting,
};

/// A request for a WebSocket.
fn asks(stream: u32) -> Vec<u8> {
    let more =
        [(":protocol", "websocket"), ("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat")];
    frame(HEADERS, END_HEADERS, stream, request("CONNECT", "/chat", &more))
}

/// The value of a header line.
fn line<'h>(head: &'h str, name: &str) -> &'h str {
    let found = head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    found.unwrap_or_else(|| panic!("no {name} in {head}"))
}

/// The right answer to the key of a request.
fn accept(head: &str) -> String {
    use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
    derive_accept_key(line(head, SEC_WEBSOCKET_KEY.as_str()).as_bytes())
}

/// A yes with these header lines.
fn switching(lines: &str) -> String {
    format!("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n{lines}\r\n")
}

#[tokio::test]
async fn a_websocket_over_http2_reaches_an_http1_provider_as_an_upgrade() {
    let played = Played::start(Protocol::Http1).await;
    let mut client = played.client().await;
    let settings = client.next_of(SETTINGS).await.unwrap();
    let offered = settings.payload.chunks(6).any(|one| one == setting(ENABLE_CONNECT_PROTOCOL, 1));
    assert!(offered, "that it may be asked for is said first");
    // What comes behind the request waits for the answer.
    client.say([asks(1), frame(DATA, 0, 1, "early")].concat()).await;
    let mut provider = Raw::from(played.provider.accept().await);
    let head = provider.hear_head().await;
    assert!(head.starts_with("GET /chat HTTP/1.1\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert_eq!((line(&head, "connection"), line(&head, "upgrade")), ("upgrade", "websocket"));
    assert_eq!((line(&head, "host"), line(&head, "sec-websocket-protocol")), ("svc", "chat"));
    assert_eq!(line(&head, "sec-websocket-version"), "13");
    assert!(!head.contains("content-length") && !head.contains("transfer-encoding"), "{head}");
    let yes = format!(
        "upgrade: websocket\r\n{SEC_WEBSOCKET_ACCEPT}: {}\r\nsec-websocket-protocol: chat\r\n",
        accept(&head)
    );
    provider.say(switching(&yes)).await;
    let answer = client.next_of(HEADERS).await.unwrap();
    assert_eq!((answer.status(), answer.flags & END_STREAM), (200, 0));
    assert_eq!(provider.hear_until("early").await, "early");
    assert_eq!(played.proxy.metrics.proxy.upgrades_open.get(), 1);
    provider.say("from the provider").await;
    assert_eq!(client.next_of(DATA).await.unwrap().payload, b"from the provider");
    client.say(frame(DATA, 0, 1, "from the client")).await;
    assert_eq!(provider.hear_until("client").await, "from the client");
    // Others go on beside it.
    client.ask(3, "/x").await;
    let mut other = Raw::from(played.provider.accept().await);
    other.hear_head().await;
    other.say("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(client.next_of(HEADERS).await.unwrap().status(), 204);
    // Half-closing passes through, and so does the end.
    client.say(frame(DATA, END_STREAM, 1, "bye")).await;
    assert_eq!(provider.hear_until("bye").await, "bye");
    assert_eq!(provider.stream.read(&mut [0]).await.unwrap(), 0, "the end is passed on");
    provider.say("good bye").await;
    drop(provider);
    assert_eq!(client.next_of(DATA).await.unwrap().payload, b"good bye");
    while client.next_of(DATA).await.unwrap().flags & END_STREAM == 0 {}
    played.settled().await;
    assert_eq!(played.proxy.metrics.proxy.upgrades_open.get(), 0);
}

#[tokio::test]
async fn what_is_no_yes_to_a_websocket_is_none_to_its_client() {
    let played = Played::with(Protocol::Http1, "[retries]\nmax = 0").await;
    for (what, answer, expected) in [
        ("no key", switching("upgrade: websocket\r\n"), 502),
        (
            "a wrong key",
            switching("upgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
            502,
        ),
        ("another protocol", switching("upgrade: foo\r\n"), 502),
        ("no protocol", switching(""), 502),
        ("200", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno".to_owned(), 502),
        ("204", "HTTP/1.1 204 No Content\r\n\r\n".to_owned(), 502),
        ("404", "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno".to_owned(), 404),
        (
            "426",
            "HTTP/1.1 426 Upgrade Required\r\nupgrade: websocket\r\ncontent-length: 0\r\n\r\n".to_owned(),
            426,
        ),
        ("302", "HTTP/1.1 302 Found\r\nlocation: /y\r\ncontent-length: 0\r\n\r\n".to_owned(), 302),
    ] {
        let mut client = played.client().await;
        client.say(asks(1)).await;
        let mut provider = Raw::from(played.provider.accept().await);
        provider.hear_head().await;
        provider.say(answer).await;
        drop(provider);
        assert_eq!(client.next_of(HEADERS).await.unwrap().status(), expected, "{what}");
    }
    played.settled().await;
}

/// A provider's side of HTTP/2 that takes WebSocket.
async fn taking(played: &Played) -> Frames {
    Frames::begin_with(played.provider.accept().await, &setting(ENABLE_CONNECT_PROTOCOL, 1)).await
}

#[tokio::test]
async fn a_websocket_reaches_an_http2_provider_that_takes_it_from_clients_of_either_version() {
    let played = Played::start(Protocol::H2c).await;
    let mut client = Raw::connect(played.proxy.listeners[0]).await;
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    client
        .say(format!(
            "GET /chat HTTP/1.1\r\nhost: svc\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: {key}\r\n\r\nearly"
        ))
        .await;
    let mut provider = taking(&played).await;
    let asked = provider.next_of(HEADERS).await.unwrap();
    assert_eq!(asked.flags & END_STREAM, 0);
    let early = tokio::time::timeout(std::time::Duration::from_millis(100), provider.next_of(DATA)).await;
    assert!(early.is_err(), "what comes behind the request waits for the answer");
    provider.say(frame(HEADERS, END_HEADERS, asked.stream, [0x88])).await;
    let head = client.hear_head().await;
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    assert_eq!((line(&head, "connection"), line(&head, "upgrade")), ("upgrade", "websocket"));
    assert_eq!(line(&head, "sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(provider.next_of(DATA).await.unwrap().payload, b"early");
    provider.say(frame(DATA, 0, asked.stream, "hello")).await;
    assert_eq!(client.hear_until("hello").await, "hello");

    let mut second = played.client().await;
    second.say(asks(1)).await;
    let asked_too = provider.next_of(HEADERS).await.unwrap();
    provider.say(frame(HEADERS, END_HEADERS, asked_too.stream, [0x88])).await;
    assert_eq!(second.next_of(HEADERS).await.unwrap().status(), 200);
    second.say(frame(DATA, 0, 1, "from the second")).await;
    let data = provider.next_of(DATA).await.unwrap();
    assert_eq!((data.stream, &data.payload[..]), (asked_too.stream, &b"from the second"[..]));
    // A client that goes takes its own along and no other.
    second.say(reset(1, Code::CANCEL)).await;
    loop {
        let frame = provider.next().await.unwrap();
        if frame.stream == asked_too.stream && (frame.kind == RESET || frame.flags & END_STREAM != 0) {
            break;
        }
    }
    client.say("and on").await;
    assert_eq!(provider.next_of(DATA).await.unwrap().payload, b"and on");
    drop(client);
    loop {
        let frame = provider.next().await.unwrap();
        if frame.stream == asked.stream && (frame.kind == RESET || frame.flags & END_STREAM != 0) {
            break;
        }
    }
    provider.say(frame(DATA, END_STREAM, asked.stream, "")).await;
    played.settled().await;
}

#[tokio::test]
async fn an_http2_provider_that_takes_no_websocket_is_not_asked_for_one() {
    let played = Played::with(Protocol::H2c, "[retries]\nmax = 0").await;
    let mut client = Raw::connect(played.proxy.listeners[0]).await;
    let asks = "GET /chat HTTP/1.1\r\nhost: svc\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: abc\r\n\r\n";
    client.say(asks).await;
    let mut provider = Frames::begin(played.provider.accept().await, 100).await;
    let head = client.hear_head().await;
    assert!(
        head.starts_with("HTTP/1.1 502")
            && head.contains("error=http_upgrade_failed; details=\"upgrade_failed\""),
        "{head}"
    );
    assert!(head.contains("does not offer WebSocket over it"), "{head}");
    // Nothing of it was sent.
    let mut client = played.client().await;
    client.ask(1, "/x").await;
    let stream = provider.asked().await;
    provider.answer(stream).await;
    assert_eq!(client.next_of(HEADERS).await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_http2_providers_no_to_a_websocket_is_passed_on_and_another_yes_is_not() {
    let played = Played::with(Protocol::H2c, "[retries]\nmax = 0").await;
    let mut provider = None;
    for (status, expected) in [("404", 404), ("403", 403), ("204", 502), ("201", 502)] {
        let mut client = played.client().await;
        client.say(asks(1)).await;
        if provider.is_none() {
            provider = Some(taking(&played).await);
        }
        let provider = provider.as_mut().unwrap();
        let stream = provider.asked().await;
        provider.say(frame(HEADERS, END_HEADERS | END_STREAM, stream, fields(&[(":status", status)]))).await;
        assert_eq!(client.next_of(HEADERS).await.unwrap().status(), expected);
    }
}

#[tokio::test]
async fn a_tunnel_in_which_nothing_moves_is_given_up() {
    let played = Played::with(Protocol::Http1, "[timeouts]\nstream_idle = \"1s\"").await;
    let mut client = played.client().await;
    client.say(asks(1)).await;
    let mut provider = Raw::from(played.provider.accept().await);
    let head = provider.hear_head().await;
    let yes = format!("upgrade: websocket\r\nsec-websocket-accept: {}\r\n", accept(&head));
    provider.say(switching(&yes)).await;
    assert_eq!(client.next_of(HEADERS).await.unwrap().status(), 200);
    assert_eq!(provider.hear_all().await, "");
    loop {
        let frame = client.next().await.unwrap();
        if frame.stream == 1 && (frame.kind == RESET || frame.flags & END_STREAM != 0) {
            break;
        }
    }
    played.settled().await;
}
