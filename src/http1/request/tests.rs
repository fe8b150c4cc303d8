//! Tests of requests as they come in: each whole, split at each byte, and byte by byte.

use http_body::Frame;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt as _;

use super::*;

const BOUNDS: Bounds = Bounds { bytes: 1000, fields: 8, strict: true };

/// What came on a connection.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    /// The method, target, doubt and body of each request.
    requests: Vec<(String, Option<Doubt>, String)>,
    /// Why it was not listened to any longer.
    end: String,
}

/// Reads all requests that these bytes hold, in pieces of this size, until one leaves a doubt.
fn heard(bytes: &[u8], piece: usize) -> Heard {
    let (near, mut far) = tokio::io::duplex(piece.clamp(1, 1 << 16));
    let connection = Rc::new(Connection::new(near, ()));
    let writing = async {
        let _ = far.write_all(bytes).await;
        drop(far);
    };
    let reading = async {
        let mut all = Heard::default();
        loop {
            let is_first = all.requests.is_empty();
            let came = std::future::poll_fn(|cx| poll_request(&connection, cx, BOUNDS, is_first)).await;
            let mut head = match came {
                Ok(Came::Request(head)) => head,
                other => {
                    all.end = format!("{other:?}");
                    break;
                }
            };
            let mut received = begin_request(&connection, &mut head);
            let mut body = Vec::new();
            let broken = loop {
                match std::future::poll_fn(|cx| received.poll_frame(cx)).await {
                    Some(frame) => match frame.map(Frame::into_data) {
                        Ok(Ok(data)) => body.extend_from_slice(&data),
                        Ok(Err(_)) => body.extend_from_slice(b"+trailers"),
                        Err(error) => break Some(error),
                    },
                    None => break None,
                }
            };
            let first = format!("{} {}", head.method, head.uri);
            all.requests.push((first, head.seen.doubt, String::from_utf8(body).unwrap()));
            if broken.is_some() || head.seen.doubt.is_some() {
                all.end = format!("{broken:?}");
                break;
            }
        }
        drop(connection);
        all
    };
    let both = async { tokio::join!(reading, writing).0 };
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(both)
}

/// What these bytes are heard as, however they are cut.
fn heard_alike(bytes: &[u8]) -> Heard {
    let whole = heard(bytes, bytes.len());
    for piece in [1, 2, 3, 5, 7, 11, 50] {
        assert_eq!(heard(bytes, piece), whole, "{:?} in pieces of {piece}", String::from_utf8_lossy(bytes));
    }
    whole
}

fn doubt_of(head: &str) -> Option<Doubt> {
    let heard = heard_alike(head.as_bytes());
    let refused = "Ok(Refused(Malformed(Some(";
    heard.requests.first().and_then(|request| request.1).or_else(|| {
        let all = [Doubt::BareLf, Doubt::BareCr, Doubt::Coding];
        all.into_iter().find(|doubt| heard.end.starts_with(&format!("{refused}{doubt:?}")))
    })
}

#[test]
fn requests_are_told_apart_however_they_are_cut() {
    let all = [
        "GET /one HTTP/1.1\r\nhost: a\r\n\r\n",
        "\r\nPOST /two HTTP/1.1\r\nContent-Length:  5 \r\n\r\nGET /",
        "POST /three HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=\"y\"\r\nabc\r\n0A \t;z\r\n0123456789\r\n0\r\nx: 1\r\n\r\n",
        "POST /four HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
        "GET /five HTTP/1.0\r\ncontent-lengthy: x\r\nx-transfer-encoding: y\r\n\r\n",
    ];
    let heard = heard_alike(all.concat().as_bytes());
    let bodies: Vec<_> = heard.requests.iter().map(|(first, _, body)| format!("{first}|{body}")).collect();
    let expected =
        ["GET /one|", "POST /two|GET /", "POST /three|abc0123456789+trailers", "POST /four|", "GET /five|"];
    assert_eq!((bodies, heard.end.as_str()), (expected.map(str::to_owned).to_vec(), "Ok(End)"));
}

#[tokio::test]
async fn a_body_that_came_along_is_taken_whole() {
    for (came, whole) in [("hello", Some("hello")), ("helloGET / H", Some("hello")), ("hell", None)] {
        let (near, mut far) = tokio::io::duplex(1000);
        let connection = Rc::new(Connection::new(near, ()));
        let sent = format!("POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n{came}");
        far.write_all(sent.as_bytes()).await.unwrap();
        let request = std::future::poll_fn(|cx| poll_request(&connection, cx, BOUNDS, true)).await;
        let Ok(Came::Request(mut head)) = request else { panic!("{request:?}") };
        assert_eq!(take_body(&connection, &mut head).as_deref(), whole.map(str::as_bytes));
        assert_eq!(connection.has_more(), came.len() != 5, "what comes behind it is left");
    }
}

#[test]
fn empty_lines_ahead_are_passed_over_however_they_come() {
    for blank in ["\r\n", "\r\n\r\n\r\n"] {
        let heard = heard_alike(format!("{blank}GET / HTTP/1.1\r\n\r\n{blank}").as_bytes());
        assert_eq!((heard.requests.len(), heard.end.as_str()), (1, "Ok(End)"), "{blank:?}");
    }
}

