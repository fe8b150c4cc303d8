//! One client connection: who it is, what it is doing, and what it is told to do next.

mod socket;
mod stream;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use http::HeaderValue;
pub use socket::Socket;
pub use stream::ClientStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Settings;
use super::takeover::Takeover;
use crate::clock::{Moment, Tick};
use crate::provider::ServiceName;
use crate::telemetry::peer::Peer;
use crate::upstream::Pools;

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
    /// Connections that must not be shared with other clients: those to Go Micro servers.
    pub private: Rc<Pools>,
    /// The raw bytes' way on, once HTTP is over on this connection.
    pub takeover: RefCell<Option<Takeover>>,
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
    http2: Cell<bool>,
    /// Whether its bytes are passed on raw from the start.
    raw: Cell<bool>,
    /// Whether the body of a request was not read to its end.
    unread: Cell<bool>,
    /// Whether the last clean-up of a drain found it silent.
    quiet: Cell<bool>,
    /// What measures the deadline of its requests, kept from one to the next: moving a timer on costs less than making one.
    timer: Cell<Option<Pin<Box<Sleep>>>>,
    order: Cell<Option<Order>>,
    waker: RefCell<Option<Waker>>,
}

/// Whom a connection is from, by what, and what its listener is for.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Who the client is.
    pub peer: Peer,
    /// Whether it speaks TLS with this proxy.
    pub is_secure: bool,
    /// The service that the listener is bound to.
    pub bound: Option<ServiceName>,
    /// Whether requests may say which provider they want, where their route lets them, and are believed whom they come from.
    pub trusted: bool,
    /// Whether requests are refused that a page of another site had a browser send.
    pub refuse_cross_site: bool,
}

/// What a connection is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Finish the requests in flight, politely take no more.
    Drain,
    /// Say that the request's head took too long, then close.
    Timeout,
    /// Close at once.
    Close,
}

