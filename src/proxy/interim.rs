//! Interim answers on their way to a client: cleaned like any answer, and given on as the HTTP has them that it speaks.

use http::Response;
use http::header::{CONTENT_LENGTH, HeaderName};

use super::client::Client;
use super::headers;
use super::record::Record;
use super::worker::Pseudonym;
use crate::upstream::Interim;

/// Bytes of one as HTTP/1.1 writes it, beyond which it is dropped.
const BYTES_MAX: usize = 16 * 1024;

/// Has an interim answer to a request go ahead of its answer; one that is too large to be worth it does not.
pub fn pass_on(mut interim: Interim, record: &Record, client: &Client, own: &Pseudonym) {
    clean(&mut interim, own);
    let Some(bytes) = written(&interim) else { return };
    match record.stream() {
        Some(stream) => {
            let mut head = Response::new(());
            *head.status_mut() = interim.status;
            *head.headers_mut() = interim.headers;
            headers::fit_http2(head.headers_mut());
            stream.tell_interim(head, bytes.len());
        }
        None => client.tell_interim(&bytes),
    }
}

fn clean(interim: &mut Interim, own: &Pseudonym) {
    headers::clean_answer(&mut interim.headers, interim.version, own);
    // Here it means nothing (RFC 9110, 8.6).
    interim.headers.remove(CONTENT_LENGTH);
}

/// An interim answer as HTTP/1.1 writes it, if it is not too large.
fn written(interim: &Interim) -> Option<Vec<u8>> {
    let Interim { status, headers: fields, .. } = interim;
    let reason = status.canonical_reason().unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
    for (name, value) in fields {
        write_line(&mut bytes, name, value.as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    (bytes.len() <= BYTES_MAX).then_some(bytes)
}

fn write_line(bytes: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    for part in [name.as_str().as_bytes(), b": ", value, b"\r\n"] {
        bytes.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode, Version};

    use super::*;

    fn interim(fields: &[(&'static str, &str)]) -> Interim {
        let field = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        let headers: HeaderMap = fields.iter().map(field).collect();
        Interim { status: StatusCode::EARLY_HINTS, version: Version::HTTP_11, headers }
    }

    #[test]
    fn one_hop_and_the_body_are_no_matter_of_an_interim_answer() {
        let own = Pseudonym::random(7);
        let mut given = interim(&[
            ("link", "</a>; rel=preload"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
        ]);
        clean(&mut given, &own);
        let text = String::from_utf8(written(&given).unwrap()).unwrap();
        let expected =
            "HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\nvia: 1.1 wayside-00000007\r\n\r\n";
        assert_eq!(text, expected);
        assert!(written(&interim(&[("link", &"a".repeat(BYTES_MAX))])).is_none());
    }
}
