//! A request: its head as it comes in, where its body ends, and what leaves a doubt about either.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Method, Uri, Version};
use memchr::{memchr, memchr_iter};

use super::chunks::Chunks;
use super::decoder::Decoder;
use super::fields::{LINES_MAX, lines, read};
use super::head::Bounds;
use super::marks::Marks;
use super::{Connection, Doubt, Error, Received, Transport};

/// The first line of HTTP/2 (RFC 9113, 3.4), which asks for it where nothing else was said before.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// Bytes of a request target.
const TARGET_MAX: usize = u16::MAX as usize - 1;

/// Room for the fields that a proxy adds: `Via`, an id, and three that say where it comes from.
const ADDED: usize = 5;

/// The head of a request.
#[derive(Debug)]
pub struct RequestHead {
    /// Its method.
    pub method: Method,
    /// Its target.
    pub uri: Uri,
    /// The version of HTTP it came in: 1.0 or 1.1.
    pub version: Version,
    /// Its fields.
    pub headers: HeaderMap,
    /// Whether the connection can go on behind this message (RFC 9112, 9.3).
    pub keeps: bool,
    /// Whether its body is held back until it is asked for (RFC 9110, 10.1.1).
    pub expects: bool,
    /// Whether trailers are taken behind the answer (RFC 9110, 10.1.4).
    pub takes_trailers: bool,
    /// What was seen of it before it was parsed.
    pub seen: Seen,
    decoder: Decoder,
}

/// What was seen of a head before it was parsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Why the request is not to be trusted.
    pub doubt: Option<Doubt>,
    /// Whether its target is that of `OPTIONS` for a whole host, in absolute form: a URI that ends with the host. The parser
    /// makes a path of it, which it is not (RFC 9112, 3.2.4).
    pub asterisk: bool,
}

/// What came on the connection of a client.
#[derive(Debug)]
pub enum Came {
    /// A request.
    Request(Box<RequestHead>),
    /// The beginning of HTTP/2, which is these bytes and what comes behind them.
    Http2(Bytes),
    /// The end.
    End,
    /// What is no request.
    Refused(Refusal),
}

/// Why bytes are no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// They are not as HTTP/1 is written; for this reason, if it is known.
    Malformed(Option<Doubt>),
    /// The target is longer than a head may be.
    TargetTooLong,
    /// The head is larger than it may be, or has more fields.
    HeadTooLarge,
}

/// The next request on a connection, of which so many came before.
///
/// # Errors
/// When the connection breaks.
pub fn poll_request<S: Transport, T>(
    connection: &Connection<S, T>,
    cx: &mut Context<'_>,
    bounds: Bounds,
    is_first: bool,
) -> Poll<Result<Came, Error>> {
    let may_be = |begin: &[u8]| if is_first && may_be_http2(begin) { Ok(()) } else { may_be(begin, bounds) };
    let head = match ready!(connection.poll_head(cx, bounds, may_be)) {
        Ok(Some(head)) if is_first && *head == *PREFACE => return Poll::Ready(Ok(Came::Http2(head))),
        Ok(Some(head)) => head,
        Ok(None) => return Poll::Ready(Ok(Came::End)),
        Err(Error::Malformed(_) | Error::Flooded) => {
            return Poll::Ready(Ok(Came::Refused(Refusal::Malformed(connection.look_at_head(doubt)))));
        }
        Err(Error::TooLarge) => {
            let is_in_target =
                connection.look_at_head(|begin| memchr(b'\n', begin).is_none_or(|end| end >= bounds.bytes));
            let refusal = if is_in_target { Refusal::TargetTooLong } else { Refusal::HeadTooLarge };
            return Poll::Ready(Ok(Came::Refused(refusal)));
        }
        Err(error) => return Poll::Ready(Err(error)),
    };
    Poll::Ready(Ok(match parse(&head, bounds) {
        Ok(request) => Came::Request(Box::new(request)),
        Err(refusal) => Came::Refused(refusal),
    }))
}

/// The whole body of a request with this head, where it has come along; it need not be read then.
pub fn take_body<S: Transport, T>(connection: &Connection<S, T>, head: &mut RequestHead) -> Option<Bytes> {
    let length = match head.decoder {
        Decoder::Over => 0,
        Decoder::Length(length) => usize::try_from(length).ok()?,
        Decoder::Chunked(_) | Decoder::ToEnd => return None,
    };
    let body = connection.take_ahead(length)?;
    head.decoder = Decoder::Over;
    Some(body)
}

/// Begins to read the body of a request with this head.
pub fn begin_request<S, T>(connection: &Rc<Connection<S, T>>, head: &mut RequestHead) -> Received
where
    S: Transport + 'static,
    T: 'static,
{
    let decoder = std::mem::take(&mut head.decoder);
    let expects = head.expects && head.version == Version::HTTP_11 && !decoder.is_over();
    connection.begin_asking(decoder, expects)
}

