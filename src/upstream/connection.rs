//! One connection on which requests are sent, whichever HTTP it speaks, and what became of a request that failed on it.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use h2::client::SendRequest;
use http::{Method, Request, Response};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};

use super::fault::Fault;
use super::framing;
use super::http2::{self, STREAMS_MAX, Verdict, verdict};
use super::seat::{Alive, Seat};
use super::send_error::{Arrival, SendCause, SendError};
use super::stream::Refusal;
use super::wire::{Signs, Wire};
use super::{ConnectError, Dialler, Sending, Stream};
use crate::body::{Body, Incoming};
use crate::drain::Drain;
use crate::gather::Gather;
use crate::provider::{Address, Protocol};

/// Bytes of bodies that are read at once from an HTTP/1 connection, and that wait to be written to one; more only where heads
/// may be larger.
const BUFFER_BYTES: usize = 64 * 1024;

/// How long the end of an idle connection and a request may cross: a round trip around the world, and what is lost on the
/// way sent again. What ends later than that ends because of the request.
const CROSSING: Duration = Duration::from_secs(1);

/// How long an HTTP/2 connection has to have been silent when a request on it is given up for the connection to be given up
/// too. A provider that lives says something within that time at the latest when it is asked.
const SILENCE: Duration = Duration::from_secs(1);

/// The sending half of a connection; the connection itself runs as a task of its own.
pub(super) enum Sender {
    Http1 {
        sender: http1::SendRequest<Body>,
        bond: Rc<Bond>,
    },
    /// The bond is counted by the streams.
    Http2 {
        sender: SendRequest<Bytes>,
        bond: Rc<Bond>,
        drain: Drain,
    },
}

