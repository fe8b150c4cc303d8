//! Frames: their form, their order, the state of their stream (RFC 9113, 3 to 6).

use super::*;
use crate::support::frames::request;
use crate::support::wire::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, PADDED, PING, PREFACE, PRIORITY, PUSH_PROMISE,
    SETTINGS, WINDOW_UPDATE, reset, setting,
};

const PROTOCOL: Reaction = Reaction::GoAway(Code::PROTOCOL_ERROR);
const SIZE: Reaction = Reaction::GoAway(Code::FRAME_SIZE_ERROR);
const FLOW: Reaction = Reaction::GoAway(Code::FLOW_CONTROL_ERROR);

// Where RFC 9113 has a code of its own and the library says PROTOCOL_ERROR: the connection ends all the same.

/// For `FRAME_SIZE_ERROR`.
const SIZE_AS_PROTOCOL: Reaction = PROTOCOL;
/// For `STREAM_CLOSED`.
const CLOSED: Reaction = PROTOCOL;
/// For `FLOW_CONTROL_ERROR`.
const FLOW_AS_PROTOCOL: Reaction = PROTOCOL;
/// For `COMPRESSION_ERROR`.
const COMPRESSION: Reaction = PROTOCOL;

/// A request on stream 1 whose body is still to come.
fn open() -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, request("POST", "/x", &[]))
}

/// A request on stream 1.
fn whole() -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, get("/x"))
}

fn then(first: Vec<u8>, second: impl AsRef<[u8]>) -> Vec<u8> {
    [&first[..], second.as_ref()].concat()
}

/// Frames of messages and streams.
fn forms() -> Vec<Case> {
    let large = vec![0; 16_385];
    vec![
        case("4.1", "an unknown kind", frame(0x16, 0xff, 0, [1, 2, 3]), Reaction::Nothing),
        case("4.1", "unknown flags", frame(PING, 0xfe, 0, [0; 8]), Reaction::Nothing),
        case("4.1", "the reserved bit", frame(HEADERS, WHOLE, 1 | 1 << 31, get("/x")), Reaction::Answer(200)),
        case("4.2", "DATA that is too large", then(open(), frame(DATA, END_STREAM, 1, &large)), SIZE),
        case("4.2", "HEADERS that are too large", frame(HEADERS, WHOLE, 1, &large), SIZE),
        case("4.2", "SETTINGS that are too large", frame(SETTINGS, 0, 0, &large), SIZE),
        case("6.1", "DATA on stream 0", frame(DATA, 0, 0, [0]), PROTOCOL),
        case(
            "6.1",
            "more padding than DATA",
            then(open(), frame(DATA, PADDED | END_STREAM, 1, [5, 0])),
            PROTOCOL,
        ),
        case(
            "6.1",
            "padded DATA",
            then(open(), frame(DATA, PADDED | END_STREAM, 1, [1, b'x', 0])),
            Reaction::Answer(200),
        ),
        case("6.2", "HEADERS on stream 0", frame(HEADERS, WHOLE, 0, get("/x")), PROTOCOL),
        case("6.2", "more padding than HEADERS", frame(HEADERS, WHOLE | PADDED, 1, [9, 0x82]), PROTOCOL),
        case(
            "6.2",
            "HEADERS with a priority",
            frame(HEADERS, WHOLE | 0x20, 1, [&[0, 0, 0, 0, 9][..], &get("/x")].concat()),
            Reaction::Answer(200),
        ),
        case(
            "6.2",
            "HEADERS that depend on themselves",
            frame(HEADERS, WHOLE | 0x20, 1, [&[0, 0, 0, 1, 9][..], &get("/x")].concat()),
            Reaction::Reset(Code::PROTOCOL_ERROR),
        ),
        case("6.3", "PRIORITY on stream 0", frame(PRIORITY, 0, 0, [0; 5]), PROTOCOL),
        case("6.3", "PRIORITY of 4 bytes", then(open(), frame(PRIORITY, 0, 1, [0; 4])), SIZE_AS_PROTOCOL),
        case("6.3", "PRIORITY of an idle stream", frame(PRIORITY, 0, 5, [0, 0, 0, 3, 1]), Reaction::Nothing),
        case("6.4", "RST_STREAM on stream 0", reset(0, Code::CANCEL), PROTOCOL),
        case("6.4", "RST_STREAM of 3 bytes", then(open(), frame(RESET, 0, 1, [0; 3])), SIZE_AS_PROTOCOL),
        case(
            "6.5",
            "SETTINGS that acknowledge and say more",
            frame(SETTINGS, ACK, 0, setting(3, 1)),
            SIZE_AS_PROTOCOL,
        ),
        case("6.5", "SETTINGS on a stream", frame(SETTINGS, 0, 1, []), PROTOCOL),
        case("6.5", "SETTINGS of 5 bytes", frame(SETTINGS, 0, 0, [0; 5]), SIZE_AS_PROTOCOL),
        case("6.5.2", "ENABLE_PUSH of 2", frame(SETTINGS, 0, 0, setting(2, 2)), PROTOCOL),
        case(
            "6.5.2",
            "a window that is too large",
            frame(SETTINGS, 0, 0, setting(4, 1 << 31)),
            FLOW_AS_PROTOCOL,
        ),
        case("6.5.2", "frames that are too small", frame(SETTINGS, 0, 0, setting(5, 16_383)), PROTOCOL),
        case("6.5.2", "frames that are too large", frame(SETTINGS, 0, 0, setting(5, 1 << 24)), PROTOCOL),
        case("6.5.2", "an unknown setting", frame(SETTINGS, 0, 0, setting(0xabc, 7)), Reaction::Nothing),
    ]
}

