//! What an answer says of its endpoint: whose fault it is when it tells of one, in HTTP, gRPC and Go Micro alike.

use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Deserialize;

use crate::body::End;
use crate::endpoint::{Outcome, Said};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// How long a gRPC server wants not to be asked again, in milliseconds (gRFC A6).
const GRPC_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
const MICRO_ERROR: HeaderName = HeaderName::from_static("micro-error");

/// What an answer says of its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// This, and what it said when that is a failure.
    Now(Outcome, Said),
    /// Nothing before its end: a gRPC status comes in the trailers.
    AtItsEnd,
}

/// Judges an answer by its head.
///
/// What the caller did wrong, 4xx, is no failure of the endpoint; nor is 501, which says that nobody there ever could. 429 is no
/// failure but the wish for less. 503 is one, with and without `Retry-After`. A Go Micro server says in `Micro-Error` how it went, whatever the status.
pub fn of_head(status: StatusCode, headers: &HeaderMap) -> Judged {
    if let Some(code) = micro_code(headers) {
        return failed_if(matches!(code, 408 | 500), Said::MicroError(code));
    }
    if status == StatusCode::OK && is_grpc(headers) {
        let code = headers.get(GRPC_STATUS).and_then(|code| code.to_str().ok()?.parse().ok());
        return code.map_or(Judged::AtItsEnd, |code| {
            let pushback = number(headers, &GRPC_PUSHBACK).map(Duration::from_millis);
            of_grpc(code, pushback)
        });
    }
    let pause = number(headers, &RETRY_AFTER).map(Duration::from_secs);
    match status {
        StatusCode::TOO_MANY_REQUESTS => busy(pause),
        StatusCode::SERVICE_UNAVAILABLE => {
            let outcome = pause.map_or(Outcome::Failure, |pause| Outcome::Overloaded { pause });
            Judged::Now(outcome, Said::Status(status.as_u16()))
        }
        StatusCode::NOT_IMPLEMENTED => failed_if(false, Said::Nothing),
        _ => failed_if(status.is_server_error(), Said::Status(status.as_u16())),
    }
}

/// Judges a gRPC answer by its end; `None` when its receiver went away before that.
pub fn of_end(end: End) -> Option<Judged> {
    match end.grpc_status {
        Some(code) => Some(of_grpc(code, None)),
        None if end.broken => Some(Judged::Now(Outcome::Broken, Said::Nothing)),
        // Without trailers: whoever relays it drops them. What cannot be known is not held against anybody.
        None if end.complete => Some(Judged::Now(Outcome::Success, Said::Nothing)),
        None => None,
    }
}

/// Codes as gRPC numbers them: what the server brought about is a failure, and what it has too much of is a wish for less.
fn of_grpc(code: u16, pushback: Option<Duration>) -> Judged {
    const UNKNOWN: u16 = 2;
    const DEADLINE_EXCEEDED: u16 = 4;
    const RESOURCE_EXHAUSTED: u16 = 8;
    const INTERNAL: u16 = 13;
    const UNAVAILABLE: u16 = 14;
    const DATA_LOSS: u16 = 15;
    if code == RESOURCE_EXHAUSTED {
        return busy(pushback);
    }
    let failed = matches!(code, UNKNOWN | DEADLINE_EXCEEDED | INTERNAL | UNAVAILABLE | DATA_LOSS);
    failed_if(failed, Said::GrpcStatus(code))
}

const fn failed_if(failed: bool, said: Said) -> Judged {
    if failed { Judged::Now(Outcome::Failure, said) } else { Judged::Now(Outcome::Success, Said::Nothing) }
}

const fn busy(pause: Option<Duration>) -> Judged {
    Judged::Now(Outcome::Busy { pause }, Said::Nothing)
}

