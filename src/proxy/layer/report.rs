//! Report: on the way back, tells the endpoint how the attempt went, and holds its load until the body has ended.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, Response};
use tokio::time::Instant;

use super::middleware::{Answer, Middleware, Serve};
use crate::body::Body;
use crate::catalog::Snapshot;
use crate::endpoint::{Ending, Ghost, Grounds, LoadGuard, Memory, Outcome, Said, Sentence, Verdict};
use crate::provider::{Protocol, Provider};
use crate::proxy::directory::Bound;
use crate::proxy::error::{ProxyError, with_causes};
use crate::proxy::outcome::{Judged, of_end, of_head};
use crate::proxy::record::Record;
use crate::proxy::request::{Attempt, Failure, Returned};
use crate::proxy::worker::Worker;
use crate::upstream::{ConnectError, SendCause};

/// Tells endpoints how attempts went.
#[derive(Clone, Debug)]
pub struct Report {
    /// Whose clock and luck.
    pub worker: Rc<Worker>,
}

impl Middleware for Report {
    type Request = Attempt;
    type Error = Failure<Returned>;
    type InnerRequest = Attempt;
    type InnerError = Failure<Returned>;

    fn call(
        &self,
        attempt: Attempt,
        inner: &mut impl Serve<Attempt, Failure<Returned>>,
    ) -> Answer<Failure<Returned>> {
        let told = Told {
            guard: Rc::clone(&attempt.guard),
            bound: Rc::clone(&attempt.bound),
            record: Rc::clone(&attempt.record),
            begun: attempt.begun,
            is_trial: !attempt.endpoint.is_available(),
            worker: Rc::clone(&self.worker),
        };
        let called = &attempt.endpoint.provider;
        let called = (called.protocol == Protocol::Mucp).then(|| Arc::clone(called));
        let answer = inner.call(attempt);
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
    /// The subscription its endpoint is of, by whose care it is judged.
    bound: Rc<Bound>,
    record: Rc<Record>,
    begun: Instant,
    /// Whether it tries an endpoint that is out.
    is_trial: bool,
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
    /// a caller who went away or has not sent all, nor an attempt for the time that was spent on those before it.
    fn drop(&mut self) {
        let Some(told) = self.0.take() else { return };
        let since_begun = told.record.begun().elapsed();
        if told.record.overdue.get() && told.begun.elapsed() * 2 >= since_begun {
            told.late();
        } else {
            told.abandoned();
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
        match of_head(response.status(), response.headers(), SystemTime::now) {
            Judged::Now(outcome, said) => {
                self.note(outcome, said, took);
                response.body_mut().on_end(move |end| {
                    if end.broken && outcome == Outcome::Success {
                        self.note(Outcome::Broken, Said::Nothing, took);
                    }
                });
            }
            Judged::AtItsEnd => {
                // It was reached, whatever comes.
                self.memory().answer(self.worker.shared.clock.now());
                response.body_mut().on_end(move |end| match of_end(end) {
                    Some(Judged::Now(outcome, said)) => _ = self.note(outcome, said, took),
                    Some(Judged::AtItsEnd) | None => self.leave_untold(),
                });
            }
        }
    }

    /// Tells of a failed attempt; failures of the caller's making say nothing about its endpoint.
    fn failed(&self, error: &ProxyError) {
        let outcome = if let ProxyError::AttemptTimeout { .. } = error {
            return self.late();
        } else if let ProxyError::Send(cause) = error {
            match cause {
                // That is not the endpoint's fault.
                SendCause::Connect(ConnectError::Lacking { .. }) => return self.leave_untold(),
                SendCause::Connect(_) => Outcome::Unreachable,
                SendCause::Refused { .. } => Outcome::Busy { pause: None },
                // What is sent again on a new connection shows how the endpoint is.
                SendCause::Stale { repeats: true, .. } => {
                    self.worker.shared.metrics.proxy.upstream_resets_total.inc();
                    return self.leave_untold();
                }
                SendCause::Closed { .. } | SendCause::Stale { .. } => {
                    self.worker.shared.metrics.proxy.upstream_resets_total.inc();
                    Outcome::Broken
                }
                SendCause::Malformed { .. } => Outcome::Broken,
                // It serves what it offers.
                SendCause::NoWebSocket { .. } => return self.leave_untold(),
                SendCause::Full { .. } | SendCause::RequestBody { .. } => return self.leave_untold(),
            }
        } else {
            return self.leave_untold();
        };
        if self.note(outcome, Said::Nothing, self.begun.elapsed()) == Verdict::Unreachable {
            let (endpoint, cause) = (&self.memory().address, with_causes(error));
            tracing::warn!(%endpoint, %cause, "an endpoint cannot be reached; it is left alone for a while");
        }
    }

    /// Tells that there was no answer in time. Whoever still waits for the rest of the request is not late.
    fn late(&self) {
        if self.record.uploading.get() {
            self.abandoned();
        } else {
            self.note(Outcome::Late, Said::Nothing, self.begun.elapsed());
        }
    }

    /// Tells of an attempt that was given up: all that is known is that it took so long at least.
    fn abandoned(&self) {
        let clock = &self.worker.shared.clock;
        let (now, begun) = (clock.now(), clock.at(self.begun));
        self.memory().note_abandoned(Ending { now, begun, took: self.begun.elapsed(), luck: 0.5 });
    }

    /// Leaves it open how the endpoint is: if that was to be found out, somebody else may try.
    fn leave_untold(&self) {
        if self.is_trial {
            self.memory().end_trial();
        }
    }

    /// Notes how the attempt went, and sees to what follows.
    fn note(&self, outcome: Outcome, said: Said, took: Duration) -> Verdict {
        let now = self.worker.shared.clock.now();
        // Luck is only for those that need a pause.
        let luck = if outcome == Outcome::Success { 0.5 } else { self.worker.luck() };
        let ending = Ending { now, begun: self.worker.shared.clock.at(self.begun), took, luck };
        let verdict = self.bound.look(|snapshot| {
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
                tracing::info!(service = %self.bound.service(), %endpoint, "an endpoint is in use again")
            }
        }
        verdict
    }

    /// Ejects an endpoint that fails, if enough others are left.
    #[cold]
    fn try_suspect(&self, grounds: Grounds, ending: Ending, snapshot: &Snapshot) {
        let (memory, metrics) = (self.memory(), &self.worker.shared.metrics.proxy);
        match memory.eject(grounds, ending, &snapshot.care, &snapshot.peers(memory)) {
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
mod tests;
