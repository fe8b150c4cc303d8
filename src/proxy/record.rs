//! The record of one request: filled in on its way, counted and written down when its last part is over.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderValue, Method, Request, Uri};
use tokio::time::Instant;

use super::answering::Answering;
use super::client::{Client, Stream};
use super::directory::Bound;
use super::worker::Worker;
use crate::body::{End, Gate};
use crate::catalog::Failure;
use crate::clock::Moment;
use crate::endpoint::Memory;
use crate::provider::{Provider, ServiceName};
use crate::route::Part;
use crate::telemetry::access::AccessLine;

/// The record of one request. Shared by all that takes part in it; the last to let go ends the request.
#[derive(Debug)]
pub struct Record {
    worker: Rc<Worker>,
    client: Rc<Client>,
    begun: Instant,
    moment: Moment,
    /// Which service, once that is known. Written by `route`.
    pub bound: RefCell<Option<Rc<Bound>>>,
    /// What led to the service. Written by `route`.
    pub via: Cell<Option<&'static str>>,
    /// The part of the route's split that it goes to, if there is one. Written by `route`.
    pub part: RefCell<Option<Arc<Part>>>,
    /// What was done to it on purpose. Written by `fault`.
    pub fault: Cell<Option<&'static str>>,
    /// Where the last attempt went, or the one whose answer is passed on. Written by `select` and `retry`.
    pub target: RefCell<Option<Target>>,
    /// Attempts begun. Written by `select`.
    pub attempts: Cell<u8>,
    /// Whether its time was over before there was an answer. Written by `deadline`, read by what an attempt leaves behind.
    pub overdue: Cell<bool>,
    /// One word for what went wrong, if this proxy knows. Written by `rescue`.
    pub reason: Cell<Option<&'static str>>,
    /// Why it was not sent again though it might have been. Written by `retry`.
    pub not_again: Cell<Option<&'static str>>,
    /// The status the client is answered with; 0 until there is an answer. Written by `observe`.
    pub status: Cell<u16>,
    /// The id of the request, kept or made. Written by `route`.
    pub request_id: RefCell<Option<HeaderValue>>,
    /// What is to be changed in the headers of its answer, if anything is. Written by `route`, taken by `rescue`.
    pub answering: RefCell<Option<Box<Answering>>>,
    /// When the head of the answer was ready, after `begun`. Written by `observe`.
    answered: Cell<Option<Instant>>,
    /// How the body of the answer ended. Written by the body.
    end: Cell<Option<End>>,
    /// Bytes of the request's body. Written by the body.
    received: Cell<u64>,
    /// What holds its body back until that is asked for; `None` where nothing does. Written by `observe`.
    pub gate: RefCell<Option<Rc<Gate>>>,
    /// Whether more of that is to come. Written by `observe` and the body, read by what an attempt leaves behind.
    pub uploading: Cell<bool>,
    /// Its stream, where it came over HTTP/2. Written by `observe`.
    stream: OnceCell<Rc<Stream>>,
    /// The client's side of it once it is no HTTP any more, where it came over HTTP/2. Written by `observe`, taken by `forward`.
    pub tunnel: RefCell<Option<super::takeover::Within>>,
    /// What only an access log wants to know.
    line: Option<Box<Line>>,
    /// Whether it is the copy of a request, which counts as none.
    is_copy: bool,
}

/// Where an attempt went.
#[derive(Clone, Debug)]
pub struct Target {
    /// The endpoint.
    pub memory: Arc<Memory>,
    /// The subscription it is of: the one that was asked for, or another one that stands in.
    pub bound: Rc<Bound>,
    /// Who that is, where the answer is to tell.
    pub provider: Option<Arc<Provider>>,
}

impl Target {
    /// The service that stands in for the one that was asked for, if one does.
    pub fn standing_in(&self, asked: &Rc<Bound>) -> Option<&ServiceName> {
        (!Rc::ptr_eq(&self.bound, asked)).then(|| self.bound.service())
    }
}

#[derive(Debug)]
struct Line {
    at: SystemTime,
    method: Method,
    target: Uri,
    host: Option<HeaderValue>,
}

/// The status written down when the client went away before there was an answer, as nginx has it.
const CLIENT_GONE: u16 = 499;

/// The reason when the client went away before its answer had ended.
const GONE: &str = "client_gone";

/// The reason when the provider broke off its answer.
const BROKEN: &str = "body_broken";

impl Record {
    /// Begins a request.
    pub fn begin<B>(worker: &Rc<Worker>, client: &Rc<Client>, request: &Request<B>) -> Rc<Self> {
        client.begin_request();
        worker.shared.metrics.proxy.requests_in_flight.inc();
        let line = worker.shared.access.is_on().then(|| {
            Box::new(Line {
                at: SystemTime::now(),
                method: request.method().clone(),
                target: request.uri().clone(),
                host: request.headers().get(http::header::HOST).cloned(),
            })
        });
        Self::new(worker, client, line, false)
    }

    /// Begins the copy of a request, of which nobody is told.
    pub fn begin_copy(worker: &Rc<Worker>, client: &Rc<Client>) -> Rc<Self> {
        Self::new(worker, client, None, true)
    }

