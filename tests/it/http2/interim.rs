//! Interim answers over HTTP/2, on either side, and bodies that are held back until they are asked for.

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::StatusCode;

use super::*;
use crate::support::client::Raw;
use crate::support::frames::get;
use crate::support::wire::{DATA, END_HEADERS, END_STREAM, HEADERS, WHOLE, fields, frame};

/// A client that hears interim answers.
async fn connect(played: &Played) -> SendRequest<Bytes> {
    let stream = tokio::net::TcpStream::connect(played.proxy.listeners[0]).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender.ready().await.unwrap()
}

/// A request for the service, with a body that waits to be asked for.
fn waiting() -> http::Request<()> {
    let request = http::Request::post("http://svc/x").header("expect", "100-continue");
    request.header("content-length", "5").body(()).unwrap()
}

/// The next interim answer; nothing once the answer is there.
async fn hint(answer: &mut ResponseFuture) -> Option<http::Response<()>> {
    let heard = std::future::poll_fn(|cx| answer.poll_informational(cx));
    let heard = tokio::time::timeout(PATIENCE, heard).await.expect("something should be heard");
    heard.map(Result::unwrap)
}

/// What a provider says of its answer in advance.
fn early(stream: u32) -> Vec<u8> {
    let hints = fields(&[(":status", "103"), ("link", "</style.css>; rel=preload"), ("content-length", "3")]);
    frame(HEADERS, END_HEADERS, stream, hints)
}

#[tokio::test]
async fn hints_reach_a_client_of_http2_before_the_answer() {
    for protocol in [Protocol::Http1, Protocol::H2c] {
        let played = Played::start(protocol).await;
        let mut client = connect(&played).await;
        let asked = http::Request::get("http://svc/x").body(()).unwrap();
        let (mut answer, _) = client.send_request(asked, true).unwrap();
        let provider = played.provider.accept().await;
        let mut version = "1.1";
        if protocol == Protocol::Http1 {
            let mut provider = Raw::from(provider);
            provider.hear_head().await;
            provider
                .say(
                    "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\nconnection: x-hop\r\n\
                     x-hop: 1\r\ncontent-length: 3\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
                     HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
                )
                .await;
        } else {
            version = "2.0";
            let mut provider = Frames::begin(provider, 100).await;
            let stream = provider.asked().await;
            let processing = frame(HEADERS, END_HEADERS, stream, fields(&[(":status", "102")]));
            provider.say([early(stream), processing].concat()).await;
            provider.answer(stream).await;
        }
        let heard = hint(&mut answer).await.expect("the hints should come");
        assert_eq!(heard.status(), StatusCode::EARLY_HINTS);
        assert_eq!(heard.headers()["link"], "</style.css>; rel=preload");
        assert!(heard.headers()["via"].to_str().unwrap().starts_with(&format!("{version} wayside-")));
        assert_eq!(heard.headers().len(), 2, "{heard:?}");
        assert_eq!(hint(&mut answer).await.expect("another").status(), StatusCode::PROCESSING);
        assert!(hint(&mut answer).await.is_none());
        assert_eq!(answer.await.unwrap().status(), StatusCode::OK);
        played.settled().await;
    }
}