/// Frames of settings, pings, farewells and windows.
fn forms_of_connections() -> Vec<Case> {
    vec![
        case(
            "6.6",
            "PUSH_PROMISE",
            then(open(), frame(PUSH_PROMISE, END_HEADERS, 1, [&[0, 0, 0, 2][..], &get("/x")].concat())),
            PROTOCOL,
        ),
        case("6.7", "PING", frame(PING, 0, 0, [7; 8]), Reaction::Nothing),
        case("6.7", "the answer to no PING", frame(PING, ACK, 0, [7; 8]), Reaction::Nothing),
        case("6.7", "PING on a stream", frame(PING, 0, 1, [0; 8]), PROTOCOL),
        case("6.7", "PING of 7 bytes", frame(PING, 0, 0, [0; 7]), SIZE_AS_PROTOCOL),
        case("6.8", "GOAWAY on a stream", frame(GOAWAY, 0, 1, [0; 8]), PROTOCOL),
        case("6.8", "GOAWAY of 7 bytes", frame(GOAWAY, 0, 0, [0; 7]), SIZE_AS_PROTOCOL),
        case("6.9", "WINDOW_UPDATE of 3 bytes", frame(WINDOW_UPDATE, 0, 0, [0; 3]), SIZE_AS_PROTOCOL),
        case("6.9", "WINDOW_UPDATE by nothing", frame(WINDOW_UPDATE, 0, 0, [0; 4]), PROTOCOL),
        case(
            "6.9",
            "WINDOW_UPDATE of a stream by nothing",
            then(open(), frame(WINDOW_UPDATE, 0, 1, [0; 4])),
            PROTOCOL,
        ),
        case("6.9.1", "too large a window", frame(WINDOW_UPDATE, 0, 0, (u32::MAX >> 1).to_be_bytes()), FLOW),
        case(
            "6.9.1",
            "too large a window of a stream",
            then(open(), frame(WINDOW_UPDATE, 0, 1, (u32::MAX >> 1).to_be_bytes())),
            Reaction::Reset(Code::FLOW_CONTROL_ERROR),
        ),
    ]
}

