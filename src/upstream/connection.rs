//! One connection on which requests are sent, whichever HTTP it speaks, and what became of a request that failed on it.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use h2::client::SendRequest;
use http::{Method, Request, Response};
use tokio::time::{Instant, timeout_at};

use super::fault::Fault;
use super::http1::{self, Failed, Link};
use super::http2::{self, STREAMS_MAX, Verdict, verdict};
use super::seat::{Alive, Seat};
use super::send_error::{Arrival, SendCause, SendError};
use super::stream::Refusal;
use super::wire::{Signs, Wire};
use super::{ConnectError, Dialler, Sending, Stream};
use crate::body::{Body, Incoming};
use crate::gather::Gather;
use crate::provider::{Address, Protocol};

/// How long the end of an idle connection and a request may cross: a round trip around the world, and what is lost on the
/// way sent again. What ends later than that ends because of the request.
const CROSSING: Duration = Duration::from_secs(1);

/// How long requests have to have waited on an HTTP/2 connection that was silent meanwhile, be it one after another, for the
/// connection to be given up too. A provider that lives says something within that time at the latest when it is asked.
const SILENCE: Duration = Duration::from_secs(1);

/// The sending half of a connection. One of HTTP/2 runs as a task of its own.
pub(super) enum Sender {
    Http1 {
        link: Rc<Link>,
        bond: Rc<Bond>,
    },
    /// The bond is counted by the streams.
    Http2 {
        sender: SendRequest<Bytes>,
        bond: Rc<Bond>,
    },
}

/// What ties senders to their connection.
pub(super) struct Bond {
    refusal: Option<Arc<Refusal>>,
    pub(super) signs: Arc<Signs>,
    pub(super) seat: Rc<Seat>,
    /// How long was waited on it in vain. Written by the requests, whose time may be shorter than what proves anything.
    vain: Cell<Option<Vain>>,
}

