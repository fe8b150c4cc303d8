//! Deadline: how long a request may take in all, until the head of its answer.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Response};
use tower::{Layer, Service};

use super::{Answer, always_ready};
use crate::body::Body;
use crate::proxy::error::ProxyError;
use crate::proxy::headers::{GRPC_TIMEOUT, MICRO_TIMEOUT};
use crate::proxy::request::{Exchange, Routed};
use crate::proxy::traits::Traits;

/// Bounds the time until the head of an answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeadlineLayer;

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Deadline<S> {
        Deadline { inner }
    }
}

/// See [`DeadlineLayer`].
#[derive(Clone, Debug)]
pub struct Deadline<S> {
    inner: S,
}

impl<S> Service<Routed> for Deadline<S>
where
    S: Service<
            Routed,
            Response = Response<Body>,
            Error = ProxyError,
            Future = Answer<Response<Body>, ProxyError>,
        >,
{
    type Response = Response<Body>;
    type Error = ProxyError;
    type Future = Answer<Response<Body>, ProxyError>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        always_ready(cx)
    }

    fn call(&mut self, routed: Routed) -> Self::Future {
        if routed.exchange == Exchange::MicroStream {
            // A stream lasts as long as both ends like; the caller's Timeout is about its first answer, and the caller's to keep.
            return self.inner.call(routed);
        }
        let asked = asked(routed.message.headers(), routed.traits);
        let limit = asked.unwrap_or(routed.rules.limits.request_timeout);
        let mut timer = routed.client.timer(routed.record.begun() + limit);
        let client = Rc::clone(&routed.client);
        let record = Rc::clone(&routed.record);
        let awaited = client.await_answer();
        let mut answer = self.inner.call(routed);
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
            client.keep_timer(timer);
            result
        })
    }
}

/// The deadline that the caller gives: Go Micro's or gRPC's.
fn asked(headers: &HeaderMap, traits: Traits) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok();
    if traits.has(Traits::GO_MICRO) {
        text(&MICRO_TIMEOUT).and_then(|nanos| nanos.parse().ok()).map(Duration::from_nanos)
    } else if traits.has(Traits::GRPC) {
        text(&GRPC_TIMEOUT).and_then(grpc_timeout)
    } else {
        None
    }
}

/// At most eight digits and a unit, as gRPC over HTTP/2 defines it ("Requests", `Timeout`).
fn grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_hours(number)),
        "M" => Some(Duration::from_mins(number)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use http::HeaderValue;
    use proptest::prelude::*;
    use tokio::time::{Instant, sleep_until, timeout};

    use super::*;
    use crate::proxy::layer::bed::{Bed, Played, answer};

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_time_passes_and_a_late_one_is_given_up() {
        let bed = Bed::new();
        let inner = Played::new();
        let mut deadline = DeadlineLayer.layer(inner.clone());
        inner.then(|_| Ok(answer(200)));
        assert_eq!(deadline.call(bed.get()).await.unwrap().status(), 200);
        for _ in 0..2 {
            let begun = Instant::now();
            inner.then_never();
            let routed = bed.get();
            let record = Rc::clone(&routed.record);
            let error = deadline.call(routed).await.unwrap_err();
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
        DeadlineLayer.layer(inner).call(routed).await.unwrap_err();
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
            DeadlineLayer.layer(inner).call(bed.routed(request)).await.unwrap_err();
            assert_eq!(begun.elapsed().as_secs(), seconds);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_has_none() {
        let bed = Bed::new();
        let inner = Played::new();
        inner.then_never();
        let routed = Routed { exchange: Exchange::MicroStream, ..bed.get() };
        timeout(Duration::from_hours(1), DeadlineLayer.layer(inner).call(routed)).await.unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_does_not_stall_while_its_answer_has_time() {
        let mut bed = Bed::new();
        bed.limits.request_timeout = Duration::from_hours(1);
        let inner = Played::new();
        inner.then_never();
        let call = DeadlineLayer.layer(inner).call(bed.get());
        let settings = &bed.worker.shared.settings;
        tokio::time::advance(settings.stream_idle_timeout * 2).await;
        bed.worker.tick.advance();
        assert_eq!(bed.client.due(settings, false), None);
        drop(call);
        assert_eq!(bed.client.due(settings, false), None, "the end of the wait is a sign of life");
    }

    fn timed(name: &'static str, marker: (&'static str, &'static str), text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(text).unwrap());
        headers.insert(marker.0, HeaderValue::from_static(marker.1));
        asked(&headers, Traits::of(&headers))
    }

    /// A deadline is waited for without a panic, and without its being over at once when it lies far ahead.
    async fn waits(limit: Duration) -> bool {
        let mut timer = Box::pin(sleep_until(Instant::now() + limit));
        (&mut timer).now_or_never().is_none()
    }

    const MICRO: (&str, &str) = ("micro-service", "greeter");
    const GRPC: (&str, &str) = ("content-type", "application/grpc");

    #[tokio::test]
    async fn the_farthest_deadlines_can_be_waited_for() {
        for text in [u64::MAX.to_string(), i64::MAX.to_string()] {
            assert!(waits(timed("timeout", MICRO, &text).unwrap()).await, "{text}");
        }
        for unit in ["H", "M", "S"] {
            let text = format!("99999999{unit}");
            assert!(waits(timed("grpc-timeout", GRPC, &text).unwrap()).await, "{text}");
        }
        for text in ["18446744073709551616", "-1", "", "5s", "1e9"] {
            assert_eq!(timed("timeout", MICRO, text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_deadline_panics(text in "[0-9]{0,21}[HMSmun]?") {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let limits = [timed("timeout", MICRO, &text), timed("grpc-timeout", GRPC, &text)];
            for limit in limits.into_iter().flatten() {
                runtime.block_on(waits(limit));
            }
        }
    }

    #[test]
    fn reads_what_grpc_clients_send() {
        assert_eq!(grpc_timeout("1S"), Some(Duration::from_secs(1)));
        assert_eq!(grpc_timeout("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for bad in ["", "S", "1", "123456789S", "-1S", "1s", "1é"] {
            assert_eq!(grpc_timeout(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_go_micro_deadline_is_in_nanoseconds() {
        let mut headers = HeaderMap::new();
        headers.insert(MICRO_TIMEOUT, HeaderValue::from_static("5000000000"));
        assert_eq!(
            asked(&headers, Traits::of(&headers)),
            None,
            "an ordinary request may carry a header of that name"
        );
        headers.insert("micro-service", HeaderValue::from_static("greeter"));
        assert_eq!(asked(&headers, Traits::of(&headers)), Some(Duration::from_secs(5)));
    }
}
