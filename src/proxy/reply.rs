//! What an answer says of how it went, and for how long whoever gave it wants to be left alone: in HTTP, gRPC and Go Micro alike.

use std::time::{Duration, SystemTime};

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// How long a gRPC server wants not to be asked again, in milliseconds (gRFC A6).
const GRPC_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
const MICRO_ERROR: HeaderName = HeaderName::from_static("micro-error");

/// What the head of an answer says of how it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A status of HTTP.
    Http(StatusCode),
    /// A status of gRPC.
    Grpc(u16),
    /// A status of gRPC is to come with the trailers.
    GrpcAtItsEnd,
    /// The code of a Go Micro error, which a server tells whatever the status; `None`: in a handler's own words.
    Micro(Option<u16>),
}

/// For how long whoever answered wants to be left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// So long.
    For(Duration),
    /// The request is not to be sent again.
    Never,
}

impl Reply {
    /// What the head of an answer says.
    pub fn of(status: StatusCode, headers: &HeaderMap) -> Self {
        if let Some(error) = headers.get(MICRO_ERROR).filter(|error| !error.is_empty()) {
            return Self::Micro(micro_code(error));
        }
        if status == StatusCode::OK && is_grpc(headers) {
            return text(headers, &GRPC_STATUS)
                .and_then(|code| code.parse().ok())
                .map_or(Self::GrpcAtItsEnd, Self::Grpc);
        }
        Self::Http(status)
    }

    /// The status of HTTP that it stands for.
    pub const fn status(self) -> u16 {
        match self {
            Self::Http(status) => status.as_u16(),
            Self::Grpc(14) => 503,
            Self::Grpc(4) => 504,
            Self::Grpc(8) => 429,
            Self::Grpc(2 | 13 | 15) => 500,
            Self::Grpc(_) | Self::GrpcAtItsEnd => 200,
            // How Go Micro says that something took too long.
            Self::Micro(Some(408)) => 504,
            Self::Micro(Some(code)) if 400 <= code && code < 600 => code,
            // As what a handler returns without a code is told.
            Self::Micro(_) => 500,
        }
    }

    /// For how long whoever gave it wants to be left alone, if it says so (RFC 9110, 10.2.3; gRFC A6).
    pub fn pause(self, headers: &HeaderMap, now: impl FnOnce() -> SystemTime) -> Option<Pause> {
        if let Self::Grpc(_) = self {
            let told =
                headers.get(GRPC_PUSHBACK)?.to_str().ok().and_then(|millis| millis.trim().parse().ok());
            return Some(told.map_or(Pause::Never, |millis| Pause::For(Duration::from_millis(millis))));
        }
        let told = text(headers, &RETRY_AFTER)?;
        let pause = match told.parse() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => httpdate::parse_http_date(told).ok()?.duration_since(now()).unwrap_or_default(),
        };
        Some(Pause::For(pause))
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Whether the body is gRPC's own: that of gRPC-Web carries its status within.
fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let rest = kind.and_then(|kind| kind.strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// The code of a Go Micro error. What is no JSON is a handler's own words, and has none.
fn micro_code(error: &HeaderValue) -> Option<u16> {
    #[derive(Deserialize)]
    struct Error {
        #[serde(default)]
        code: i64,
    }
    let code = serde_json::from_slice::<Error>(error.as_bytes()).ok()?.code;
    u16::try_from(code).ok().filter(|code| *code > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRPC: (&str, &str) = ("content-type", "application/grpc");

    fn map(fields: &[(&'static str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        fields.iter().map(field).collect()
    }

    fn reply(status: u16, fields: &[(&'static str, &str)]) -> Reply {
        Reply::of(StatusCode::from_u16(status).unwrap(), &map(fields))
    }

    #[test]
    fn each_protocol_has_its_own_way_of_failing() {
        assert_eq!(reply(200, &[GRPC, ("grpc-status", "14")]).status(), 503);
        assert_eq!(reply(200, &[("grpc-status", "14")]).status(), 200, "that is no gRPC");
        assert_eq!(reply(200, &[GRPC, ("grpc-status", "0")]).status(), 200);
        assert_eq!(reply(200, &[GRPC]), Reply::GrpcAtItsEnd);
        assert_eq!(reply(503, &[GRPC]).status(), 503);
        for (error, told) in [
            (r#"{"id":"x","code":503,"detail":"away","status":"Service Unavailable"}"#, 503),
            (r#"{"id":"x","code":408,"detail":"slow","status":"Request Timeout"}"#, 504),
            (r#"{"code":404}"#, 404),
            ("boom", 500),
            (r#"{"code":-1}"#, 500),
            (r#"{"code":70036}"#, 500),
        ] {
            assert_eq!(reply(200, &[("micro-error", error)]).status(), told, "{error}");
        }
        assert_eq!(reply(502, &[("micro-error", "")]).status(), 502);
    }

    #[test]
    fn a_pause_is_told_in_seconds_or_as_a_date_and_by_grpc_in_milliseconds() {
        let now = || SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let pause = |fields: &[(&'static str, &str)]| reply(200, fields).pause(&map(fields), now);
        let after = |told: &str| pause(&[("retry-after", told)]);
        assert_eq!(after(" 120 "), Some(Pause::For(Duration::from_secs(120))));
        let soon = httpdate::fmt_http_date(now() + Duration::from_secs(100));
        assert_eq!(after(&soon), Some(Pause::For(Duration::from_secs(100))));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Pause::For(Duration::ZERO)));
        for none in ["soon", "-1", "1.5", "99999999999999999999", ""] {
            assert_eq!(after(none), None, "{none}");
        }
        let pushed = |told: &str| pause(&[GRPC, ("grpc-status", "14"), ("grpc-retry-pushback-ms", told)]);
        assert_eq!(pushed("2500"), Some(Pause::For(Duration::from_millis(2500))));
        assert_eq!((pushed("-1"), pushed("soon")), (Some(Pause::Never), Some(Pause::Never)));
        assert_eq!(pause(&[GRPC, ("grpc-status", "14"), ("retry-after", "7")]), None);
    }
}
