//! Messages: fields, pseudo-fields, bodies and their lengths (RFC 9113, 8).

use super::*;
use crate::support::wire::{DATA, END_HEADERS, END_STREAM, fields};

const MALFORMED: Reaction = Reaction::Reset(Code::PROTOCOL_ERROR);
/// What the library finds while it decompresses, and takes for an error of the whole connection.
const PROTOCOL_GO_AWAY: Reaction = Reaction::GoAway(Code::PROTOCOL_ERROR);
const BAD: Reaction = Reaction::Answer(400);
const GOOD: Reaction = Reaction::Answer(200);

type Field<'a> = (&'a str, &'a [u8]);

const METHOD: Field<'_> = (":method", b"GET");
const SCHEME: Field<'_> = (":scheme", b"http");
const PATH: Field<'_> = (":path", b"/x");
const AUTHORITY: Field<'_> = (":authority", b"svc");

/// A request of exactly these fields.
fn of(list: &[Field<'_>]) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, fields(list))
}

/// A sound request and a further field.
fn with(name: &str, value: &[u8]) -> Vec<u8> {
    of(&[METHOD, SCHEME, PATH, AUTHORITY, (name, value)])
}

/// A request with one pseudo-field of its own.
fn instead(name: &str, value: &[u8]) -> Vec<u8> {
    let all =
        [METHOD, SCHEME, PATH, AUTHORITY].map(|field| if field.0 == name { (name, value) } else { field });
    of(&all)
}

/// A request without one pseudo-field.
fn without(name: &str) -> Vec<u8> {
    let mut all = vec![METHOD, SCHEME, PATH, AUTHORITY];
    all.retain(|field| field.0 != name);
    of(&all)
}

/// A request with a body that should be so long, and a body.
fn with_body(lengths: &[&str], body: &str) -> Vec<u8> {
    let mut list = vec![(":method", &b"POST"[..]), SCHEME, PATH, AUTHORITY];
    list.extend(lengths.iter().map(|length| ("content-length", length.as_bytes())));
    [frame(HEADERS, END_HEADERS, 1, fields(&list)), frame(DATA, END_STREAM, 1, body)].concat()
}

/// A request with trailers.
fn with_trailers(flags: u8, trailers: &[Field<'_>]) -> Vec<u8> {
    let post = [(":method", &b"POST"[..]), SCHEME, PATH, AUTHORITY];
    let parts = [
        frame(HEADERS, END_HEADERS, 1, fields(&post)),
        frame(DATA, 0, 1, "abc"),
        frame(HEADERS, flags, 1, fields(trailers)),
    ];
    parts.concat()
}

#[tokio::test]
async fn fields_are_what_http_allows() {
    check(vec![
        case("8.2", "a capital letter", with("X-Upper", b"1"), PROTOCOL_GO_AWAY),
        case("8.2.1", "a space in a name", with("a b", b"1"), PROTOCOL_GO_AWAY),
        case("8.2.1", "a colon in a name", with("a:b", b"1"), PROTOCOL_GO_AWAY),
        case("8.2.1", "a name of no letter", with("", b"1"), PROTOCOL_GO_AWAY),
        case("8.2.1", "a control character in a name", with("a\x01", b"1"), PROTOCOL_GO_AWAY),
        case("8.2.1", "a NUL in a value", with("x", b"a\0b"), PROTOCOL_GO_AWAY),
        case("8.2.1", "a CR in a value", with("x", b"a\rb"), PROTOCOL_GO_AWAY),
        case("8.2.1", "an LF in a value", with("x", b"a\nb"), PROTOCOL_GO_AWAY),
        case(
            "8.2.1",
            "a request hidden in a value",
            with("x", b"a\r\n\r\nGET /hidden HTTP/1.1\r\nhost: svc\r\n\r\n"),
            PROTOCOL_GO_AWAY,
        ),
        case("8.2.1", "DEL in a value", with("x", b"a\x7fb"), PROTOCOL_GO_AWAY),
        case("8.2.1", "a space before a value", with("x", b" a"), BAD),
        case("8.2.1", "a tab behind a value", with("x", b"a\t"), BAD),
        case("8.2.1", "a tab in a value", with("x", b"a\tb"), GOOD),
        case("8.2.1", "a value of no letter", with("x", b""), GOOD),
        case("8.2.1", "a value that is no ASCII", with("x", "ä".as_bytes()), GOOD),
        case("8.2.2", "Connection", with("connection", b"keep-alive"), MALFORMED),
        case("8.2.2", "Proxy-Connection", with("proxy-connection", b"keep-alive"), MALFORMED),
        case("8.2.2", "Keep-Alive", with("keep-alive", b"timeout=5"), MALFORMED),
        case("8.2.2", "Transfer-Encoding", with("transfer-encoding", b"chunked"), MALFORMED),
        case("8.2.2", "Upgrade", with("upgrade", b"websocket"), MALFORMED),
        case("8.2.2", "TE: gzip", with("te", b"gzip"), MALFORMED),
        case("8.2.2", "TE: trailers, gzip", with("te", b"trailers, gzip"), MALFORMED),
        case("8.2.2", "TE: trailers", with("te", b"trailers"), GOOD),
        case(
            "8.2.3",
            "cookies taken apart",
            of(&[METHOD, SCHEME, PATH, AUTHORITY, ("cookie", b"a=1"), ("cookie", b"b=2")]),
            GOOD,
        ),
    ])
    .await;
}

#[tokio::test]
async fn pseudo_fields_are_there_once_and_first() {
    let twice = |field: Field<'_>| of(&[METHOD, SCHEME, PATH, AUTHORITY, field]);
    check(vec![
        case("8.3", "an unknown one", with(":foo", b"1"), PROTOCOL_GO_AWAY),
        case("8.3", "one of answers", of(&[METHOD, SCHEME, PATH, AUTHORITY, (":status", b"200")]), MALFORMED),
        case("8.3", "one behind a field", of(&[METHOD, SCHEME, AUTHORITY, ("x", b"1"), PATH]), MALFORMED),
        case("8.3.1", ":method twice", twice(METHOD), MALFORMED),
        case("8.3.1", ":scheme twice", twice(SCHEME), MALFORMED),
        case("8.3.1", ":path twice", twice(PATH), MALFORMED),
        case("8.3.1", ":authority twice", twice(AUTHORITY), MALFORMED),
        case("8.3.1", "no :method", without(":method"), MALFORMED),
        case("8.3.1", "no :scheme", without(":scheme"), MALFORMED),
        case("8.3.1", "no :path", without(":path"), MALFORMED),
        case("8.3.1", "neither :authority nor Host", without(":authority"), BAD),
        case("8.3.1", "Host alone", of(&[METHOD, SCHEME, PATH, ("host", b"svc")]), GOOD),
        case("8.3.1", "Host that says the same", with("host", b"SVC"), GOOD),
        case("8.3.1", "Host that says otherwise", with("host", b"other"), BAD),
        case("8.3.1", "two Hosts", of(&[METHOD, SCHEME, PATH, ("host", b"svc"), ("host", b"svc")]), BAD),
        case(
            "8.3.1",
            "two Hosts beside :authority",
            of(&[METHOD, SCHEME, PATH, AUTHORITY, ("host", b"svc"), ("host", b"other")]),
            BAD,
        ),
        case("8.3.1", "a user in :authority", instead(":authority", b"me@svc"), BAD),
        case("8.3.1", "no letter in :authority", instead(":authority", b""), MALFORMED),
        case("8.3.1", "a space in :authority", instead(":authority", b"svc other"), MALFORMED),
        case("8.3.1", "a path in :authority", instead(":authority", b"svc/x"), MALFORMED),
        case("8.3.1", "no letter in :path", instead(":path", b""), MALFORMED),
        case("8.3.1", "* for GET", instead(":path", b"*"), BAD),
        case("8.3.1", "no slash before :path", instead(":path", b"x"), MALFORMED),
        case("8.3.1", "a whole URI in :path", instead(":path", b"http://other/x"), MALFORMED),
        case("8.3.1", "a space in :path", instead(":path", b"/x HTTP/1.1"), MALFORMED),
        case("8.3.1", "a NUL in :path", instead(":path", b"/\0"), MALFORMED),
        case("8.3.1", "a line end in :path", instead(":path", b"/x\r\nx-hidden: 1"), MALFORMED),
        case("8.3.1", "an odd :scheme", instead(":scheme", b"ftp"), BAD),
        case("8.3.1", "a :scheme that is none", instead(":scheme", b"ht tp"), MALFORMED),
        case("8.3.1", "https", instead(":scheme", b"https"), GOOD),
        case("8.3.1", "no letter in :method", instead(":method", b""), PROTOCOL_GO_AWAY),
        case("8.3.1", "a space in :method", instead(":method", b"GET /x"), PROTOCOL_GO_AWAY),
        case("8.3.1", "OPTIONS *", of(&[(":method", b"OPTIONS"), SCHEME, (":path", b"*"), AUTHORITY]), GOOD),
        case("8.5", "CONNECT", of(&[(":method", b"CONNECT"), AUTHORITY]), Reaction::Answer(405)),
        case("8.5", "CONNECT with :path", of(&[(":method", b"CONNECT"), SCHEME, PATH, AUTHORITY]), MALFORMED),
        case("8.5", "CONNECT without :authority", of(&[(":method", b"CONNECT")]), Reaction::Answer(405)),
        case(
            "RFC 8441 4",
            ":protocol without CONNECT",
            of(&[METHOD, SCHEME, PATH, AUTHORITY, (":protocol", b"websocket")]),
            MALFORMED,
        ),
        case(
            "RFC 8441 4",
            "an unknown :protocol",
            of(&[(":method", b"CONNECT"), (":protocol", b"foo"), SCHEME, PATH, AUTHORITY]),
            Reaction::Answer(405),
        ),
        case(
            "RFC 8441 4",
            ":protocol without :path",
            of(&[(":method", b"CONNECT"), (":protocol", b"websocket"), AUTHORITY]),
            MALFORMED,
        ),
    ])
    .await;
}

#[tokio::test]
async fn bodies_are_as_long_as_was_said() {
    let none = |length: &str| {
        let list =
            [(":method", &b"POST"[..]), SCHEME, PATH, AUTHORITY, ("content-length", length.as_bytes())];
        frame(HEADERS, WHOLE, 1, fields(&list))
    };
    check(vec![
        case("8.1.1", "as long as said", with_body(&["3"], "abc"), GOOD),
        case("8.1.1", "longer", with_body(&["2"], "abc"), MALFORMED),
        case("8.1.1", "shorter", with_body(&["4"], "abc"), MALFORMED),
        case("8.1.1", "a length and no body", none("3"), MALFORMED),
        case("8.1.1", "two lengths that differ", with_body(&["3", "4"], "abc"), MALFORMED),
        case("8.1.1", "a length that is none", with_body(&["abc"], "abc"), MALFORMED),
        case("8.1.1", "a signed length", with_body(&["+3"], "abc"), MALFORMED),
        case("8.1.1", "a negative length", with_body(&["-3"], "abc"), MALFORMED),
        case("8.1.1", "an endless length", with_body(&["99999999999999999999"], "abc"), MALFORMED),
        case("8.1.1", "a list of lengths", with_body(&["3, 3"], "abc"), MALFORMED),
        case("8.1", "trailers", with_trailers(WHOLE, &[("x-sum", b"1")]), GOOD),
        case(
            "8.1",
            "trailers that are not the end",
            with_trailers(END_HEADERS, &[("x-sum", b"1")]),
            MALFORMED,
        ),
        // The library leaves them out and goes on: nothing of them is passed on.
        case("8.1", "pseudo-fields in trailers", with_trailers(WHOLE, &[(":path", b"/other")]), GOOD),
        case(
            "8.1",
            "trailers before what was said came",
            {
                let list =
                    [(":method", &b"POST"[..]), SCHEME, PATH, AUTHORITY, ("content-length", &b"5"[..])];
                [
                    frame(HEADERS, END_HEADERS, 1, fields(&list)),
                    frame(DATA, 0, 1, "abc"),
                    frame(HEADERS, WHOLE, 1, fields(&[("x", "1")])),
                ]
                .concat()
            },
            MALFORMED,
        ),
    ])
    .await;
}

#[tokio::test]
async fn heads_are_bounded() {
    let many = |count: usize| {
        let mut list = vec![METHOD, SCHEME, PATH, AUTHORITY];
        list.extend(std::iter::repeat_n(("x", &b"1"[..]), count));
        of(&list)
    };
    let crumbs = {
        let mut list = vec![METHOD, SCHEME, PATH, AUTHORITY];
        list.extend(std::iter::repeat_n(("cookie", &b"a=1"[..]), 150));
        of(&list)
    };
    let long = |bytes: usize| {
        let value = vec![b'a'; bytes];
        let whole = fields(&[METHOD, SCHEME, PATH, AUTHORITY, ("x", &value)]);
        let mut pieces = whole.chunks(16_384);
        let mut bytes = frame(HEADERS, END_STREAM, 1, pieces.next().unwrap());
        let count = pieces.len();
        for (at, piece) in pieces.enumerate() {
            bytes.extend(frame(
                crate::support::wire::CONTINUATION,
                if at + 1 == count { END_HEADERS } else { 0 },
                1,
                piece,
            ));
        }
        bytes
    };
    let path = format!("/{}", "x".repeat(15_000));
    let many_paths = instead(":path", path.as_bytes());
    check(vec![
        case("10.5.1", "fewer fields than are allowed, and than the provider takes", many(80), GOOD),
        case("10.5.1", "more fields", many(101), Reaction::Answer(431)),
        case("8.2.3", "many cookies, which are one field", crumbs, GOOD),
        case("10.5.1", "nearly as much as is allowed", long(60_000), GOOD),
        case("10.5.1", "more", long(70_000), Reaction::Answer(431)),
        case("10.5.1", "a long :path", many_paths, GOOD),
        case("10.5.1", "many times more", long(1_000_000), Reaction::GoAway(Code::ENHANCE_YOUR_CALM)),
    ])
    .await;
}
