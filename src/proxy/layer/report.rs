//! Report: on the way back, tells the endpoint how the attempt went, and holds its load until the body has ended.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Response};
use tokio::time::Instant;
use tower::{Layer, Service};

use super::{Answer, always_ready};
use crate::body::Body;
use crate::catalog::Snapshot;
use crate::endpoint::{Care, Ending, Ghost, Grounds, LoadGuard, Memory, Outcome, Said, Sentence, Verdict};
use crate::provider::{Protocol, Provider};
use crate::proxy::error::{ProxyError, with_causes};
use crate::proxy::outcome::{Judged, of_end, of_head};
use crate::proxy::record::Record;
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
        let told = Told {
            guard: Rc::clone(&attempt.guard),
            record: Rc::clone(&attempt.record),
            begun: attempt.begun,
            worker: Rc::clone(&self.worker),
        };
        let called = &attempt.endpoint.provider;
        let called = (called.protocol == Protocol::Mucp).then(|| Arc::clone(called));
        let answer = self.inner.call(attempt);
        Box::pin(async move {
            let awaited = Awaited(Some(told));
            match answer.await {
                Ok(mut response) => {
                    let told = awaited.over();
                    match called.filter(|called| denies_itself(response.headers(), called)) {
                        None => told.answered(&mut response),
                        Some(called) => {
                            expose(told.memory(), &called, &told.worker);
                            response.body_mut().on_end(move |_| drop(told));
                        }
                    }
                    Ok(response)
                }
                Err(failure) => {
                    awaited.over().failed(&failure.error);
                    Err(failure)
                }
            }
        })
    }
}

/// One attempt, for whoever tells its endpoint how it went; holds the endpoint's load.
struct Told {
    guard: Rc<LoadGuard>,
    record: Rc<Record>,
    begun: Instant,
    worker: Rc<Worker>,
}

/// An attempt whose answer is awaited.
struct Awaited(Option<Told>);

impl Awaited {
    fn over(mut self) -> Told {
        self.0.take().expect("it is taken once, and nothing else takes it")
    }
}

impl Drop for Awaited {
    /// Given up before its answer came: if that is because the time of the request was over, it was late. Nobody is blamed for
    /// a caller who went away, nor an attempt for the time that was spent on those before it: all that is known is that it took
    /// so long at least.
    fn drop(&mut self) {
        let Some(told) = self.0.take() else { return };
        let (took, since_begun) = (told.begun.elapsed(), told.record.begun().elapsed());
        if told.record.overdue.get() && took * 2 >= since_begun {
            told.note(Outcome::Late, Said::Nothing, took);
        } else {
            let now = told.worker.shared.clock.now();
            told.memory().note_abandoned(Ending { now, took, luck: 0.5 });
        }
    }
}

impl Told {
    fn memory(&self) -> &Memory {
        self.guard.memory()
    }

    /// Tells of an answer; the attempt is in flight until its body has ended.
    fn answered(self, response: &mut Response<Body>) {
        let took = self.begun.elapsed();
        match of_head(response.status(), response.headers()) {
            Judged::Now(outcome, said) => {
                self.note(outcome, said, took);
                response.body_mut().on_end(move |_| drop(self));
            }
            Judged::AtItsEnd => {
                // It was reached, whatever comes.
                self.memory().answer(self.worker.shared.clock.now());
                response.body_mut().on_end(move |end| {
                    if let Some(Judged::Now(outcome, said)) = of_end(end) {
                        self.note(outcome, said, took);
                    }
                });
            }
        }
    }

