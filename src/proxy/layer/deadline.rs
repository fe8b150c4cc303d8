//! Deadline: how long a request may take in all, until the head of its answer.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::middleware::{Answer, Middleware, Serve, refused};
use crate::proxy::error::ProxyError;
use crate::proxy::request::{Exchange, Routed};
use crate::proxy::time_left;
use crate::proxy::worker::Worker;

/// Longer than anybody waits.
const FAR: Duration = Duration::from_hours(24 * 365);

/// Bounds the time until the head of an answer.
#[derive(Clone, Debug)]
pub struct Deadline {
    /// Whose timers.
    pub worker: Rc<Worker>,
}

/// How long a request may take in all. `None` of a stream, which lasts as long as both ends like: the caller's Timeout is about its
/// first answer, and the caller's to keep.
pub fn limit(routed: &Routed) -> Option<Duration> {
    if routed.exchange == Exchange::MicroStream {
        return None;
    }
    let asked = time_left::asked(routed.message.headers(), routed.traits);
    Some(asked.unwrap_or(routed.rules.limits.request_timeout))
}

impl Middleware for Deadline {
    type Request = Routed;
    type Error = ProxyError;
    type InnerRequest = Routed;
    type InnerError = ProxyError;

    fn call(&self, mut routed: Routed, inner: &mut impl Serve<Routed, ProxyError>) -> Answer<ProxyError> {
        let Some(limit) = limit(&routed) else { return inner.call(routed) };
        let begun = routed.record.begun();
        // What lies too far ahead to be told as a time is as good as none.
        let deadline = begun.checked_add(limit).unwrap_or_else(|| begun + FAR);
        if deadline <= Instant::now() {
            return refused(ProxyError::Deadline { limit });
        }
        routed.deadline = Some(deadline);
        let mut timer = self.worker.timers.take(deadline);
        let worker = Rc::clone(&self.worker);
        let record = Rc::clone(&routed.record);
        let awaited = routed.client.await_answer(record.stream().cloned());
        let mut answer = inner.call(routed);
        Box::pin(async move {
            let result = tokio::select! {
                biased;
                result = &mut answer => result,
                () = &mut timer => {
                    record.overdue.set(true);
                    Err(ProxyError::Deadline { limit })
                }
            };
            drop(awaited);
            worker.timers.keep(timer);
            result
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use tower::{Layer as _, Service as _};

    use super::*;
    use crate::proxy::layer::bed::{Bed, Played, answer};
    use crate::proxy::layer::middleware::Wrap;

    fn deadline(bed: &Bed) -> Deadline {
        Deadline { worker: Rc::clone(&bed.worker) }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_time_passes_and_a_late_one_is_given_up() {
        let bed = Bed::new();
        let inner = Played::new();
        let mut layer = Wrap(deadline(&bed)).layer(inner.clone());
        inner.then(|_| Ok(answer(200)));
        assert_eq!(layer.call(bed.get()).await.unwrap().status(), 200);
        for _ in 0..2 {
            let begun = Instant::now();
            inner.then_never();
            let routed = bed.get();
            let record = Rc::clone(&routed.record);
            let error = layer.call(routed).await.unwrap_err();
            assert!(matches!(error, ProxyError::Deadline { limit } if limit == bed.limits.request_timeout));
            assert!(record.overdue.get(), "whoever was asked is to know why it was given up");
            drop(record);
            let passed = begun.elapsed();
            assert!(passed >= bed.limits.request_timeout && passed.as_secs() == 15, "{passed:?}");
            assert_eq!(bed.metrics().proxy.requests_in_flight.get(), 0, "the attempt is dropped");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_runs_from_the_head_of_the_request() {
        let bed = Bed::new();
        let inner = Played::new();
        let routed = bed.get();
        tokio::time::advance(Duration::from_secs(10)).await;
        inner.then_never();
        let begun = Instant::now();
        Wrap(deadline(&bed)).layer(inner).call(routed).await.unwrap_err();
        assert_eq!(begun.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_of_the_caller_takes_the_place_of_ours() {
        let bed = Bed::new();
        for (timeout, seconds) in [("1000000000", 1), ("60000000000", 60), ("soon", 15)] {
            let inner = Played::new();
            inner.then_never();
            let request = http::Request::get("/").header("micro-service", "svc").header("timeout", timeout);
            let begun = Instant::now();
            Wrap(deadline(&bed)).layer(inner).call(bed.routed(request)).await.unwrap_err();
            assert_eq!(begun.elapsed().as_secs(), seconds);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_begun_when_no_time_is_left() {
        let bed = Bed::new();
        let inner = Played::new();
        for timeout in ["0", "5000000000"] {
            let request = http::Request::get("/").header("micro-service", "svc").header("timeout", timeout);
            let routed = bed.routed(request);
            tokio::time::advance(Duration::from_secs(5)).await;
            let error = Wrap(deadline(&bed)).layer(inner.clone()).call(routed).await.unwrap_err();
            assert_eq!(error.reason(), "deadline", "the inner service is not called");
        }
    }

    #[tokio::test]
    async fn whoever_waits_before_it_knows_how_long_there_is() {
        let bed = Bed::new();
        let timed = http::Request::get("/").header("micro-service", "svc").header("timeout", "1000000000");
        assert_eq!(limit(&bed.get()), Some(bed.limits.request_timeout));
        assert_eq!(limit(&bed.routed(timed)), Some(Duration::from_secs(1)));
        assert_eq!(limit(&Routed { exchange: Exchange::MicroStream, ..bed.get() }), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_has_none() {
        let bed = Bed::new();
        let inner = Played::new();
        inner.then_never();
        let routed = Routed { exchange: Exchange::MicroStream, ..bed.get() };
        timeout(Duration::from_hours(1), Wrap(deadline(&bed)).layer(inner).call(routed)).await.unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_does_not_stall_while_its_answer_has_time() {
        let mut bed = Bed::new();
        bed.limits.request_timeout = Duration::from_hours(1);
        let inner = Played::new();
        inner.then_never();
        let call = Wrap(deadline(&bed)).layer(inner).call(bed.get());
        let settings = &bed.worker.shared.settings;
        tokio::time::advance(settings.stream_idle_timeout * 2).await;
        bed.worker.tick.advance();
        assert_eq!(bed.client.due(settings, false), None);
        drop(call);
        assert_eq!(bed.client.due(settings, false), None, "the end of the wait is a sign of life");
    }
}
