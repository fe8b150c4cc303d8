//! Interim answers (RFC 9110, 15.2): told to whoever waits, and bounded.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};

/// Interim answers to one request.
const COUNT_MAX: u32 = 32;

/// Bytes of all of them.
const BYTES_MAX: usize = 64 * 1024;

/// Bytes of its first line, about.
const FIRST_LINE: usize = 9;

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
        FIRST_LINE + self.headers.iter().map(line).sum::<usize>()
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
        self.bytes = self.bytes.saturating_add(bytes);
        self.bytes <= BYTES_MAX && self.interim <= COUNT_MAX
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_them_ends() {
        let mut count = Count::default();
        assert!((0..COUNT_MAX).all(|_| count.add(100)) && !count.add(100), "of many");
        assert!(!Count::default().add(BYTES_MAX + 1), "of large ones");
    }
}