#[test]
fn what_two_readers_could_see_differently_is_doubted() {
    let post = |lines: &str| doubt_of(&format!("POST / HTTP/1.1\r\n{lines}\r\n"));
    assert_eq!(post("host: a\r\n"), None);
    for (lines, doubt) in [
        ("host: a\n", Doubt::BareLf),
        ("x: a\rb\r\n", Doubt::BareCr),
        ("x: a\r\rb\r\n", Doubt::BareCr),
        ("content-length: 5\r\ncontent-length: 5\r\n", Doubt::Lengths),
        ("content-length: 5, 5\r\n", Doubt::Length),
        ("content-length: +5\r\n", Doubt::Length),
        ("content-length:\r\n", Doubt::Length),
        ("content-length: 0x5\r\n", Doubt::Length),
        ("content-length: 18446744073709551616\r\n", Doubt::Length),
        ("content-length: 5\r\ntransfer-encoding: chunked\r\n", Doubt::LengthAndCoding),
        ("TRANSFER-ENCODING: chunked\r\nCONTENT-LENGTH: 5\r\n", Doubt::LengthAndCoding),
        ("transfer-encoding: gzip, chunked\r\n", Doubt::Coding),
        ("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", Doubt::Coding),
        ("transfer-encoding:\r\n", Doubt::Coding),
    ] {
        assert_eq!(post(lines), Some(doubt), "{lines:?}");
    }
    assert_eq!(doubt_of("GET /a#b HTTP/1.1\r\n\r\n"), Some(Doubt::Fragment));
    assert_eq!(doubt_of("GET /a HTTP/1.1\n\n"), Some(Doubt::BareLf));
    assert_eq!(doubt_of("\nGET /a HTTP/1.1\r\n\r\n"), Some(Doubt::BareLf));
    assert_eq!(doubt_of("\rGET /a HTTP/1.1\r\n\r\n"), Some(Doubt::BareCr));
    assert_eq!(doubt_of("POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n"), Some(Doubt::Coding));
}

#[test]
fn what_is_no_request_is_refused_before_it_is_whole() {
    for (bytes, refusal) in [
        ("SSH-2.0 x\r\n", "Malformed(None)"),
        ("GET / HTTP/2.0\r\n\r\n", "Malformed(None)"),
        ("GET / HTTP/1.1\r\na b: c\r\n\r\n", "Malformed(None)"),
        ("GET / HTTP/1.1\r\n x: y\r\n\r\n", "Malformed(None)"),
        ("GET / HTTP/1.1\r\nx: y\r\n z\r\n\r\n", "Malformed(None)"),
    ] {
        assert_eq!(heard_alike(bytes.as_bytes()).end, format!("Ok(Refused({refusal}))"), "{bytes:?}");
    }
    let end = |bytes: String| heard(bytes.as_bytes(), 64).end;
    assert_eq!(end(format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(1000))), "Ok(Refused(TargetTooLong))");
    let line = format!("x: {}\r\n", "a".repeat(1000));
    assert_eq!(end(format!("GET / HTTP/1.1\r\n{line}\r\n")), "Ok(Refused(HeadTooLarge))");
    assert_eq!(end(format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(9))), "Ok(Refused(HeadTooLarge))");
    assert_eq!(end(format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(8))), "Ok(End)");
}

#[test]
fn http2_is_known_by_its_first_line_and_only_at_the_beginning() {
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    assert_eq!(heard_alike(preface.as_bytes()).end, "Ok(Http2(b\"PRI * HTTP/2.0\\r\\n\\r\\n\"))");
    let later = heard_alike(format!("GET / HTTP/1.1\r\n\r\n{preface}").as_bytes());
    assert_eq!((later.requests.len(), later.end.as_str()), (1, "Ok(Refused(Malformed(None)))"));
    let alike = heard_alike(b"PROPFIND / HTTP/1.1\r\n\r\n");
    assert_eq!(alike.requests[0].0, "PROPFIND /");
}

#[test]
fn options_for_a_whole_host_is_told_from_that_for_its_root() {
    let asterisk = |target: &str| {
        let head = format!("OPTIONS {target} HTTP/1.1\r\n\r\n");
        parse(&Bytes::from(head), BOUNDS).unwrap().seen.asterisk
    };
    for (target, is_for_all) in [
        ("http://a", true),
        ("http://a:80", true),
        ("http://a/", false),
        ("http://a?x", false),
        ("/x://a", false),
        ("*", false),
    ] {
        assert_eq!(asterisk(target), is_for_all, "{target}");
    }
}

proptest! {
    #[test]
    fn however_bytes_are_cut_they_mean_the_same(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("GET / HTTP/1.1\r\n"), Just("POST /x HTTP/1.0\r\n"), Just("content-length: 3\r\n"),
                Just("transfer-encoding: chunked\r\n"), Just("\r\n"), Just("\n"), Just("\r"), Just("abc"),
                Just("3\r\nabc\r\n"), Just("0\r\n"), Just("x: y\r\n"), Just("\0"), Just("PRI * HTTP/2.0\r\n\r\n"),
            ],
            0..12,
        ),
        piece in 1_usize..9,
    ) {
        let bytes = parts.concat();
        let (whole, cut) = (heard(bytes.as_bytes(), bytes.len()), heard(bytes.as_bytes(), piece));
        // Where a beginning shows that nothing good will come, the rest of it may not have come yet that says why.
        let is_refused = |heard: &Heard| heard.end.contains("Malformed");
        prop_assert_eq!(whole.requests, cut.requests);
        if !is_refused(&Heard { requests: Vec::new(), end: whole.end.clone() }) {
            prop_assert_eq!(whole.end, cut.end);
        }
    }
}
