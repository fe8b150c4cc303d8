//! Answers and frames of providers that HTTP/2 does not allow, and some at its edge: the client hears of it, the provider's other
//! requests and all other clients are none the worse.

use super::*;
use crate::support::client::Raw;
use crate::support::wire::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PRIORITY, PUSH_PROMISE,
    RESET, SETTINGS, WHOLE, WINDOW_UPDATE, fields, frame, setting,
};

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
async fn answers_are_what_http_allows() {
    check(vec![
        case("8.3.2", "a sound answer", ended, Heard::Whole(200)),
        case("8.3.2", "no :status", of(&[("x", b"1")]), NONE),
        case("8.3.2", "a :status of two digits", of(&[(":status", b"20")]), NONE),
        case("8.3.2", "a :status of four digits", of(&[(":status", b"2000")]), NONE),
        case("8.3.2", "a :status that is no number", of(&[(":status", b"abc")]), NONE),
        case("8.3.2", "a :status with a reason", of(&[(":status", b"200 OK")]), NONE),
        case("8.3.2", ":status of no letter", of(&[(":status", b"")]), NONE),
        case("8.3.2", ":status twice", of(&[(":status", b"200"), (":status", b"200")]), NONE),
        case("8.3.2", ":status behind a field", of(&[("x", b"1"), (":status", b"200")]), NONE),
        // The library leaves it out and goes on: nothing of it is passed on.
        case(
            "8.3",
            "a pseudo-field of requests",
            of(&[(":status", b"200"), (":path", b"/")]),
            Heard::Whole(200),
        ),
        case("8.3", "an unknown pseudo-field", of(&[(":status", b"200"), (":foo", b"1")]), NONE),
        case("8.2", "a capital letter", of(&[(":status", b"200"), ("X-Upper", b"1")]), NONE),
        case("8.2.1", "a NUL in a value", of(&[(":status", b"200"), ("x", b"a\0b")]), NONE),
        case(
            "8.2.1",
            "a line end in a value",
            of(&[(":status", b"200"), ("x", b"a\r\nset-cookie: b=1")]),
            NONE,
        ),
        case("8.2.1", "a space in a name", of(&[(":status", b"200"), ("a b", b"1")]), NONE),
        case("8.2.1", "a name of no letter", of(&[(":status", b"200"), ("", b"1")]), NONE),
        case("8.2.2", "Connection", of(&[(":status", b"200"), ("connection", b"close")]), NONE),
        case("8.2.2", "Keep-Alive", of(&[(":status", b"200"), ("keep-alive", b"timeout=5")]), NONE),
        case(
            "8.2.2",
            "Transfer-Encoding",
            of(&[(":status", b"200"), ("transfer-encoding", b"chunked")]),
            NONE,
        ),
        case("8.2.2", "Upgrade", of(&[(":status", b"200"), ("upgrade", b"h2c")]), NONE),
        case("8.6", "101", of(&[(":status", b"101")]), NONE),
        case("8.1", "100 and the end", of(&[(":status", b"100")]), NONE),
        case(
            "8.1",
            "103 before the answer",
            all(|stream| {
                vec![
                    frame(HEADERS, END_HEADERS, stream, fields(&[(":status", "103"), ("link", "</x>")])),
                    ended(stream),
                ]
            }),
            Heard::Whole(200),
        ),
        case(
            "8.1",
            "100 many times before the answer",
            all(|stream| {
                (0..200)
                    .map(|_| frame(HEADERS, END_HEADERS, stream, fields(&[(":status", "100")])))
                    .chain([ended(stream)])
                    .collect()
            }),
            Heard::Whole(200),
        ),
        case(
            "8.1.1",
            "a body that is longer than said",
            all(|stream| {
                vec![
                    frame(
                        HEADERS,
                        END_HEADERS,
                        stream,
                        fields(&[(":status", "200"), ("content-length", "2")]),
                    ),
                    frame(DATA, END_STREAM, stream, "abc"),
                ]
            }),
            Heard::Broken,
        ),
        case(
            "8.1.1",
            "a body that is shorter than said",
            all(|stream| {
                vec![
                    frame(
                        HEADERS,
                        END_HEADERS,
                        stream,
                        fields(&[(":status", "200"), ("content-length", "9")]),
                    ),
                    frame(DATA, END_STREAM, stream, "abc"),
                ]
            }),
            Heard::Broken,
        ),
        case("8.1.1", "a length and no body", of(&[(":status", b"200"), ("content-length", b"3")]), NONE),
        case(
            "8.1.1",
            "two lengths that differ",
            all(|stream| {
                vec![
                    frame(
                        HEADERS,
                        END_HEADERS,
                        stream,
                        fields(&[(":status", "200"), ("content-length", "3"), ("content-length", "4")]),
                    ),
                    frame(DATA, END_STREAM, stream, "abc"),
                ]
            }),
            NONE,
        ),
        case(
            "8.1.1",
            "a length that is none",
            all(|stream| {
                vec![
                    frame(
                        HEADERS,
                        END_HEADERS,
                        stream,
                        fields(&[(":status", "200"), ("content-length", "+3")]),
                    ),
                    frame(DATA, END_STREAM, stream, "abc"),
                ]
            }),
            NONE,
        ),
        case(
            "8.1",
            "trailers",
            all(|stream| {
                vec![
                    ok(stream),
                    frame(DATA, 0, stream, "abc"),
                    frame(HEADERS, WHOLE, stream, fields(&[("x-sum", "1")])),
                ]
            }),
            Heard::Whole(200),
        ),
        case(
            "8.1",
            "trailers that are not the end",
            all(|stream| {
                vec![
                    ok(stream),
                    frame(DATA, 0, stream, "abc"),
                    frame(HEADERS, END_HEADERS, stream, fields(&[("x-sum", "1")])),
                ]
            }),
            Heard::Broken,
        ),
        // As above.
        case(
            "8.1",
            ":status in trailers",
            all(|stream| {
                vec![
                    ok(stream),
                    frame(DATA, 0, stream, "abc"),
                    frame(HEADERS, WHOLE, stream, fields(&[(":status", "500")])),
                ]
            }),
            Heard::Whole(200),
        ),
        case(
            "8.1",
            "a reset behind the answer",
            all(|stream| {
                vec![ended(stream), crate::support::wire::reset(stream, crate::support::wire::Code::NO_ERROR)]
            }),
            Heard::Whole(200),
        ),
        case("10.5.1", "a head that is too large", |stream| large(stream, 70_000), NONE),
        case("10.5.1", "a head that is far too large", |stream| large(stream, 2_000_000), NONE),
    ])
    .await;
}

