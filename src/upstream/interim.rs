//! Interim answers (RFC 9110, 15.2): taken out of what a provider says before the library passes over them, and bounded.

use std::fmt;
use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use memchr::memmem;

/// Interim answers to one request.
const COUNT_MAX: u32 = 32;

/// Bytes of all of them, and of what stands before an answer.
const BYTES_MAX: usize = 64 * 1024;

/// Headers of one.
const HEADERS_MAX: usize = 100;

/// Where the first digit of the status stands.
const STATUS_AT: usize = 9;

/// An answer that is not the last word. Never 101, which is.
#[derive(Clone, Debug)]
pub struct Interim {
    /// Its status.
    pub status: StatusCode,
    /// The version of HTTP it came in.
    pub version: Version,
    /// Its headers.
    pub headers: HeaderMap,
}

impl Interim {
    /// Bytes of its head, about.
    pub(super) fn bytes(&self) -> usize {
        let line = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
        STATUS_AT + self.headers.iter().map(line).sum::<usize>()
    }
}

/// Counts what comes ahead of an answer.
#[derive(Debug, Default)]
pub(super) struct Count {
    interim: u32,
    bytes: usize,
}

impl Count {
    /// Counts one of so many bytes; false once that is more than anybody needs to say before an answer.
    pub(super) const fn add(&mut self, bytes: usize) -> bool {
        self.interim += 1;
        self.pass(bytes) && self.interim <= COUNT_MAX
    }

    /// Counts bytes that are none.
    const fn pass(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        self.bytes <= BYTES_MAX
    }
}

/// Who is told of the interim answers to a request.
#[derive(Clone, Copy)]
pub struct Hear<'a>(pub &'a dyn Fn(Interim));

impl fmt::Debug for Hear<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hear")
    }
}

/// Whether these first bytes of an answer show at once that it is a final one.
pub(super) fn is_final(bytes: &[u8]) -> bool {
    bytes.len() > STATUS_AT && bytes[0] == b'H' && bytes[STATUS_AT] != b'1'
}

/// What was read ahead of a final answer.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    bytes: BytesMut,
    count: Count,
    /// Whether what is left is to be given on as it is.
    over: bool,
}

/// What the bytes read so far begin with.
pub(super) enum Next {
    /// This.
    Interim(Interim),
    /// What the library has to make sense of.
    Final,
    /// Too little to say.
    Partial,
    /// More than anybody needs to say before an answer.
    TooMuch,
}

impl Ahead {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether only what is left has to be given on.
    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    /// Has what is left given on as it is.
    pub(super) const fn end(&mut self) {
        self.over = true;
    }

    /// Up to so many of the bytes that are left.
    pub(super) fn give(&mut self, most: usize) -> Bytes {
        self.bytes.split_to(most.min(self.bytes.len())).freeze()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes the next interim answer out, if one came whole.
    pub(super) fn next(&mut self) -> Next {
        // The library passes over empty lines, too.
        let blank = self.bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        self.bytes.advance(blank);
        if !self.count.pass(blank) {
            return Next::TooMuch;
        }
        let begin = &self.bytes[..];
        let version = begin.len().min(b"HTTP/1.".len());
        if begin[..version] != b"HTTP/1."[..version] {
            return Next::Final;
        }
        match (begin.get(STATUS_AT), begin.get(STATUS_AT..STATUS_AT + 3)) {
            (None, _) | (Some(b'1'), None) => return Next::Partial,
            (Some(b'1'), Some(b"101")) => return Next::Final,
            (Some(b'1'), Some(_)) => {}
            (Some(_), _) => return Next::Final,
        }
        let is_whole = memmem::find(begin, b"\n\r\n").is_some() || memmem::find(begin, b"\n\n").is_some();
        if !is_whole {
            return if begin.len() > BYTES_MAX { Next::TooMuch } else { Next::Partial };
        }
        let mut lines = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut head = httparse::Response::new(&mut lines);
        let Ok(httparse::Status::Complete(length)) = head.parse(begin) else { return Next::Final };
        let Some(interim) = interim(&head) else { return Next::Final };
        self.bytes.advance(length);
        if self.count.add(length) { Next::Interim(interim) } else { Next::TooMuch }
    }
}

/// Nothing of what the library will not take either.
fn interim(head: &httparse::Response<'_, '_>) -> Option<Interim> {
    let status = StatusCode::from_u16(head.code?).ok().filter(StatusCode::is_informational)?;
    let version = if head.version? == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    let mut headers = HeaderMap::with_capacity(head.headers.len());
    for line in &*head.headers {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_bytes(line.value).ok()?);
    }
    Some(Interim { status, version, headers })
}

