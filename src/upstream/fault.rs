//! What the libraries say of a connection, or of a request on it, that failed.

use thiserror::Error;

use crate::body::BodyError;

/// Why there is no answer, in the words of whoever noticed.
#[derive(Debug, Error)]
pub enum Fault {
    /// Over HTTP/1.
    #[error(transparent)]
    Http1(#[from] hyper::Error),
    /// Over HTTP/2.
    #[error(transparent)]
    Http2(#[from] h2::Error),
    /// The body of the request broke off, over HTTP/2.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// One interim answer came after another, over HTTP/2.
    #[error("too many interim answers")]
    Flooded,
}

impl Fault {
    /// Whether what came is no HTTP.
    pub(super) fn is_malformed(&self) -> bool {
        match self {
            Self::Http1(error) => error.is_parse(),
            // What concerns the whole connection may be the doing of another answer on it.
            Self::Http2(error) => error.is_library() && error.is_reset(),
            Self::Body(_) | Self::Flooded => false,
        }
    }

    /// What the provider reset the stream with.
    pub(super) fn reset(&self) -> Option<h2::Reason> {
        let Self::Http2(error) = self else { return None };
        error.reason().filter(|_| error.is_reset() && error.is_remote())
    }

    /// Whether the request broke off on its way in.
    pub(super) fn is_of_request(&self) -> bool {
        match self {
            Self::Http1(error) => error.is_user() || error.is_body_write_aborted(),
            Self::Body(_) => true,
            Self::Http2(_) | Self::Flooded => false,
        }
    }
}
