//! Mirror: sends copies of requests to a second service, beside the request and without it noticing.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use http::Request;
use http::header::{EXPECT, HeaderName, HeaderValue};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use super::middleware::{Answer, Middleware, Serve};
use crate::body::{Body, End};
use crate::endpoint::Outcome;
use crate::proxy::client::{Client, Origin};
use crate::proxy::directory::Bound;
use crate::proxy::error::ProxyError;
use crate::proxy::outcome::{Judged, of_end, of_head};
use crate::proxy::record::Record;
use crate::proxy::request::{Exchange, Routed};
use crate::proxy::traits::Traits;
use crate::proxy::worker::Worker;
use crate::route::Rules;
use crate::telemetry::metrics::Mirrored;
use crate::telemetry::peer::Peer;
use crate::upstream::Reuse;

/// What tells a copy from a request. Who has it is not copied again, so that mirrors that face each other come to an end.
const X_WAYSIDE_MIRROR: HeaderName = HeaderName::from_static("x-wayside-mirror");

/// Bytes of a body that is held for a copy, as of one that is kept for another attempt.
const BODY_MAX: usize = 64 * 1024;

/// Copies held or on their way in this process: at most 16 MiB of bodies.
const COPIES_MAX: i64 = 256;

/// How one copy is sent: what tries, chooses, reports and forwards, without what is around that for requests.
type Aside = Rc<dyn Fn(Routed) -> Answer<ProxyError>>;

/// Copies requests.
#[derive(Clone)]
pub struct Mirror {
    worker: Rc<Worker>,
    aside: Aside,
}

impl Mirror {
    /// A layer that sends copies through this service.
    pub fn new(worker: Rc<Worker>, aside: impl Serve<Routed, ProxyError>) -> Self {
        Self { worker, aside: Rc::new(move |copy| aside.clone().call(copy)) }
    }
}

impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirror").finish_non_exhaustive()
    }
}

impl Middleware for Mirror {
    type Request = Routed;
    type Error = ProxyError;
    type InnerRequest = Routed;
    type InnerError = ProxyError;

    fn call(&self, mut routed: Routed, inner: &mut impl Serve<Routed, ProxyError>) -> Answer<ProxyError> {
        if routed.rules.mirror.is_some() {
            self.offer(&mut routed);
        }
        inner.call(routed)
    }
}

impl Mirror {
    /// Copies a request, if it is one of those that are to be copied, once its body is known.
    fn offer(&self, routed: &mut Routed) {
        let Some(mirror) = &routed.rules.mirror else { return };
        let is_copy = routed.message.headers().contains_key(X_WAYSIDE_MIRROR);
        let worker = &self.worker;
        if routed.exchange != Exchange::Plain || is_copy || !mirror.share.has(worker.luck()) {
            return;
        }
        let (shared, claim) = (&worker.shared, &mirror.claim);
        let count = |result| shared.metrics.traffic.mirrored(&claim.service, result).inc();
        if routed.message.body().size_hint().lower() > BODY_MAX as u64 {
            return count(Mirrored::TooLarge);
        }
        if shared.metrics.traffic.mirrors_in_flight.get() >= COPIES_MAX {
            return count(Mirrored::NoRoom);
        }
        let Ok(bound) = worker.directory.claimed(claim, &shared.catalog, &shared.metrics) else {
            return count(Mirrored::Failed);
        };
        let copy = Copy {
            message: copy_of(&routed.message),
            traits: routed.traits,
            rules: rules_of(&routed.rules),
            key: routed.key,
            bound,
            aside: Rc::clone(&self.aside),
            place: Place::take(worker),
        };
        let body = routed.message.body_mut();
        if body.is_empty() { copy.send(Bytes::new()) } else { copy.await_body(body) }
    }
}

/// The head of a request, for a copy. Trailers are not copied: nothing but gRPC answers has any.
fn copy_of(message: &Request<Body>) -> Box<Request<Body>> {
    let mut copy = Request::new(Body::empty());
    *copy.method_mut() = message.method().clone();
    *copy.uri_mut() = message.uri().clone();
    *copy.version_mut() = message.version();
    *copy.headers_mut() = message.headers().clone();
    // The body is there already.
    copy.headers_mut().remove(EXPECT);
    copy.headers_mut().insert(X_WAYSIDE_MIRROR, HeaderValue::from_static("1"));
    Box::new(copy)
}

/// What is laid down for a copy: the limits of its request. It goes to its own service alone, and to one provider at a time.
fn rules_of(rules: &Rules) -> Arc<Rules> {
    let mut limits = rules.limits.clone();
    limits.retries.hedge = None;
    Arc::new(Rules { limits, host_of_provider: rules.host_of_provider, ..Rules::default() })
}