#[tokio::test]
async fn frames_have_their_form() {
    check([forms(), forms_of_connections()].into_iter().flatten().collect()).await;
}

/// The state of a stream.
fn states() -> Vec<Case> {
    let part = |flags, stream| frame(HEADERS, flags, stream, get("/x"));
    vec![
        case("5.1", "DATA of an idle stream", frame(DATA, END_STREAM, 1, [0]), PROTOCOL),
        case("5.1", "RST_STREAM of an idle stream", reset(1, Code::CANCEL), PROTOCOL),
        case("5.1", "WINDOW_UPDATE of an idle stream", frame(WINDOW_UPDATE, 0, 1, [0, 0, 0, 1]), PROTOCOL),
        case("5.1", "DATA after the end", then(whole(), frame(DATA, END_STREAM, 1, [0])), CLOSED),
        case("5.1", "HEADERS after the end", then(whole(), whole()), CLOSED),
        case(
            "5.1",
            "DATA after a reset",
            [open(), reset(1, Code::CANCEL), frame(DATA, 0, 1, [0])].concat(),
            Reaction::Reset(Code::STREAM_CLOSED),
        ),
        case("5.1", "HEADERS after a reset", [open(), reset(1, Code::CANCEL), whole()].concat(), CLOSED),
        case(
            "5.1",
            "WINDOW_UPDATE after the end",
            then(whole(), frame(WINDOW_UPDATE, 0, 1, [0, 0, 0, 1])),
            Reaction::Answer(200),
        ),
        case("5.1.1", "an even stream", frame(HEADERS, WHOLE, 2, get("/x")), PROTOCOL),
        case(
            "5.1.1",
            "a stream before the last one",
            then(frame(HEADERS, WHOLE, 5, get("/x")), frame(HEADERS, WHOLE, 3, get("/x"))),
            PROTOCOL,
        ),
        case("5.5", "an unknown kind among fields", then(part(0, 1), frame(0x16, 0, 0, [])), PROTOCOL),
        case("6.2", "PRIORITY among fields", then(part(0, 1), frame(PRIORITY, 0, 1, [0; 5])), PROTOCOL),
        case("6.2", "another stream among fields", then(part(0, 1), part(WHOLE, 3)), PROTOCOL),
        case("6.2", "DATA among fields", then(part(0, 1), frame(DATA, 0, 1, [0])), PROTOCOL),
        case("6.10", "CONTINUATION of nothing", frame(CONTINUATION, END_HEADERS, 1, get("/x")), PROTOCOL),
        case(
            "6.10",
            "CONTINUATION after the end of fields",
            then(open(), frame(CONTINUATION, END_HEADERS, 1, [])),
            PROTOCOL,
        ),
        case(
            "6.10",
            "CONTINUATION of another stream",
            then(part(END_STREAM, 1), frame(CONTINUATION, END_HEADERS, 3, [])),
            PROTOCOL,
        ),
        case(
            "6.10",
            "CONTINUATION on stream 0",
            then(part(END_STREAM, 1), frame(CONTINUATION, END_HEADERS, 0, [])),
            PROTOCOL,
        ),
        case(
            "6.10",
            "an empty CONTINUATION",
            then(part(END_STREAM, 1), frame(CONTINUATION, END_HEADERS, 1, [])),
            Reaction::Answer(200),
        ),
    ]
}

/// What comes among fields.
fn blocks() -> Vec<Case> {
    vec![case(
        "6.10",
        "fields cut at every byte",
        {
            let get = get("/x");
            let mut bytes = frame(HEADERS, END_STREAM, 1, &get[..1]);
            let last = get.len() - 1;
            get[1..].iter().enumerate().for_each(|(at, byte)| {
                bytes.extend(frame(CONTINUATION, if at + 1 == last { END_HEADERS } else { 0 }, 1, [*byte]));
            });
            bytes
        },
        Reaction::GoAway(Code::ENHANCE_YOUR_CALM),
    )]
}

