//! Takeover: what happens to a client connection once HTTP is over on it and raw bytes go both ways.

use std::fmt::Write as _;
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, copy, copy_bidirectional, split};
use tokio::sync::oneshot;
use tokio_util::io::{InspectReader, InspectWriter};

use super::client::Stream;
use super::error::ProxyError;
use super::headers::MICRO_STREAM;
use super::record::Record;
use super::request::{Attempt, Failure, Returned};
use super::worker::Worker;
use crate::body::Body;
use crate::body::http2::Raw;
use crate::endpoint::LoadGuard;
use crate::http1::Duplex;
use crate::telemetry::metrics::ProxyMetrics;
use crate::upstream::{self, SendCause};

/// Bytes of the first message of a Go Micro stream: its messages are single calls, 4 MiB is gRPC's usual bound for such.
const FIRST_MESSAGE_MAX: usize = 4 * 1024 * 1024;

/// The client's side of a tunnel within HTTP/2, once its answer is on its way.
pub type Within = oneshot::Receiver<Raw>;

/// Where raw bytes go from now on.
#[derive(Debug)]
pub enum Takeover {
    /// To the provider that agreed to switch protocols.
    Upgrade {
        /// The provider's side.
        upstream: Box<dyn Duplex>,
        /// What lasts as long as the bytes flow.
        hold: Hold,
    },
    /// To the provider that a tunnel was asked for to, once its connection is free.
    Tunnel {
        /// The provider's side.
        upstream: upstream::Stream,
        /// What lasts as long as the bytes flow.
        hold: Hold,
    },
    /// To the Go Micro server that a stream was opened to.
    MicroStream {
        /// The provider's side.
        upstream: upstream::Stream,
        /// What lasts as long as the bytes flow.
        hold: Hold,
    },
}

/// What lasts as long as the bytes flow: the endpoint's load and the record of the request that began it.
#[derive(Debug)]
pub struct Hold {
    /// The load.
    pub guard: Rc<LoadGuard>,
    /// The record.
    pub record: Rc<Record>,
    /// The answer that came before them, where a connection of several streams counts it until the end.
    pub answer: Body,
}

impl Takeover {
    /// Whether the connection is to be taken at once, rather than when HTTP is done with it.
    pub const fn is_due(&self) -> bool {
        match self {
            Self::Upgrade { .. } | Self::Tunnel { .. } => false,
            Self::MicroStream { .. } => true,
        }
    }

    /// Passes bytes both ways until it is over. What breaks off must not look whole: the client's side is reset then.
    pub async fn run<C: AsyncRead + AsyncWrite + Unpin>(self, mut client: C, reset: impl Fn(&C)) {
        match self {
            Self::Upgrade { mut upstream, hold } => {
                let _hold = hold;
                // Each side's end of sending is passed on; the other may still have something to say.
                let result = copy_bidirectional(&mut client, &mut upstream).await;
                if result.is_err() {
                    reset(&client);
                }
                tracing::debug!(?result, "an upgraded connection ended");
            }
            Self::Tunnel { upstream, hold } => {
                let _hold = hold;
                let mut sides = Sides { client, upstream, reset, is_over: false };
                let result = copy_bidirectional(&mut sides.client, &mut sides.upstream).await;
                sides.is_over = result.is_ok();
                tracing::debug!(?result, "a tunnel ended");
            }
            Self::MicroStream { upstream, hold } => {
                let _hold = hold;
                relay(client, upstream).await;
            }
        }
    }

    /// Has bytes passed both ways within a stream of the client's connection, once its answer is on its way.
    pub fn begin_within(self, client: Within, stream: Rc<Stream>, worker: &Rc<Worker>) {
        let (moving, worker_too) = (Rc::clone(&stream), Rc::clone(worker));
        stream.run(&worker.shared.drain, async move {
            let Ok(client) = client.await else { return };
            let _open = Open::begin(&worker_too.shared.metrics.proxy);
            let moved = || {
                let stream = Rc::clone(&moving);
                move |_: &[u8]| stream.pulse.beat()
            };
            let client = InspectReader::new(InspectWriter::new(client, moved()), moved());
            // Dropped before its end, it is reset.
            self.run(client, |_| ()).await;
        });
    }
}

