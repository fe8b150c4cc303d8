//! What the libraries say of a connection, or of a request on it, that failed.

use thiserror::Error;

use crate::body::BodyError;
use crate::http1;

/// Why there is no answer, in the words of whoever noticed.
#[derive(Debug, Error)]
pub enum Fault {
    /// Over HTTP/1.
    #[error(transparent)]
    Http1(#[from] http1::Error),
    /// Over HTTP/2.
    #[error(transparent)]
    Http2(#[from] h2::Error),
    /// The body of the request broke off.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The body of the request is not as long as was said.
    #[error("the body is not as long as its head says")]
    Length,
    /// One interim answer came after another.
    #[error("too many interim answers")]
    Flooded,
}

impl Fault {
    /// Whether what came is no HTTP.
    pub(super) fn is_malformed(&self) -> bool {
        match self {
            Self::Http1(error) => error.is_malformed(),
            // What concerns the whole connection may be the doing of another answer on it.
            Self::Http2(error) => error.is_library() && error.is_reset(),
            Self::Body(_) | Self::Length | Self::Flooded => false,
        }
    }

    /// Whether the provider said more than anybody needs that is no answer.
    pub(super) const fn is_flood(&self) -> bool {
        matches!(self, Self::Flooded | Self::Http1(http1::Error::Flooded))
    }

    /// What the provider reset the stream with.
    pub(super) fn reset(&self) -> Option<h2::Reason> {
        let Self::Http2(error) = self else { return None };
        error.reason().filter(|_| error.is_reset() && error.is_remote())
    }

    /// Whether the request broke off on its way in.
    pub(super) fn is_of_request(&self) -> bool {
        match self {
            Self::Body(_) | Self::Length => true,
            Self::Http1(_) | Self::Http2(_) | Self::Flooded => false,
        }
    }
}