/// An answer with a field of so many bytes.
fn large(stream: u32, bytes: usize) -> Vec<u8> {
    let value = vec![b'a'; bytes];
    let whole = fields(&[(&b":status"[..], &b"200"[..]), (&b"x"[..], &value)]);
    let mut pieces = whole.chunks(16_384);
    let mut said = frame(HEADERS, END_STREAM, stream, pieces.next().unwrap());
    let count = pieces.len();
    for (at, piece) in pieces.enumerate() {
        said.extend(frame(CONTINUATION, if at + 1 == count { END_HEADERS } else { 0 }, stream, piece));
    }
    said
}

#[tokio::test]
async fn frames_of_providers_have_their_form_and_order() {
    check(vec![
        case(
            "4.1",
            "an unknown kind",
            all(|stream| vec![frame(0x16, 0xff, 0, "abc"), ended(stream)]),
            Heard::Whole(200),
        ),
        case("4.2", "a frame that is too large", |stream| frame(DATA, 0, stream, vec![0; 16_385]), NONE),
        case(
            "4.3",
            "fields that cannot be decompressed",
            |stream| frame(HEADERS, WHOLE, stream, [0x80]),
            NONE,
        ),
        case(
            "4.3",
            "an index beyond the tables",
            |stream| frame(HEADERS, WHOLE, stream, [0x88, 0xff, 0x80, 0x10]),
            NONE,
        ),
        case("5.1", "DATA before HEADERS", |stream| frame(DATA, END_STREAM, stream, "abc"), NONE),
        case("5.1", "DATA on an idle stream", |stream| frame(DATA, END_STREAM, stream + 100, "abc"), NONE),
        case("5.1", "HEADERS on an idle stream", |stream| frame(HEADERS, WHOLE, stream + 100, [0x88]), NONE),
        case("5.1", "a stream of the provider's own", |_| frame(HEADERS, WHOLE, 2, [0x88]), NONE),
        case(
            "5.1",
            "DATA behind the end",
            all(|stream| vec![ended(stream), frame(DATA, END_STREAM, stream, "abc")]),
            Heard::Whole(200),
        ),
        case("6.1", "DATA on stream 0", |_| frame(DATA, 0, 0, "abc"), NONE),
        case(
            "6.1",
            "more padding than DATA",
            all(|stream| vec![ok(stream), frame(DATA, PADDED | END_STREAM, stream, [9, 0])]),
            Heard::Broken,
        ),
        case(
            "6.1",
            "padded DATA",
            all(|stream| vec![ok(stream), frame(DATA, PADDED | END_STREAM, stream, [2, b'a', 0, 0])]),
            Heard::Whole(200),
        ),
        case(
            "6.1",
            "empty DATA",
            all(|stream| vec![ok(stream), frame(DATA, 0, stream, ""), frame(DATA, END_STREAM, stream, "")]),
            Heard::Whole(200),
        ),
        case("6.2", "HEADERS on stream 0", |_| frame(HEADERS, WHOLE, 0, [0x88]), NONE),
        case(
            "6.2",
            "another frame among fields",
            all(|stream| vec![frame(HEADERS, 0, stream, [0x88]), frame(PING, 0, 0, [0; 8])]),
            NONE,
        ),
        case("6.3", "PRIORITY of 4 bytes", |stream| frame(PRIORITY, 0, stream, [0; 4]), NONE),
        case("6.4", "RST_STREAM on stream 0", |_| frame(RESET, 0, 0, [0; 4]), NONE),
        case("6.4", "RST_STREAM of 3 bytes", |stream| frame(RESET, 0, stream, [0; 3]), NONE),
        case("6.5", "SETTINGS on a stream", |stream| frame(SETTINGS, 0, stream, []), NONE),
        case("6.5", "SETTINGS of 5 bytes", |_| frame(SETTINGS, 0, 0, [0; 5]), NONE),
        case(
            "6.5",
            "SETTINGS that acknowledge and say more",
            |_| frame(SETTINGS, ACK, 0, setting(3, 1)),
            NONE,
        ),
        case("6.5.2", "a window that is too large", |_| frame(SETTINGS, 0, 0, setting(4, 1 << 31)), NONE),
        case("6.5.2", "frames that are too small", |_| frame(SETTINGS, 0, 0, setting(5, 1)), NONE),
        case(
            "6.6",
            "PUSH_PROMISE, which was not allowed",
            |stream| frame(PUSH_PROMISE, END_HEADERS, stream, [0, 0, 0, 2, 0x82]),
            NONE,
        ),
        case("6.7", "PING of 7 bytes", |_| frame(PING, 0, 0, [0; 7]), NONE),
        case("6.7", "PING on a stream", |stream| frame(PING, 0, stream, [0; 8]), NONE),
        case("6.8", "GOAWAY on a stream", |stream| frame(GOAWAY, 0, stream, [0; 8]), NONE),
        case("6.9", "WINDOW_UPDATE by nothing", |_| frame(WINDOW_UPDATE, 0, 0, [0; 4]), NONE),
        case(
            "6.9.1",
            "too large a window",
            |_| frame(WINDOW_UPDATE, 0, 0, (u32::MAX >> 1).to_be_bytes()),
            NONE,
        ),
        case(
            "6.10",
            "CONTINUATION of nothing",
            |stream| frame(CONTINUATION, END_HEADERS, stream, [0x88]),
            NONE,
        ),
        case("3.4", "HTTP/1.1", |_| b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec(), NONE),
    ])
    .await;
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
    heard.sort_by_key(|heard| *heard == NONE);
    assert_eq!(heard, [Heard::Whole(200), Heard::Whole(200), NONE]);
    assert_eq!(played.proxy.metrics.proxy.upstream_dials_total.get(), 1);
}
