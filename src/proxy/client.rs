//! One client connection: who it is, what it is doing, and what it is told to do next.

mod due;
mod fresh;
mod moving;
mod origin;
mod refused;
mod socket;
mod stream;
mod streams;
mod unwatched;

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use arrayvec::ArrayVec;
use bytes::{Bytes, BytesMut};
pub use due::Order;
use http::HeaderValue;
pub use origin::Origin;
pub use refused::Refused;
pub use socket::Socket;
pub use stream::ClientStream;
pub use streams::Stream;
pub use unwatched::{Unwatched, Watch};

use self::streams::Streams;
use super::takeover::Takeover;
use crate::clock::{Moment, Tick};
use crate::http1::Seen;
use crate::provider::ServiceName;
use crate::telemetry::peer::Peer;
use crate::upstream::{Frames, Pools};

/// One client connection, as its requests and the worker's clean-up see it. Everything here belongs to one thread.
pub struct Client {
    /// Who the client is, as far as its connection tells.
    pub peer: Peer,
    /// The client's IP address as `X-Forwarded-For` wants it, if it has one.
    pub forwarded_for: Option<HeaderValue>,
    /// Whether the client speaks TLS with this proxy.
    pub is_secure: bool,
    /// The service that this listener is bound to.
    pub bound: Option<ServiceName>,
    /// Whether its requests may say which provider they want, where their route lets them, and are believed whom they come from.
    pub trusted: bool,
    /// Whether requests are refused that a page of another site had a browser send.
    pub refuse_cross_site: bool,
    /// Connections that must not be shared with other clients: those to Go Micro servers, once there are any.
    pub private: OnceCell<Rc<Pools>>,
    /// The raw bytes' way on, once HTTP is over on this connection.
    pub takeover: RefCell<Option<Takeover>>,
    /// Where its worker has it among those that it follows. Written by the worker.
    pub place: Cell<usize>,
    tick: Rc<Tick>,
    accepted: Moment,
    /// The last time bytes moved.
    active: Cell<Moment>,
    /// When the first byte of a request head arrived that is not complete yet.
    head_since: Cell<Option<Moment>>,
    /// Requests in flight, their bodies included.
    requests: Cell<u32>,
    /// Those of them whose answer is awaited under a deadline.
    awaited: Cell<u32>,
    go_micro: Cell<bool>,
    /// Whether its bytes are passed on raw from the start.
    raw: Cell<bool>,
    /// What was seen of the head of the request that began last. Written as it is read.
    pub seen: Cell<Seen>,
    /// Whether the request that began last may be told of interim answers. Written by `observe`.
    hears_interim: Cell<bool>,
    /// Interim answers that wait to be written ahead of an answer. Written by the requests, taken by what writes.
    interim: RefCell<BytesMut>,
    /// Whether part of an answer is still to be written. Written by what writes it.
    writing: Cell<bool>,
    /// Whether it was told to close.
    closing: Cell<bool>,
    /// What is only there once HTTP/2 is spoken.
    http2: OnceCell<Box<Http2>>,
    /// Whether the body of a request was not read to its end.
    unread: Cell<bool>,
    /// Whether an answer broke off whose end is that of the connection.
    cut: Cell<bool>,
    /// Whether the last clean-up of a drain found it silent.
    quiet: Cell<bool>,
    /// Whether somebody would learn of its end while an answer is awaited.
    watch: Cell<Watch>,
    order: Cell<Option<Order>>,
    waker: RefCell<Option<Waker>>,
}

/// What there is to know of a connection that carries several requests at once.
#[derive(Debug, Default)]
struct Http2 {
    /// Where in the sequence of frames its client is.
    frames: RefCell<Frames>,
    /// The requests on it.
    streams: Streams,
    /// Those that the client took back before they were answered, since the last clean-up.
    taken_back: Cell<u32>,
    /// Bytes written since then.
    written: Cell<u64>,
}

