//! What a message's headers are like, found in one look, so that every layer need not search them again.

use std::ops::BitOr;

use http::header::{HeaderMap, HeaderValue};

/// What the headers of a message are like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits(u16);

impl Traits {
    /// A Go Micro client asks: `Micro-Service`.
    pub const GO_MICRO: Self = Self(1);
    /// It asks for a stream: `Micro-Stream`.
    pub const MICRO_STREAM: Self = Self(1 << 1);
    /// A gRPC client asks: the media type.
    pub const GRPC: Self = Self(1 << 2);
    /// The caller would like JSON: `Accept`.
    pub const JSON: Self = Self(1 << 3);
    /// Some field concerns this connection only (RFC 9110, 7.6.1).
    pub const HOP: Self = Self(1 << 4);
    /// `Upgrade`.
    pub const UPGRADE: Self = Self(1 << 5);
    /// `Via`.
    pub const VIA: Self = Self(1 << 6);
    /// `X-Forwarded-For`.
    pub const FORWARDED_FOR: Self = Self(1 << 7);
    /// `X-Forwarded-Proto`.
    pub const FORWARDED_PROTO: Self = Self(1 << 8);
    /// `X-Forwarded-Host`.
    pub const FORWARDED_HOST: Self = Self(1 << 9);
    /// `Host`.
    pub const HOST: Self = Self(1 << 10);
    /// More than one `Host`.
    pub const HOSTS: Self = Self(1 << 11);
    /// `Forwarded`.
    pub const FORWARDED: Self = Self(1 << 12);
    /// `Expect`.
    pub const EXPECT: Self = Self(1 << 13);
    /// `Cookie`.
    pub const COOKIE: Self = Self(1 << 14);
    /// More than one `Cookie`.
    pub const COOKIES: Self = Self(1 << 15);

    /// Looks at headers.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut traits = Self::default();
        for (name, value) in headers {
            traits = traits | Self::field(name.as_str(), value, traits);
        }
        traits
    }

    fn field(name: &str, value: &HeaderValue, before: Self) -> Self {
        let when = |holds: bool, trait_: Self| if holds { trait_ } else { Self::default() };
        match name {
            "host" => Self::HOST | when(before.has(Self::HOST), Self::HOSTS),
            "cookie" => Self::COOKIE | when(before.has(Self::COOKIE), Self::COOKIES),
            "accept" => when(wants_json(value.as_bytes()), Self::JSON),
            "content-type" => when(value.as_bytes().starts_with(b"application/grpc"), Self::GRPC),
            "connection"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "proxy-authorization"
            | "http2-settings" => Self::HOP,
            "expect" => Self::EXPECT,
            "upgrade" => Self::HOP | Self::UPGRADE,
            "via" => Self::VIA,
            "micro-service" => Self::GO_MICRO,
            "micro-stream" => Self::MICRO_STREAM,
            "x-forwarded-for" => Self::FORWARDED_FOR,
            "x-forwarded-proto" => Self::FORWARDED_PROTO,
            "x-forwarded-host" => Self::FORWARDED_HOST,
            "forwarded" => Self::FORWARDED,
            _ => Self::default(),
        }
    }

    /// Whether all of these hold.
    pub const fn has(self, traits: Self) -> bool {
        self.0 & traits.0 == traits.0
    }
}

impl BitOr for Traits {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

fn wants_json(accept: &[u8]) -> bool {
    std::str::from_utf8(accept)
        .is_ok_and(|accept| accept.contains("application/json") || accept.contains("+json"))
}

#[cfg(test)]
mod tests {
    use http::header::HeaderName;

    use super::*;

    fn of(fields: &[(&'static str, &'static str)]) -> Traits {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        Traits::of(&headers)
    }

    #[test]
    fn no_field_is_taken_for_another() {
        let fields = [
            ("host", "a"),
            ("cookie", "a=1"),
            ("accept", "application/json"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("expect", "100-continue"),
            ("via", "1.1 a"),
            ("micro-service", "a"),
            ("micro-stream", "1"),
            ("x-forwarded-for", "a"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "a"),
            ("forwarded", "for=a"),
        ];
        let one_by_one = fields.map(|field| of(&[field]));
        let all = one_by_one.into_iter().fold(Traits::default(), Traits::bitor);
        assert_eq!((all.0.count_ones(), all), (13, of(&fields)));
        for (name, twice) in [("host", Traits::HOSTS), ("cookie", Traits::COOKIES)] {
            assert!(!all.has(twice) && of(&[(name, "a"), (name, "b")]).has(twice), "{name}");
        }
    }

    #[test]
    fn one_look_finds_all() {
        assert_eq!(
            of(&[("user-agent", "x"), ("content-type", "text/plain"), ("accept", "*/*")]),
            Traits::default()
        );
        assert_eq!(of(&[("host", "a"), ("micro-service", "b")]), Traits::HOST | Traits::GO_MICRO);
        assert!(of(&[("host", "a"), ("host", "b")]).has(Traits::HOSTS));
        assert!(of(&[("cookie", "a=1"), ("cookie", "b=2")]).has(Traits::COOKIES));
        assert!(!of(&[("cookie", "a=1")]).has(Traits::COOKIES));
        assert!(of(&[("content-type", "application/grpc+proto")]).has(Traits::GRPC));
        assert!(of(&[("accept", "text/html, application/json;q=0.9")]).has(Traits::JSON));
        assert!(of(&[("upgrade", "websocket")]).has(Traits::UPGRADE | Traits::HOP));
        assert!(!of(&[("upgrade", "websocket")]).has(Traits::UPGRADE | Traits::VIA));
    }
}
