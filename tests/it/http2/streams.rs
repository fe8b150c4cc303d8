//! Many requests on one connection: those that stall, the others beside them, and the end of the connection.

use std::time::Duration;

use super::*;
use crate::support::client::{Client, Raw};
use crate::support::frames::{get, request};
use crate::support::wire::{
    CONTINUATION, Code, DATA, END_HEADERS, GOAWAY, HEADERS, PREFACE, RESET, SETTINGS, WHOLE, WINDOW_UPDATE,
    frame, reset, setting,
};

/// More than sockets and buffers hold of an answer that is not read.
const LARGE: usize = 32 << 20;
const SMALL: usize = 100_000;

/// Answers with bodies: of `/large` more than anything on the way can hold, of others less than a window.
async fn provide(stream: tokio::net::TcpStream) {
    let (mut connection, mut sending) = (h2::server::handshake(stream).await.unwrap(), Vec::new());
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let size = if request.uri().path() == "/large" { LARGE } else { SMALL };
        let mut body = respond.send_response(http::Response::new(()), false).unwrap();
        body.send_data(vec![0; size].into(), true).unwrap();
        sending.push(body);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_nobody_up_who_shares_its_provider() {
    use http_body_util::Full;
    let played = Played::start(Protocol::H2c).await;
    let mut providing = tokio::task::JoinSet::new();
    let mut held = Vec::new();
    // Several that take the head of their answer and nothing of its body.
    for _ in 0..5 {
        let mut slow = Client::connect(played.proxy.listeners[0]).await;
        let asked = http::Request::get("/large").header("host", "svc").body(Full::default()).unwrap();
        let answer = if held.is_empty() {
            let provider = async { providing.spawn(provide(played.provider.accept().await)) };
            tokio::join!(slow.begin(asked), provider).0
        } else {
            slow.begin(asked).await
        };
        held.push((slow, answer));
    }
    let mut other = Client::connect(played.proxy.listeners[0]).await;
    for _ in 0..20 {
        let answer = tokio::time::timeout(PATIENCE, other.get("svc", "/small")).await;
        assert_eq!(answer.expect("it waits for nobody").body().len(), SMALL);
    }
    assert_eq!(played.proxy.metrics.proxy.upstream_dials_total.get(), 1, "they share it");
}

#[tokio::test]
async fn uploads_that_their_provider_does_not_take_hold_no_other_request_up() {
    let played = Played::start(Protocol::Http1).await;
    let mut client = played.client().await;
    let mut stalled = Vec::new();
    // Each fills all that its stream may send, and its provider reads nothing but the head.
    for number in 0..20 {
        let stream = 2 * number + 1;
        client.say(frame(HEADERS, END_HEADERS, stream, request("POST", "/large", &[]))).await;
        stalled.push(played.provider.accept().await);
        for _ in 0..4 {
            assert!(client.try_say(frame(DATA, 0, stream, vec![0; 16_000])).await);
        }
    }
    client.ask(101, "/small").await;
    let mut provider = Raw::from(played.provider.accept().await);
    provider.hear_head().await;
    provider.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let answer = client.next_of(HEADERS).await.unwrap();
    assert_eq!((answer.stream, answer.status()), (101, 200));
}

#[tokio::test]
async fn an_upload_that_its_provider_does_not_take_ends_with_its_answer() {
    for end in [0, 1] {
        let played = Played::start(Protocol::H2c).await;
        let mut client = played.client().await;
        let upload = frame(HEADERS, END_HEADERS, 1, request("POST", "/x", &[]));
        client.say([upload, frame(DATA, end, 1, vec![0; 2000])].concat()).await;
        // Its windows are shut: it takes no byte of the upload, and begins to answer nevertheless.
        let mut provider = Frames::begin_with(played.provider.accept().await, &setting(4, 0)).await;
        let asked = provider.asked().await;
        provider.say(frame(HEADERS, END_HEADERS, asked, [0x88])).await;
        client.next_of(HEADERS).await.unwrap();
        client.say(reset(1, Code::CANCEL)).await;
        let taken_back = provider.next_of(RESET).await.unwrap();
        assert_eq!((taken_back.stream, taken_back.code()), (asked, Code::CANCEL));
        played.settled().await;
    }
}

#[tokio::test]
async fn a_request_whose_body_stalls_is_given_up_and_the_others_go_on() {
    let played = Played::with(Protocol::H2c, "[timeouts]\nstream_idle = \"3s\"").await;
    let mut client = played.client().await;
    // One answer that stalls; no deadline is left for it.
    client.ask(1, "/stalls").await;
    let mut provider = Frames::begin(played.provider.accept().await, 100).await;
    let stalls = provider.asked().await;
    provider.say([frame(HEADERS, END_HEADERS, stalls, [0x88]), frame(DATA, 0, stalls, "abc")].concat()).await;
    client.ask(3, "/goes-on").await;
    let goes_on = provider.asked().await;
    provider.say(frame(HEADERS, END_HEADERS, goes_on, [0x88])).await;
    let mut given_up = false;
    let mut beat = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..80 {
        // The connection is never silent, and the other request neither.
        beat.tick().await;
        provider.say(frame(DATA, 0, goes_on, "x")).await;
        while let Ok(Some(frame)) = tokio::time::timeout(Duration::from_millis(10), client.next()).await {
            if frame.kind == RESET {
                assert_eq!((frame.stream, frame.code()), (1, Code::CANCEL));
                given_up = true;
            }
        }
        if given_up {
            break;
        }
    }
    assert!(given_up, "the one that stalls ends");
    assert_eq!(provider.next_of(RESET).await.unwrap().stream, stalls, "and the provider is told");
    provider.say(frame(DATA, 1, goes_on, "end")).await;
    while client.next_of(DATA).await.unwrap().payload != b"end" {}
    // One whose body does not come on; its provider answers only when it has it all.
    client.say(frame(HEADERS, END_HEADERS, 5, request("POST", "/upload", &[]))).await;
    let upload = provider.asked().await;
    provider.say(frame(HEADERS, END_HEADERS, upload, [0x88])).await;
    let reset = client.next_of(RESET).await.unwrap();
    assert_eq!((reset.stream, reset.code()), (5, Code::CANCEL));
    played.settled().await;
}

#[tokio::test]
async fn bodies_that_come_behind_refused_requests_end_no_connection() {
    const AT_ONCE: u32 = 100;
    let played = Played::start(Protocol::H2c).await;
    let mut client = played.client().await;
    client.say(frame(WINDOW_UPDATE, 0, 0, 1_000_000_u32.to_be_bytes())).await;
    // Refused by its head alone.
    let refused = request("POST", "/x", &[("host", "other")]);
    for round in 0..20 {
        let streams = (0..AT_ONCE).map(move |number| 2 * (AT_ONCE * round + number) + 1);
        let heads = streams.clone().flat_map(|stream| frame(HEADERS, END_HEADERS, stream, &refused));
        client.say(heads.collect::<Vec<u8>>()).await;
        for _ in 0..AT_ONCE {
            client.next_of(RESET).await.expect("the connection goes on");
        }
        let bodies = streams.flat_map(|stream| frame(DATA, 1, stream, "x"));
        client.say(bodies.collect::<Vec<u8>>()).await;
    }
    client.ask(9001, "/x").await;
    let mut provider = Frames::begin(played.provider.accept().await, 100).await;
    let stream = provider.asked().await;
    provider.answer(stream).await;
    let answer = client.next_of(HEADERS).await.expect("the connection goes on");
    assert_eq!((answer.stream, answer.status()), (9001, 200));
}

#[tokio::test]
async fn what_has_begun_and_is_not_completed_ends_the_connection_in_time() {
    let played = Played::with(Protocol::Http1, "[timeouts]\nheader = \"1s\"").await;
    let unfinished = frame(HEADERS, 0, 3, get("/x"));
    for (what, said) in [
        ("a head that never goes on", unfinished.clone()),
        ("a head that goes on and never ends", [unfinished, frame(CONTINUATION, 0, 3, [])].concat()),
        ("half a frame of fields", frame(HEADERS, WHOLE, 3, get("/x"))[..12].to_vec()),
    ] {
        let mut client = played.client().await;
        // A request in flight gives it no more time.
        client.ask(1, "/waits").await;
        let _provider = played.provider.accept().await;
        client.next_of(SETTINGS).await.unwrap();
        client.say(&said).await;
        let farewell = client.next_of(GOAWAY).await;
        assert_eq!(farewell.expect(what).code(), Code::NO_ERROR, "{what}");
        while client.next().await.is_some() {}
    }
    // Not even the settings of the other side are acknowledged.
    let mut silent = tokio::net::TcpStream::connect(played.proxy.listeners[0]).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut silent, PREFACE).await.unwrap();
    let mut sink = tokio::io::sink();
    let ended = tokio::io::copy(&mut silent, &mut sink);
    tokio::time::timeout(PATIENCE, ended).await.expect("it ends").unwrap();
    played.settled().await;
}

