//! An answer to a client: its head, and how its body is framed, by what its request allows.

use bytes::{BufMut as _, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRAILER, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Response, StatusCode, Version};
use http_body::Body;

use super::answer::Reason;
use super::date;
use super::fields;
use super::{Form, RequestHead};

/// What the request asked for that decides on the form of its answer.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    is_head: bool,
    is_connect: bool,
    is_old: bool,
    takes_trailers: bool,
    /// Whether the connection goes on behind the answer, as far as is known.
    pub keeps: bool,
}

impl Asked {
    /// By a request with this head.
    pub fn by(head: &RequestHead) -> Self {
        Self {
            is_head: head.method == Method::HEAD,
            is_connect: head.method == Method::CONNECT,
            is_old: head.version == Version::HTTP_10,
            takes_trailers: head.takes_trailers,
            keeps: head.keeps,
        }
    }

    /// Writes the head of an answer; tells how its body is framed, and whether the connection goes on behind it.
    pub fn write<B: Body>(self, response: &Response<B>, to: &mut BytesMut) -> (Form, bool) {
        let (status, headers) = (response.status(), response.headers());
        let (form, length) = self.form(response);
        let closes = headers.contains_key(CONNECTION) && closes(headers);
        let keeps = self.keeps && form != Form::ToEnd && !closes;
        to.reserve(ROOM);
        self.write_status(response, to);
        for (name, value) in headers {
            let is_ours = *name == CONTENT_LENGTH
                || *name == TRANSFER_ENCODING
                || *name == CONNECTION && status != StatusCode::SWITCHING_PROTOCOLS
                || *name == TRAILER && !matches!(form, Form::Chunked { .. });
            if !is_ours {
                fields::write(to, name, value);
            }
        }
        match form {
            Form::Chunked { .. } => to.put_slice(b"transfer-encoding: chunked\r\n"),
            Form::Empty | Form::Length(_) | Form::ToEnd => {
                if let Some(length) = length {
                    to.put_slice(b"content-length: ");
                    to.put_slice(itoa::Buffer::new().format(length).as_bytes());
                    to.put_slice(b"\r\n");
                }
            }
        }
        if status != StatusCode::SWITCHING_PROTOCOLS {
            match (keeps, self.is_old) {
                (false, false) => to.put_slice(b"connection: close\r\n"),
                (true, true) => to.put_slice(b"connection: keep-alive\r\n"),
                (true, false) | (false, true) => {}
            }
        }
        if !headers.contains_key(DATE) {
            to.put_slice(b"date: ");
            date::write(to);
            to.put_slice(b"\r\n");
        }
        to.put_slice(b"\r\n");
        (form, keeps)
    }

