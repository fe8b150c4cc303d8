//! What is told of a request that is over: to counters and histograms, the access log, traces, and those who ask for it later.

use std::time::{Duration, SystemTime};

use http::uri::Authority;
use http::{HeaderValue, Uri};

use super::{BROKEN, CLIENT_GONE, GONE, Line, Record, STOPPED, Target};
use crate::catalog::Failure;
use crate::provider::ServiceName;
use crate::proxy::directory::Bound;
use crate::proxy::past::{Attempted, Memoir, Past};
use crate::proxy::spans::{Ended, Trace};
use crate::telemetry::access::AccessLine;
use crate::telemetry::metrics::{Exemplar, Recorder};

/// How it ended.
#[derive(Clone, Copy)]
struct Over {
    status: u16,
    reason: Option<&'static str>,
    took: Duration,
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.is_copy {
            return;
        }
        self.client.end_request();
        self.worker.shared.metrics.proxy.requests_in_flight.dec();
        self.worker.shared.admission.leave();
        let over = self.over();
        self.count(over);
        if let Some(line) = &self.line {
            self.write_line(line, over);
        }
        if let Some(trace) = &self.trace {
            self.end_trace(trace, over);
        }
        let why = self.worker.shared.pasts.cares_for(over.status, over.reason.is_some(), over.took);
        if why.is_some() || self.past.get().is_some() {
            self.remember(why.unwrap_or("retried"), over);
        }
    }
}

impl Record {
    fn over(&self) -> Over {
        // Whatever is dropped then is dropped by us.
        let is_stopped = || self.worker.shared.drain.is_over();
        let (status, mut reason) = match self.status.get() {
            0 if is_stopped() => (STOPPED.0, Some(STOPPED.1)),
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
            reason = Some(if end.broken {
                BROKEN
            } else if is_stopped() {
                STOPPED.1
            } else {
                GONE
            });
        }
        Over { status, reason, took: self.begun.elapsed() }
    }

    fn count(&self, over: Over) {
        let Over { status, reason, took } = over;
        let metrics = &self.worker.shared.metrics.proxy;
        match reason {
            Some(GONE) => metrics.requests_abandoned_total.inc(),
            Some(BROKEN) => metrics.upstream_resets_total.inc(),
            Some(_) | None => {}
        }
        let bound = self.bound.borrow();
        let recorder = bound.as_ref().map_or(&self.worker.unrouted, |bound| &bound.recorder);
        recorder.record(status, reason, took);
        if recorder.is_slowest(took) {
            self.note_slowest(recorder, took);
        }
        if let Some(bound) = bound.as_ref().filter(|_| status >= 500 || reason == Some(BROKEN)) {
            self.keep_failure(bound, over);
        }
    }

    fn end_trace(&self, trace: &Trace, Over { status, reason, .. }: Over) {
        trace.end(Ended {
            service: self.bound.borrow().as_ref().map(|bound| bound.service()),
            via: self.via.get(),
            status,
            reason,
            is_broken: reason == Some(BROKEN),
            attempts: self.attempts.get(),
            request_id: self.request_id.borrow().as_ref(),
        });
    }

    /// Keeps all that was noted of it, for whoever asks later why it went where it went. Takes what it keeps.
    #[cold]
    fn remember(&mut self, why: &'static str, Over { status, reason, took }: Over) {
        let past = self.past.take().unwrap_or_else(|| Box::new(Past::late(took)));
        // What has no id, nobody could ask for.
        let Some(id) = self.request_id.take() else { return };
        // Its bytes are part of the head that it came in, which must not be kept for its sake.
        let Ok(id) = HeaderValue::from_bytes(id.as_bytes()) else { return };
        let mut attempts = past.attempts();
        if attempts.is_empty()
            && let Some(Target { memory, bound, .. }) = &*self.target.borrow()
        {
            attempts.push(Attempted::last(self.attempts.get(), memory.address.clone(), bound.service()));
        }
        self.worker.shared.pasts.keep(
            self.worker.number,
            Memoir {
                id,
                why: if past.is_sampled { "sampled" } else { why },
                at: past.at,
                asked: past.asked.clone(),
                via: self.via.get(),
                route: past.route.take(),
                service: self.bound.borrow().as_ref().map(|bound| bound.service().clone()),
                part: self.part.borrow().as_ref().map(|part| part.name.clone()),
                status,
                reason,
                took,
                attempts,
                picks: past.telling.take(),
            },
        );
    }

