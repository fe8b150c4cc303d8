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
        let limit = asked.unwrap_or(routed.limits.request_timeout);
        let mut timer = routed.client.timer(routed.record.begun() + limit);
        let client = Rc::clone(&routed.client);
        let awaited = client.await_answer();
        let mut answer = self.inner.call(routed);
        Box::pin(async move {
            let result = tokio::select! {
                biased;
                result = &mut answer => result,
                () = &mut timer => Err(ProxyError::Deadline { limit }),
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
    use http::HeaderValue;

    use super::*;

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
