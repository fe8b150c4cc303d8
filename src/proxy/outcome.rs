//! What an answer says of its endpoint: whose fault it is when it tells of one, in HTTP, gRPC and Go Micro alike.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};

use super::reply::{Pause, Reply};
use crate::body::End;
use crate::endpoint::{Outcome, Said};

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
pub fn of_head(status: StatusCode, headers: &HeaderMap, now: impl FnOnce() -> SystemTime) -> Judged {
    let reply = Reply::of(status, headers);
    let pause = || match reply.pause(headers, now) {
        Some(Pause::For(pause)) => Some(pause),
        Some(Pause::Never) | None => None,
    };
    match reply {
        Reply::Micro(code) => {
            let code = code.unwrap_or_default();
            failed_if(matches!(code, 408 | 500), Said::MicroError(code))
        }
        Reply::Grpc(code) => of_grpc(code, pause),
        Reply::GrpcAtItsEnd => Judged::AtItsEnd,
        Reply::Http(StatusCode::TOO_MANY_REQUESTS) => busy(pause()),
        Reply::Http(status @ StatusCode::SERVICE_UNAVAILABLE) => {
            let outcome = pause().map_or(Outcome::Failure, |pause| Outcome::Overloaded { pause });
            Judged::Now(outcome, Said::Status(status.as_u16()))
        }
        Reply::Http(StatusCode::NOT_IMPLEMENTED) => failed_if(false, Said::Nothing),
        Reply::Http(status) => failed_if(status.is_server_error(), Said::Status(status.as_u16())),
    }
}

/// Judges a gRPC answer by its end; `None` when its receiver went away before that.
pub fn of_end(end: End) -> Option<Judged> {
    match end.grpc_status {
        Some(code) => Some(of_grpc(code, || None)),
        None if end.broken => Some(Judged::Now(Outcome::Broken, Said::Nothing)),
        // Without trailers: whoever relays it drops them. What cannot be known is not held against anybody.
        None if end.complete => Some(Judged::Now(Outcome::Success, Said::Nothing)),
        None => None,
    }
}

/// Codes as gRPC numbers them: what the server brought about is a failure, and what it has too much of is a wish for less.
fn of_grpc(code: u16, pushback: impl FnOnce() -> Option<Duration>) -> Judged {
    const UNKNOWN: u16 = 2;
    const DEADLINE_EXCEEDED: u16 = 4;
    const RESOURCE_EXHAUSTED: u16 = 8;
    const INTERNAL: u16 = 13;
    const UNAVAILABLE: u16 = 14;
    const DATA_LOSS: u16 = 15;
    if code == RESOURCE_EXHAUSTED {
        return busy(pushback());
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

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use proptest::prelude::*;

    use super::*;

    const WELL: Judged = failed_if(false, Said::Nothing);

    fn judged(status: u16, headers: &[(&'static str, &str)]) -> Judged {
        let headers = headers.iter().map(|(name, value)| {
            (HeaderName::from_static(name), http::HeaderValue::from_str(value).unwrap())
        });
        of_head(StatusCode::from_u16(status).unwrap(), &headers.collect(), || SystemTime::UNIX_EPOCH)
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
        let overloaded = |seconds| {
            Judged::Now(Outcome::Overloaded { pause: Duration::from_secs(seconds) }, Said::Status(503))
        };
        assert_eq!(judged(503, &[("retry-after", " 120 ")]), overloaded(120));
        for unknown in ["-1", "1.5", "99999999999999999999"] {
            assert_eq!(judged(429, &[("retry-after", unknown)]), wants_less(None), "{unknown}");
            assert_eq!(judged(503, &[("retry-after", unknown)]), failed(Said::Status(503)), "{unknown}");
        }
        assert_eq!(judged(503, &[("retry-after", "Thu, 01 Jan 1970 00:00:07 GMT")]), overloaded(7));
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
