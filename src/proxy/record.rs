//! The record of one request: filled in on its way, counted and written down when its last part is over.

mod over;

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderValue, Method, Request, Response, Uri};
use tokio::time::Instant;

use super::answering::Answering;
use super::client::{Client, Stream};
use super::directory::Bound;
use super::past::Past;
use super::spans::Trace;
use super::worker::Worker;
use crate::body::{End, Gate};
use crate::clock::Moment;
use crate::endpoint::Memory;
use crate::provider::{Provider, ServiceName};
use crate::route::Part;
use crate::telemetry::access::{AccessLog, Captured};

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
    /// The status the client is answered with; 0 until there is an answer. Written by `observe`, and by what opens a Go Micro stream.
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
    /// What is noted of it to be remembered. Written at its beginning if it is of the sample, else by `report` at a failure.
    past: OnceCell<Box<Past>>,
    /// The trace that it is a part of, where somebody wants to know.
    trace: Option<Box<Trace>>,
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
    /// Where it will be written: what is taken of headers is what that log tells of.
    log: Arc<AccessLog>,
    request_headers: Captured,
    /// Written by `observe`.
    response_headers: RefCell<Captured>,
    at: SystemTime,
    method: Method,
    target: Uri,
    host: Option<HeaderValue>,
}

/// The status written down when the client went away before there was an answer, as nginx has it.
const CLIENT_GONE: u16 = 499;

/// The reason when the client went away before its answer had ended.
const GONE: &str = "client_gone";

/// The status and the reason when this proxy was told to stop, and did not wait any longer for the answer to end.
const STOPPED: (u16, &str) = (503, "stopped");

/// The reason when the provider broke off its answer.
const BROKEN: &str = "body_broken";

impl Record {
    /// Begins a request.
    pub fn begin<B>(worker: &Rc<Worker>, client: &Rc<Client>, request: &Request<B>) -> Rc<Self> {
        client.begin_request();
        worker.shared.metrics.proxy.requests_in_flight.inc();
        let line = worker.access().map(|log| {
            Box::new(Line {
                request_headers: log.request_headers(request.headers()),
                response_headers: RefCell::default(),
                at: SystemTime::now(),
                method: request.method().clone(),
                target: request.uri().clone(),
                host: request.headers().get(http::header::HOST).cloned(),
                log,
            })
        });
        let begun = Instant::now();
        let trace =
            if worker.shared.tracer.is_on() { Trace::begin(worker, client, request, begun) } else { None };
        let record = Self::new(worker, client, begun, line, trace, false);
        if worker.samples() {
            record.past.get_or_init(|| Box::new(Past::sampled(request)));
        }
        record
    }

    /// Begins the copy of a request, of which nobody is told.
    pub fn begin_copy(worker: &Rc<Worker>, client: &Rc<Client>) -> Rc<Self> {
        Self::new(worker, client, Instant::now(), None, None, true)
    }

    fn new(
        worker: &Rc<Worker>,
        client: &Rc<Client>,
        begun: Instant,
        line: Option<Box<Line>>,
        trace: Option<Box<Trace>>,
        is_copy: bool,
    ) -> Rc<Self> {
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
            past: OnceCell::new(),
            trace,
            line,
            is_copy,
        })
    }

    /// Whether it is that of a copy, of which the client is told nothing.
    pub const fn is_copy(&self) -> bool {
        self.is_copy
    }

    /// The trace that it is a part of, if it is traced.
    pub fn trace(&self) -> Option<&Trace> {
        self.trace.as_deref()
    }

    /// Who sent the request.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What is noted of it to be remembered, where it is.
    pub fn past(&self) -> Option<&Past> {
        self.past.get().map(|past| &**past)
    }

    /// Has it remembered from now on: something went wrong.
    #[cold]
    pub fn begin_past(&self) {
        if !self.is_copy && self.worker.shared.pasts.remembering().most > 0 {
            self.past.get_or_init(|| Box::new(Past::late(self.begun.elapsed())));
        }
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

    /// Notes the head of the answer.
    pub fn answer<B>(&self, response: &Response<B>) {
        self.status.set(response.status().as_u16());
        if let Some(line) = &self.line {
            line.response_headers.replace(line.log.response_headers(response.headers()));
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
}