/// Both sides of a tunnel, which end with a reset unless both came to their end: also where they are dropped before.
struct Sides<C, F: Fn(&C)> {
    client: C,
    upstream: upstream::Stream,
    reset: F,
    is_over: bool,
}

impl<C, F: Fn(&C)> Drop for Sides<C, F> {
    fn drop(&mut self) {
        if !self.is_over {
            (self.reset)(&self.client);
            self.upstream.abort();
        }
    }
}

/// Counts a connection, or a stream, for as long as it is not HTTP any more.
pub struct Open<'a>(&'a ProxyMetrics);

impl<'a> Open<'a> {
    /// It is not HTTP from now on.
    pub fn begin(metrics: &'a ProxyMetrics) -> Self {
        metrics.upgrades_open.inc();
        Self(metrics)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.upgrades_open.dec();
    }
}

/// Passes bytes both ways until either side has ended: a Go Micro server must not see a half-closed connection.
async fn relay(client: impl AsyncRead + AsyncWrite, upstream: impl AsyncRead + AsyncWrite) {
    let (mut from_client, mut to_client) = split(client);
    let (mut from_upstream, mut to_upstream) = split(upstream);
    let there = async {
        let _ = copy(&mut from_client, &mut to_upstream).await;
        // TLS has a word for the end, without which it could be somebody else's doing.
        let _ = to_upstream.shutdown().await;
    };
    tokio::select! {
        () = there => {}
        _ = copy(&mut from_upstream, &mut to_client) => {}
    }
}

/// Opens a Go Micro stream: its first message, sent on a connection of its own, hands the client's connection over to raw
/// bytes. On success the future never resolves: the connection is taken from under it.
///
/// # Errors
/// While nothing was sent: when the message is too large or breaks off, or no connection comes about.
pub async fn begin_stream(
    attempt: Attempt,
    worker: &Worker,
) -> Result<http::Response<Body>, Failure<Returned>> {
    let Attempt { message, client, record, endpoint, guard, .. } = attempt;
    let (parts, body) = (*message).into_parts();
    let first = whole(body).await?;
    let failed = |cause: SendCause, parts, first: Bytes| {
        let message = Some(Box::new(http::Request::from_parts(parts, Body::from(first))));
        let again = Some(Returned { message, elsewhere: true, never_arrived: true });
        Failure { error: cause.into(), again }
    };
    let dialler = &worker.shared.dialler;
    let mut upstream = match dialler.connect_counted(endpoint.service(), &endpoint.provider).await {
        Ok(upstream) => upstream,
        Err(cause) => return Err(failed(cause.into(), parts, first)),
    };
    endpoint.memory.reached();
    let message = serialize(&parts, &first);
    // Written is sent on a socket, but not under TLS.
    let written = upstream.write_all(&message).await;
    if let Err(error) = written.and(upstream.flush().await) {
        tracing::debug!(%error, "a stream's first message could not be written");
        return Err(ProxyError::Switch.into());
    }
    record.answer(&http::Response::new(()));
    client.takeover.replace(Some(Takeover::MicroStream {
        upstream,
        hold: Hold { guard, record, answer: Body::empty() },
    }));
    std::future::pending().await
}

async fn whole(body: Body) -> Result<Bytes, ProxyError> {
    match Limited::new(body, FIRST_MESSAGE_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(ProxyError::StreamTooLarge { limit: FIRST_MESSAGE_MAX })
        }
        Err(_) => Err(ProxyError::BadRequest("the first message of the stream broke off")),
    }
}

/// The message as HTTP/1.1 writes it.
fn serialize(parts: &http::request::Parts, body: &Bytes) -> Vec<u8> {
    debug_assert!(parts.headers.contains_key(MICRO_STREAM));
    let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut head = String::new();
    let _ = write!(head, "{} {target} HTTP/1.1\r\n", parts.method);
    let mut bytes = head.into_bytes();
    for (name, value) in &parts.headers {
        if name != http::header::CONTENT_LENGTH {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
    }
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body);
    bytes
}