    /// Tells of a failed attempt; failures of the caller's making say nothing about its endpoint.
    fn failed(&self, error: &ProxyError) {
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
                    self.worker.shared.metrics.proxy.upstream_resets_total.inc();
                    return;
                }
                SendCause::Closed { .. } | SendCause::Stale { .. } => {
                    self.worker.shared.metrics.proxy.upstream_resets_total.inc();
                    Outcome::Broken
                }
                SendCause::Malformed { .. } => Outcome::Broken,
                SendCause::Full { .. } | SendCause::RequestBody { .. } => return,
            }
        } else {
            return;
        };
        if self.note(outcome, Said::Nothing, self.begun.elapsed()) == Verdict::Unreachable {
            let (endpoint, cause) = (&self.memory().address, with_causes(error));
            tracing::warn!(%endpoint, %cause, "an endpoint cannot be reached; it is left alone for a while");
        }
    }

    /// Notes how the attempt went, and sees to what follows.
    fn note(&self, outcome: Outcome, said: Said, took: Duration) -> Verdict {
        let now = self.worker.shared.clock.now();
        // Luck is only for those that need a pause.
        let luck = if outcome == Outcome::Success { 0.5 } else { self.worker.luck() };
        let ending = Ending { now, took, luck };
        let bound = self.record.bound.borrow();
        let Some(bound) = bound.as_ref() else {
            return self.memory().note(outcome, said, ending, &Care::default());
        };
        let verdict = bound.look(|snapshot| {
            let verdict = self.memory().note(outcome, said, ending, &snapshot.care);
            if let Verdict::Suspect(grounds) = verdict {
                self.try_suspect(grounds, ending, snapshot);
            }
            verdict
        });
        let endpoint = &self.memory().address;
        match verdict {
            Verdict::Nothing | Verdict::Suspect(_) | Verdict::Unreachable => {}
            Verdict::StillOut(pause) => {
                self.worker.shared.metrics.proxy.ejections(Grounds::Trial.as_str()).inc();
                tracing::info!(%endpoint, ?pause, "the request that tried an ejected endpoint again failed");
            }
            Verdict::Back => {
                tracing::info!(service = %bound.service(), %endpoint, "an endpoint is in use again")
            }
        }
        verdict
    }

    /// Ejects an endpoint that fails, if enough others are left.
    #[cold]
    fn try_suspect(&self, grounds: Grounds, ending: Ending, snapshot: &Snapshot) {
        let (memory, metrics) = (self.memory(), &self.worker.shared.metrics.proxy);
        match memory.eject(grounds, ending, &snapshot.care, snapshot.all()) {
            Sentence::Ejected(pause) => {
                metrics.ejections(grounds.as_str()).inc();
                let (endpoint, last) = (&memory.address, memory.last_failure());
                tracing::warn!(%endpoint, ?pause, "an endpoint fails and is ejected: {grounds}, the last: {last}");
            }
            Sentence::Withheld => metrics.ejections_withheld_total.inc(),
            Sentence::Adjourned => {}
        }
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

    #[tokio::test(start_paused = true)]
    async fn an_attempt_whose_caller_goes_away_took_at_least_so_long() {
        let bed = Bed::new();
        let memory = Arc::clone(&bed.list(&[1])[0].memory);
        let never = tower::service_fn(|_: Attempt| std::future::pending());
        let report = ReportLayer { worker: Rc::clone(&bed.worker) }.layer(never);
        let mut select = SelectLayer { worker: Rc::clone(&bed.worker) }.layer(report);
        let waited = std::time::Duration::from_secs(2);
        tokio::time::timeout(waited, select.call(bed.get())).await.unwrap_err();
        assert_eq!(memory.latency.expected(bed.worker.shared.clock.now()), waited);
        assert_eq!((memory.in_flight(), memory.failures()), (0, 0));
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

    /// Lists endpoints and lets the first fail until it is ejected; gives how many failures that took.
    async fn eject(bed: &Bed, make: impl Fn() -> Result<Response<Body>, ProxyError>) -> usize {
        let endpoints = bed.list(&[1, 2, 3]);
        let memory = Arc::clone(&endpoints[0].memory);
        for attempts in 0..100 {
            if memory.is_ejected() {
                return usize::try_from(memory.attempts()).unwrap();
            }
            let is_first = |memory: &Memory| memory.number == 1;
            let inner = Inner::new();
            let report = ReportLayer { worker: Rc::clone(&bed.worker) }.layer(inner.clone());
            let answered = make();
            inner.then(move |attempt| {
                if is_first(&attempt.endpoint.memory) {
                    answered.map_err(Failure::from)
                } else {
                    Ok(answer(200))
                }
            });
            let _ = SelectLayer { worker: Rc::clone(&bed.worker) }.layer(report).call(bed.get()).await;
            assert!(attempts < 99, "it is not ejected");
        }
        unreachable!()
    }

    #[tokio::test]
    async fn whatever_fails_ejects_and_is_counted() {
        let late = || Err(ProxyError::AttemptTimeout { limit: Duration::from_secs(1) });
        let micro = || {
            let mut response = answer(200);
            response.headers_mut().insert("micro-error", r#"{"code":500}"#.parse().unwrap());
            Ok(response)
        };
        let grpc = || {
            let mut response = answer(200);
            response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
            response.headers_mut().insert("grpc-status", "14".parse().unwrap());
            Ok(response)
        };
        for make in [&late as &dyn Fn() -> _, &micro, &grpc, &|| Ok(answer(500))] {
            let bed = Bed::new();
            assert_eq!(eject(&bed, make).await, 5);
            assert_eq!(bed.metrics().proxy.ejections("in_a_row").get(), 1);
        }
    }

    #[tokio::test]
    async fn what_cannot_be_ejected_is_counted_too() {
        let bed = Bed::new();
        bed.list(&[1]);
        for _ in 0..20 {
            attempt(&bed, Ok(answer(500))).await;
        }
        // All within the moment for which nobody asks again.
        assert_eq!(bed.metrics().proxy.ejections_withheld_total.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_given_up_for_the_time_was_late_and_one_given_up_by_the_caller_was_not() {
        for (overdue, spent, failures) in [(true, 0, 1), (true, 11, 0), (false, 0, 0)] {
            let bed = Bed::new();
            let memory = Arc::clone(&bed.list(&[1])[0].memory);
            let routed = bed.get();
            tokio::time::advance(Duration::from_secs(spent)).await;
            let record = Rc::clone(&routed.record);
            let inner = Inner::new();
            inner.then_never();
            let report = ReportLayer { worker: Rc::clone(&bed.worker) }.layer(inner);
            let mut answer = SelectLayer { worker: Rc::clone(&bed.worker) }.layer(report).call(routed);
            assert!(futures_util::poll!(&mut answer).is_pending());
            tokio::time::advance(Duration::from_secs(10)).await;
            record.overdue.set(overdue);
            drop(answer);
            assert_eq!((memory.failures(), memory.in_flight()), (failures, 0), "after {spent} s for others");
        }
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
