//! Report: on the way back, tells the endpoint how the attempt went, and holds its load until the body has ended.

use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, Response};

use super::middleware::{Answer, Middleware, Serve};
use crate::body::Body;
use crate::endpoint::{Ghost, Memory, Outcome, Said};
use crate::provider::{Protocol, Provider};
use crate::proxy::error::ProxyError;
use crate::proxy::noting::Noting;
use crate::proxy::outcome::{Judged, of_end, of_head};
use crate::proxy::past::Ending;
use crate::proxy::record::Record;
use crate::proxy::request::{Attempt, Exchange, Failure, Returned};
use crate::proxy::spans::AttemptSpan;
use crate::proxy::worker::Worker;

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
        mut attempt: Attempt,
        inner: &mut impl Serve<Attempt, Failure<Returned>>,
    ) -> Answer<Failure<Returned>> {
        let span = attempt.span.take();
        let Attempt { endpoint, bound, guard, begun, exchange, number, .. } = &attempt;
        let is_tunnel = *exchange == Exchange::Tunnel;
        let noting = Noting::new(&self.worker, endpoint, bound, Rc::clone(guard), *begun);
        let told = Told { noting, record: Rc::clone(&attempt.record), number: *number };
        let called = &attempt.endpoint.provider;
        let called = (called.protocol == Protocol::Mucp).then(|| Arc::clone(called));
        let answer = inner.call(attempt);
        Box::pin(async move {
            let mut awaited = Awaited { told: Some(told), span };
            let mut answered = answer.await;
            if let Some(mut span) = awaited.span.take() {
                match &mut answered {
                    Ok(response) => span.answered(response),
                    Err(failure) => span.failed(&failure.error),
                }
            }
            match answered {
                Ok(response) if is_tunnel => {
                    let told = awaited.over();
                    told.remember(Ending::Answered(response.status().as_u16()));
                    told.connected();
                    Ok(response)
                }
                Ok(mut response) => {
                    let told = awaited.over();
                    told.remember(Ending::Answered(response.status().as_u16()));
                    match called.filter(|called| denies_itself(response.headers(), called)) {
                        None => told.answered(&mut response),
                        Some(called) => {
                            expose(told.noting.memory(), &called, &told.noting.worker);
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
    noting: Noting,
    record: Rc<Record>,
    /// How many attempts its request has had, this one included.
    number: u8,
}

/// An attempt whose answer is awaited.
struct Awaited {
    /// Taken by what comes of it.
    told: Option<Told>,
    /// Its span, where it has one.
    span: Option<Box<AttemptSpan>>,
}

impl Awaited {
    fn over(mut self) -> Told {
        self.told.take().expect("it is taken once, and nothing else takes it")
    }
}

impl Drop for Awaited {
    /// Given up before its answer came: if that is because the time of the request was over, it was late. Nobody is blamed for
    /// a caller who went away or has not sent all, nor an attempt for the time that was spent on those before it.
    fn drop(&mut self) {
        let Some(told) = self.told.take() else { return };
        match told.record.status.get() {
            0 => told.remember(Ending::GivenUp),
            // A Go Micro stream that came about: what its provider answers is among the bytes that pass from here on.
            status => {
                told.remember(Ending::Answered(status));
                if let Some(span) = &mut self.span {
                    span.taken_over();
                }
            }
        }
        if told.record.overdue.get() && told.noting.is_to_blame(told.record.begun()) {
            told.late();
        } else {
            told.noting.abandoned();
        }
    }
}

impl Told {
    /// Tells of an answer; the attempt is in flight until its body has ended.
    fn answered(self, response: &mut Response<Body>) {
        let noting = self.noting;
        let took = noting.begun.elapsed();
        match of_head(response.status(), response.headers(), SystemTime::now) {
            Judged::Now(outcome, said) => {
                noting.note(outcome, said, took);
                response.body_mut().on_end(move |end| {
                    if end.broken && outcome == Outcome::Success {
                        noting.note_at_its_end(Outcome::Broken, Said::Nothing, took);
                    }
                });
            }
            Judged::AtItsEnd => {
                // It was reached, whatever comes.
                noting.begun_to_answer(took);
                response.body_mut().on_end(move |end| match of_end(end) {
                    Some(Judged::Now(outcome, said)) => _ = noting.note_at_its_end(outcome, said, took),
                    Some(Judged::AtItsEnd) | None => noting.leave_untold(),
                });
            }
        }
    }

    /// Tells that a tunnel came about. The provider has not said a word, so that it may fail as before.
    fn connected(self) {
        self.noting.connected(self.noting.begun.elapsed());
        self.noting.leave_untold();
    }

    /// Notes how it ended, where its request is remembered.
    fn remember(&self, ending: Ending) {
        if let Some(past) = self.record.past() {
            let Noting { begun, .. } = self.noting;
            let at = (&self.noting.memory().address, self.noting.service());
            past.end(self.number, ending, at, self.record.begun(), begun);
        }
    }

    /// Tells of a failed attempt, from which on its request is worth remembering.
    fn failed(&self, error: &ProxyError) {
        self.record.begin_past();
        self.remember(Ending::Failed(error.reason()));
        if let ProxyError::AttemptTimeout { .. } = error {
            self.late();
        } else {
            self.noting.failed(error);
        }
    }

    /// Tells that there was no answer in time. Whoever still waits for the rest of the request is not late.
    fn late(&self) {
        if self.record.uploading.get() {
            self.noting.abandoned();
        } else {
            self.noting.note(Outcome::Late, Said::Nothing, self.noting.begun.elapsed());
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