    fn new(worker: &Rc<Worker>, client: &Rc<Client>, line: Option<Box<Line>>, is_copy: bool) -> Rc<Self> {
        let begun = Instant::now();
        Rc::new(Self {
            worker: Rc::clone(worker),
            client: Rc::clone(client),
            begun,
            moment: worker.shared.clock.at(begun),
            bound: RefCell::default(),
            via: Cell::new(None),
            part: RefCell::default(),
            fault: Cell::new(None),
            target: RefCell::default(),
            attempts: Cell::new(0),
            overdue: Cell::new(false),
            reason: Cell::new(None),
            not_again: Cell::new(None),
            status: Cell::new(0),
            request_id: RefCell::default(),
            answering: RefCell::default(),
            answered: Cell::new(None),
            end: Cell::new(None),
            received: Cell::new(0),
            gate: RefCell::default(),
            uploading: Cell::new(false),
            stream: OnceCell::new(),
            tunnel: RefCell::default(),
            line,
            is_copy,
        })
    }

    /// Whether it is that of a copy, of which the client is told nothing.
    pub const fn is_copy(&self) -> bool {
        self.is_copy
    }

    /// Who sent the request.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Notes the stream it came on.
    pub fn begin_stream(&self, stream: Rc<Stream>) {
        self.stream.get_or_init(|| stream);
    }

    /// The stream it came on, where that was HTTP/2.
    pub fn stream(&self) -> Option<&Rc<Stream>> {
        self.stream.get()
    }

    /// When the head of the request was complete.
    pub const fn begun(&self) -> Instant {
        self.begun
    }

    /// The same as a moment: the time by which this request is judged, read from the clock once.
    pub const fn moment(&self) -> Moment {
        self.moment
    }

    /// Notes the answer's status.
    pub fn answer(&self, status: u16) {
        self.status.set(status);
        if self.line.is_some() {
            self.answered.set(Some(Instant::now()));
        }
    }

    /// Notes how the answer's body ended.
    pub fn ended(&self, end: End) {
        self.end.set(Some(end));
    }

    /// Notes how the request's body ended.
    pub fn received(&self, end: End) {
        self.received.set(end.bytes);
        if end.complete {
            self.uploading.set(false);
        } else {
            self.client.set_unread();
        }
    }

    /// Keeps it for an operator, among the latest that failed.
    #[cold]
    fn keep_failure(&self, bound: &Bound, status: u16, reason: Option<&'static str>) {
        bound.subscription.failures().keep(|| Failure {
            at: SystemTime::now(),
            endpoint: self.target.borrow().as_ref().map(|target| target.memory.address.clone()),
            status,
            reason,
            attempts: self.attempts.get(),
            took: self.begun.elapsed(),
            request_id: self.request_id.borrow().as_ref().and_then(|id| id.to_str().ok()).map(Box::from),
        });
    }

    fn write_line(&self, line: &Line, status: u16, reason: Option<&'static str>) {
        let bound = self.bound.borrow();
        let part = self.part.borrow();
        let last = self.target.borrow();
        let failover = match (&*last, &*bound) {
            (Some(last), Some(bound)) => last.standing_in(bound),
            (None, _) | (_, None) => None,
        };
        let request_id = self.request_id.borrow();
        let access = &self.worker.shared.access;
        let target = line.target.path_and_query().map_or("*", |target| access.target(target));
        access.write(&AccessLine {
            at: line.at,
            client: self.client.peer,
            method: line.method.as_str(),
            target,
            host: line.host.as_ref().and_then(|host| host.to_str().ok()),
            service: bound.as_ref().map(|bound| bound.service().as_str()),
            failover: failover.map(ServiceName::as_str),
            via: self.via.get(),
            part: part.as_ref().map(|part| &*part.name),
            endpoint: last.as_ref().map(|last| &last.memory.address),
            status,
            reason,
            fault: self.fault.get(),
            attempts: self.attempts.get(),
            duration: self.begun.elapsed(),
            first_byte: self.answered.get().map(|answered| answered - self.begun),
            bytes_sent: self.end.get().map_or(0, |end| end.bytes),
            bytes_received: self.received.get(),
            request_id: request_id.as_ref().and_then(|id| id.to_str().ok()),
        });
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.is_copy {
            return;
        }
        self.client.end_request();
        self.worker.shared.metrics.proxy.requests_in_flight.dec();
        self.worker.shared.admission.leave();
        let (status, mut reason) = match self.status.get() {
            0 => {
                self.client.take_back();
                (CLIENT_GONE, Some(GONE))
            }
            status => (status, self.reason.get()),
        };
        if reason.is_none()
            && let Some(end) = self.end.get()
            && !end.complete
        {
            reason = Some(if end.broken { BROKEN } else { GONE });
        }
        let metrics = &self.worker.shared.metrics.proxy;
        match reason {
            Some(GONE) => metrics.requests_abandoned_total.inc(),
            Some(BROKEN) => metrics.upstream_resets_total.inc(),
            Some(_) | None => {}
        }
        match self.bound.borrow().as_ref() {
            Some(bound) => {
                bound.recorder.record(status, reason, self.begun.elapsed());
                if status >= 500 || reason == Some(BROKEN) {
                    self.keep_failure(bound, status, reason);
                }
            }
            None => self.worker.unrouted.record(status, reason, self.begun.elapsed()),
        }
        if let Some(line) = &self.line {
            self.write_line(line, status, reason);
        }
    }
}
