//! What of a message's headers belongs to one connection only, and what a proxy adds (RFC 9110, 7.6; RFC 7230, 5.7).

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{Version, response};

use super::error::ProxyError;
use super::request::Exchange;
use super::traits::Traits;
use super::upgrade;
use super::worker::Pseudonym;
use crate::provider::Provider;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

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

/// Refuses a request that was here before.
///
/// # Errors
/// [`ProxyError::Loop`].
pub fn refuse_loop(headers: &HeaderMap, traits: Traits, own: &Pseudonym) -> Result<(), ProxyError> {
    if !traits.has(Traits::VIA) {
        return Ok(());
    }
    // Whatever else may stand there, bytes that are no text included. A comma within a comment parts it too: where comments
    // end is for whoever wrote them to say, and one that never does must not hide what comes behind it.
    let is_own = |hop: &[u8]| {
        let mut words = hop.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        words.nth(1).is_some_and(|by| by.eq_ignore_ascii_case(own.name.as_bytes()))
    };
    let ours = |value: &HeaderValue| value.as_bytes().split(|byte| *byte == b',').any(is_own);
    if headers.get_all(VIA).iter().any(ours) { Err(ProxyError::Loop) } else { Ok(()) }
}

/// Makes one field of several `Cookie` fields, into which HTTP/2 may take the one apart (RFC 9113, 8.2.3).
pub fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, whole);
    }
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
pub fn clean_request(headers: &mut HeaderMap, traits: Traits, exchange: Exchange, is_gated: bool) {
    // Where nothing is held back, be it for an old client, there is nothing to be asked for either (RFC 9110, 10.1.1).
    if traits.has(Traits::EXPECT)
        && (exchange != Exchange::Plain || !is_gated && expects_to_continue(headers))
    {
        headers.remove(EXPECT);
    }
    if !traits.has(Traits::HOP) {
        return;
    }
    let trailers = headers.get_all(TE).iter().any(|value| lists(value, "trailers"));
    let protocols = if exchange == Exchange::Upgrade { headers.remove(UPGRADE) } else { None };
    let protocols = protocols.as_ref().and_then(upgrade::without_http2);
    clean(headers);
    headers.remove(PROXY_AUTHORIZATION);
    headers.remove(HTTP2_SETTINGS);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(protocols) = protocols {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocols);
    }
}

