//! Where the body of a message ends (RFC 9112, 6.3), and what of it has come.

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::Error;
use super::chunks::{Came, Chunks};

/// Reads one body.
#[derive(Debug, Default)]
pub(super) enum Decoder {
    /// There is none, or it is over.
    #[default]
    Over,
    /// So many bytes are to come.
    Length(u64),
    /// It comes in chunks.
    Chunked(Box<Chunks>),
    /// It ends with the connection.
    ToEnd,
}

impl Decoder {
    /// One of this length.
    pub(super) const fn length(length: u64) -> Self {
        if length == 0 { Self::Over } else { Self::Length(length) }
    }

    /// One in these chunks.
    pub(super) fn chunked(chunks: Chunks) -> Self {
        Self::Chunked(Box::new(chunks))
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self, Self::Over)
    }

    /// Takes what comes next out of these bytes; nothing where more have to come.
    pub(super) fn take(&mut self, ahead: &mut Bytes) -> Result<Option<Frame<Bytes>>, Error> {
        if ahead.is_empty() {
            return Ok(None);
        }
        match self {
            Self::Over => Ok(None),
            Self::Length(left) => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(ahead.len());
                *self = Self::length(*left - count as u64);
                Ok(Some(Frame::data(ahead.split_to(count))))
            }
            Self::Chunked(chunks) => {
                let came = chunks.take(ahead)?;
                if chunks.is_over() {
                    *self = Self::Over;
                }
                Ok(match came {
                    Came::Frame(frame) => Some(frame),
                    Came::End | Came::Nothing => None,
                })
            }
            Self::ToEnd => Ok(Some(Frame::data(std::mem::take(ahead)))),
        }
    }

    /// How many of so many bytes are its own; none where it is not told by their number.
    pub(super) fn most(&self, bytes: usize) -> usize {
        match self {
            Self::Length(left) => usize::try_from(*left).unwrap_or(usize::MAX).min(bytes),
            Self::Over | Self::Chunked(_) | Self::ToEnd => 0,
        }
    }

    /// So many bytes of one of known length have passed elsewhere.
    pub(super) fn pass(&mut self, bytes: usize) {
        if let Self::Length(left) = self {
            *self = Self::length(left.saturating_sub(bytes as u64));
        }
    }

    /// The connection ended.
    pub(super) fn end(&mut self) -> Result<(), Error> {
        match self {
            Self::Over => Ok(()),
            Self::ToEnd => {
                *self = Self::Over;
                Ok(())
            }
            Self::Length(_) | Self::Chunked(_) => Err(Error::Incomplete),
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Over => SizeHint::with_exact(0),
            Self::Length(left) => SizeHint::with_exact(*left),
            Self::Chunked(_) | Self::ToEnd => SizeHint::default(),
        }
    }
}
