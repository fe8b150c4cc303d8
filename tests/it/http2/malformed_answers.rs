//! Answers and frames of providers that HTTP/2 does not allow, and some at its edge: the client hears of it, the provider's other
//! requests and all other clients are none the worse.

mod connections;
mod messages;

use super::*;
use crate::support::client::Raw;
use crate::support::wire::{DATA, END_HEADERS, END_STREAM, HEADERS, WHOLE, fields, frame};

/// What the client hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// That there is no answer, for this reason.
    Failed(&'static str),
    /// An answer whose body breaks off.
    Broken,
    /// A whole answer with this status.
    Whole(u16),
}

/// One thing that a provider says: the section that it is about, what it is, its bytes, and what the client hears.
struct Case {
    section: &'static str,
    what: &'static str,
    bytes: Box<dyn Fn(u32) -> Vec<u8>>,
    expected: Heard,
}

fn case(
    section: &'static str,
    what: &'static str,
    bytes: impl Fn(u32) -> Vec<u8> + 'static,
    expected: Heard,
) -> Case {
    Case { section, what, bytes: Box::new(bytes), expected }
}

/// No answer came of it.
const NONE: Heard = Heard::Failed("connection_closed");

/// What came is none.
const MALFORMED: Heard = Heard::Failed("bad_response");

fn ok(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, [0x88])
}

fn ended(stream: u32) -> Vec<u8> {
    [ok(stream), frame(DATA, END_STREAM, stream, "abc")].concat()
}

/// An answer of exactly these fields, and nothing else.
fn of(list: &'static [(&'static str, &'static [u8])]) -> impl Fn(u32) -> Vec<u8> {
    move |stream| frame(HEADERS, WHOLE, stream, fields(list))
}

/// These frames, with the stream of the request.
fn all(frames: impl Fn(u32) -> Vec<Vec<u8>>) -> impl Fn(u32) -> Vec<u8> {
    move |stream| frames(stream).concat()
}

/// What a client of HTTP/1.1 hears when the provider says this.
fn told(heard: &str) -> Heard {
    // What comes ahead of the answer is none.
    let heard = match heard.split_once("\r\n\r\n") {
        Some((interim, rest)) if interim.starts_with("HTTP/1.1 1") => return told(rest),
        _ => heard,
    };
    // Where it breaks off at once, not even its head need have been sent.
    let Some(status) = heard.get(9..12) else { return Heard::Broken };
    let status: u16 = status.parse().unwrap();
    let (head, body) = heard.split_once("\r\n\r\n").unwrap();
    if let Some(reason) = head.split("details=\"").nth(1) {
        let reason = reason.split('"').next().unwrap();
        let known =
            ["connection_closed", "bad_response", "stream_refused", "connection_stale", "upgrade_failed"];
        return Heard::Failed(known.into_iter().find(|known| *known == reason).unwrap_or("another"));
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    let is_whole = length.map_or(body.ends_with("0\r\n\r\n") || status == 204, |length| body.len() == length);
    if is_whole { Heard::Whole(status) } else { Heard::Broken }
}

async fn check(cases: Vec<Case>) {
    let played = Played::with(Protocol::H2c, "[retries]\nmax = 0\n[services.health]\neject = false").await;
    let mut wrong = Vec::new();
    let mut connection: Option<Frames> = None;
    for Case { section, what, bytes, expected } in &cases {
        let mut client = Raw::connect(played.proxy.listeners[0]).await;
        client.say("GET /x HTTP/1.1\r\nhost: svc\r\nconnection: close\r\n\r\n").await;
        let (mut frames, stream) = asked(&played, connection.take()).await;
        frames.try_say(bytes(stream)).await;
        let found = told(&client.hear_all().await);
        if found != *expected {
            wrong.push(format!("{section} {what}: {found:?} instead of {expected:?}"));
        }
        // The next one is answered, on this connection or another.
        let mut client = Raw::connect(played.proxy.listeners[0]).await;
        client.say("GET /next HTTP/1.1\r\nhost: svc\r\nconnection: close\r\n\r\n").await;
        let (mut frames, stream) = asked(&played, Some(frames)).await;
        frames.say(ended(stream)).await;
        let next = told(&client.hear_all().await);
        assert_eq!(next, Heard::Whole(200), "after {section} {what}");
        connection = Some(frames);
    }
    assert!(wrong.is_empty(), "of {} cases:\n{}", cases.len(), wrong.join("\n"));
    played.settled().await;
    assert_eq!(played.proxy.metrics.proxy.panics_total.get(), 0);
    println!("{} cases", cases.len());
}

/// The next request, on this connection or on a new one.
async fn asked(played: &Played, known: Option<Frames>) -> (Frames, u32) {
    if let Some(mut frames) = known {
        let fresh = tokio::select! {
            stream = frames.asked_or_ended() => match stream {
                Some(stream) => return (frames, stream),
                None => played.provider.accept().await,
            },
            fresh = played.provider.accept() => fresh,
        };
        let mut frames = Frames::begin(fresh, 100).await;
        let stream = frames.asked().await;
        return (frames, stream);
    }
    let mut frames = Frames::begin(played.provider.accept().await, 100).await;
    let stream = frames.asked().await;
    (frames, stream)
}

#[tokio::test]
async fn an_answer_that_is_malformed_harms_no_other_on_its_connection() {
    let played = Played::with(Protocol::H2c, "[retries]\nmax = 0").await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Raw::connect(played.proxy.listeners[0]).await;
        client.say("GET /x HTTP/1.1\r\nhost: svc\r\nconnection: close\r\n\r\n").await;
        clients.push(client);
    }
    let mut provider = Frames::begin(played.provider.accept().await, 100).await;
    let streams = [provider.asked().await, provider.asked().await, provider.asked().await];
    provider
        .say(frame(HEADERS, WHOLE, streams[1], fields(&[(":status", "200"), ("connection", "close")])))
        .await;
    provider.say([ended(streams[0]), ended(streams[2])].concat()).await;
    let mut heard = Vec::new();
    for client in &mut clients {
        heard.push(told(&client.hear_all().await));
    }
    heard.sort_by_key(|heard| *heard == MALFORMED);
    assert_eq!(heard, [Heard::Whole(200), Heard::Whole(200), MALFORMED]);
    assert_eq!(played.proxy.metrics.proxy.upstream_dials_total.get(), 1);
}
