//! The account of one raw connection: what it counts as while it lasts, and what is told of it at its end.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::catalog::Failure;
use crate::endpoint::Endpoint;
use crate::provider::ServiceName;
use crate::proxy::client::Client;
use crate::proxy::directory::Bound;
use crate::proxy::record::Target;
use crate::proxy::worker::Worker;
use crate::telemetry::access::AccessLine;
use crate::telemetry::metrics::RawCounters;

/// How a raw connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Each side has said all it had to say.
    Whole,
    /// No provider was found, or it refused us, for this reason.
    Failed(&'static str),
    /// The provider broke off.
    ProviderBroke,
    /// The client broke off.
    ClientBroke,
    /// No byte moved for too long.
    Idle,
    /// This proxy was told to stop, and its time was over.
    Stopped,
}

impl End {
    /// One word for it, none where all is well; those of requests where they have one.
    const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Whole => None,
            Self::Failed(reason) => Some(reason),
            Self::ProviderBroke => Some("connection_closed"),
            Self::ClientBroke => Some("client_gone"),
            Self::Idle => Some("idle"),
            Self::Stopped => Some("stopped"),
        }
    }
}

/// The account of one raw connection, which counts as one request in flight. What it has not been told when it is dropped
/// did not happen.
pub(super) struct Account {
    worker: Rc<Worker>,
    client: Rc<Client>,
    service: ServiceName,
    begun: Instant,
    /// When that was for people, where somebody wants to know.
    at: Option<SystemTime>,
    /// The subscription it goes to, once that is known.
    bound: RefCell<Option<Rc<Bound>>>,
    /// Where the last attempt went.
    target: RefCell<Option<Target>>,
    attempts: Cell<u8>,
    end: Cell<End>,
    /// When the provider said something first, after `begun`.
    first_byte: Cell<Option<Duration>>,
    received: Cell<u64>,
    sent: Cell<u64>,
    counters: RawCounters,
}

impl Account {
    /// Begins to count a connection.
    pub(super) fn begin(worker: &Rc<Worker>, client: &Rc<Client>, service: &ServiceName) -> Self {
        let metrics = &worker.shared.metrics;
        metrics.proxy.requests_in_flight.inc();
        Self {
            worker: Rc::clone(worker),
            client: Rc::clone(client),
            service: service.clone(),
            begun: Instant::now(),
            at: worker.access().map(|_| SystemTime::now()),
            bound: RefCell::default(),
            target: RefCell::default(),
            attempts: Cell::new(0),
            end: Cell::new(End::Stopped),
            first_byte: Cell::new(None),
            received: Cell::new(0),
            sent: Cell::new(0),
            counters: metrics.raw.begin(service),
        }
    }

    pub(super) const fn service(&self) -> &ServiceName {
        &self.service
    }

    /// When it was accepted.
    pub(super) const fn begun(&self) -> Instant {
        self.begun
    }

    /// Notes which subscription it goes to.
    pub(super) fn goes_to(&self, bound: &Rc<Bound>) {
        self.bound.replace(Some(Rc::clone(bound)));
    }

    /// Notes an attempt; gives how many there were.
    pub(super) fn attempt(&self, endpoint: &Endpoint, bound: &Rc<Bound>) -> u8 {
        let memory = Arc::clone(&endpoint.memory);
        self.target.replace(Some(Target { memory, provider: None, bound: Rc::clone(bound) }));
        self.attempts.set(self.attempts.get().saturating_add(1));
        self.attempts.get()
    }

    /// Counts bytes that came from the client.
    pub(super) fn received(&self, bytes: u64) {
        self.received.set(self.received.get() + bytes);
        self.counters.received.inc_by(bytes);
    }

    /// Counts bytes that came from the provider, for the client.
    pub(super) fn sent(&self, bytes: u64) {
        if self.first_byte.get().is_none() {
            self.first_byte.set(Some(self.begun.elapsed()));
        }
        self.sent.set(self.sent.get() + bytes);
        self.counters.sent.inc_by(bytes);
    }

    /// Whether the provider has said anything.
    pub(super) fn is_heard(&self) -> bool {
        self.first_byte.get().is_some()
    }

    /// Notes how it ended.
    pub(super) fn end(&self, end: End) {
        self.end.set(end);
    }

    /// Keeps it for an operator, among the latest that failed.
    fn keep_failure(&self, reason: Option<&'static str>) {
        let Some(bound) = &*self.bound.borrow() else { return };
        bound.subscription.failures().keep(|| Failure {
            at: SystemTime::now(),
            endpoint: self.target.borrow().as_ref().map(|target| target.memory.address.clone()),
            status: 0,
            reason,
            attempts: self.attempts.get(),
            took: self.begun.elapsed(),
            request_id: None,
        });
    }

    fn write_line(&self, at: SystemTime, reason: Option<&'static str>) {
        let (bound, last) = (self.bound.borrow(), self.target.borrow());
        let failover = match (&*last, &*bound) {
            (Some(last), Some(bound)) => last.standing_in(bound),
            (None, _) | (_, None) => None,
        };
        // The one that is in force now: what lasts for hours would hold on to an old one.
        let Some(access) = self.worker.access() else { return };
        access.write(&AccessLine {
            at,
            client: self.client.peer,
            method: "TCP",
            target: "-",
            host: None,
            service: Some(self.service.as_str()),
            failover: failover.map(ServiceName::as_str),
            via: Some("listener"),
            part: None,
            endpoint: last.as_ref().map(|last| &last.memory.address),
            status: 0,
            reason,
            fault: None,
            attempts: self.attempts.get(),
            duration: self.begun.elapsed(),
            first_byte: self.first_byte.get(),
            bytes_sent: self.sent.get(),
            bytes_received: self.received.get(),
            request_id: None,
            trace_id: None,
            request_headers: &[],
            response_headers: &[],
        });
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let shared = &self.worker.shared;
        let reason = self.end.get().reason();
        shared.metrics.proxy.requests_in_flight.dec();
        shared.admission.leave();
        self.counters.open.dec();
        shared.metrics.raw.end(&self.service, reason.unwrap_or_default());
        if matches!(self.end.get(), End::Failed(_) | End::ProviderBroke) {
            self.keep_failure(reason);
        }
        if let Some(at) = self.at {
            self.write_line(at, reason);
        }
        let (attempts, sent, received) = (self.attempts.get(), self.sent.get(), self.received.get());
        tracing::debug!(service = %self.service, client = %self.client.peer, reason, attempts, sent, received, "a raw connection ended");
    }
}
