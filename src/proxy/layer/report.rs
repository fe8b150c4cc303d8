//! Report: on the way back, tells the endpoint how the attempt went, and holds its load until the body has ended.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, Response};
use tokio::time::Instant;
use tower::{Layer, Service};

use super::{Answer, always_ready};
use crate::body::Body;
use crate::endpoint::{Ending, Ghost, Memory, Outcome};
use crate::provider::{Protocol, Provider};
use crate::proxy::error::{ProxyError, with_causes};
use crate::proxy::request::{Attempt, Failure, Returned};
use crate::proxy::worker::Worker;
use crate::upstream::{ConnectError, SendCause};

/// Tells endpoints how attempts went.
#[derive(Clone, Debug)]
pub struct ReportLayer {
    /// Whose clock and luck.
    pub worker: Rc<Worker>,
}

impl<S> Layer<S> for ReportLayer {
    type Service = Report<S>;

    fn layer(&self, inner: S) -> Report<S> {
        Report { inner, worker: Rc::clone(&self.worker) }
    }
}

/// See [`ReportLayer`].
#[derive(Clone, Debug)]
pub struct Report<S> {
    inner: S,
    worker: Rc<Worker>,
}

impl<S> Service<Attempt> for Report<S>
where
    S: Service<Attempt, Response = Response<Body>, Error = Failure<Returned>>,
    S::Future: 'static,
{
    type Response = Response<Body>;
    type Error = Failure<Returned>;
    type Future = Answer<Response<Body>, Failure<Returned>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure<Returned>>> {
        always_ready(cx)
    }

    fn call(&mut self, attempt: Attempt) -> Self::Future {
        let guard = Rc::clone(&attempt.guard);
        let begun = attempt.begun;
        let worker = Rc::clone(&self.worker);
        let called = &attempt.endpoint.provider;
        let called = (called.protocol == Protocol::Mucp).then(|| Arc::clone(called));
        let answer = self.inner.call(attempt);
        Box::pin(async move {
            match answer.await {
                Ok(mut response) => {
                    match called.filter(|called| denies_itself(response.headers(), called)) {
                        None => {
                            note(guard.memory(), Outcome::Success, begun, &worker);
                        }
                        Some(called) => expose(guard.memory(), &called, &worker),
                    }
                    response.body_mut().on_end(move |_| drop(guard));
                    Ok(response)
                }
                Err(failure) => {
                    tell(guard.memory(), &failure.error, begun, &worker);
                    Err(failure)
                }
            }
        })
    }
}

/// Whether an answer shows that whoever gave it is not the provider announced: it does not have a handler that the
/// provider's own record names. No caller can bring that about by a call that is wrong.
fn denies_itself(headers: &HeaderMap, called: &Provider) -> bool {
    let Some(error) = headers.get("micro-error").and_then(|error| error.to_str().ok()) else { return false };
    let Some((_, denied)) = error.split_once("rpc: can't find service ") else { return false };
    let handler = denied.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
    called.handlers.iter().any(|known| **known == *handler)
}

/// Notes that somebody else answers at a provider's address.
fn expose(memory: &Memory, called: &Provider, worker: &Worker) {
    if memory.haunt(Ghost::Stranger, worker.shared.clock.now(), worker.luck()) {
        let (endpoint, record) = (&memory.address, &*called.record);
        tracing::warn!(%endpoint, record, "whoever answers there lacks what the record names, and gets no more requests");
    }
}

/// Tells an endpoint of a failed attempt; failures of the caller's making say nothing about it.
fn tell(memory: &Memory, error: &ProxyError, begun: Instant, worker: &Worker) {
    let outcome = if let ProxyError::AttemptTimeout { .. } = error {
        Outcome::Late
    } else if let ProxyError::Send(cause) = error {
        match cause {
            // That is not the endpoint's fault.
            SendCause::Connect(ConnectError::Lacking { .. }) => return,
            SendCause::Connect(_) => Outcome::Unreachable,
            SendCause::Refused { .. } => Outcome::Busy { pause: None },
            // What is sent again on a new connection shows how the endpoint is.
            SendCause::Stale { repeats: true, .. } => {
                worker.shared.metrics.proxy.upstream_resets_total.inc();
                return;
            }
            SendCause::Closed { .. } | SendCause::Stale { .. } => {
                worker.shared.metrics.proxy.upstream_resets_total.inc();
                Outcome::Broken
            }
            SendCause::Malformed { .. } => Outcome::Broken,
            SendCause::Full { .. } | SendCause::RequestBody { .. } => return,
        }
    } else {
        return;
    };
    if note(memory, outcome, begun, worker) {
        let cause = with_causes(error);
        tracing::warn!(endpoint = %memory.address, %cause, "an endpoint cannot be reached; it is left alone for a while");
    }
}