fn may_be_http2(begin: &[u8]) -> bool {
    PREFACE.starts_with(begin)
}

/// Whether what has come of the head of a request can still become one.
fn may_be(begin: &[u8], bounds: Bounds) -> Result<(), Error> {
    parse_lines(begin, bounds, |_| Ok(()))
}

/// Parses as many lines as there may be, and hands over what came of it.
fn parse_lines<R>(
    head: &[u8],
    bounds: Bounds,
    then: impl FnOnce(&httparse::Request<'_, '_>) -> Result<R, Error>,
) -> Result<R, Error> {
    let mut request = httparse::Request::new(&mut []);
    if bounds.fields <= LINES_MAX {
        let mut lines = lines();
        request.parse_with_uninit_headers(head, &mut lines[..bounds.fields])?;
        then(&request)
    } else {
        let mut lines = vec![httparse::EMPTY_HEADER; bounds.fields];
        let mut request = httparse::Request::new(&mut lines);
        request.parse(head)?;
        then(&request)
    }
}

fn parse(head: &Bytes, bounds: Bounds) -> Result<RequestHead, Refusal> {
    let doubted = doubt(head);
    let made = parse_lines(head, bounds, |request| {
        let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version)
        else {
            return Err(Error::Malformed("the first line"));
        };
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| Error::Malformed("the method"))?;
        let version = if version == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
        let (headers, marks) = read(head, request.headers, ADDED)?;
        let target = head.slice_ref(target.as_bytes());
        Ok((method, target, version, headers, marks))
    });
    let (method, target, version, headers, marks) = made.map_err(|error| match error {
        Error::TooLarge => Refusal::HeadTooLarge,
        Error::Broken(_) | Error::Incomplete | Error::Malformed(_) | Error::Flooded | Error::GivenUp => {
            Refusal::Malformed(doubted)
        }
    })?;
    if target.len() > TARGET_MAX {
        return Err(Refusal::TargetTooLong);
    }
    let asterisk = method == Method::OPTIONS && ends_with_host(&target);
    let has_fragment = memchr(b'#', &target).is_some();
    let uri = Uri::from_maybe_shared(target).map_err(|_| Refusal::Malformed(doubted))?;
    if version == Version::HTTP_10 && marks.codings > 0 {
        // It knows none (RFC 9112, 6.1).
        return Err(Refusal::Malformed(Some(Doubt::Coding)));
    }
    let told = told(&marks);
    let doubt = doubted.or(has_fragment.then_some(Doubt::Fragment)).or(told.as_ref().err().copied());
    // What comes behind a doubt is not looked at.
    let decoder = told.ok().filter(|_| doubt.is_none()).unwrap_or_default();
    let keeps = doubt.is_none() && marks.go_on(version == Version::HTTP_11);
    let Marks { expects, takes_trailers, .. } = marks;
    let seen = Seen { doubt, asterisk };
    Ok(RequestHead { method, uri, version, headers, keeps, expects, takes_trailers, seen, decoder })
}

/// What makes it doubtful where the lines of a head end.
fn doubt(head: &[u8]) -> Option<Doubt> {
    let mut crs = 0;
    for at in memchr_iter(b'\r', head) {
        crs += 1;
        if head.get(at + 1).is_some_and(|next| *next != b'\n') {
            return Some(Doubt::BareCr);
        }
    }
    let ends_within = usize::from(head.last() == Some(&b'\r'));
    (memchr_iter(b'\n', head).count() != crs - ends_within).then_some(Doubt::BareLf)
}

/// Whether a target in absolute form ends with its host.
fn ends_with_host(target: &[u8]) -> bool {
    let Some(scheme) = memchr(b':', target).filter(|_| !target.starts_with(b"/")) else { return false };
    let host = target[scheme..].strip_prefix(b"://");
    host.is_some_and(|host| !host.iter().any(|byte| matches!(byte, b'/' | b'?')))
}

/// Where the body of a request ends (RFC 9112, 6.3), read more strictly: a length once, or chunks alone.
fn told(marks: &Marks) -> Result<Decoder, Doubt> {
    match (marks.codings, marks.lengths, marks.length) {
        (1.., _, _) if !marks.is_chunked => Err(Doubt::Coding),
        (_, 2.., _) => Err(Doubt::Lengths),
        (_, 1, None) => Err(Doubt::Length),
        (1.., 1, _) => Err(Doubt::LengthAndCoding),
        (1.., _, _) => Ok(Decoder::chunked(Chunks::default())),
        (_, _, Some(length)) => Ok(Decoder::length(length)),
        (_, _, None) => Ok(Decoder::Over),
    }
}

#[cfg(test)]
mod tests;