/// Waits for answers on a connection on which nothing was heard meanwhile.
#[derive(Clone, Copy, Debug)]
struct Vain {
    /// What had been heard before.
    heard: u32,
    /// How long they were; what several waited at once counts once.
    waited: Duration,
    /// When the last one was given up.
    until: Instant,
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
        let (refusal, vain) = (stream.refusal(), Cell::default());
        let bond = Rc::new(Bond { refusal, signs: Arc::clone(&signs), seat, vain });
        match protocol {
            // Selection leaves such providers out; here it would be too late to notice.
            Protocol::Tcp => Err(ConnectError::NotHttp { address: address.clone() }),
            Protocol::Http1 | Protocol::Mucp => Ok(Self::Http1 { link: http1::begin(stream, alive), bond }),
            Protocol::H2c => {
                let wire = Gather(Wire::new(stream, Arc::clone(&signs)));
                let begun = http2::begin(wire, Arc::clone(&signs), settings.header_bytes_max).await;
                let (sender, running) = begun.map_err(|error| ConnectError::Handshake {
                    address: address.clone(),
                    source: Arc::new(error.into()),
                })?;
                drain.spawn_local("upstream connection", running.map(ended(alive)));
                // Its settings come first, and say how many requests it takes at once.
                let limit = settings.connect_timeout;
                if timeout_at(Instant::now() + limit, signs.begun.notified()).await.is_err() {
                    return Err(ConnectError::Timeout { address: address.clone(), limit });
                }
                if signs.is_old() {
                    return Err(ConnectError::NotHttp2 { address: address.clone() });
                }
                Ok(Self::Http2 { sender, bond })
            }
        }
    }

    /// Whether it takes no more requests. Whoever asks of HTTP/1 is woken by its end, as long as nothing is sent on it.
    pub(super) fn is_closed(&mut self, cx: &mut Context<'_>) -> bool {
        match self {
            Self::Http1 { link, .. } => http1::is_closed(link, cx),
            Self::Http2 { sender, bond, .. } => bond.signs.is_suspect() || http2::is_closed(sender),
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        match self {
            Self::Http1 { .. } => true,
            Self::Http2 { sender, .. } => {
                self.streams() < sender.current_max_send_streams().clamp(1, STREAMS_MAX)
            }
        }
    }

    /// Hands a sender on once the request on it has been sent to its end, where that is not before its answer.
    pub(super) fn once_sent(self, then: impl FnOnce(Self) + 'static) {
        match &self {
            Self::Http1 { link, .. } => http1::once_sent(&Rc::clone(link), move || then(self)),
            Self::Http2 { .. } => then(self),
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
            Self::Http2 { sender, bond } => {
                Some(Self::Http2 { sender: sender.clone(), bond: Rc::clone(bond) })
            }
        }
    }

    /// How often something was heard on it.
    fn reads(&self) -> u32 {
        match self {
            Self::Http1 { link, .. } => link.reads(),
            Self::Http2 { bond, .. } => bond.signs.reads(),
        }
    }

    /// Sends a request; `is_kept` says whether the connection served another one before.
    ///
    /// No `async fn`, as whatever is awaited for every request: that would have room twice for what it is called with.
    pub(super) fn send<'a>(
        &'a mut self,
        request: Box<Request<Body>>,
        dialler: &'a Dialler,
        address: &'a Address,
        sending: Sending<'a>,
        is_kept: bool,
    ) -> impl Future<Output = Result<Response<Incoming>, SendError>> + 'a {
        let Sending { begun, repeats, hear, .. } = sending;
        let heard = self.reads();
        let at = At { address, begun, repeats, is_kept, heard };
        async move {
            match self {
                Self::Http1 { link, .. } => {
                    let Dialler { settings, drain, .. } = dialler;
                    http1::send(link, request, at.is_kept && !at.repeats, hear, settings, drain)
                        .await
                        .map_err(|failed| match failed {
                            Failed::Fault(source, returned) => self.explain(source, returned, &at),
                            Failed::Misframed(doubt) => {
                                let cause = SendCause::Misframed { address: at.address.clone(), doubt };
                                SendError { cause, arrival: Arrival::Unknown, request: None }
                            }
                        })
                }
                Self::Http2 { sender, .. }
                    if request.method() == Method::CONNECT
                        && !sender.is_extended_connect_protocol_enabled() =>
                {
                    let (cause, request) =
                        (SendCause::NoWebSocket { address: at.address.clone() }, Some(request));
                    Err(SendError { cause, arrival: Arrival::Never, request })
                }
                Self::Http2 { sender, bond } => {
                    let wait = Wait { heard: at.heard, bond, begun: at.begun };
                    // Apart, so that requests over HTTP/1 have no room for it.
                    let sent = Box::pin(http2::send(sender, *request, hear, &dialler.drain)).await;
                    wait.end();
                    sent.map_err(|(source, returned)| self.explain(source, returned.map(Box::new), &at))
                }
            }
        }
    }

    /// Why a request came back, and whether it can have arrived.
    fn explain(&self, source: Fault, request: Option<Box<Request<Body>>>, at: &At<'_>) -> SendError {
        let At { begun, repeats, is_kept, heard, .. } = *at;
        let is_silent = self.reads() == heard && begun.elapsed() < CROSSING;
        let verdict = verdict(&source);
        if verdict == Some(Verdict::TooLate) {
            self.bond().signs.suspect();
        }
        let never = request.is_some() || verdict.is_some();
        let arrival = if never { Arrival::Never } else { Arrival::Unknown };
        let address = at.address.clone();
        if let Some(refusal) = self.refusal() {
            // What came after the handshake has not been looked at.
            SendError { cause: refusal.into(), arrival: Arrival::Never, request }
        } else if self.bond().signs.is_flooded() || source.is_flood() {
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
struct Wait<'bond> {
    bond: &'bond Bond,
    heard: u32,
    begun: Instant,
}

impl Wait<'_> {
    /// An answer came, or a failure.
    fn end(mut self) {
        self.heard = self.bond.signs.reads().wrapping_add(1);
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let Self { bond, heard, begun } = *self;
        if bond.signs.reads() != heard {
            return;
        }
        let until = Instant::now();
        let before = bond.vain.get().filter(|vain| vain.heard == heard);
        let (waited, since) =
            before.map_or((Duration::ZERO, begun), |vain| (vain.waited, begun.max(vain.until)));
        let waited = waited + until.saturating_duration_since(since);
        bond.vain.set(Some(Vain { heard, waited, until }));
        if waited >= SILENCE {
            bond.signs.suspect();
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

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_short_waits_in_vain_are_a_long_one() {
        let (signs, seat) = (Arc::default(), Seat::take(&Rc::default()));
        let bond = Bond { refusal: None, signs, seat, vain: Cell::default() };
        let wait = || Wait { bond: &bond, heard: bond.signs.reads(), begun: Instant::now() };
        for _ in 0..20 {
            let answered = wait();
            advance(SILENCE / 2).await;
            answered.end();
        }
        for _ in 0..3 {
            // Those that wait at once prove no more than one of them.
            let (first, second) = (wait(), wait());
            advance(SILENCE * 3 / 10).await;
            drop((first, second));
            assert!(!bond.signs.is_suspect());
            // Nor does a time in which nobody asks.
            advance(SILENCE * 2).await;
        }
        let last = wait();
        advance(SILENCE / 10).await;
        drop(last);
        assert!(bond.signs.is_suspect());
    }
}