#[tokio::test]
async fn hints_over_http2_reach_a_client_of_http1() {
    let played = Played::start(Protocol::H2c).await;
    let mut client = Raw::connect(played.proxy.listeners[0]).await;
    client.say("GET /x HTTP/1.1\r\nhost: svc\r\n\r\n").await;
    let mut provider = Frames::begin(played.provider.accept().await, 100).await;
    let stream = provider.asked().await;
    provider.say(early(stream)).await;
    let heard = client.hear_until("\r\n\r\n").await;
    assert!(heard.starts_with("HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\nvia: 2.0 "));
    assert!(!heard.contains("content-length"), "{heard}");
    provider.answer(stream).await;
    assert!(client.hear_until("\r\n\r\n").await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn a_body_over_http2_is_asked_for_only_when_the_provider_asks() {
    for protocol in [Protocol::Http1, Protocol::H2c] {
        let played = Played::start(protocol).await;
        let mut client = connect(&played).await;
        let (mut answer, mut body) = client.send_request(waiting(), false).unwrap();
        let provider = played.provider.accept().await;
        let heard = if protocol == Protocol::Http1 {
            let mut provider = Raw::from(provider);
            let head = provider.hear_head().await;
            assert!(head.contains("expect: 100-continue\r\n") && head.ends_with("\r\n\r\n"), "{head}");
            provider.say("HTTP/1.1 100 Continue\r\n\r\n").await;
            let heard = hint(&mut answer).await;
            body.send_data(Bytes::from_static(b"hello"), true).unwrap();
            provider.hear_until("hello").await;
            provider.say("HTTP/1.1 204 No Content\r\n\r\n").await;
            heard
        } else {
            let mut provider = Frames::begin(provider, 100).await;
            let stream = provider.asked().await;
            provider.say(frame(HEADERS, END_HEADERS, stream, fields(&[(":status", "100")]))).await;
            let heard = hint(&mut answer).await;
            body.send_data(Bytes::from_static(b"hello"), true).unwrap();
            assert_eq!(provider.next_of(DATA).await.unwrap().payload, b"hello");
            provider.say(frame(HEADERS, WHOLE, stream, fields(&[(":status", "204")]))).await;
            heard
        };
        assert_eq!(heard.expect("the body should be asked for").status(), StatusCode::CONTINUE);
        assert_eq!(answer.await.unwrap().status(), StatusCode::NO_CONTENT);
        played.settled().await;
    }
}

#[tokio::test]
async fn a_provider_of_http2_may_ask_a_client_of_http1() {
    let played = Played::start(Protocol::H2c).await;
    let mut client = Raw::connect(played.proxy.listeners[0]).await;
    client.say("POST /x HTTP/1.1\r\nhost: svc\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n").await;
    let mut provider = Frames::begin(played.provider.accept().await, 100).await;
    let stream = provider.asked().await;
    provider.say(frame(HEADERS, END_HEADERS, stream, fields(&[(":status", "100")]))).await;
    assert_eq!(client.hear_until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.say("hello").await;
    assert_eq!(provider.next_of(DATA).await.unwrap().payload, b"hello");
    provider.answer(stream).await;
    client.hear_until("\r\n\r\n").await;
}

#[tokio::test]
async fn an_answer_over_http2_instead_of_the_body_leaves_it_unasked() {
    let played = Played::start(Protocol::Http1).await;
    let mut client = connect(&played).await;
    let (mut answer, _body) = client.send_request(waiting(), false).unwrap();
    let mut provider = Raw::from(played.provider.accept().await);
    provider.hear_head().await;
    provider.say("HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno").await;
    assert!(hint(&mut answer).await.is_none(), "nothing asks for the body");
    let answer = answer.await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers().get("connection")), (413, None));
    assert_eq!(answer.into_body().data().await.unwrap().unwrap(), "no");
    assert_eq!(provider.hear_all().await, "", "the body was neither asked for nor made up");
    // The connection goes on.
    let asked = http::Request::get("http://svc/x").body(()).unwrap();
    let (answer, _) = client.send_request(asked, true).unwrap();
    let mut provider = Raw::from(played.provider.accept().await);
    provider.hear_head().await;
    provider.say("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(answer.await.unwrap().status(), StatusCode::NO_CONTENT);
    played.settled().await;
}

#[tokio::test]
async fn a_client_of_http2_is_asked_after_a_while_where_the_provider_says_nothing() {
    let played = Played::start(Protocol::Http1).await;
    let mut client = connect(&played).await;
    let (mut answer, mut body) = client.send_request(waiting(), false).unwrap();
    let mut provider = Raw::from(played.provider.accept().await);
    provider.hear_head().await;
    assert_eq!(hint(&mut answer).await.expect("asked").status(), StatusCode::CONTINUE);
    body.send_data(Bytes::from_static(b"hello"), true).unwrap();
    provider.hear_until("hello").await;
    provider.say("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(answer.await.unwrap().status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_client_that_reads_no_hints_is_not_told_without_end() {
    let played = Played::start(Protocol::H2c).await;
    let mut client = played.client().await;
    client.say(frame(HEADERS, WHOLE, 1, get("/x"))).await;
    let mut provider = Frames::begin(played.provider.accept().await, 100).await;
    let stream = provider.asked().await;
    let large = "a".repeat(10_000);
    for _ in 0..3 {
        let hints = fields(&[(":status", "103"), ("x", &large)]);
        provider.say(frame(HEADERS, END_HEADERS, stream, hints)).await;
    }
    provider.say(frame(HEADERS, END_HEADERS, stream, [0x88])).await;
    provider.say(frame(DATA, END_STREAM, stream, "ok")).await;
    let first = client.next_of(HEADERS).await.unwrap();
    assert!(first.payload.len() > 5_000, "the first one is told");
    let answer = client.next_of(HEADERS).await.unwrap();
    assert_eq!(answer.status(), 200, "more of them would be more than anybody needs");
    assert_eq!(client.next_of(DATA).await.unwrap().payload, b"ok");
}