#[tokio::test]
async fn frames_come_in_order() {
    check([states(), blocks()].into_iter().flatten().collect()).await;
}

#[tokio::test]
async fn fields_are_compressed_soundly() {
    let with = |rest: &[u8]| frame(HEADERS, WHOLE, 1, [&get("/x")[..], rest].concat());
    check(vec![
        case("RFC 7541 2.3.3", "an index beyond the tables", with(&[0xff, 0x80, 0x10]), COMPRESSION),
        case("RFC 7541 6.1", "index 0", with(&[0x80]), COMPRESSION),
        case(
            "RFC 7541 5.1",
            "a number without end",
            with(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            COMPRESSION,
        ),
        case("RFC 7541 5.2", "text that is cut off", with(&[0x00, 0x05, b'a']), COMPRESSION),
        case("RFC 7541 5.2", "padding of zeros", with(&[0x00, 0x01, b'a', 0x81, 0x00]), COMPRESSION),
        case(
            "RFC 7541 5.2",
            "the end of text within text",
            with(&[0x00, 0x01, b'a', 0x84, 0xff, 0xff, 0xff, 0xff]),
            COMPRESSION,
        ),
        case(
            "RFC 7541 6.3",
            "a table that is too large",
            frame(HEADERS, WHOLE, 1, [&[0x3f, 0xe2, 0x1f][..], &get("/x")].concat()),
            COMPRESSION,
        ),
        case(
            "RFC 7541 6.3",
            "a table of no size",
            frame(HEADERS, WHOLE, 1, [&[0x20][..], &get("/x")].concat()),
            Reaction::Answer(200),
        ),
        case("RFC 7541 4.2", "a change of the table behind a field", with(&[0x20]), COMPRESSION),
    ])
    .await;
}

#[tokio::test]
async fn a_connection_begins_with_its_preface_and_settings() {
    use tokio::io::AsyncWriteExt as _;
    let echo = Echo::start().await;
    let proxy = start(config(), Told::with("svc", &[echo.address()]));
    let mut stream = tokio::net::TcpStream::connect(proxy.listeners[0]).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n").await.unwrap();
    let mut sink = tokio::io::sink();
    let ended = tokio::io::copy(&mut stream, &mut sink);
    let _ = tokio::time::timeout(crate::support::patience::PATIENCE, ended)
        .await
        .expect("half a preface is the end");
    assert_eq!(echo.requests(), 0, "nothing of it reached the provider");
    for (what, first, expected) in [
        // The library does without a client's settings.
        ("PING before SETTINGS", [PREFACE, &frame(PING, 0, 0, [0; 8])].concat(), Reaction::Nothing),
        ("a request before SETTINGS", [PREFACE, &whole()].concat(), Reaction::Answer(200)),
        ("SETTINGS that acknowledge nothing", [PREFACE, &frame(SETTINGS, ACK, 0, [])].concat(), PROTOCOL),
    ] {
        let mut stream = tokio::net::TcpStream::connect(proxy.listeners[0]).await.unwrap();
        stream.write_all(&first).await.unwrap();
        let mut client = Frames { stream };
        assert_eq!(react(&mut client, &[], expected != Reaction::Nothing).await, expected, "{what}");
    }
}

#[tokio::test]
async fn no_more_streams_are_taken_than_were_allowed() {
    let provider = crate::support::provider::Script::start().await;
    let proxy = start(config(), Told::with("svc", &[provider.address()]));
    let mut client = Frames::connect(proxy.listeners[0]).await;
    let streams =
        (0..252).map(|number| frame(HEADERS, END_HEADERS, 2 * number + 1, request("POST", "/x", &[])));
    client.say(streams.collect::<Vec<_>>().concat()).await;
    for stream in [501, 503] {
        let refused = client.next_of(RESET).await.unwrap();
        assert_eq!((refused.stream, refused.code()), (stream, Code::REFUSED_STREAM));
    }
}
