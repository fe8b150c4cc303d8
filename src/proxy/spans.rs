//! The spans of a request: one of its own, one of each attempt, by OpenTelemetry's semantic conventions for HTTP.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::SystemTime;

use http::header::{HOST, HeaderMap, HeaderValue, USER_AGENT};
use http::{Method, Request, Response, Version};
use tokio::time::Instant;

use super::client::Client;
use super::error::ProxyError;
use super::worker::Worker;
use crate::body::Body;
use crate::endpoint::Endpoint;
use crate::provider::{Host, ServiceName};
use crate::telemetry::traces::{Came, Context, Kind, Propagation, Span, SpanId, TraceId, came, tell};

/// The trace that a request is a part of.
#[derive(Debug)]
pub struct Trace {
    worker: Rc<Worker>,
    /// That of its own span.
    context: Context,
    came: Came,
    /// The ways in which providers are told.
    ways: Propagation,
    method: Method,
    begun: Instant,
    at: SystemTime,
    /// Its own span until it has ended, where it is recorded. Written at its beginning, taken at its end.
    span: RefCell<Option<Box<Span>>>,
}

/// What a span of a request says once it has ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// The service that was found.
    pub service: Option<&'a ServiceName>,
    /// By what it was found.
    pub via: Option<&'static str>,
    /// The status that was written down.
    pub status: u16,
    /// Why this proxy made the answer itself or broke it off.
    pub reason: Option<&'static str>,
    /// Whether it was broken off by its provider.
    pub is_broken: bool,
    /// How many endpoints were tried.
    pub attempts: u8,
    /// The id of the request.
    pub request_id: Option<&'a HeaderValue>,
}

impl Trace {
    /// The trace of a request that begins now. `None` where its caller says that it is not recorded: then what it says of it
    /// passes as it is.
    #[cold]
    pub fn begin<B>(
        worker: &Rc<Worker>,
        client: &Client,
        request: &Request<B>,
        begun: Instant,
    ) -> Option<Box<Self>> {
        let tracer = &worker.shared.tracer;
        let came = came(request.headers());
        if came.caller.is_some() && came.sampled == Some(false) {
            return None;
        }
        let trace = came.caller.map_or_else(|| TraceId::random(worker.random_id()), |(trace, _)| trace);
        let sampled = came.sampled.unwrap_or_else(|| tracer.samples(trace));
        let parent = came.caller.map(|(_, span)| span);
        let span = SpanId::random(worker.random_id());
        let context = Context { trace, span, parent, sampled, debug: came.debug };
        let at = SystemTime::now();
        let method = request.method().clone();
        let span = sampled.then(|| Box::new(of_server(context, client, request, at)));
        let ways = tracer.propagation().and(came.ways);
        let (worker, span) = (Rc::clone(worker), RefCell::new(span));
        Some(Box::new(Self { worker, context, came, ways, method, begun, at, span }))
    }

    /// Its id in hex digits, where it is recorded.
    pub fn id(&self) -> Option<String> {
        self.context.sampled.then(|| self.context.trace.to_string())
    }

    /// Begins the span of an attempt, and tells its provider of it in the headers of the message.
    #[cold]
    pub fn attempt(
        &self,
        endpoint: &Endpoint,
        service: &ServiceName,
        number: u8,
        message: &mut Request<Body>,
        begun: Instant,
    ) -> Option<Box<AttemptSpan>> {
        if !self.context.sampled {
            tell(&self.context, &self.came, self.ways, message.headers_mut());
            return None;
        }
        let context = self.context.child(SpanId::random(self.worker.random_id()));
        tell(&context, &self.came, self.ways, message.headers_mut());
        let at = self.at + begun.saturating_duration_since(self.begun);
        let mut span = Span::new(context, Kind::Client, named(&self.method, Some(service)), at);
        span.state = state(message.headers());
        say_method(&mut span, &self.method);
        let provider = &endpoint.provider;
        let address = &provider.address;
        span.say("server.address", host(address.host()));
        span.say("server.port", u64::from(address.port()));
        let scheme = if provider.secure { "https" } else { "http" };
        // Callers put secrets into queries.
        span.say("url.full", format!("{scheme}://{address}{}", message.uri().path()));
        if number > 1 {
            span.say("http.request.resend_count", u64::from(number - 1));
        }
        span.say("wayside.service", service.to_string());
        let worker = Rc::clone(&self.worker);
        Some(Box::new(AttemptSpan { worker, begun, is_told: false, span: Some(Box::new(span)) }))
    }

