//! What of a message's headers belongs to one connection only, and what a proxy adds (RFC 9110, 7.6; RFC 7230, 5.7).

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{Request, Version, response};

use super::error::ProxyError;
use super::request::Exchange;
use super::traits::Traits;
use super::worker::Pseudonym;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// By what the client reached whoever is nearest to it.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Go Micro's mark of a stream.
pub const MICRO_STREAM: HeaderName = HeaderName::from_static("micro-stream");
/// Go Micro's deadline, in nanoseconds.
pub const MICRO_TIMEOUT: HeaderName = HeaderName::from_static("timeout");
/// gRPC's deadline.
pub const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// How many attempts of a gRPC call went before this one.
pub const GRPC_PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");
/// Which attempt of a request this is, from the second on.
pub const X_WAYSIDE_ATTEMPT: HeaderName = HeaderName::from_static("x-wayside-attempt");
/// The id of a request.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Whether a request asks to speak another protocol on its connection.
pub fn wants_upgrade<B>(request: &Request<B>, traits: Traits) -> bool {
    traits.has(Traits::UPGRADE)
        && request.version() == Version::HTTP_11
        && names(request.headers(), "upgrade")
}

/// Refuses a request that was here before.
///
/// # Errors
/// [`ProxyError::Loop`].
pub fn refuse_loop(headers: &HeaderMap, traits: Traits, own: &Pseudonym) -> Result<(), ProxyError> {
    if !traits.has(Traits::VIA) {
        return Ok(());
    }
    let ours = |value: &HeaderValue| {
        let listed = value.to_str().unwrap_or_default();
        listed.split(',').any(|hop| hop.split_whitespace().nth(1) == Some(&own.name))
    };
    if headers.get_all(VIA).iter().any(ours) { Err(ProxyError::Loop) } else { Ok(()) }
}

