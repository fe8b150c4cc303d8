//! An answer: its head as it comes in, and where its body ends.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Version};

use super::chunks::Chunks;
use super::decoder::Decoder;
use super::fields::{Lines, lines, read};
use super::head::Bounds;
use super::marks::Marks;
use super::{Connection, Error, Received, Transport};

/// Room for the field that a proxy adds: `Via`.
const ADDED: usize = 1;

/// The head of an answer.
#[derive(Debug)]
pub struct ResponseHead {
    /// Its status.
    pub status: StatusCode,
    /// The version of HTTP it came in.
    pub version: Version,
    /// Its fields.
    pub headers: HeaderMap,
    /// The words behind the status, where they are not the usual ones.
    pub reason: Option<Reason>,
    /// Whether the connection goes on behind this message (RFC 9112, 9.3).
    pub keeps: bool,
    marks: Marks,
}

/// The words behind a status, where they are not the usual ones (RFC 9112, 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(pub Bytes);

/// The head of the next answer on a connection, be it an interim one.
///
/// # Errors
/// When none comes, or something else does.
pub fn poll_answer<S: Transport, T>(
    connection: &Connection<S, T>,
    cx: &mut Context<'_>,
    bounds: Bounds,
) -> Poll<Result<ResponseHead, Error>> {
    let head = ready!(connection.poll_head(cx, bounds, may_be))?.ok_or(Error::Incomplete)?;
    Poll::Ready(parse(&head))
}

/// Begins to read the body of an answer with this head; whether it answers HEAD. Whether it goes on to the end of the connection.
///
/// # Errors
/// What leaves it open where it ends, be it only for another reader.
pub fn begin_answer<S, T>(
    connection: &Rc<Connection<S, T>>,
    head: &ResponseHead,
    is_head: bool,
) -> Result<(Received, bool), &'static str>
where
    S: Transport + 'static,
    T: 'static,
{
    let told = told(head.version, &head.marks)?;
    let status = head.status;
    let has_none = is_head
        || status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED;
    let decoder = if has_none { Decoder::Over } else { told };
    let is_to_end = matches!(decoder, Decoder::ToEnd);
    Ok((connection.begin(decoder), is_to_end))
}

fn parse(head: &Bytes) -> Result<ResponseHead, Error> {
    let (mut lines, mut parsed) = (lines(), httparse::Response::new(&mut []));
    let httparse::Status::Complete(_) = parse_lines(head, &mut parsed, &mut lines)? else {
        return Err(Error::Malformed("the head of an answer"));
    };
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(Error::Malformed("the status"))?;
    let words = parsed.reason.filter(|words| Some(*words) != status.canonical_reason());
    let version = if parsed.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    let (headers, marks) = read(head, parsed.headers, ADDED)?;
    let reason = words.map(|words| Reason(Bytes::copy_from_slice(words.as_bytes())));
    let keeps = marks.go_on(version == Version::HTTP_11);
    Ok(ResponseHead { status, version, headers, reason, keeps, marks })
}

/// Whether what has come of the head of an answer can still become one.
fn may_be(begin: &[u8]) -> Result<(), Error> {
    parse_lines(begin, &mut httparse::Response::new(&mut []), &mut lines()).map(drop)
}

fn parse_lines<'h, 'b>(
    head: &'b [u8],
    parsed: &mut httparse::Response<'h, 'b>,
    lines: &'h mut Lines<'b>,
) -> Result<httparse::Status<usize>, Error> {
    Ok(httparse::ParserConfig::default().parse_response_with_uninit_headers(parsed, head, lines)?)
}

/// Where a body ends that has these fields (RFC 9112, 6.3), read more strictly: a length once, or chunks alone.
fn told(version: Version, marks: &Marks) -> Result<Decoder, &'static str> {
    match (marks.codings, marks.lengths, marks.length) {
        (1.., _, _) if version == Version::HTTP_10 => Err("a transfer coding in HTTP/1.0"),
        (1.., _, _) if !marks.is_chunked => Err("a transfer coding that is not chunked alone"),
        (1.., 1.., _) => Err("Content-Length and Transfer-Encoding together"),
        (1.., _, _) => Ok(Decoder::chunked(Chunks::padded())),
        (_, 0, _) => Ok(Decoder::ToEnd),
        (_, 1, Some(length)) => Ok(Decoder::length(length)),
        (_, 1, None) => Err("a Content-Length that is no number"),
        (_, 2.., _) => Err("more than one Content-Length"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_or_chunks_and_nothing_else() {
        let doubted = |fields: &[(&str, &str)]| {
            let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let head = parsed(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n")).unwrap();
            told(head.version, &head.marks).is_err()
        };
        let (length, coding) = ("content-length", "transfer-encoding");
        for plain in [&[][..], &[(length, "5")], &[(coding, "chunked")], &[(coding, "Chunked")]] {
            assert!(!doubted(plain), "{plain:?}");
        }
        for doubtful in [
            &[(length, "5"), (coding, "chunked")][..],
            &[(length, "5"), (length, "5")],
            &[(length, "5, 5")],
            &[(length, "")],
            &[(length, "+5")],
            &[(length, "18446744073709551616")],
            &[(coding, "gzip")],
            &[(coding, "gzip, chunked")],
            &[(coding, "chunked, gzip")],
            &[(coding, "chunked"), (coding, "chunked")],
            &[(coding, "")],
        ] {
            assert!(doubted(doubtful), "{doubtful:?}");
        }
        let coded = parsed("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        assert!(told(coded.version, &coded.marks).is_err());
    }

    fn parsed(head: &str) -> Result<ResponseHead, Error> {
        parse(&Bytes::copy_from_slice(head.as_bytes()))
    }

    #[test]
    fn an_answer_says_whether_its_connection_goes_on() {
        for (head, keeps) in [
            ("HTTP/1.1 200 OK\r\n\r\n", true),
            ("HTTP/1.0 200 OK\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\nconnection: x, Keep-Alive\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nconnection: keep-alive\r\nconnection: close\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\nconnection: close\r\nconnection: keep-alive\r\n\r\n", false),
        ] {
            assert_eq!(parsed(head).unwrap().keeps, keeps, "{head:?}");
        }
    }

    #[test]
    fn unusual_words_are_kept() {
        let words = |head| parsed(head).unwrap().reason;
        assert_eq!(words("HTTP/1.1 200 OK\r\n\r\n"), None);
        assert_eq!(words("HTTP/1.1 404 Nope\r\n\r\n"), Some(Reason("Nope".into())));
        assert_eq!(words("HTTP/1.1 404 \r\n\r\n"), Some(Reason(Bytes::new())));
    }

    #[test]
    fn what_is_no_answer_is_told_before_it_is_whole() {
        for wrong in ["SSH-2.0-x\r\n", "HTTP/2.0 200 OK\r\n", "HTTP/1.1 2x", "HTTP/1.1 200 OK\r\na b"] {
            assert!(may_be(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
        for fine in ["", "HTT", "HTTP/1.1 200 OK\r\na", "\r\nHTTP/1.1 2"] {
            assert!(may_be(fine.as_bytes()).is_ok(), "{fine:?}");
        }
    }
}
