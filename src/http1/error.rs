//! Why a message of HTTP/1 was not read or written to its end.

use std::io;

use thiserror::Error;

/// What is wrong with a connection, or with what came on it.
#[derive(Debug, Error)]
pub enum Error {
    /// The connection broke.
    #[error(transparent)]
    Broken(#[from] io::Error),
    /// The connection ended before the message did.
    #[error("the connection ended before the message was complete")]
    Incomplete,
    /// What came is not written as HTTP/1 has it.
    #[error("not HTTP/1: {0}")]
    Malformed(&'static str),
    /// The head is larger than it may be.
    #[error("the head of the message is larger than it may be")]
    TooLarge,
    /// There were more interim answers, or more else that is no answer, than anybody needs.
    #[error("too many interim answers")]
    Flooded,
    /// The connection has gone on to another message.
    #[error("the rest of the body was given up")]
    GivenUp,
}

impl Error {
    /// Whether what came is no HTTP.
    pub const fn is_malformed(&self) -> bool {
        matches!(self, Self::Malformed(_) | Self::TooLarge)
    }
}

impl From<httparse::Error> for Error {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::TooManyHeaders => Self::TooLarge,
            httparse::Error::HeaderName => Self::Malformed("the name of a field"),
            httparse::Error::HeaderValue => Self::Malformed("the value of a field"),
            httparse::Error::NewLine => Self::Malformed("the end of a line"),
            httparse::Error::Status => Self::Malformed("the status"),
            httparse::Error::Token => Self::Malformed("the first line"),
            httparse::Error::Version => Self::Malformed("the version"),
        }
    }
}