    /// Notes the id of a request that was slower than those before it, so that scrapes can tell of it.
    #[cold]
    fn note_slowest(&self, recorder: &Recorder, elapsed: Duration) {
        let id = self.request_id.borrow();
        let request_id = id.as_ref().and_then(|id| id.to_str().ok()).map(str::to_owned);
        let trace_id = self.trace().and_then(Trace::id);
        let has_any = request_id.is_some() || trace_id.is_some();
        recorder.note_slowest(elapsed, has_any.then_some(Exemplar { request_id, trace_id }));
    }

    /// Keeps it for an operator, among the latest that failed.
    #[cold]
    fn keep_failure(&self, bound: &Bound, Over { status, reason, took }: Over) {
        bound.subscription.failures().keep(|| Failure {
            at: SystemTime::now(),
            endpoint: self.target.borrow().as_ref().map(|target| target.memory.address.clone()),
            status,
            reason,
            attempts: self.attempts.get(),
            took,
            request_id: self.request_id.borrow().as_ref().and_then(|id| id.to_str().ok()).map(Box::from),
        });
    }

    fn write_line(&self, line: &Line, Over { status, reason, took }: Over) {
        let bound = self.bound.borrow();
        let part = self.part.borrow();
        let last = self.target.borrow();
        let failover = match (&*last, &*bound) {
            (Some(last), Some(bound)) => last.standing_in(bound),
            (None, _) | (_, None) => None,
        };
        let request_id = self.request_id.borrow();
        let target = line.target.path_and_query().map_or("*", |target| line.log.target(target));
        let response_headers = line.response_headers.borrow();
        let trace_id = self.trace().and_then(Trace::id);
        line.log.write(&AccessLine {
            at: line.at,
            client: self.client.peer,
            method: line.method.as_str(),
            target,
            host: asked_of(&line.target, line.host.as_ref()),
            service: bound.as_ref().map(|bound| bound.service().as_str()),
            failover: failover.map(ServiceName::as_str),
            via: self.via.get(),
            part: part.as_ref().map(|part| &*part.name),
            endpoint: last.as_ref().map(|last| &last.memory.address),
            status,
            reason,
            fault: self.fault.get(),
            attempts: self.attempts.get(),
            duration: took,
            first_byte: self.answered.get().map(|answered| answered - self.begun),
            bytes_sent: self.end.get().map_or(0, |end| end.bytes),
            bytes_received: self.received.get(),
            request_id: request_id.as_ref().and_then(|id| id.to_str().ok()),
            trace_id: trace_id.as_deref(),
            request_headers: &line.request_headers,
            response_headers: &response_headers,
        });
    }
}

/// The authority that a request was asked of: that of its target, as HTTP/2 has it and whoever asks a proxy, or else its `Host`.
/// A user that is named before it may have a password, and is left out.
fn asked_of<'l>(target: &'l Uri, host: Option<&'l HeaderValue>) -> Option<&'l str> {
    let authority = target.authority().map(Authority::as_str);
    let authority = authority.map(|whole| whole.rsplit_once('@').map_or(whole, |(_, host)| host));
    authority.or_else(|| host.and_then(|host| host.to_str().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_the_host_that_was_asked_wherever_it_stood() {
        let other = HeaderValue::from_static("other");
        for (target, host, told) in [
            ("/x", Some(&other), Some("other")),
            ("http://svc:80/x", None, Some("svc:80")),
            ("http://svc/x", Some(&other), Some("svc")),
            ("http://me:secret@svc/x", None, Some("svc")),
            ("svc:80", None, Some("svc:80")),
            ("*", None, None),
        ] {
            assert_eq!(asked_of(&Uri::from_static(target), host), told, "{target}");
        }
    }
}