    fn write_status<B>(self, response: &Response<B>, to: &mut BytesMut) {
        let status = response.status();
        to.put_slice(if self.is_old { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
        to.put_slice(status.as_str().as_bytes());
        to.put_slice(b" ");
        match response.extensions().get::<Reason>() {
            Some(Reason(words)) => to.put_slice(words),
            // Some take what has no words for malformed.
            None => to.put_slice(status.canonical_reason().unwrap_or("<none>").as_bytes()),
        }
        to.put_slice(b"\r\n");
    }

    /// How the body is framed (RFC 9112, 6.3), and the length that the head tells.
    fn form<B: Body>(self, response: &Response<B>) -> (Form, Option<u64>) {
        let status = response.status();
        let is_tunnel = self.is_connect && status.is_success();
        if is_tunnel || status.is_informational() || status == StatusCode::NO_CONTENT {
            return (Form::Empty, None);
        }
        let body = response.body();
        let exact = body.size_hint().exact();
        let told = || response.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
        if self.is_head || status == StatusCode::NOT_MODIFIED {
            // The length of what a GET would have had (RFC 9110, 8.6).
            return (Form::Empty, told().or(exact.filter(|length| *length > 0)));
        }
        match exact.or_else(|| body.is_end_stream().then_some(0)) {
            Some(0) => (Form::Empty, Some(0)),
            Some(length) => (Form::Length(length), Some(length)),
            None => match told() {
                Some(length) => (Form::Length(length), Some(length)),
                None if self.is_old => (Form::ToEnd, None),
                None => (Form::Chunked { trailers: self.takes_trailers }, None),
            },
        }
    }
}

/// Bytes that most heads take.
const ROOM: usize = 512;

fn closes(headers: &HeaderMap) -> bool {
    let mut marks = super::marks::Marks::default();
    headers.get_all(CONNECTION).iter().for_each(|value| marks.note(&CONNECTION, value));
    marks.closes
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{Empty, Full};

    use super::*;

    fn asked(method: &str, is_old: bool) -> Asked {
        Asked {
            is_head: method == "HEAD",
            is_connect: method == "CONNECT",
            is_old,
            takes_trailers: false,
            keeps: true,
        }
    }

    fn written<B: Body>(asked: Asked, response: &Response<B>) -> (String, Form, bool) {
        let mut to = BytesMut::new();
        let (form, keeps) = asked.write(response, &mut to);
        let text = String::from_utf8(to.to_vec()).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with("date: ") && !line.is_empty());
        (lines.collect::<Vec<_>>().join("|"), form, keeps)
    }

    fn full(status: u16, fields: &[(&str, &str)]) -> Response<Full<Bytes>> {
        let mut response = Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        response.body(Full::from("hello")).unwrap()
    }

    #[test]
    fn a_body_has_the_length_that_it_has() {
        let get = asked("GET", false);
        let expected = ("HTTP/1.1 200 OK|a: b|content-length: 5".to_owned(), Form::Length(5), true);
        assert_eq!(written(get, &full(200, &[("a", "b")])), expected);
        let wrong = full(200, &[("content-length", "7"), ("transfer-encoding", "gzip"), ("a", "b")]);
        assert_eq!(written(get, &wrong), expected);
        let none = Response::builder().header("content-length", "7").body(Empty::<Bytes>::new()).unwrap();
        assert_eq!(written(get, &none), ("HTTP/1.1 200 OK|content-length: 0".to_owned(), Form::Empty, true));
    }

    #[test]
    fn what_has_no_body_is_told_the_length_that_it_would_have() {
        let head = asked("HEAD", false);
        for (asked, response, lines) in [
            (head, full(200, &[]), "HTTP/1.1 200 OK|content-length: 5"),
            (head, full(200, &[("content-length", "7")]), "HTTP/1.1 200 OK|content-length: 7"),
            (asked("GET", false), full(204, &[("content-length", "7")]), "HTTP/1.1 204 No Content"),
            (
                asked("GET", false),
                full(304, &[("content-length", "7")]),
                "HTTP/1.1 304 Not Modified|content-length: 7",
            ),
            (asked("CONNECT", false), full(200, &[("content-length", "7")]), "HTTP/1.1 200 OK"),
            (
                asked("GET", false),
                full(101, &[("connection", "upgrade"), ("upgrade", "x")]),
                "HTTP/1.1 101 Switching Protocols|connection: upgrade|upgrade: x",
            ),
        ] {
            assert_eq!(written(asked, &response), (lines.to_owned(), Form::Empty, true));
        }
    }

    #[test]
    fn the_connection_goes_on_where_both_sides_want_it() {
        let get = asked("GET", false);
        let (lines, _, keeps) = written(get, &full(200, &[("connection", "x, Close")]));
        assert_eq!((lines.as_str(), keeps), ("HTTP/1.1 200 OK|content-length: 5|connection: close", false));
        let (lines, ..) = written(Asked { keeps: false, ..get }, &full(200, &[]));
        assert_eq!(lines, "HTTP/1.1 200 OK|content-length: 5|connection: close");
        let (lines, ..) = written(asked("GET", true), &full(404, &[]));
        assert_eq!(lines, "HTTP/1.0 404 Not Found|content-length: 5|connection: keep-alive");
    }

    #[test]
    fn words_of_the_providers_own_are_passed_on() {
        let mut response = full(404, &[]);
        response.extensions_mut().insert(Reason("Nope".into()));
        assert_eq!(written(asked("GET", false), &response).0, "HTTP/1.1 404 Nope|content-length: 5");
        assert!(written(asked("GET", false), &full(599, &[])).0.starts_with("HTTP/1.1 599 <none>"));
    }
}
