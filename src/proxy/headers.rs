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
    // Whatever else may stand there, bytes that are no text included. A comma within a comment parts it too: where comments
    // end is for whoever wrote them to say, and one that never does must not hide what comes behind it.
    let is_own = |hop: &[u8]| {
        let mut words = hop.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        words.nth(1).is_some_and(|by| by.eq_ignore_ascii_case(own.name.as_bytes()))
    };
    let ours = |value: &HeaderValue| value.as_bytes().split(|byte| *byte == b',').any(is_own);
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
    parts.headers.append(VIA, own.via(parts.version));
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
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
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
