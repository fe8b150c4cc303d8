//! One version of HTTP made into the other: what each side sees of a message that came in the other's form.

use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::*;
use crate::support::client::{Client, Raw};
use crate::support::frames::{get, request};
use crate::support::wire::{
    Code, DATA, END_HEADERS, END_STREAM, HEADERS, RESET, WHOLE, fields, frame, reset,
};

pub(super) type Body = Full<bytes::Bytes>;

/// A well-behaved HTTP/2 client on one connection.
pub(super) async fn connect(proxy: &Running) -> SendRequest<Body> {
    let stream = tokio::net::TcpStream::connect(proxy.listeners[0]).await.unwrap();
    let begun = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (sender, connection) = begun.unwrap();
    tokio::spawn(connection);
    sender
}

/// The HTTP/2 answer to an HTTP/1.1 provider's.
async fn answered(
    said: &str,
) -> http::Response<Result<http_body_util::Collected<bytes::Bytes>, hyper::Error>> {
    let played = Played::start(Protocol::Http1).await;
    let mut client = connect(&played.proxy).await;
    let asked = http::Request::get("http://svc/x").body(Body::default()).unwrap();
    let answer = client.send_request(asked);
    let provider = async {
        let mut provider = Raw::from(played.provider.accept().await);
        provider.hear_head().await;
        provider.say(said).await;
    };
    let (answer, ()) = tokio::join!(answer, provider);
    let (parts, body) = answer.unwrap().into_parts();
    http::Response::from_parts(parts, body.collect().await)
}

#[tokio::test]
async fn an_http1_provider_sees_one_host_and_one_cookie_field() {
    let played = Played::start(Protocol::Http1).await;
    let mut client = played.client().await;
    let crumbs =
        [("cookie", "a=1"), ("host", "svc"), ("cookie", "b=2; c=3"), ("te", "trailers"), ("cookie", "d=4")];
    client.say(frame(HEADERS, WHOLE, 1, request("GET", "/x?y=1", &crumbs))).await;
    let mut provider = Raw::from(played.provider.accept().await);
    let head = provider.hear_head().await;
    assert!(head.starts_with("GET /x?y=1 HTTP/1.1\r\n"), "{head}");
    let lines =
        |name: &str| head.lines().filter(|line| line.starts_with(&format!("{name}: "))).collect::<Vec<_>>();
    assert_eq!(lines("host"), ["host: svc"]);
    assert_eq!(lines("cookie"), ["cookie: a=1; b=2; c=3; d=4"]);
    assert!(lines("via")[0].starts_with("via: 2.0 wayside-"));
    assert!(!head.contains(":authority") && !head.contains(":path"));
}

