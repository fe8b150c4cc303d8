//! What an answer says of its provider, in whatever way it is said: as a status, as gRPC's, as Go Micro's error.

use std::time::{Duration, SystemTime};

use http::Response;
use http::header::RETRY_AFTER;

use crate::proxy::traits::Traits;

/// The status of an answer. gRPC and Go Micro answer 200 and tell of failures in fields of their own; these become the
/// statuses that they stand for.
pub(super) fn status<B>(response: &Response<B>, traits: Traits) -> u16 {
    let status = response.status().as_u16();
    let text = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap_or_default());
    if traits.has(Traits::GRPC)
        && let Some(code) = text("grpc-status")
    {
        return match code {
            "14" => 503,
            "4" => 504,
            "8" => 429,
            "2" | "13" | "15" => 500,
            _ => status,
        };
    }
    if traits.has(Traits::GO_MICRO)
        && let Some(error) = text("micro-error")
    {
        let error: serde_json::Value = serde_json::from_str(error).unwrap_or_default();
        // What a handler returns without a code is told as 500; 408 is how Go Micro says that something took too long.
        return match error["code"].as_u64().and_then(|code| u16::try_from(code).ok()) {
            Some(408) => 504,
            Some(code @ 400..600) => code,
            Some(_) | None => 500,
        };
    }
    status
}

/// For how long whoever answered wants to be left alone (RFC 9110, 10.2.3).
pub(super) fn pause<B>(response: &Response<B>) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?;
            Some(date.duration_since(SystemTime::now()).unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, fields: &[(&str, &str)]) -> Response<()> {
        let mut answer = Response::builder().status(status);
        for (name, value) in fields {
            answer = answer.header(*name, *value);
        }
        answer.body(()).unwrap()
    }

    #[test]
    fn each_protocol_has_its_own_way_of_failing() {
        let unavailable = answer(200, &[("grpc-status", "14")]);
        assert_eq!((status(&unavailable, Traits::GRPC), status(&unavailable, Traits::default())), (503, 200));
        assert_eq!(status(&answer(200, &[("grpc-status", "0")]), Traits::GRPC), 200);
        assert_eq!(status(&answer(503, &[]), Traits::GRPC), 503);
        for (error, told) in [
            (r#"{"id":"x","code":503,"detail":"away","status":"Service Unavailable"}"#, 503),
            (r#"{"id":"x","code":408,"detail":"slow","status":"Request Timeout"}"#, 504),
            (r#"{"code":404}"#, 404),
            ("boom", 500),
            (r#"{"code":-1}"#, 500),
        ] {
            let answer = answer(200, &[("micro-error", error)]);
            assert_eq!((status(&answer, Traits::GO_MICRO), status(&answer, Traits::default())), (told, 200));
        }
    }

    #[test]
    fn a_pause_is_told_in_seconds_or_as_a_date() {
        assert_eq!(pause(&answer(503, &[("retry-after", "120")])), Some(Duration::from_secs(120)));
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        let told = pause(&answer(503, &[("retry-after", &soon)])).unwrap();
        assert!((90..=100).contains(&told.as_secs()), "{told:?}");
        let past = pause(&answer(503, &[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")]));
        assert_eq!(past, Some(Duration::ZERO));
        for none in ["soon", "-1", ""] {
            assert_eq!(pause(&answer(503, &[("retry-after", none)])), None, "{none}");
        }
    }
}