/// What ties senders to their connection.
pub(super) struct Bond {
    refusal: Option<Arc<Refusal>>,
    pub(super) signs: Arc<Signs>,
    pub(super) seat: Rc<Seat>,
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
        alive: Alive,
    ) -> Result<Self, ConnectError> {
        let Dialler { settings, drain, .. } = dialler;
        let (signs, seat) = (Arc::clone(&alive.signs), Rc::clone(&alive.seat));
        let bond = Rc::new(Bond { refusal: stream.refusal(), signs: Arc::clone(&signs), seat });
        let wire = Gather(Wire::new(stream, Arc::clone(&signs), protocol));
        let failed =
            |source: Fault| ConnectError::Handshake { address: address.clone(), source: Arc::new(source) };
        match protocol {
            // Selection leaves such providers out; here it would be too late to notice.
            Protocol::Tcp => Err(ConnectError::NotHttp { address: address.clone() }),
            Protocol::Http1 | Protocol::Mucp => {
                let (sender, connection) = http1::Builder::new()
                    .max_header_size(settings.header_bytes_max)
                    .max_buf_size(settings.header_bytes_max.max(BUFFER_BYTES))
                    .handshake(TokioIo::new(wire))
                    .await
                    .map_err(|error| failed(error.into()))?;
                drain.spawn_local("upstream connection", connection.with_upgrades().map(ended(alive)));
                Ok(Self::Http1 { sender, bond })
            }
            Protocol::H2c => {
                let begun = http2::begin(wire, Arc::clone(&signs), settings.header_bytes_max).await;
                let (sender, running) = begun.map_err(|error| failed(error.into()))?;
                drain.spawn_local("upstream connection", running.map(ended(alive)));
                // Its settings come first, and say how many requests it takes at once.
                let limit = settings.connect_timeout;
                if timeout_at(Instant::now() + limit, signs.begun.notified()).await.is_err() {
                    return Err(ConnectError::Timeout { address: address.clone(), limit });
                }
                if signs.is_old() {
                    return Err(ConnectError::NotHttp2 { address: address.clone() });
                }
                Ok(Self::Http2 { sender, bond, drain: drain.clone() })
            }
        }
    }

    pub(super) fn is_closed(&mut self) -> bool {
        match self {
            Self::Http1 { sender, .. } => sender.is_closed(),
            Self::Http2 { sender, bond, .. } => bond.signs.is_suspect() || http2::is_closed(sender),
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        match self {
            Self::Http1 { sender, .. } => sender.is_ready(),
            Self::Http2 { sender, .. } => {
                self.streams() < sender.current_max_send_streams().clamp(1, STREAMS_MAX)
            }
        }
    }

    /// Whether it carries several requests at once.
    pub(super) const fn is_shared(&self) -> bool {
        matches!(self, Self::Http2 { .. })
    }

    /// Requests in flight on it, as far as its pool knows.
    pub(super) fn streams(&self) -> usize {
        match self {
            Self::Http1 { .. } => 0,
            // One is the pool's own.
            Self::Http2 { bond, .. } => Rc::strong_count(bond) - 1,
        }
    }

    pub(super) const fn bond(&self) -> &Rc<Bond> {
        match self {
            Self::Http1 { bond, .. } | Self::Http2 { bond, .. } => bond,
        }
    }

    /// Another sender on the same connection, where the protocol carries several requests at once.
    pub(super) fn share(&self) -> Option<Self> {
        match self {
            Self::Http1 { .. } => None,
            Self::Http2 { sender, bond, drain } => {
                let (sender, bond, drain) = (sender.clone(), Rc::clone(bond), drain.clone());
                Some(Self::Http2 { sender, bond, drain })
            }
        }
    }

    /// Sends a request; `is_kept` says whether the connection served another one before.
    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
        address: &Address,
        sending: Sending<'_>,
        is_kept: bool,
    ) -> Result<Response<Incoming>, SendError> {
        let Sending { begun, repeats, hear, .. } = sending;
        let signs = &self.bond().signs;
        if is_kept && !repeats && !self.is_shared() {
            signs.look_first();
        }
        let heard = signs.reads();
        let sent = match self {
            Self::Http1 { sender, bond } => {
                let signs = &bond.signs;
                signs.ask();
                let mut sent = pin!(sender.try_send_request(request));
                let answered = poll_fn(|cx| {
                    signs.listen(cx);
                    let polled = sent.as_mut().poll(cx);
                    signs.take_interim().into_iter().for_each(hear.0);
                    polled
                });
                let answered = answered.await;
                let headers = answered.as_ref().ok().map(Response::headers);
                if let Some(doubt) = headers.and_then(framing::doubt) {
                    let cause = SendCause::Misframed { address: address.clone(), doubt };
                    return Err(SendError { cause, arrival: Arrival::Unknown, request: None });
                }
                answered.map(|response| response.map(Incoming::Http1)).map_err(|mut failure| {
                    let request = failure.take_message();
                    (failure.into_error().into(), request)
                })
            }
            Self::Http2 { sender, .. }
                if request.method() == Method::CONNECT && !sender.is_extended_connect_protocol_enabled() =>
            {
                let (cause, request) =
                    (SendCause::NoWebSocket { address: address.clone() }, Some(Box::new(request)));
                return Err(SendError { cause, arrival: Arrival::Never, request });
            }
            Self::Http2 { sender, bond, drain } => {
                let wait = Wait { heard, signs: &bond.signs, begun };
                let sent = http2::send(sender, request, hear, drain).await;
                wait.end();
                sent
            }
        };
        let at = At { address, begun, repeats, is_kept, heard };
        sent.map_err(|(source, returned)| self.explain(source, returned, &at))
    }

    /// Why a request came back, and whether it can have arrived.
    fn explain(&self, source: Fault, returned: Option<Request<Body>>, at: &At<'_>) -> SendError {
        let At { begun, repeats, is_kept, heard, .. } = *at;
        let is_silent = self.bond().signs.reads() == heard && begun.elapsed() < CROSSING;
        let verdict = verdict(&source);
        if verdict == Some(Verdict::TooLate) {
            self.bond().signs.suspect();
        }
        let never = returned.is_some() || verdict.is_some();
        let arrival = if never { Arrival::Never } else { Arrival::Unknown };
        let address = at.address.clone();
        let request = returned.map(Box::new);
        if let Some(refusal) = self.refusal() {
            // What came after the handshake has not been looked at.
            SendError { cause: refusal.into(), arrival: Arrival::Never, request }
        } else if self.bond().signs.is_flooded() || matches!(source, Fault::Flooded) {
            SendError { cause: SendCause::Flooded { address }, arrival, request: None }
        } else if source.is_malformed() {
            SendError { cause: SendCause::Malformed { address, source }, arrival, request: None }
        } else if source.is_of_request() {
            SendError { cause: SendCause::RequestBody { source }, arrival, request: None }
        } else if verdict == Some(Verdict::Refused) {
            SendError { cause: SendCause::Refused { address, source }, arrival, request }
        } else if let Some(reason) = source.reset() {
            SendError { cause: SendCause::Reset { address, reason }, arrival, request }
        } else if is_kept && (never || is_silent) {
            SendError { cause: SendCause::Stale { address, repeats, source }, arrival, request }
        } else {
            SendError { cause: SendCause::Closed { address, source }, arrival, request }
        }
    }

    /// The refusal of who we are, if the provider did refuse that.
    fn refusal(&self) -> Option<ConnectError> {
        self.bond().refusal.as_ref()?.error()
    }
}

/// Where and how a request was sent that came back.
struct At<'a> {
    address: &'a Address,
    begun: Instant,
    repeats: bool,
    is_kept: bool,
    /// What had been heard before.
    heard: u32,
}

/// The wait for an answer on a connection with others on it. Given up after a long silence, it takes the connection along.
struct Wait<'signs> {
    signs: &'signs Signs,
    heard: u32,
    begun: Instant,
}

impl Wait<'_> {
    /// An answer came, or a failure.
    fn end(mut self) {
        self.heard = self.signs.reads().wrapping_add(1);
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if self.signs.reads() == self.heard && self.begun.elapsed() >= SILENCE {
            self.signs.suspect();
        }
    }
}

/// What is done when a connection has ended.
fn ended<E: fmt::Display>(alive: Alive) -> impl FnOnce(Result<(), E>) {
    move |result| {
        drop(alive);
        if let Err(error) = result {
            tracing::debug!(%error, "an upstream connection ended");
        }
    }
}