/// Refuses a body in a transfer coding that ends at this proxy and is not undone here: the provider could not read it.
///
/// # Errors
/// [`ProxyError::BadRequest`].
pub fn refuse_codings(headers: &HeaderMap, traits: Traits) -> Result<(), ProxyError> {
    if !traits.has(Traits::HOP) {
        return Ok(());
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let chunked = |value: &HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    if codings.next().is_none_or(chunked) && codings.next().is_none() {
        return Ok(());
    }
    Err(ProxyError::BadRequest("a transfer coding that is not understood; send chunked, or a length"))
}

/// Takes out of a request what ends at this proxy.
pub fn clean_request(headers: &mut HeaderMap, traits: Traits, exchange: Exchange) {
    if exchange != Exchange::Plain {
        headers.remove(EXPECT);
    }
    if !traits.has(Traits::HOP) {
        return;
    }
    let trailers = headers.get(TE).is_some_and(|value| lists(value, "trailers"));
    let upgrade = if exchange == Exchange::Upgrade { headers.remove(UPGRADE) } else { None };
    clean(headers);
    headers.remove(PROXY_AUTHORIZATION);
    headers.remove(HTTP2_SETTINGS);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
}

/// Takes out of a response what ends at this proxy, and says that it came through here.
pub fn clean_response(parts: &mut response::Parts, exchange: Exchange, own: &Pseudonym) {
    let switching = parts.status == http::StatusCode::SWITCHING_PROTOCOLS && exchange == Exchange::Upgrade;
    let upgrade = if switching { parts.headers.remove(UPGRADE) } else { None };
    if Traits::of(&parts.headers).has(Traits::HOP) {
        clean(&mut parts.headers);
    }
    if let Some(protocol) = upgrade {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(UPGRADE, protocol);
    }
    // Where there is no body, nobody has looked at its length yet.
    let is_length =
        |value: &HeaderValue| value.as_bytes().iter().all(u8::is_ascii_digit) && !value.is_empty();
    if parts.headers.get(CONTENT_LENGTH).is_some_and(|length| !is_length(length)) {
        parts.headers.remove(CONTENT_LENGTH);
    }
    parts.headers.append(VIA, own.via(parts.version));
}

/// Says in a request which attempt it is; gRPC has a field for it, which counts the caller's own attempts as well.
pub fn add_attempt(headers: &mut HeaderMap, traits: Traits, number: u8) {
    let before = u32::from(number.saturating_sub(1));
    if traits.has(Traits::GRPC) {
        let own = headers.get(GRPC_PREVIOUS_ATTEMPTS).and_then(|own| own.to_str().ok()?.parse::<u32>().ok());
        headers.insert(GRPC_PREVIOUS_ATTEMPTS, own.unwrap_or(0).saturating_add(before).into());
    } else {
        headers.insert(X_WAYSIDE_ATTEMPT, u32::from(number).into());
    }
}

/// Says in a request whom it comes from and what host it asked for.
pub fn add_forwarded(headers: &mut HeaderMap, traits: Traits, client: &HeaderValue) {
    let chain = if traits.has(Traits::FORWARDED_FOR) { chained(headers, client) } else { None };
    headers.insert(X_FORWARDED_FOR, chain.unwrap_or_else(|| client.clone()));
    if !traits.has(Traits::FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    if !traits.has(Traits::FORWARDED_HOST)
        && let Some(host) = headers.get(HOST).cloned()
    {
        headers.insert(X_FORWARDED_HOST, host);
    }
}

/// All addresses that `X-Forwarded-For` names already, in however many fields, and the client's.
fn chained(headers: &HeaderMap, client: &HeaderValue) -> Option<HeaderValue> {
    let before = headers.get_all(X_FORWARDED_FOR).iter().chain([client]).map(HeaderValue::as_bytes);
    HeaderValue::from_bytes(&before.collect::<Vec<_>>().join(&b", "[..])).ok()
}

/// Takes out the fields that concern one connection: those RFC 9110, 7.6.1 lists, and those `Connection` names.
fn clean(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            // As bytes: one option that is no text must not save the others.
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
            .filter(|name| *name != HOST && *name != CONTENT_LENGTH)
            .collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    for name in [KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
}

fn names(headers: &HeaderMap, option: &str) -> bool {
    headers.get_all(CONNECTION).iter().any(|value| lists(value, option))
}

fn lists(value: &HeaderValue, option: &str) -> bool {
    let listed = value.to_str().unwrap_or_default();
    listed.split(',').any(|one| one.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(option))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_concerns_one_connection_goes_no_further() {
        let mut headers = map(&[
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "secret"),
            ("te", "gzip, trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAA"),
            ("authorization", "kept"),
        ]);
        let traits = Traits::of(&headers);
        clean_request(&mut headers, traits, Exchange::Plain);
        assert_eq!(headers, map(&[("te", "trailers"), ("authorization", "kept")]));
    }

    #[test]
    fn an_option_that_is_no_text_saves_no_other() {
        let mut headers = map(&[("x-hop", "1"), ("x-kept", "2")]);
        headers.append(CONNECTION, HeaderValue::from_bytes(b"\xffa, x-hop").unwrap());
        let traits = Traits::of(&headers);
        clean_request(&mut headers, traits, Exchange::Plain);
        assert_eq!(headers, map(&[("x-kept", "2")]));
    }

    #[test]
    fn a_length_that_is_none_goes_no_further() {
        for (length, kept) in [("5", true), ("ransfer", false), ("+5", false), ("", false)] {
            let head = http::Response::builder().status(304).header(CONTENT_LENGTH, length).body(()).unwrap();
            let (mut parts, ()) = head.into_parts();
            clean_response(&mut parts, Exchange::Plain, &Pseudonym::random(1));
            assert_eq!(parts.headers.contains_key(CONTENT_LENGTH), kept, "{length:?}");
        }
    }

    #[test]
    fn only_chunked_is_undone_here() {
        let refused = |fields| {
            let headers = map(fields);
            refuse_codings(&headers, Traits::of(&headers)).is_err()
        };
        assert!(!refused(&[("te", "trailers")]) && !refused(&[("transfer-encoding", " Chunked")]));
        assert!(refused(&[("transfer-encoding", "gzip, chunked")]));
        assert!(refused(&[("transfer-encoding", "gzip"), ("transfer-encoding", "chunked")]));
        assert!(refused(&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")]));
    }

    #[test]
    fn an_upgrade_keeps_what_it_needs() {
        let mut headers = map(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        let traits = Traits::of(&headers);
        clean_request(&mut headers, traits, Exchange::Upgrade);
        assert_eq!(headers, map(&[("connection", "upgrade"), ("upgrade", "websocket")]));
    }

    #[test]
    fn forwarding_appends() {
        let mut headers = map(&[("x-forwarded-for", "10.1.1.1"), ("host", "greeter")]);
        let traits = Traits::of(&headers);
        add_forwarded(&mut headers, traits, &HeaderValue::from_static("127.0.0.1"));
        assert_eq!(headers["x-forwarded-for"], "10.1.1.1, 127.0.0.1");
        assert_eq!(headers["x-forwarded-host"], "greeter");
        assert_eq!(headers["x-forwarded-proto"], "http");
    }

    #[test]
    fn attempts_are_told_in_the_callers_own_way() {
        for (given, number, told) in [
            (map(&[]), 2, ("x-wayside-attempt", "2")),
            (map(&[("x-wayside-attempt", "7")]), 3, ("x-wayside-attempt", "3")),
            (map(&[("content-type", "application/grpc")]), 2, ("grpc-previous-rpc-attempts", "1")),
            (
                map(&[("content-type", "application/grpc"), ("grpc-previous-rpc-attempts", "2")]),
                3,
                ("grpc-previous-rpc-attempts", "4"),
            ),
        ] {
            let mut headers = given;
            let traits = Traits::of(&headers);
            add_attempt(&mut headers, traits, number);
            assert_eq!(headers[told.0], told.1);
        }
    }

    #[test]
    fn own_name_in_via_is_a_loop() {
        let own = Pseudonym::random(7);
        let refused = |fields| {
            let headers = map(fields);
            refuse_loop(&headers, Traits::of(&headers), &own).is_err()
        };
        assert!(!refused(&[("via", "1.1 wayside-00000008, 1.0 other")]));
        assert!(refused(&[("via", "1.0 other"), ("via", "1.1 x, 1.1 wayside-00000007")]));
    }
}