#[tokio::test]
async fn an_idle_connection_is_told_of_its_end() {
    let played = Played::with(Protocol::H2c, "[timeouts]\nclient_idle = \"1s\"").await;
    let mut client = played.client().await;
    let farewell = client.next_of(GOAWAY).await.expect("a word before the end");
    assert_eq!(farewell.code(), Code::NO_ERROR);
    while client.next().await.is_some() {}
}

#[tokio::test]
async fn a_drain_lets_requests_end_and_says_which_were_not_looked_at() {
    let played = Played::start(Protocol::H2c).await;
    let mut client = played.client().await;
    client.ask(1, "/x").await;
    let mut provider = Frames::begin(played.provider.accept().await, 100).await;
    let stream = provider.asked().await;
    let Played { proxy, provider: _script } = played;
    proxy.leave();
    let farewell = client.next_of(GOAWAY).await.expect("a word before the end");
    assert_eq!(farewell.code(), Code::NO_ERROR);
    provider.answer(stream).await;
    let mut status = None;
    while let Some(frame) = client.next().await {
        if frame.kind == HEADERS {
            status = Some(frame.status());
        }
        if frame.kind == crate::support::wire::PING && frame.flags == 0 {
            client
                .try_say(crate::support::wire::frame(crate::support::wire::PING, 1, 0, &frame.payload))
                .await;
        }
    }
    assert_eq!(status, Some(200), "what was in flight is answered");
}