    /// Ends the span of the request.
    #[cold]
    pub fn end(&self, ended: Ended<'_>) {
        let Some(mut span) = self.span.take() else { return };
        span.ended = self.at + self.begun.elapsed();
        span.name = named(&self.method, ended.service);
        span.say("http.response.status_code", u64::from(ended.status));
        let fails = ended.status >= 500 || ended.is_broken;
        span.failed = fails;
        match ended.reason {
            Some(reason) => span.say("error.type", reason),
            None if fails => span.say("error.type", ended.status.to_string()),
            None => {}
        }
        span.say_if("wayside.service", ended.service.map(ServiceName::to_string));
        span.say_if("wayside.via", ended.via);
        span.say("wayside.attempts", u64::from(ended.attempts));
        let id = ended.request_id.and_then(|id| id.to_str().ok());
        span.say_if("wayside.request_id", id.map(str::to_owned));
        self.worker.shared.tracer.take(span);
    }
}

/// The span of one attempt; it ends when this is dropped.
#[derive(Debug)]
pub struct AttemptSpan {
    worker: Rc<Worker>,
    begun: Instant,
    /// Whether it is known how it went.
    is_told: bool,
    /// There until the end.
    span: Option<Box<Span>>,
}

impl AttemptSpan {
    /// Tells of an answer; the attempt lasts until its body has ended.
    pub fn answered(mut self: Box<Self>, response: &mut Response<Body>) {
        let status = response.status();
        self.is_told = true;
        if let Some(span) = &mut self.span {
            span.say("http.response.status_code", u64::from(status.as_u16()));
            if status.is_client_error() || status.is_server_error() {
                span.failed = true;
                span.say("error.type", status.as_u16().to_string());
            }
        }
        response.body_mut().on_end(move |end| {
            if end.broken {
                self.fail("body_broken");
            }
            drop(self);
        });
    }

    /// Tells that it came to nothing, and why.
    pub fn failed(&mut self, error: &ProxyError) {
        self.is_told = true;
        self.fail(error.reason());
    }

    /// Notes that its bytes pass raw from here on, so that how it goes is not to be seen.
    pub const fn taken_over(&mut self) {
        self.is_told = true;
    }

    fn fail(&mut self, kind: &'static str) {
        if let Some(span) = &mut self.span {
            span.failed = true;
            span.attributes.retain(|(name, _)| *name != "error.type");
            span.say("error.type", kind);
        }
    }
}

impl Drop for AttemptSpan {
    fn drop(&mut self) {
        if !self.is_told {
            // The caller went away, its time was over, or another attempt was faster.
            self.fail("given_up");
        }
        if let Some(mut span) = self.span.take() {
            span.ended = span.begun + self.begun.elapsed();
            self.worker.shared.tracer.take(span);
        }
    }
}

fn of_server<B>(context: Context, client: &Client, request: &Request<B>, at: SystemTime) -> Span {
    let mut span = Span::new(context, Kind::Server, named(request.method(), None), at);
    let (uri, headers) = (request.uri(), request.headers());
    span.state = context.parent.and_then(|_| state(headers));
    say_method(&mut span, request.method());
    // Callers put secrets into queries.
    span.say("url.path", uri.path().to_owned());
    span.say("url.scheme", if client.is_secure { "https" } else { "http" });
    let asked = uri.authority().map(|authority| authority.as_str().to_owned());
    let asked = asked.or_else(|| text(headers.get(HOST)));
    if let Some(asked) = asked {
        let authority: Option<http::uri::Authority> = asked.parse().ok();
        let port = authority.as_ref().and_then(http::uri::Authority::port_u16);
        span.say("server.address", authority.map_or(asked, |authority| authority.host().to_owned()));
        span.say_if("server.port", port.map(u64::from));
    }
    if let Some(peer) = client.peer.address() {
        span.say("client.address", peer.ip().to_string());
        span.say("client.port", u64::from(peer.port()));
    }
    span.say_if("user_agent.original", text(headers.get(USER_AGENT)));
    let version = match request.version() {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    };
    span.say("network.protocol.version", version);
    span
}

/// The method, and the service once it is known: both are of few values, as names of spans have to be.
fn named(method: &Method, service: Option<&ServiceName>) -> String {
    let method = if is_usual(method) { method.as_str() } else { "HTTP" };
    service.map_or_else(|| method.to_owned(), |service| format!("{method} {service}"))
}

fn say_method(span: &mut Span, method: &Method) {
    if is_usual(method) {
        span.say("http.request.method", method.as_str().to_owned());
    } else {
        span.say("http.request.method", "_OTHER");
        span.say("http.request.method_original", method.as_str().to_owned());
    }
}

/// Whether it is one of those that the conventions know.
fn is_usual(method: &Method) -> bool {
    [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::CONNECT,
        Method::OPTIONS,
        Method::TRACE,
        Method::PATCH,
    ]
    .contains(method)
}

fn state(headers: &HeaderMap) -> Option<String> {
    text(headers.get("tracestate"))
}

fn text(value: Option<&HeaderValue>) -> Option<String> {
    value.and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn host(host: &Host) -> String {
    match host {
        Host::Ip(ip) => ip.to_string(),
        Host::Name(name) => name.to_string(),
    }
}
