//! One connection on which requests are sent, whichever HTTP it speaks, and what became of a request that failed on it.

use std::fmt;
use std::rc::Rc;

use futures_util::FutureExt as _;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::AlertDescription;
use thiserror::Error;

use super::stream::Refusal;
use super::tls::TlsError;
use super::{ConnectError, Dialler, Stream};
use crate::body::Body;
use crate::drain::LocalTasks;
use crate::gather::Gather;
use crate::provider::{Address, Protocol};

/// Streams in flight on one HTTP/2 connection before another is made.
const STREAMS_MAX: u32 = 100;

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
        /// hyper's words.
        #[source]
        source: hyper::Error,
    },
    /// What came back is not HTTP.
    #[error("{address} answered with something that is not a valid HTTP response")]
    Malformed {
        /// The provider's address.
        address: Address,
        /// hyper's words.
        #[source]
        source: hyper::Error,
    },
    /// The body of the request broke off on its way in.
    #[error("the request body broke off")]
    RequestBody {
        /// hyper's words.
        #[source]
        source: hyper::Error,
    },
}

/// The sending half of a connection; the connection itself runs as a task of its own.
pub(super) enum Sender {
    Http1 {
        sender: http1::SendRequest<Body>,
        refusal: Option<Refusal>,
    },
    /// What the streams share is counted by them.
    Http2 {
        sender: http2::SendRequest<Body>,
        streams: Rc<Option<Refusal>>,
    },
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1 { .. } => "http1",
            Self::Http2 { .. } => "http2",
        })
    }
}

impl Sender {
    /// Begins HTTP on a new connection and runs it; `alive` is dropped when the connection ends.
    pub(super) async fn begin(
        stream: Stream,
        protocol: Protocol,
        address: &Address,
        dialler: &Dialler,
        alive: impl Sized + 'static,
    ) -> Result<Self, ConnectError> {
        let Dialler { settings, drain, .. } = dialler;
        let refusal = stream.refusal();
        let io = TokioIo::new(Gather(stream));
        let failed = |source| ConnectError::Handshake { address: address.clone(), source };
        match protocol {
            // Selection leaves such providers out; here it would be too late to notice.
            Protocol::Tcp => Err(ConnectError::NotHttp { address: address.clone() }),
            Protocol::Http1 | Protocol::Mucp => {
                let (sender, connection) = http1::Builder::new()
                    .max_header_size(settings.header_bytes_max)
                    .handshake(io)
                    .await
                    .map_err(failed)?;
                drain.spawn_local("upstream connection", connection.with_upgrades().map(ended(alive)));
                Ok(Self::Http1 { sender, refusal })
            }
            Protocol::H2c => {
                let (sender, connection) = http2::Builder::new(LocalTasks(drain.clone()))
                    .timer(TokioTimer::new())
                    .adaptive_window(true)
                    .handshake(io)
                    .await
                    .map_err(failed)?;
                drain.spawn_local("upstream connection", connection.map(ended(alive)));
                Ok(Self::Http2 { sender, streams: Rc::new(refusal) })
            }
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Http1 { sender, .. } => sender.is_closed(),
            Self::Http2 { sender, .. } => sender.is_closed(),
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        match self {
            Self::Http1 { sender, .. } => sender.is_ready(),
            Self::Http2 { sender, streams } => {
                sender.is_ready() && Rc::strong_count(streams) <= STREAMS_MAX as usize
            }
        }
    }

    /// Another sender on the same connection, where the protocol carries several requests at once.
    pub(super) fn share(&self) -> Option<Self> {
        match self {
            Self::Http1 { .. } => None,
            Self::Http2 { sender, streams } => {
                Some(Self::Http2 { sender: sender.clone(), streams: Rc::clone(streams) })
            }
        }
    }

    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
        address: &Address,
    ) -> Result<Response<Incoming>, SendError> {
        let sent = match self {
            Self::Http1 { sender, .. } => sender.try_send_request(request).await,
            Self::Http2 { sender, .. } => sender.try_send_request(request).await,
        };
        sent.map_err(|mut failure| {
            let returned = failure.take_message();
            let arrival = if returned.is_some() { Arrival::Never } else { Arrival::Unknown };
            let source = failure.into_error();
            let address = address.clone();
            let request = returned.map(Box::new);
            if let Some(alert) = self.refusal() {
                // What came after the handshake has not been looked at.
                let cause = ConnectError::Tls { address, source: Box::new(TlsError::Alert(alert)) }.into();
                SendError { cause, arrival: Arrival::Never, request }
            } else if source.is_parse() {
                SendError { cause: SendCause::Malformed { address, source }, arrival, request: None }
            } else if source.is_user() || source.is_body_write_aborted() {
                SendError { cause: SendCause::RequestBody { source }, arrival, request: None }
            } else {
                SendError { cause: SendCause::Closed { address, source }, arrival, request }
            }
        })
    }

    /// The alert by which the provider refused who we are, if it did.
    fn refusal(&self) -> Option<AlertDescription> {
        let refusal = match self {
            Self::Http1 { refusal, .. } => refusal.as_ref(),
            Self::Http2 { streams, .. } => Option::as_ref(streams),
        };
        refusal?.get().copied()
    }
}

/// What is done when a connection has ended.
fn ended(alive: impl Sized + 'static) -> impl FnOnce(Result<(), hyper::Error>) {
    move |result| {
        drop(alive);
        if let Err(error) = result {
            tracing::debug!(%error, "an upstream connection ended");
        }
    }
}