impl Client {
    /// A connection just accepted.
    pub fn new(origin: Origin, private: Rc<Pools>, tick: Rc<Tick>) -> Rc<Self> {
        let Origin { peer, is_secure, bound, trusted, refuse_cross_site } = origin;
        let forwarded_for = peer.ip().map(|ip| {
            HeaderValue::from_str(&ip.to_string())
                .expect("an IP address is written with visible ASCII characters")
        });
        let now = tick.now();
        Rc::new(Self {
            peer,
            forwarded_for,
            is_secure,
            bound,
            trusted,
            refuse_cross_site,
            private,
            takeover: RefCell::default(),
            tick,
            accepted: now,
            active: Cell::new(now),
            head_since: Cell::new(None),
            requests: Cell::new(0),
            awaited: Cell::new(0),
            go_micro: Cell::new(false),
            http2: Cell::new(false),
            raw: Cell::new(false),
            unread: Cell::new(false),
            quiet: Cell::new(false),
            timer: Cell::new(None),
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
        self.head_since.set(None);
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

    /// Notes that HTTP/2 is spoken: what comes between two requests begins none, such as the answer to a ping.
    pub fn set_http2(&self) {
        self.http2.set(true);
        self.head_since.set(None);
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

    /// Begins to wait for an answer under a deadline. Until that is dropped, the deadline alone says how long is too long.
    pub fn await_answer(self: &Rc<Self>) -> Awaited {
        self.awaited.set(self.awaited.get() + 1);
        Awaited(Rc::clone(self))
    }

    /// A timer that runs out at a deadline; give it back with [`Client::keep_timer`].
    pub fn timer(&self, deadline: Instant) -> Pin<Box<Sleep>> {
        match self.timer.take() {
            Some(mut timer) => {
                timer.as_mut().reset(deadline);
                timer
            }
            None => Box::pin(sleep_until(deadline)),
        }
    }

    /// Keeps a timer for the next request. It is not cancelled: it may wake the connection once for nothing.
    pub fn keep_timer(&self, timer: Pin<Box<Sleep>>) {
        self.timer.set(Some(timer));
    }

    /// What the clean-up should tell this connection, if anything.
    pub fn due(&self, settings: &Settings, draining: bool) -> Option<Order> {
        let now = self.tick.now();
        let age = now.since(self.accepted);
        let idle = now.since(self.active.get());
        if self.raw.get() {
            // As long as it is not connected to a provider, other limits hold.
            let is_over = self.awaited.get() == 0 && idle >= settings.raw_idle_timeout;
            return is_over.then_some(Order::Close);
        }
        let kept_by_go_micro = self.go_micro.get() && age < settings.go_micro_keep;
        if self.requests.get() > 0 {
            let stalled = self.awaited.get() == 0 && idle >= settings.stream_idle_timeout;
            let last = draining && !kept_by_go_micro;
            return if stalled { Some(Order::Close) } else { last.then_some(Order::Drain) };
        }
        if self.head_since.get().is_some_and(|since| now.since(since) >= settings.header_timeout) {
            return Some(Order::Timeout);
        }
        if kept_by_go_micro {
            return None;
        }
        let limit = if self.go_micro.get() { GO_MICRO_IDLE } else { settings.client_idle_timeout };
        if idle >= limit {
            return Some(Order::Close);
        }
        // A request may be on its way to one that was busy a moment ago: that one is told with its answer.
        let quiet = self.head_since.get().is_none() && idle >= QUIET;
        // Seen twice, so that what arrived while this thread stood still has been read in between.
        let seen_before = self.quiet.replace(draining && quiet);
        (draining && quiet && seen_before).then_some(Order::Drain)
    }

    /// Whether it may be told with an answer that no further one is given on this connection.
    pub fn may_be_dismissed(&self) -> bool {
        !self.go_micro.get()
    }

    /// Gives the connection an order and wakes it.
    pub fn tell(&self, order: Order) {
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

    fn moved(&self) {
        self.active.set(self.tick.now());
    }

    fn heard(&self) {
        self.moved();
        if self.requests.get() == 0 && !self.http2.get() && self.head_since.get().is_none() {
            self.head_since.set(Some(self.tick.now()));
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// The wait for an answer, on whose account its connection may lie still.
#[derive(Debug)]
pub struct Awaited(Rc<Client>);

impl Drop for Awaited {
    fn drop(&mut self) {
        self.0.awaited.set(self.0.awaited.get().saturating_sub(1));
        self.0.moved();
    }
}

/// How long a Go Micro connection may idle once it is old enough that its client no longer uses it.
const GO_MICRO_IDLE: Duration = Duration::from_secs(5);

/// How long a connection has to be silent before a drain closes it between two requests. More than the second between two
/// looks of the clean-up, which is how coarse the time is before the drain.
const QUIET: Duration = Duration::from_millis(1500);

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::clock::Clock;
    use crate::drain::Drain;
    use crate::telemetry::metrics::Metrics;
    use crate::upstream::{self, Dialler};

    const SECOND: Duration = Duration::from_secs(1);

    fn client() -> (Rc<Client>, Rc<Tick>, Settings) {
        let tick = Rc::new(Tick::new(Clock::start()));
        let dialler = Dialler::new(upstream::Settings::default(), Drain::new(), Metrics::new());
        let private = Pools::lasting(dialler, Rc::clone(&tick));
        let peer = Peer::At(([127, 0, 0, 1], 1).into());
        let origin = Origin { peer, is_secure: false, bound: None, trusted: true, refuse_cross_site: false };
        let client = Client::new(origin, private, Rc::clone(&tick));
        (client, tick, Settings::default())
    }

    async fn pass(tick: &Tick, time: Duration) {
        advance(time).await;
        tick.advance();
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_alone_says_how_long_an_answer_may_take() {
        let (client, tick, settings) = client();
        client.heard();
        client.begin_request();
        let awaited = client.await_answer();
        pass(&tick, settings.stream_idle_timeout * 3).await;
        assert_eq!(client.due(&settings, false), None, "the provider is still thinking");
        drop(awaited);
        pass(&tick, settings.stream_idle_timeout - SECOND).await;
        assert_eq!(client.due(&settings, false), None);
        pass(&tick, SECOND).await;
        assert_eq!(client.due(&settings, false), Some(Order::Close), "the body stalls");
        client.moved();
        assert_eq!(client.due(&settings, false), None);
        assert_eq!(client.due(&settings, true), Some(Order::Drain));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_its_time_and_an_idle_connection_its_own() {
        let (client, tick, settings) = client();
        client.heard();
        pass(&tick, settings.header_timeout - SECOND).await;
        client.heard();
        assert_eq!(client.due(&settings, false), None);
        pass(&tick, SECOND).await;
        assert_eq!(client.due(&settings, false), Some(Order::Timeout), "later bytes do not give it more");
        client.begin_request();
        client.end_request();
        pass(&tick, settings.client_idle_timeout - 2 * SECOND).await;
        assert_eq!(client.due(&settings, false), None);
        pass(&tick, 2 * SECOND).await;
        assert_eq!(client.due(&settings, false), Some(Order::Close));
    }

    #[tokio::test(start_paused = true)]
    async fn raw_bytes_are_no_request_and_may_pause_for_long() {
        let (client, tick, settings) = client();
        client.set_raw();
        let awaited = client.await_answer();
        client.heard();
        pass(&tick, settings.raw_idle_timeout).await;
        assert_eq!(client.due(&settings, true), None, "a provider is sought, which has limits of its own");
        drop(awaited);
        pass(&tick, settings.raw_idle_timeout - SECOND).await;
        assert_eq!(client.due(&settings, true), None, "a drain waits for it");
        client.moved();
        pass(&tick, settings.raw_idle_timeout - SECOND).await;
        assert_eq!(client.due(&settings, false), None);
        pass(&tick, SECOND).await;
        assert_eq!(client.due(&settings, false), Some(Order::Close));
    }

    #[tokio::test(start_paused = true)]
    async fn a_ping_between_requests_is_no_late_head() {
        let (client, tick, settings) = client();
        client.heard();
        client.set_http2();
        client.heard();
        client.begin_request();
        client.end_request();
        client.heard();
        pass(&tick, settings.header_timeout * 2).await;
        assert_eq!(client.due(&settings, false), None);
        pass(&tick, settings.client_idle_timeout).await;
        assert_eq!(client.due(&settings, false), Some(Order::Close));
    }

    #[tokio::test(start_paused = true)]
    async fn a_go_micro_connection_outlives_the_pool_of_its_client() {
        let (client, tick, settings) = client();
        client.set_go_micro();
        pass(&tick, settings.go_micro_keep - SECOND).await;
        assert_eq!(client.due(&settings, true), None, "not even a drain ends it");
        pass(&tick, SECOND).await;
        assert_eq!(client.due(&settings, false), Some(Order::Close));
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_leaves_a_go_micro_connection_open_after_the_call_in_flight() {
        let (client, tick, settings) = client();
        client.set_go_micro();
        client.begin_request();
        pass(&tick, settings.go_micro_keep - SECOND).await;
        assert_eq!(client.due(&settings, true), None, "its client may still use it");
        pass(&tick, SECOND).await;
        assert_eq!(client.due(&settings, true), Some(Order::Drain));
        assert_eq!(client.due(&settings, false), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_go_micro_connection_in_use_is_kept() {
        let (client, tick, settings) = client();
        client.set_go_micro();
        pass(&tick, settings.go_micro_keep + SECOND).await;
        client.moved();
        assert_eq!(client.due(&settings, false), None);
        pass(&tick, GO_MICRO_IDLE).await;
        assert_eq!(client.due(&settings, false), Some(Order::Close));
    }
}
