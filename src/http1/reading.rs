//! What was read on a connection and not taken yet, and how a head is taken out of it.

use bytes::{Buf as _, Bytes, BytesMut};

use super::Error;
use super::decoder::Decoder;
use super::head::{self, Bounds};
use super::piece::LARGE;

/// Bytes of empty lines before a head; one is usual behind a body (RFC 9112, 2.2).
const BLANK_MAX: usize = 64 * 1024;

/// How much of an incomplete head is looked at each time that more of it comes; beyond, each time that it has doubled.
const EAGER: usize = 1024;

/// What was read on a connection, and the body that is coming in on it.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Read, and not yet taken.
    pub(super) ahead: Bytes,
    /// A head that has not come whole.
    partial: BytesMut,
    /// How much of it was searched for its end, and how much was looked at.
    searched: usize,
    looked: usize,
    /// Bytes of empty lines before a head.
    blank: usize,
    /// The body that is coming in.
    pub(super) decoder: Decoder,
}

impl Reading {
    /// Whether nothing waits to be taken.
    pub(super) fn is_empty(&self) -> bool {
        self.ahead.is_empty() && self.partial.is_empty()
    }

    /// Whether a head has begun to come, beyond empty lines.
    pub(super) fn has_begun(&self) -> bool {
        !is_blank(&self.partial) || !is_blank(&self.ahead)
    }

    /// What came of a head that was given up.
    pub(super) fn head(&self) -> &[u8] {
        if self.partial.is_empty() { &self.ahead } else { &self.partial }
    }

    /// All that was read and not taken.
    pub(super) fn into_bytes(mut self) -> Bytes {
        if self.partial.is_empty() {
            return self.ahead;
        }
        self.partial.extend_from_slice(&self.ahead);
        self.partial.freeze()
    }

    /// Takes a head out of what was read, if it came whole.
    pub(super) fn take_head(
        &mut self,
        bounds: Bounds,
        may_be: impl Fn(&[u8]) -> Result<(), Error>,
    ) -> Result<Option<Bytes>, Error> {
        if self.is_empty() {
            return Ok(None);
        }
        if !self.partial.is_empty() && is_blank(&self.partial) {
            // What came of an empty line, and the rest of it.
            self.partial.extend_from_slice(&self.ahead);
            self.ahead = std::mem::take(&mut self.partial).freeze();
            (self.searched, self.looked) = (0, 0);
        }
        if self.partial.is_empty() {
            self.skip_blank(bounds.strict);
            if self.blank > BLANK_MAX {
                return Err(Error::Flooded);
            }
            if let Some(length) = head::length(&self.ahead, 0) {
                self.blank = 0;
                return self.bounded(length, bounds).map(Some);
            }
        }
        self.partial.extend_from_slice(&std::mem::take(&mut self.ahead));
        if let Some(length) = head::length(&self.partial, self.searched) {
            self.ahead = std::mem::take(&mut self.partial).freeze();
            (self.searched, self.looked, self.blank) = (0, 0, 0);
            return self.bounded(length, bounds).map(Some);
        }
        let came = self.partial.len();
        self.searched = came;
        if came < EAGER || came >= 2 * self.looked {
            self.looked = came;
            may_be(&self.partial)?;
        }
        if came > bounds.bytes {
            return Err(Error::TooLarge);
        }
        Ok(None)
    }

    /// Passes over empty lines, which a peer may send behind a body (RFC 9112, 2.2).
    fn skip_blank(&mut self, strict: bool) {
        let blank = if strict {
            2 * self.ahead.chunks(2).take_while(|pair| *pair == b"\r\n").count()
        } else {
            self.ahead.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count()
        };
        self.ahead.advance(blank);
        self.blank += blank;
    }

    fn bounded(&mut self, length: usize, bounds: Bounds) -> Result<Bytes, Error> {
        if length > bounds.bytes {
            return Err(Error::TooLarge);
        }
        // A whole block must not be kept for the sake of a head that lasts.
        if self.ahead.len() >= LARGE {
            let head = Bytes::copy_from_slice(&self.ahead[..length]);
            self.ahead.advance(length);
            return Ok(head);
        }
        Ok(self.ahead.split_to(length))
    }
}

/// Whether these bytes are empty lines at most.
fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_not_come_is_not_looked_at() {
        let bounds = Bounds { bytes: 100, fields: 10, strict: true };
        let mut reading = Reading::default();
        assert!(reading.take_head(bounds, |_| Err(Error::Incomplete)).unwrap().is_none());
        reading.ahead = Bytes::from_static(b"G");
        reading.take_head(bounds, |_| Err(Error::Incomplete)).unwrap_err();
    }
}
