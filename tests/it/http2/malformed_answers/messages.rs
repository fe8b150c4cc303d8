//! Answers: their status, their fields, their bodies and trailers (RFC 9113, 8).

use super::*;
use crate::support::wire::CONTINUATION;

/// The status, and other pseudo-fields.
fn statuses() -> Vec<Case> {
    vec![
        case("8.3.2", "a sound answer", ended, Heard::Whole(200)),
        case("8.3.2", "no :status", of(&[("x", b"1")]), MALFORMED),
        case("8.3.2", "a :status of two digits", of(&[(":status", b"20")]), NONE),
        case("8.3.2", "a :status of four digits", of(&[(":status", b"2000")]), NONE),
        case("8.3.2", "a :status that is no number", of(&[(":status", b"abc")]), NONE),
        case("8.3.2", "a :status with a reason", of(&[(":status", b"200 OK")]), NONE),
        case("8.3.2", ":status of no letter", of(&[(":status", b"")]), NONE),
        case("8.3.2", ":status twice", of(&[(":status", b"200"), (":status", b"200")]), MALFORMED),
        case("8.3.2", ":status behind a field", of(&[("x", b"1"), (":status", b"200")]), MALFORMED),
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
        case("8.2.2", "Connection", of(&[(":status", b"200"), ("connection", b"close")]), MALFORMED),
        case("8.2.2", "Keep-Alive", of(&[(":status", b"200"), ("keep-alive", b"timeout=5")]), MALFORMED),
        case(
            "8.2.2",
            "Transfer-Encoding",
            of(&[(":status", b"200"), ("transfer-encoding", b"chunked")]),
            MALFORMED,
        ),
        case("8.2.2", "Upgrade", of(&[(":status", b"200"), ("upgrade", b"h2c")]), MALFORMED),
        case("8.6", "101", of(&[(":status", b"101")]), MALFORMED),
        case("8.1", "100 and the end", of(&[(":status", b"100")]), MALFORMED),
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
    ]
}

/// Fields of other names.
fn plain_fields() -> Vec<Case> {
    vec![
        case(
            "8.1",
            "100 many times before the answer",
            all(|stream| {
                (0..200)
                    .map(|_| frame(HEADERS, END_HEADERS, stream, fields(&[(":status", "100")])))
                    .chain([ended(stream)])
                    .collect()
            }),
            MALFORMED,
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
        case(
            "8.1.1",
            "a length and no body",
            of(&[(":status", b"200"), ("content-length", b"3")]),
            MALFORMED,
        ),
    ]
}

/// Answers of several frames.
fn bodies() -> Vec<Case> {
    vec![
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
            MALFORMED,
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
            MALFORMED,
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
    ]
}

/// What comes behind.
fn rests() -> Vec<Case> {
    vec![
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
        case("10.5.1", "a head that is too large", |stream| large(stream, 70_000), MALFORMED),
        case("10.5.1", "a head that is far too large", |stream| large(stream, 2_000_000), NONE),
    ]
}

#[tokio::test]
async fn answers_are_what_http_allows() {
    check([statuses(), plain_fields(), bodies(), rests()].into_iter().flatten().collect()).await;
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