impl Client {
    /// A connection just accepted.
    pub fn new(origin: Origin, tick: Rc<Tick>) -> Rc<Self> {
        let Origin { peer, is_secure, bound, trusted, refuse_cross_site } = origin;
        let forwarded_for = peer.ip().map(written);
        let now = tick.now();
        Rc::new(Self {
            peer,
            forwarded_for,
            is_secure,
            bound,
            trusted,
            refuse_cross_site,
            private: OnceCell::new(),
            takeover: RefCell::default(),
            place: Cell::new(0),
            tick,
            accepted: now,
            active: Cell::new(now),
            head_since: Cell::new(None),
            requests: Cell::new(0),
            awaited: Cell::new(0),
            go_micro: Cell::new(false),
            raw: Cell::new(false),
            seen: Cell::default(),
            hears_interim: Cell::new(false),
            interim: RefCell::default(),
            writing: Cell::new(false),
            closing: Cell::new(false),
            http2: OnceCell::new(),
            unread: Cell::new(false),
            cut: Cell::new(false),
            quiet: Cell::new(false),
            watch: Cell::default(),
            order: Cell::new(None),
            waker: RefCell::default(),
        })
    }

    /// By what the client reaches this proxy, as `X-Forwarded-Proto` wants it.
    pub const fn scheme(&self) -> &'static str {
        if self.is_secure { "https" } else { "http" }
    }

    /// Notes that the head of a request is complete.
    pub fn begin_request(&self) {
        if self.http2.get().is_none() {
            self.head_since.set(None);
        }
        self.requests.set(self.requests.get() + 1);
    }

    /// Notes that a request is over.
    pub fn end_request(&self) {
        self.requests.set(self.requests.get().saturating_sub(1));
    }

    /// Notes that the client is a Go Micro one, whose pool keeps a connection for a minute and does not survive its close.
    pub fn set_go_micro(&self) {
        self.go_micro.set(true);
    }

    /// Notes that HTTP/2 is spoken. From here on the frames tell what is late: the client's settings, which come first, and
    /// whatever carries the head of a request and is not complete. `early` was read before.
    pub fn begin_http2(&self, early: &[u8]) {
        self.http2.get_or_init(Box::default);
        // Its preface looks like the head of a request.
        self.seen.set(Seen::default());
        self.head_since.set(Some(self.tick.now()));
        self.heard(early);
    }

    /// Begins a request of an HTTP/2 connection.
    pub fn open_stream(&self) -> Rc<Stream> {
        let http2 = self.http2.get_or_init(Box::default);
        http2.streams.open(Rc::clone(&self.tick), self.requests.get())
    }

    /// Notes that a request was taken back before it was answered. Over HTTP/2 that costs a client nothing, and a provider of
    /// HTTP/1.1 a connection each time.
    pub fn take_back(&self) {
        let Some(http2) = self.http2.get() else { return };
        let count = http2.taken_back.get() + 1;
        http2.taken_back.set(count);
        if count > TAKEN_BACK_MAX {
            self.tell(Order::Timeout);
        }
    }

    /// Notes that its bytes are passed on raw: nothing of them is a request, and it lasts as long as both ends like.
    pub fn set_raw(&self) {
        self.raw.set(true);
    }

    /// Notes that the body of a request was not read to its end.
    pub fn set_unread(&self) {
        self.unread.set(true);
    }

    /// Whether bytes of a request may still be on their way that nobody wants.
    pub fn is_unread(&self) -> bool {
        self.unread.get()
    }

    /// Notes whether the request that began may be told of interim answers: in HTTP/1.1 alone (RFC 9110, 15.2).
    pub fn hear_interim(&self, hears: bool) {
        self.hears_interim.set(hears);
    }

    /// Has an interim answer, as HTTP/1.1 writes it, go out before the answer to the request in flight. One that comes while
    /// too many bytes wait to be taken is dropped: nobody depends on any.
    pub fn tell_interim(&self, head: &[u8]) {
        let mut waiting = self.interim.borrow_mut();
        if self.hears_interim.get() && waiting.len() + head.len() <= INTERIM_MAX {
            waiting.extend_from_slice(head);
        }
    }

    /// Notes that an answer broke off whose end is that of the connection, so that it must not look whole.
    pub fn set_cut(&self) {
        self.cut.set(true);
    }

    /// Whether the connection must not end as if nothing were missing.
    pub fn is_cut(&self) -> bool {
        self.cut.get()
    }

    /// Notes whether part of an answer is still to be written.
    pub fn set_writing(&self, writing: bool) {
        self.writing.set(writing);
    }

    /// Whether part of an answer is still to be written.
    pub fn is_writing(&self) -> bool {
        self.writing.get()
    }

    /// Takes the interim answers that wait.
    pub fn take_interim(&self, take: impl FnOnce(&[u8])) {
        let mut waiting = self.interim.borrow_mut();
        if !waiting.is_empty() {
            take(&waiting);
            *waiting = BytesMut::new();
        }
    }

    /// For how long the head of a request has been coming.
    pub fn waited(&self) -> Duration {
        self.head_since.get().map_or(Duration::ZERO, |since| self.tick.now().since(since))
    }

    /// Begins to wait for an answer under a deadline. Until that is dropped, the deadline alone says how long is too long.
    pub fn await_answer(self: &Rc<Self>, stream: Option<Rc<Stream>>) -> Awaited {
        self.awaited.set(self.awaited.get() + 1);
        if let Some(stream) = &stream {
            stream.await_answer(true);
        }
        Awaited(Rc::clone(self), stream)
    }

    /// Whether somebody would learn of its end while an answer is awaited.
    pub fn watch(&self) -> Watch {
        self.watch.get()
    }

    /// Has it watched soon, unless it is.
    pub fn ask_for_watch(&self) {
        if self.watch.get() == Watch::No {
            self.watch.set(Watch::Asked);
        }
    }

    /// Notes that it is to be watched soon, or now, which whoever drives it is told.
    fn set_watch(&self, watch: Watch) {
        self.watch.set(watch);
        if watch == Watch::Now
            && let Some(waker) = self.waker.borrow().as_ref()
        {
            waker.wake_by_ref();
        }
    }

    /// Whether it may be told with an answer that no further one is given on this connection.
    pub fn may_be_dismissed(&self) -> bool {
        !self.go_micro.get()
    }

    /// Gives the connection an order and wakes it.
    pub fn tell(&self, order: Order) {
        if order == Order::Close {
            self.closing.set(true);
        }
        self.order.set(Some(order));
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// The order given since the last call; registers the task that is to be woken by the next.
    pub fn take_order(&self, cx: &Context<'_>) -> Option<Order> {
        let mut waker = self.waker.borrow_mut();
        match waker.as_mut() {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
        self.order.take()
    }
}

/// An address as headers have it. Written by hand where it is of IPv4: each connection has one.
fn written(ip: IpAddr) -> HeaderValue {
    let text = match ip {
        IpAddr::V4(ip) => {
            let mut text = ArrayVec::<u8, 16>::new();
            for octet in ip.octets() {
                text.extend(itoa::Buffer::new().format(octet).bytes());
                text.push(b'.');
            }
            Bytes::copy_from_slice(text.strip_suffix(b".").unwrap_or(&text))
        }
        IpAddr::V6(ip) => ip.to_string().into(),
    };
    HeaderValue::from_maybe_shared(text).expect("an IP address is written with visible ASCII characters")
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// The wait for an answer, on whose account its connection may lie still.
#[derive(Debug)]
pub struct Awaited(Rc<Client>, Option<Rc<Stream>>);

impl Drop for Awaited {
    fn drop(&mut self) {
        self.0.awaited.set(self.0.awaited.get().saturating_sub(1));
        self.0.moved();
        if let Some(stream) = &self.1 {
            stream.await_answer(false);
        }
    }
}

/// Bytes of interim answers that wait for a client that does not read.
const INTERIM_MAX: usize = 64 * 1024;
/// Requests that one HTTP/2 client may take back in a second, about four times as many as it may have in flight: more than any
/// that gives up all it asked for, and begins anew.
const TAKEN_BACK_MAX: u32 = 1000;

#[cfg(test)]
mod tests;