#[tokio::test]
async fn what_concerns_one_connection_is_not_in_an_http2_answer() {
    let answer = answered(
        "HTTP/1.1 200 OK\r\nconnection: x-hop, keep-alive\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nproxy-connection: keep-alive\r\n\
         upgrade: h2c\r\nte: gzip\r\nx-kept: 1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    )
    .await;
    for gone in
        ["connection", "x-hop", "keep-alive", "proxy-connection", "upgrade", "te", "transfer-encoding"]
    {
        assert!(!answer.headers().contains_key(gone), "{gone}");
    }
    assert_eq!(answer.headers()["x-kept"], "1");
    assert_eq!(answer.into_body().unwrap().to_bytes(), "abc");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_ended_cleanly() {
    for said in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nabc",
    ] {
        let played = Played::start(Protocol::Http1).await;
        let mut client = played.client().await;
        client.ask(1, "/x").await;
        let mut provider = Raw::from(played.provider.accept().await);
        provider.hear_head().await;
        provider.say(said).await;
        drop(provider);
        let mut ended = Vec::new();
        while ended.last() != Some(&RESET) {
            let frame = client.next().await.expect("the connection goes on");
            if frame.stream == 1 {
                assert!(frame.flags & END_STREAM == 0 || frame.kind == RESET, "{said}: a clean end");
                ended.push(frame.kind);
            }
        }
        played.settled().await;
    }
}

#[tokio::test]
async fn an_answer_until_the_connection_ends_and_trailers_are_ended_cleanly() {
    let answer = answered("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc").await;
    assert_eq!(answer.into_body().unwrap().to_bytes(), "abc");
    let trailers = "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n";
    let whole = answered(trailers).await.into_body().unwrap();
    assert_eq!(whole.trailers().unwrap()["x-sum"], "7");
    for (status, line) in [(204, "204 No Content"), (304, "304 Not Modified")] {
        let answer = answered(&format!("HTTP/1.1 {line}\r\n\r\n")).await;
        assert_eq!((answer.status().as_u16(), answer.into_body().unwrap().to_bytes().len()), (status, 0));
    }
}

#[tokio::test]
async fn trailers_of_a_request_reach_a_provider_of_either_version() {
    let say = [
        // Towards HTTP/1.1, the library sends those that were announced.
        frame(HEADERS, END_HEADERS, 1, request("POST", "/x", &[("trailer", "x-sum")])),
        frame(DATA, 0, 1, "abc"),
        frame(HEADERS, WHOLE, 1, fields(&[("x-sum", "7")])),
    ]
    .concat();
    let played = Played::start(Protocol::Http1).await;
    let mut client = played.client().await;
    client.say(&say).await;
    let mut provider = Raw::from(played.provider.accept().await);
    let heard = provider.hear_until("0\r\nx-sum: 7\r\n\r\n").await;
    assert!(heard.contains("transfer-encoding: chunked") && heard.contains("3\r\nabc\r\n"), "{heard}");

    let played = Played::start(Protocol::H2c).await;
    let mut client = played.client().await;
    client.say(&say).await;
    let mut provider = Frames::begin(played.provider.accept().await, 100).await;
    let head = provider.next_of(HEADERS).await.unwrap();
    let (data, trailers) = (provider.next_of(DATA).await.unwrap(), provider.next_of(HEADERS).await.unwrap());
    assert_eq!(
        (head.flags & END_STREAM, &data.payload[..], trailers.flags & END_STREAM),
        (0, &b"abc"[..], 1)
    );
}

#[tokio::test]
async fn a_client_that_resets_its_request_takes_it_back_from_the_provider() {
    let played = Played::start(Protocol::Http1).await;
    let mut client = played.client().await;
    client.ask(1, "/x").await;
    let mut provider = Raw::from(played.provider.accept().await);
    provider.hear_head().await;
    client.say(reset(1, Code::CANCEL)).await;
    assert_eq!(provider.hear_all().await, "", "its connection ends");
    played.settled().await;

    let played = Played::start(Protocol::H2c).await;
    let mut client = played.client().await;
    client.ask(1, "/x").await;
    let mut provider = Frames::begin(played.provider.accept().await, 100).await;
    let stream = provider.asked().await;
    client.say(reset(1, Code::CANCEL)).await;
    let taken_back = provider.next_of(RESET).await.unwrap();
    assert_eq!((taken_back.stream, taken_back.code()), (stream, Code::CANCEL));
    // Others go on, on the same connection.
    client.ask(3, "/x").await;
    let stream = provider.asked().await;
    provider.answer(stream).await;
    assert_eq!(client.next_of(HEADERS).await.unwrap().status(), 200);
    // And so it is in the midst of an answer.
    client.ask(5, "/x").await;
    let stream = provider.asked().await;
    provider.say([frame(HEADERS, END_HEADERS, stream, [0x88]), frame(DATA, 0, stream, "abc")].concat()).await;
    client.next_of(DATA).await.unwrap();
    client.say(reset(5, Code::CANCEL)).await;
    assert_eq!(provider.next_of(RESET).await.unwrap().stream, stream);
    played.settled().await;
}

#[tokio::test]
async fn what_a_provider_resets_with_decides_what_its_client_hears() {
    for code in 0..14 {
        let code = Code(code);
        let played = Played::with(Protocol::H2c, "[retries]\nmax = 0").await;
        let mut client = Client::connect(played.proxy.listeners[0]).await;
        let provider = async {
            let mut provider = Frames::begin(played.provider.accept().await, 100).await;
            let stream = provider.asked().await;
            provider.say(reset(stream, code)).await;
            provider
        };
        let (answer, mut provider) = tokio::join!(client.get("svc", "/x"), provider);
        let (status, reason) = match code {
            Code::REFUSED_STREAM => (503, "stream_refused"),
            _ => (502, "stream_reset"),
        };
        let told = answer.headers()["proxy-status"].to_str().unwrap();
        assert_eq!(answer.status(), status, "{code:?}");
        assert!(told.ends_with(&format!("details=\"{reason}\"")), "{code:?}: {told}");

        // In the midst of an answer, a client of HTTP/2 hears the same, and another one that the answer is not whole.
        let mut client = played.client().await;
        client.ask(1, "/x").await;
        let stream = provider.asked().await;
        provider
            .say(
                [
                    frame(HEADERS, END_HEADERS, stream, [0x88]),
                    frame(DATA, 0, stream, "abc"),
                    reset(stream, code),
                ]
                .concat(),
            )
            .await;
        let heard = client.next_of(RESET).await.unwrap();
        // What is not whole does not end without an error, nor as if it could be asked for again, whatever its provider says.
        let is_no_error = [Code::NO_ERROR, Code::REFUSED_STREAM].contains(&code);
        assert_eq!(heard.code(), if is_no_error { Code::CANCEL } else { code });
        let mut raw = Raw::connect(played.proxy.listeners[0]).await;
        raw.say("GET /x HTTP/1.1\r\nhost: svc\r\n\r\n").await;
        let stream = provider.asked().await;
        provider
            .say(
                [
                    frame(HEADERS, END_HEADERS, stream, [0x88]),
                    frame(DATA, 0, stream, "abc"),
                    reset(stream, code),
                ]
                .concat(),
            )
            .await;
        let heard = raw.hear_all().await;
        assert!(!heard.contains("0\r\n\r\n"), "{code:?}: {heard}");
        played.settled().await;
    }
}

#[tokio::test]
async fn an_upload_that_its_client_takes_back_is_not_ended_cleanly() {
    for code in [Code::NO_ERROR, Code::CANCEL, Code::INTERNAL_ERROR] {
        let played = Played::start(Protocol::Http1).await;
        let mut client = played.client().await;
        client
            .say(
                [frame(HEADERS, END_HEADERS, 1, request("POST", "/x", &[])), frame(DATA, 0, 1, "abc")]
                    .concat(),
            )
            .await;
        let mut provider = Raw::from(played.provider.accept().await);
        provider.hear_until("3\r\nabc\r\n").await;
        client.say(reset(1, code)).await;
        assert_eq!(provider.hear_all().await, "", "{code:?}");
        played.settled().await;

        let played = Played::start(Protocol::H2c).await;
        let mut client = played.client().await;
        client
            .say(
                [frame(HEADERS, END_HEADERS, 1, request("POST", "/x", &[])), frame(DATA, 0, 1, "abc")]
                    .concat(),
            )
            .await;
        let mut provider = Frames::begin(played.provider.accept().await, 100).await;
        provider.asked().await;
        client.say(reset(1, code)).await;
        loop {
            let frame = provider.next().await.unwrap();
            assert!(frame.kind != DATA || frame.flags & END_STREAM == 0, "{code:?}");
            if frame.kind == RESET {
                break;
            }
        }
        played.settled().await;
    }
}

#[tokio::test]
async fn an_answer_that_needs_no_more_of_its_request_is_whole() {
    let played = Played::start(Protocol::H2c).await;
    let mut client = Raw::connect(played.proxy.listeners[0]).await;
    client.say("POST /x HTTP/1.1\r\nhost: svc\r\ncontent-length: 100\r\n\r\nabc").await;
    let mut provider = Frames::begin(played.provider.accept().await, 100).await;
    let stream = provider.asked().await;
    // As RFC 9113, 8.1 has it.
    let answer = [
        frame(HEADERS, END_HEADERS, stream, [0x88]),
        frame(DATA, END_STREAM, stream, "abc"),
        reset(stream, Code::NO_ERROR),
    ];
    provider.say(answer.concat()).await;
    let heard = client.hear_until("3\r\nabc\r\n0\r\n\r\n").await;
    assert!(heard.starts_with("HTTP/1.1 200"), "{heard}");
}

#[tokio::test]
async fn a_head_alone_is_asked_for_and_answered_alike_by_both() {
    let played = Played::start(Protocol::Http1).await;
    let mut client = played.client().await;
    client.say(frame(HEADERS, WHOLE, 1, request("HEAD", "/x", &[]))).await;
    let mut provider = Raw::from(played.provider.accept().await);
    provider.hear_head().await;
    provider.say("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n").await;
    let head = client.next_of(HEADERS).await.unwrap();
    assert_eq!((head.status(), head.flags & END_STREAM), (200, END_STREAM));
    // The provider's connection is as good as before.
    client.say(frame(HEADERS, WHOLE, 3, get("/y"))).await;
    assert!(provider.hear_head().await.starts_with("GET /y"));
}

#[tokio::test]
async fn a_body_that_dribbles_in_goes_on_in_larger_pieces() {
    const BYTES: usize = 4000;
    let played = Played::start(Protocol::H2c).await;
    let mut client = played.client().await;
    let dribble: Vec<u8> = (0..BYTES).flat_map(|_| frame(DATA, 0, 1, "a")).collect();
    let trailers = frame(HEADERS, WHOLE, 1, fields(&[("x-sum", "1")]));
    client
        .say([frame(HEADERS, END_HEADERS, 1, request("POST", "/x", &[])), dribble, trailers].concat())
        .await;
    let mut provider = Frames::begin(played.provider.accept().await, 100).await;
    provider.asked().await;
    let (mut frames, mut bytes) = (0, 0);
    loop {
        let next = provider.next().await.unwrap();
        match next.kind {
            DATA => (frames, bytes) = (frames + 1, bytes + next.payload.len()),
            HEADERS => break assert_ne!(next.flags & END_STREAM, 0, "the trailers are the end"),
            _ => {}
        }
    }
    assert_eq!(bytes, BYTES);
    assert!(frames < BYTES / 4, "{frames} frames could be taken for a flood");
}