#[tokio::test]
async fn a_provider_may_change_its_mind_about_windows() {
    let played = Played::start(Protocol::H2c).await;
    let mut client = played.client().await;
    client
        .say(
            [frame(HEADERS, END_HEADERS, 1, request("POST", "/x", &[])), frame(DATA, 1, 1, "abcdef")]
                .concat(),
        )
        .await;
    // No byte of a body at first, then all of them.
    let mut provider = Frames::begin_with(played.provider.accept().await, &setting(4, 0)).await;
    let stream = provider.asked().await;
    provider.say(frame(crate::support::wire::SETTINGS, 0, 0, setting(4, 3))).await;
    assert_eq!(provider.next_of(DATA).await.unwrap().payload, b"abc");
    provider.say(frame(crate::support::wire::WINDOW_UPDATE, 0, stream, [0, 0, 0, 9])).await;
    assert_eq!(provider.next_of(DATA).await.unwrap().payload, b"def");
    provider.answer(stream).await;
    assert_eq!(client.next_of(HEADERS).await.unwrap().status(), 200);
}

#[tokio::test]
async fn many_small_messages_that_nobody_takes_end_no_connection() {
    const STREAMS: u32 = 12;
    let played = Played::start(Protocol::H2c).await;
    // Its windows are shut: it takes no byte of any answer.
    let mut client = played.client().await;
    client.say(frame(SETTINGS, 0, 0, setting(4, 0))).await;
    for stream in 0..STREAMS {
        client.ask(1 + 2 * stream, "/small").await;
    }
    let mut provider = Frames::begin(played.provider.accept().await, 100).await;
    let message = "20 bytes of a message";
    for _ in 0..STREAMS {
        let stream = provider.asked().await;
        provider.say(frame(HEADERS, END_HEADERS, stream, [0x88])).await;
        // As much as the window of a stream lets pass.
        let messages = frame(DATA, 0, stream, message).repeat(256 * 1024 / message.len());
        provider.say(messages).await;
    }
    let mut other = played.client().await;
    other.ask(1, "/other").await;
    let stream = provider.asked().await;
    provider.answer(stream).await;
    assert_eq!(other.next_of(HEADERS).await.unwrap().status(), 200);
    assert_eq!(played.proxy.metrics.proxy.upstream_dials_total.get(), 1);
    // What waited is all there.
    client.say(frame(WINDOW_UPDATE, 0, 1, 1_000_000_u32.to_be_bytes())).await;
    client.say(frame(WINDOW_UPDATE, 0, 0, 1_000_000_u32.to_be_bytes())).await;
    let whole = 256 * 1024 / message.len() * message.len();
    let mut heard = 0;
    while heard < whole {
        let data = client.next_of(DATA).await.unwrap();
        assert_eq!(data.stream, 1);
        heard += data.payload.len();
    }
    assert_eq!(heard, whole);
}

#[tokio::test]
async fn many_small_messages_that_no_provider_takes_end_no_connection() {
    let played = Played::start(Protocol::H2c).await;
    let mut client = played.client().await;
    let open = |stream| frame(HEADERS, END_HEADERS, stream, request("POST", "/small", &[]));
    client.say(open(1)).await;
    // Its windows are shut: it takes no byte of any upload.
    let mut provider = Frames::begin_with(played.provider.accept().await, &setting(4, 0)).await;
    let message = "20 bytes of a message";
    for number in 0..16 {
        let stream = 1 + 2 * number;
        if number > 0 {
            client.say(open(stream)).await;
        }
        provider.asked().await;
        // As much as the window of a stream lets pass.
        let messages = frame(DATA, 0, stream, message).repeat(64 * 1024 / message.len());
        assert!(client.try_say(messages).await, "upload {number}");
    }
    client.ask(101, "/other").await;
    let stream = provider.asked().await;
    provider.answer(stream).await;
    let answer = client.next_of(HEADERS).await.expect("the connection goes on");
    assert_eq!((answer.stream, answer.status()), (101, 200));
}
