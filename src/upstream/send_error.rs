//! A request that came back without an answer: why, and whether its provider can have seen it.

use h2::Reason;
use http::Request;
use thiserror::Error;

use super::ConnectError;
use super::fault::Fault;
use crate::body::Body;
use crate::provider::Address;

/// A request that came back without a response.
#[derive(Debug)]
pub struct SendError {
    /// What happened.
    pub cause: SendCause,
    /// Whether the provider can have seen it.
    pub arrival: Arrival,
    /// The request, where nothing of it was used up.
    pub request: Option<Box<Request<Body>>>,
}

/// Whether the provider can have seen a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Provably not.
    Never,
    /// Perhaps, in part or in whole.
    Unknown,
}

/// Why there is no response.
#[derive(Debug, Error)]
pub enum SendCause {
    /// No connection came about.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// As many connections as allowed are in use.
    #[error("all {limit} connections to {address} are in use")]
    Full {
        /// The provider's address.
        address: Address,
        /// The bound.
        limit: usize,
    },
    /// The connection ended before a response came.
    #[error("{address} closed the connection before it answered")]
    Closed {
        /// The provider's address.
        address: Address,
        /// The library's words.
        #[source]
        source: Fault,
    },
    /// A connection that had idled ended when a request was sent on it, before anything was answered.
    #[error("{address} closed an idle connection just when a request was sent on it")]
    Stale {
        /// The provider's address.
        address: Address,
        /// Whether the request is sent again, so that nobody is harmed.
        repeats: bool,
        /// The library's words.
        #[source]
        source: Fault,
    },
    /// The provider refused the request's HTTP/2 stream, unseen.
    #[error("{address} refused the request unseen, as HTTP/2 allows")]
    Refused {
        /// The provider's address.
        address: Address,
        /// The library's words.
        #[source]
        source: Fault,
    },
    /// The provider reset the request's HTTP/2 stream; it may have looked at it.
    #[error("{address} reset the request's stream: {reason:?}")]
    Reset {
        /// The provider's address.
        address: Address,
        /// What it gave as the reason (RFC 9113, 7).
        reason: Reason,
    },
    /// A WebSocket was asked for, of a provider that has none to offer over HTTP/2.
    #[error("{address} speaks HTTP/2 and does not offer WebSocket over it (RFC 8441)")]
    NoWebSocket {
        /// The provider's address.
        address: Address,
    },
    /// What came back is not HTTP.
    #[error("{address} answered with something that is not a valid HTTP response")]
    Malformed {
        /// The provider's address.
        address: Address,
        /// The library's words.
        #[source]
        source: Fault,
    },
    /// What came back leaves it open where it ends.
    #[error("{address} answered with {doubt}, which leaves it open where the answer ends")]
    Misframed {
        /// The provider's address.
        address: Address,
        /// What is wrong.
        doubt: &'static str,
    },
    /// The provider sent one interim answer after another, or one frame of HTTP/2 after another that carries nothing.
    #[error(
        "{address} sent a flood of what is no answer, be it interim answers or frames that carry nothing"
    )]
    Flooded {
        /// The provider's address.
        address: Address,
    },
    /// The body of the request broke off on its way in.
    #[error("the request body broke off")]
    RequestBody {
        /// The library's words.
        #[source]
        source: Fault,
    },
}