/// The failure of a connection whose peer says too much before an answer.
pub(super) fn too_much() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "too many interim answers")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The statuses of the interim answers that these bytes begin with, and what is left of them; nothing of too many.
    fn read(bytes: &[u8], piece: usize) -> Option<(Vec<u16>, String)> {
        let (mut ahead, mut statuses) = (Ahead::default(), Vec::new());
        let mut pieces = bytes.chunks(piece);
        loop {
            match ahead.next() {
                Next::Interim(interim) => statuses.push(interim.status.as_u16()),
                Next::TooMuch => return None,
                Next::Final => break,
                Next::Partial => match pieces.next() {
                    Some(piece) => ahead.push(piece),
                    None => break,
                },
            }
        }
        pieces.for_each(|piece| ahead.push(piece));
        Some((statuses, String::from_utf8_lossy(&ahead.give(usize::MAX)).into_owned()))
    }

    #[test]
    fn interim_answers_are_taken_out_and_all_else_is_left() {
        let early = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
        let last = "HTTP/1.1 200 OK\r\n\r\nbody HTTP/1.1 103 x\r\n\r\n";
        for piece in [1, 2, 7, 1000] {
            let all = format!("HTTP/1.1 100 Continue\r\n\r\n\r\n{early}{last}");
            assert_eq!(read(all.as_bytes(), piece), Some((vec![100, 103], last.to_owned())), "{piece}");
            for left in [
                "HTTP/1.1 101 Switching Protocols\r\n\r\n",
                "HTTP/1.1 1x3 \r\n\r\n",
                "HTTP/1.1 103 A\r\nx y\r\n\r\n",
                "HTTP/1.1 1000 A\r\n\r\n",
                "HTTP/1.1 099 A\r\n\r\n",
                "HTTP/1.1 103 A\r\n",
                "SSH-2.0",
                "HTTP",
            ] {
                assert_eq!(read(left.as_bytes(), piece), Some((Vec::new(), left.to_owned())), "{piece}");
            }
        }
    }

    #[test]
    fn a_flood_of_them_ends() {
        let many = "HTTP/1.1 102 Processing\r\n\r\n".repeat(COUNT_MAX as usize + 1);
        assert_eq!(read(many.as_bytes(), 100), None);
        let long = format!("HTTP/1.1 103 A\r\nlink: {}\r\n\r\n", "a".repeat(BYTES_MAX));
        assert_eq!(read(long.as_bytes(), 1000), None);
        assert_eq!(read("\r\n".repeat(BYTES_MAX).as_bytes(), 1000), None);
        let few = "HTTP/1.1 102 Processing\r\n\r\n".repeat(COUNT_MAX as usize);
        assert_eq!(read(few.as_bytes(), 100).unwrap().0.len(), COUNT_MAX as usize);
    }

    #[test]
    fn most_answers_are_told_at_once() {
        assert!(is_final(b"HTTP/1.1 200 OK\r\n") && is_final(b"HTTP/1.0 404"));
        for unsure in [&b"HTTP/1.1 103"[..], b"HTTP/1.1 ", b"", b"\r\nHTTP/1.1 200 OK"] {
            assert!(!is_final(unsure));
        }
    }
}