/// Notes how an attempt went that began at this time; true when that put its endpoint out.
fn note(memory: &Memory, outcome: Outcome, begun: Instant, worker: &Worker) -> bool {
    let ended = Instant::now();
    let now = worker.shared.clock.at(ended);
    // Luck is only for those that need a pause.
    let luck = if outcome == Outcome::Success { 0.5 } else { worker.luck() };
    memory.note(outcome, Ending { now, took: ended - begun, luck })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::layer::bed::{Bed, Played, answer};
    use crate::proxy::layer::select::SelectLayer;

    type Inner = Played<Attempt, Failure<Returned>>;

    async fn attempt(bed: &Bed, result: Result<Response<Body>, ProxyError>) -> Option<Response<Body>> {
        let inner = Inner::new();
        let report = ReportLayer { worker: Rc::clone(&bed.worker) }.layer(inner.clone());
        inner.then(|_| result.map_err(Failure::from));
        SelectLayer { worker: Rc::clone(&bed.worker) }.layer(report).call(bed.get()).await.ok()
    }

    #[tokio::test]
    async fn an_attempt_is_in_flight_until_the_body_of_its_answer_has_ended() {
        let bed = Bed::new();
        let memory = Arc::clone(&bed.list(&[1])[0].memory);
        let response = answer(200).map(|_| Body::from(bytes::Bytes::from_static(b"hello")));
        let response = attempt(&bed, Ok(response)).await.unwrap();
        assert_eq!((memory.in_flight(), memory.attempts(), memory.failures()), (1, 1, 0));
        drop(response);
        assert_eq!(memory.in_flight(), 0);
    }

    #[tokio::test]
    async fn a_failure_to_connect_puts_an_endpoint_aside_and_an_answer_brings_it_back() {
        let bed = Bed::new();
        let memory = Arc::clone(&bed.list(&[1])[0].memory);
        let refused = ConnectError::Refused { address: memory.address.clone() };
        attempt(&bed, Err(SendCause::from(refused).into())).await;
        assert_eq!((memory.reach.is_available(), memory.failures(), memory.in_flight()), (false, 1, 0));
        attempt(&bed, Ok(answer(500))).await.unwrap();
        assert!(memory.reach.is_available(), "whatever it answers, it was reached");
    }

    #[test]
    fn who_lacks_a_handler_of_its_own_record_is_somebody_else() {
        let mut called = Provider::new("p", "10.0.0.1:80".parse().unwrap());
        called.handlers = ["Say".into(), "Users".into()].into();
        for (error, denies) in [
            (
                r#"{"id":"go.micro.server","code":500,"detail":"rpc: can't find service Say","status":"x"}"#,
                true,
            ),
            ("rpc: can't find service Users.Get", true),
            ("rpc: can't find service Sayings", false),
            ("rpc: can't find service Orders", false),
            ("rpc: can't find method Say.Bye", false),
            ("the caller said: Say", false),
        ] {
            let headers = HeaderMap::from_iter([(
                http::HeaderName::from_static("micro-error"),
                http::HeaderValue::from_static(error),
            )]);
            assert_eq!(denies_itself(&headers, &called), denies, "{error}");
        }
        assert!(!denies_itself(&HeaderMap::new(), &called));
    }

    #[tokio::test]
    async fn what_is_not_its_fault_is_not_held_against_it() {
        let bed = Bed::new();
        let memory = Arc::clone(&bed.list(&[1])[0].memory);
        let full = SendCause::Full { address: memory.address.clone(), limit: 1 };
        for error in [full.into(), ProxyError::Switch, ProxyError::BadRequest("no")] {
            attempt(&bed, Err(error)).await;
        }
        assert_eq!((memory.reach.is_available(), memory.failures(), memory.in_flight()), (true, 0, 0));
    }
}
