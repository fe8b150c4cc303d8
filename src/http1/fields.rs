//! Fields: the lines of a head and of trailers (RFC 9112, 5), read into values and written.

use std::mem::MaybeUninit;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::Error;
use super::marks::Marks;

/// Lines of trailers, and of a head where nothing else is said.
pub(super) const LINES_MAX: usize = 100;

/// Room for the lines of a head.
pub(super) type Lines<'b> = [MaybeUninit<httparse::Header<'b>>; LINES_MAX];

/// No lines yet.
pub(super) const fn lines<'b>() -> Lines<'b> {
    [MaybeUninit::uninit(); LINES_MAX]
}

/// The fields of these lines, which are part of `head`: their values share its memory. There is room for some more; most heads need
/// less than 1 KiB with that, up to which the allocator is at its quickest.
pub(super) fn read(
    head: &Bytes,
    lines: &[httparse::Header<'_>],
    more: usize,
) -> Result<(HeaderMap, Marks), Error> {
    let mut fields = HeaderMap::with_capacity(lines.len() + more);
    let mut marks = Marks::default();
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes());
        let value = HeaderValue::from_maybe_shared(head.slice_ref(line.value));
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(Error::Malformed("a field that holds what it must not"));
        };
        marks.note(&name, &value);
        fields.try_append(name, value).map_err(|_| Error::TooLarge)?;
    }
    Ok((fields, marks))
}

/// The fields of trailers, from their first line to the empty one behind the last.
pub(super) fn trailers(bytes: &Bytes) -> Result<HeaderMap, Error> {
    if bytes.len() <= b"\r\n".len() {
        return Ok(HeaderMap::new());
    }
    let mut lines = [httparse::EMPTY_HEADER; LINES_MAX];
    match httparse::parse_headers(bytes, &mut lines)? {
        httparse::Status::Complete((_, lines)) => read(bytes, lines, 0).map(|(fields, _)| fields),
        httparse::Status::Partial => Err(Error::Malformed("the trailers")),
    }
}

/// Writes a line.
pub fn write(to: &mut BytesMut, name: &HeaderName, value: &HeaderValue) {
    let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
    to.reserve(name.len() + value.len() + 4);
    to.put_slice(name);
    to.put_slice(b": ");
    to.put_slice(value);
    to.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_without_a_line_are_none() {
        assert!(trailers(&Bytes::from_static(b"\r\n")).unwrap().is_empty());
        assert!(trailers(&Bytes::from_static(b"a: b\r\n")).is_err());
    }
}
