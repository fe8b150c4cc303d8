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
                *left -= count as u64;
                if *left == 0 {
                    *self = Self::Over;
                }
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