/// Whether the sender of a request waits to be told to send its body (RFC 9110, 10.1.1).
pub fn expects_to_continue(headers: &HeaderMap) -> bool {
    let expected = headers.get_all(EXPECT).iter().next_back();
    expected.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Takes out of any answer's headers what ends at this proxy, and says that it came through here.
pub fn clean_answer(headers: &mut HeaderMap, received: Version, own: &Pseudonym) {
    if Traits::of(headers).has(Traits::HOP) {
        clean(headers);
    }
    headers.append(VIA, own.via(received));
}

/// Takes out what belongs to a connection of HTTP/1, and must not stand in a message over HTTP/2 (RFC 9113, 8.2.2).
pub fn fit_http2(headers: &mut HeaderMap) {
    if !Traits::of(headers).has(Traits::HOP) {
        return;
    }
    let wants_trailers = headers.remove(TE).is_some_and(|value| value == "trailers");
    clean(headers);
    if wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Takes out of a response what ends at this proxy, and says that it came through here.
pub fn clean_response(parts: &mut response::Parts, exchange: Exchange, own: &Pseudonym) {
    let switching = parts.status == http::StatusCode::SWITCHING_PROTOCOLS && exchange == Exchange::Upgrade;
    let upgrade = if switching { parts.headers.remove(UPGRADE) } else { None };
    clean_answer(&mut parts.headers, parts.version, own);
    if parts.status == http::StatusCode::NO_CONTENT {
        // It has none, whatever it says (RFC 9110, 8.6).
        parts.headers.remove(CONTENT_LENGTH);
    }
    if let Some(protocol) = upgrade {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(UPGRADE, protocol);
    }
}

/// Asks a provider for its own host, without the port that is usual for how it is spoken with (RFC 9110, 4.2).
pub fn ask_for_its_own_host(headers: &mut HeaderMap, provider: &Provider) {
    let address = &provider.address;
    let usual = if provider.secure { ":443" } else { ":80" };
    let written = address.to_string();
    let host = written.strip_suffix(usual).unwrap_or(&written);
    if let Ok(host) = HeaderValue::from_str(host) {
        headers.insert(HOST, host);
    }
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

/// Takes out the fields that concern one connection: those RFC 9110, 7.6.1 lists, and those `Connection` names.
fn clean(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
            .filter(|name| END_TO_END.binary_search(&name.as_str()).is_err())
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

/// Fields that are meant for whoever answers in the end, or for all, so that no sender may have them end here (RFC 9110, 7.6.1);
/// in order. What says who asks, where to, and how to read it must not be taken off by a word in another field.
pub const END_TO_END: [&str; 20] = [
    "authorization",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "max-forwards",
    "origin",
    "range",
    "set-cookie",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
];

pub(super) fn names(headers: &HeaderMap, option: &str) -> bool {
    headers.get_all(CONNECTION).iter().any(|value| lists(value, option))
}

pub(super) fn lists(value: &HeaderValue, option: &str) -> bool {
    value.as_bytes().split(|byte| *byte == b',').any(|one| {
        let name = one.split(|byte| *byte == b';').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(option.as_bytes())
    })
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
            ("te", "gzip"),
            ("te", "deflate, trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAA"),
            ("authorization", "kept"),
        ]);
        let traits = Traits::of(&headers);
        clean_request(&mut headers, traits, Exchange::Plain, false);
        assert_eq!(headers, map(&[("te", "trailers"), ("authorization", "kept")]));
    }

    #[test]
    fn no_word_takes_off_what_secures_a_request() {
        assert!(END_TO_END.is_sorted());
        let mut headers = map(&[
            ("connection", "close, Authorization, cookie, X-Internal"),
            ("connection", "content-length, host, x-forwarded-for, y-hop"),
            ("authorization", "secret"),
            ("cookie", "a=b"),
            ("content-length", "5"),
            ("host", "svc"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-internal", "1"),
            ("y-hop", "1"),
        ]);
        headers.append(CONNECTION, HeaderValue::from_bytes(b"z-hop, \xff").unwrap());
        headers.append("z-hop", HeaderValue::from_static("1"));
        let traits = Traits::of(&headers);
        clean_request(&mut headers, traits, Exchange::Plain, false);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["authorization", "content-length", "cookie", "host", "x-forwarded-for"]);
    }

    #[test]
    fn an_expectation_goes_on_only_where_a_body_is_held_back() {
        for (value, exchange, is_gated, stays) in [
            ("100-continue", Exchange::Plain, true, true),
            ("100-Continue", Exchange::Plain, false, false),
            ("100-continue", Exchange::Upgrade, true, false),
            ("something-else", Exchange::Plain, false, true),
        ] {
            let mut headers = map(&[("expect", value)]);
            let traits = Traits::of(&headers);
            clean_request(&mut headers, traits, exchange, is_gated);
            assert_eq!(headers.contains_key(EXPECT), stays, "{value}, {exchange:?}");
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
    fn cookies_that_were_taken_apart_become_one() {
        let mut headers = map(&[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2; c=3"), ("cookie", "d")]);
        join_cookies(&mut headers);
        assert_eq!(headers, map(&[("cookie", "a=1; b=2; c=3; d"), ("x", "y")]));
    }

    #[test]
    fn an_upgrade_keeps_what_it_needs() {
        let mut headers = map(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        let traits = Traits::of(&headers);
        clean_request(&mut headers, traits, Exchange::Upgrade, false);
        assert_eq!(headers, map(&[("connection", "upgrade"), ("upgrade", "websocket")]));
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
        let refused = |fields: &[&'static [u8]]| {
            let mut headers = HeaderMap::new();
            for value in fields {
                headers.append(VIA, HeaderValue::from_bytes(value).unwrap());
            }
            refuse_loop(&headers, Traits::of(&headers), &own).is_err()
        };
        for fields in [
            &[&b"1.0 other"[..], b"1.1 x, 1.1 wayside-00000007"][..],
            &[b"2.0 wayside-00000007"],
            &[b"HTTP/1.1  wayside-00000007 (a comment, of theirs)"],
            &[b"1.1 a,1.1\twayside-00000007"],
            &[b" , ,1.1   WAYSIDE-00000007 ,"],
            &[b"1.1 a (\xe9t\xe9), 1.1 wayside-00000007"],
            &[b"1.1 a (never closed, 1.1 wayside-00000007"],
        ] {
            assert!(refused(fields), "{fields:?}");
        }
        for fields in [
            &[&b"1.1 wayside-00000008, 1.0 other"[..]][..],
            &[b"1.1 other (wayside-00000007)"],
            &[b"1.1 wayside-000000070"],
            &[b"wayside-00000007"],
            &[b""],
        ] {
            assert!(!refused(fields), "{fields:?}");
        }
    }
}