/// The copy of one request.
struct Copy {
    message: Box<Request<Body>>,
    traits: Traits,
    rules: Arc<Rules>,
    key: Option<u64>,
    bound: Rc<Bound>,
    aside: Aside,
    place: Place,
}

impl Copy {
    /// Sends it when the body has passed; not when that is too large, or breaks off.
    fn await_body(self, body: &mut Body) {
        let held = Rc::new(RefCell::new(Some((self, BytesMut::new()))));
        let seen = Rc::clone(&held);
        body.tap(move |data| {
            let mut seen = seen.borrow_mut();
            match seen.take() {
                Some((copy, bytes)) if bytes.len() + data.len() > BODY_MAX => copy.end(Mirrored::TooLarge),
                Some((copy, mut bytes)) => {
                    bytes.extend_from_slice(data);
                    *seen = Some((copy, bytes));
                }
                None => {}
            }
        });
        body.on_end(move |end| match held.take() {
            Some((copy, bytes)) if end.complete => copy.send(bytes.freeze()),
            Some((copy, _)) => copy.end(Mirrored::Incomplete),
            None => {}
        });
    }

    fn end(&self, result: Mirrored) {
        self.place.0.shared.metrics.traffic.mirrored(self.bound.service(), result).inc();
    }

    /// Sends it with this body, in a task of its own, which is dropped when the drain begins.
    fn send(self, body: Bytes) {
        let drain = self.place.0.shared.drain.clone();
        if drain.has_begun() {
            return;
        }
        let end = drain.clone();
        drain.spawn_local("mirror", async move {
            tokio::select! {
                () = end.begun() => {}
                () = self.run(body) => {}
            }
        });
    }

    async fn run(mut self, body: Bytes) {
        *self.message.body_mut() = Body::from(body);
        let deadline = Instant::now() + self.rules.limits.request_timeout;
        let routed = self.routed(deadline);
        let record = Rc::clone(&routed.record);
        let mut attempt = pin!(self.attempt(routed));
        let sent = tokio::time::timeout_at(deadline, &mut attempt).await;
        // Told before the attempt is dropped, so that whoever was asked is known to be late.
        record.overdue.set(sent.is_err());
        self.end(sent.unwrap_or(Mirrored::Late));
    }

    /// Sends it, once its service was listed, and reads the answer to its end.
    async fn attempt(&self, routed: Routed) -> Mirrored {
        if !self.bound.look(|snapshot| snapshot.listed) {
            let limit = self.place.0.shared.catalog.settings().first_list_timeout;
            self.bound.subscription.listed(limit).await;
        }
        let mut response = match (self.aside)(routed).await {
            Ok(response) => response,
            Err(error) => {
                tracing::debug!(service = %self.bound.service(), %error, "a copy was not answered");
                return Mirrored::Failed;
            }
        };
        let judged = of_head(response.status(), response.headers(), SystemTime::now);
        let end = Rc::new(Cell::new(None));
        let seen = Rc::clone(&end);
        response.body_mut().on_end(move |end| seen.set(Some(end)));
        while let Some(Ok(_)) = response.body_mut().frame().await {}
        drop(response);
        let end = end.take().filter(|end: &End| !end.broken);
        let judged = if judged == Judged::AtItsEnd { end.and_then(of_end) } else { end.map(|_| judged) };
        match judged {
            Some(Judged::Now(Outcome::Success, _)) => Mirrored::Answered,
            Some(_) | None => Mirrored::Failed,
        }
    }

    /// As the layers know it, with a client that is nobody: connections of its own to Go Micro servers end with it.
    fn routed(&mut self, deadline: Instant) -> Routed {
        let worker = &self.place.0;
        let peer = Peer::At(([0, 0, 0, 0], 0).into());
        let nobody = Origin { peer, is_secure: false, bound: None, trusted: false, refuse_cross_site: false };
        let client = Client::new(nobody, Rc::clone(&worker.tick));
        self.bound.subscription.touch(worker.tick.now());
        Routed {
            message: std::mem::take(&mut self.message),
            traits: self.traits,
            record: Record::begin_copy(worker, &client),
            client,
            bound: Rc::clone(&self.bound),
            rules: Arc::clone(&self.rules),
            key: self.key,
            wish: None,
            exchange: Exchange::Plain,
            tried: Vec::new(),
            elsewhere: false,
            reuse: Reuse::Idle,
            deadline: Some(deadline),
        }
    }
}

/// Room for one copy, for as long as there is one.
struct Place(Rc<Worker>);

impl Place {
    fn take(worker: &Rc<Worker>) -> Self {
        worker.shared.metrics.traffic.mirrors_in_flight.inc();
        Self(Rc::clone(worker))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.shared.metrics.traffic.mirrors_in_flight.dec();
    }
}

#[cfg(test)]
mod tests;
