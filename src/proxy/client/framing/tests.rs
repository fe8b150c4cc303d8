//! Tests of the framing: each whole, split at each byte, and byte by byte.

use proptest::prelude::*;

use super::*;

/// How many bytes each request has, what was seen of each head, and why it ended early; in pieces of this size.
fn followed(bytes: &[u8], piece: usize) -> (Vec<usize>, Vec<Seen>, Option<Doubt>) {
    let mut framing = Framing::default();
    let (mut lengths, mut seen) = (vec![0], Vec::new());
    for piece in bytes.chunks(piece) {
        let mut rest = piece;
        while !rest.is_empty() {
            let count = framing.take(rest, |head| seen.push(head));
            *lengths.last_mut().unwrap() += count;
            if framing.broken().is_some() {
                return (lengths, seen, framing.broken());
            }
            assert!(count > 0, "nothing of {rest:?} was taken");
            let is_over = matches!(&framing.part, Part::Head(head) if !head.begun) && framing.line.is_empty();
            if is_over && seen.len() == lengths.len() {
                lengths.push(0);
            }
            rest = &rest[count..];
        }
    }
    if lengths.last() == Some(&0) {
        lengths.pop();
    }
    (lengths, seen, None)
}

fn doubt_of(bytes: &str) -> Option<Doubt> {
    let of = |piece| {
        let (_, seen, broken) = followed(bytes.as_bytes(), piece);
        broken.or_else(|| seen.iter().find_map(|seen| seen.doubt))
    };
    let whole = of(usize::MAX);
    for piece in [1, 2, 3, 7] {
        assert_eq!(of(piece), whole, "{bytes:?} in pieces of {piece}");
    }
    whole
}

#[test]
fn requests_are_told_apart_however_they_are_cut() {
    let requests = [
        "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "\r\nPOST / HTTP/1.1\r\nContent-Length:  5 \r\n\r\nGET /",
        "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=\"y\"\r\nabc\r\n0A \t;z\r\n0123456789\r\n0\r\nx: 1\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
        "GET / HTTP/1.1\r\ncontent-lengthy: x\r\nx-transfer-encoding: y\r\n\r\n",
    ];
    let lengths: Vec<usize> = requests.iter().map(|request| request.len()).collect();
    let all = requests.concat();
    for piece in [1, 2, 3, 5, 11, 50, all.len()] {
        let (found, seen, broken) = followed(all.as_bytes(), piece);
        assert_eq!((&found, broken), (&lengths, None), "in pieces of {piece}");
        assert!(seen.len() == requests.len() && seen.iter().all(|seen| *seen == Seen::default()));
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
    assert_eq!(doubt_of("G#T /ab HTTP/1.1\r\nx: #\r\n\r\n"), None);
    assert_eq!(doubt_of("GET / HTTP/1.1\n\n"), Some(Doubt::BareLf));
    let long = format!("content-length: {}5\r\n", "0".repeat(KEPT_MAX * 2));
    assert_eq!(post(&long), Some(Doubt::Length), "longer than what is kept of a line");
    let far = format!("GET /{}#b HTTP/1.1\r\n\r\n", "a".repeat(KEPT_MAX * 2));
    assert_eq!(doubt_of(&far), Some(Doubt::Fragment));
}

#[test]
fn a_chunk_that_is_not_as_it_should_be_ends_it() {
    let chunked =
        |body: &str| doubt_of(&format!("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{body}"));
    for body in ["3\r\nabc\r\n0\r\n\r\n", "3", "3\r\nab", "0\r\nx: 1\r\ny: 2\r\n\r\n", "ffffffffffffffff\r\n"]
    {
        assert_eq!(chunked(body), None, "{body:?}");
    }
    for body in [
        "\r\n",
        ";x\r\n",
        "3\nabc",
        "3 \r\n",
        " 3\r\n",
        "+3\r\n",
        "0x3\r\n",
        "g\r\n",
        "3;a\nb\r\n",
        "3;a\0\r\n",
        "3\r\nabcd\r\n",
        "3\r\nabc\n",
        "00000000000000003\r\n",
        "0\r\nx: 1\n\r\n",
        "0\r\nx: \x01\r\n\r\n",
        "0\r\n\rx",
    ] {
        assert_eq!(chunked(body), Some(Doubt::Chunk), "{body:?}");
    }
}

#[test]
fn http2_is_not_looked_at_and_only_where_it_begins() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04";
    let mut framing = Framing::default();
    assert_eq!(framing.take(preface, |_| {}), preface.len());
    assert!(framing.is_raw());
    let (lengths, ..) = followed(&[b"GET / HTTP/1.1\r\n\r\n".as_slice(), preface].concat(), usize::MAX);
    assert_eq!(lengths[..2], [18, 18], "what comes second is a request like others");
}

#[test]
fn options_of_a_whole_host_is_told_from_a_path() {
    let asterisk = |line: &str| {
        let (_, seen, _) = followed(format!("{line} HTTP/1.1\r\n\r\n").as_bytes(), 5);
        seen[0].asterisk
    };
    assert!(asterisk("OPTIONS http://svc") && asterisk("OPTIONS http://svc:80"));
    for other in ["OPTIONS *", "OPTIONS /", "OPTIONS http://svc/", "OPTIONS http://svc?x", "GET http://svc"] {
        assert!(!asterisk(other), "{other}");
    }
}

proptest! {
    #[test]
    fn whatever_comes_is_cut_alike_however_it_comes(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "GET / HTTP/1.1", "POST /a HTTP/1.1", "\r\n", "\n", "\r", "content-length: 3", "content-length: 0",
                "transfer-encoding: chunked", "abc", "3", "0", ";", " ", "x: y", ":", "\r\n\r\n",
            ]),
            0..20,
        ),
        size in 1_usize..20,
    ) {
        let bytes = pieces.concat();
        let whole = followed(bytes.as_bytes(), usize::MAX);
        let cut = followed(bytes.as_bytes(), size);
        prop_assert_eq!(whole.1, cut.1);
        prop_assert_eq!(whole.2, cut.2);
    }
}
