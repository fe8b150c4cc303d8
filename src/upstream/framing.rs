//! Whether the head of an HTTP/1 answer leaves it open where its body ends, be it only for another reader.

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};

/// What makes it doubtful where the body of an answer ends, or passes on what nobody may: the library undoes chunks alone, and
/// takes whatever else is coded to go on until the connection ends.
pub(super) fn doubt(headers: &HeaderMap) -> Option<&'static str> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_coded = match codings.next() {
        None => false,
        Some(coding) if is_chunked(coding) && codings.next().is_none() => true,
        Some(_) => return Some("a transfer coding that is not chunked alone"),
    };
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    match lengths.next() {
        None => None,
        Some(_) if is_coded => Some("Content-Length and Transfer-Encoding together"),
        Some(_) if lengths.next().is_some() => Some("more than one Content-Length"),
        Some(length) if length.is_empty() || !length.as_bytes().iter().all(u8::is_ascii_digit) => {
            Some("a Content-Length that is no number")
        }
        Some(_) => None,
    }
}

fn is_chunked(coding: &HeaderValue) -> bool {
    coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked")
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    #[test]
    fn a_length_or_chunks_and_nothing_else() {
        let doubted = |fields: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            doubt(&headers).is_some()
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
            &[(coding, "gzip")],
            &[(coding, "gzip, chunked")],
            &[(coding, "chunked, gzip")],
            &[(coding, "chunked"), (coding, "chunked")],
            &[(coding, "")],
        ] {
            assert!(doubted(doubtful), "{doubtful:?}");
        }
    }
}