/// Whether the body is gRPC's own: that of gRPC-Web carries its status within.
fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    let rest = kind.and_then(|kind| kind.strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// The code of a Go Micro error. What is no JSON is a handler's own words, which say nothing of whose fault it is: 0.
fn micro_code(headers: &HeaderMap) -> Option<u16> {
    #[derive(Deserialize)]
    struct Error {
        #[serde(default)]
        code: i64,
    }
    let error = headers.get(MICRO_ERROR).filter(|error| !error.is_empty())?;
    let code = serde_json::from_slice::<Error>(error.as_bytes()).map_or(0, |error| error.code);
    Some(u16::try_from(code).unwrap_or(0))
}

/// A whole number. A date in `Retry-After` is not read: it takes a clock, and that both clocks agree.
fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WELL: Judged = failed_if(false, Said::Nothing);

    fn judged(status: u16, headers: &[(&'static str, &str)]) -> Judged {
        let headers = headers.iter().map(|(name, value)| {
            (HeaderName::from_static(name), http::HeaderValue::from_str(value).unwrap())
        });
        of_head(StatusCode::from_u16(status).unwrap(), &headers.collect())
    }

    fn failed(said: Said) -> Judged {
        Judged::Now(Outcome::Failure, said)
    }

    fn wants_less(seconds: Option<u64>) -> Judged {
        busy(seconds.map(Duration::from_secs))
    }

    #[test]
    fn statuses_count_by_whose_fault_they_tell_of() {
        for status in [101, 200, 204, 301, 400, 401, 404, 408, 409, 499, 501, 600, 999] {
            assert_eq!(judged(status, &[]), WELL, "{status}");
        }
        for status in [500, 502, 503, 504, 505, 599] {
            assert_eq!(judged(status, &[]), failed(Said::Status(status)), "{status}");
        }
    }

    #[test]
    fn who_wants_less_did_not_fail_and_who_fails_may_say_for_how_long() {
        assert_eq!(judged(429, &[]), wants_less(None));
        assert_eq!(judged(429, &[("retry-after", "7")]), wants_less(Some(7)));
        let overloaded = Outcome::Overloaded { pause: Duration::from_secs(120) };
        assert_eq!(judged(503, &[("retry-after", " 120 ")]), Judged::Now(overloaded, Said::Status(503)));
        for date in ["Wed, 21 Oct 2015 07:28:00 GMT", "-1", "1.5", "99999999999999999999"] {
            assert_eq!(judged(429, &[("retry-after", date)]), wants_less(None), "{date}");
            assert_eq!(judged(503, &[("retry-after", date)]), failed(Said::Status(503)), "{date}");
        }
        assert_eq!(judged(500, &[("retry-after", "7")]), failed(Said::Status(500)));
    }

    #[test]
    fn grpc_codes_come_in_the_head_or_at_the_end() {
        let kind = ("content-type", "application/grpc+proto");
        let head = |code: &str| judged(200, &[kind, ("grpc-status", code)]);
        let at_end = |grpc_status| of_end(End { complete: true, broken: false, bytes: 5, grpc_status });
        for code in 0..=17_u16 {
            let expected = match code {
                2 | 4 | 13 | 14 | 15 => failed(Said::GrpcStatus(code)),
                8 => wants_less(None),
                _ => WELL,
            };
            assert_eq!((head(&code.to_string()), at_end(Some(code))), (expected, Some(expected)), "{code}");
        }
        assert_eq!(judged(200, &[kind]), Judged::AtItsEnd);
        assert_eq!(judged(200, &[kind, ("grpc-status", "soon")]), Judged::AtItsEnd);
        assert_eq!(judged(502, &[kind]), failed(Said::Status(502)), "a proxy's answer in between");
        let pushback = judged(200, &[kind, ("grpc-status", "8"), ("grpc-retry-pushback-ms", "2500")]);
        assert_eq!(pushback, busy(Some(Duration::from_millis(2500))));
        for kind in ["application/grpc-web", "application/json", "application/grpcx"] {
            assert_eq!(judged(200, &[("content-type", kind)]), WELL, "{kind}");
        }
    }

    #[test]
    fn a_grpc_answer_without_a_status_is_judged_by_how_it_ended() {
        let end = End { complete: true, broken: false, bytes: 0, grpc_status: None };
        assert_eq!(of_end(end), Some(WELL));
        assert_eq!(of_end(End { complete: false, ..end }), None, "its receiver went away");
        let broken = Some(Judged::Now(Outcome::Broken, Said::Nothing));
        assert_eq!(of_end(End { complete: false, broken: true, ..end }), broken);
    }

    #[test]
    fn go_micro_says_it_in_an_error_of_its_own() {
        let micro = |error: &str| judged(200, &[("micro-error", error)]);
        for code in [408, 500] {
            let error = format!(r#"{{"id":"x","code":{code},"detail":"d","status":"s"}}"#);
            assert_eq!(micro(&error), failed(Said::MicroError(code)));
        }
        for error in [
            r#"{"id":"x","code":404,"detail":"d"}"#,
            r#"{"id":"x","detail":"d"}"#,
            r#"{"code":-500}"#,
            r#"{"code":70036}"#,
            "not found",
            "{",
        ] {
            assert_eq!(micro(error), WELL, "{error}");
        }
        assert_eq!(judged(500, &[("micro-error", r#"{"code":400}"#)]), WELL, "the error knows better");
        assert_eq!(judged(500, &[("micro-error", "")]), failed(Said::Status(500)));
    }

    proptest! {
        #[test]
        fn no_header_panics(status in 100_u16..1000, value in "[ -~]{0,40}", name in 0_usize..5) {
            let name = ["retry-after", "grpc-status", "micro-error", "content-type", "grpc-retry-pushback-ms"][name];
            judged(status, &[(name, &value)]);
            judged(status, &[(name, &value), ("content-type", "application/grpc")]);
        }
    }
}
