//! WebSocket: the same request as HTTP/1.1 (RFC 6455) and HTTP/2 (RFC 8441) make it, and one made into the other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use h2::ext::Protocol;
use http::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderMap, Method, Request};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::body::Body;

/// The protocol's name in `Upgrade` and in `:protocol`.
const WEBSOCKET: &str = "websocket";

/// What is hashed behind the key (RFC 6455, 1.3).
const BEHIND_KEY: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The key of a request that is HTTP/2 at present, should it become HTTP/1.1 again.
#[derive(Clone, Debug)]
struct KeptKey(HeaderValue);

/// Whether an HTTP/2 request asks for a WebSocket.
pub fn is_asked_for<B>(message: &Request<B>) -> bool {
    message.method() == Method::CONNECT
        && message.extensions().get::<Protocol>().is_some_and(|protocol| protocol.as_str() == WEBSOCKET)
}

/// Whether an upgrade is to a WebSocket.
pub fn is_upgrade(headers: &HeaderMap) -> bool {
    headers
        .get(UPGRADE)
        .is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(WEBSOCKET.as_bytes()))
}

/// Makes an HTTP/2 request for a WebSocket one of HTTP/1.1, with this key (RFC 8441, 5).
pub fn to_http1(message: &mut Request<Body>, key: HeaderValue) {
    message.extensions_mut().remove::<Protocol>();
    upgrade(message, Some(key));
}

/// Makes an upgrade to a WebSocket one of HTTP/2.
pub fn to_http2(message: &mut Request<Body>) {
    *message.method_mut() = Method::CONNECT;
    let headers = message.headers_mut();
    headers.remove(CONNECTION);
    headers.remove(UPGRADE);
    let key = headers.remove(SEC_WEBSOCKET_KEY);
    let extensions = message.extensions_mut();
    extensions.insert(Protocol::from_static(WEBSOCKET));
    if let Some(key) = key {
        extensions.insert(KeptKey(key));
    }
}

/// Undoes [`to_http2`].
pub fn back_to_http1(message: &mut Request<Body>) {
    let extensions = message.extensions_mut();
    if extensions.remove::<Protocol>().is_some() {
        let key = extensions.remove::<KeptKey>().map(|KeptKey(key)| key);
        upgrade(message, key);
    }
}

/// Asks in the way of HTTP/1.1, with a key where its client has one.
fn upgrade(message: &mut Request<Body>, key: Option<HeaderValue>) {
    *message.method_mut() = Method::GET;
    let headers = message.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
    if let Some(key) = key {
        headers.insert(SEC_WEBSOCKET_KEY, key);
    }
}

/// Makes HTTP/2's yes that of HTTP/1.1 to this key.
pub fn agree(headers: &mut HeaderMap, key: Option<&HeaderValue>) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
    if let Some(key) = key {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept(key));
    }
}

/// Whether a provider's answer is for this key, which shows that it understood; takes out what HTTP/2 has no use for.
pub fn agreed(headers: &mut HeaderMap, key: Option<&HeaderValue>) -> bool {
    headers.remove(CONNECTION);
    headers.remove(UPGRADE);
    let accepted = headers.remove(SEC_WEBSOCKET_ACCEPT);
    accepted.is_some() && accepted == key.map(accept)
}

/// A key of 16 bytes made by chance.
pub fn key(luck: u128) -> HeaderValue {
    value(&STANDARD.encode(luck.to_be_bytes()))
}

/// The answer to a key.
fn accept(key: &HeaderValue) -> HeaderValue {
    let both = [key.as_bytes(), BEHIND_KEY].concat();
    value(&STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &both)))
}

fn value(base64: &str) -> HeaderValue {
    HeaderValue::from_str(base64).expect("base64 is written with visible ASCII characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_key_is_the_one_of_the_specification() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_request_made_into_the_other_and_back_is_the_same() {
        for key in [Some("abc"), None] {
            let request =
                Request::get("/chat?x").header("sec-websocket-version", "13").header("connection", "upgrade");
            let mut message = request.header("upgrade", "websocket").body(Body::empty()).unwrap();
            message.headers_mut().extend(key.map(|key| (SEC_WEBSOCKET_KEY, HeaderValue::from_static(key))));
            let before = (message.method().clone(), message.uri().clone(), message.headers().clone());
            assert!(is_upgrade(message.headers()) && !is_asked_for(&message));
            to_http2(&mut message);
            assert!(is_asked_for(&message) && message.headers().len() == 1);
            back_to_http1(&mut message);
            assert_eq!(before, (message.method().clone(), message.uri().clone(), message.headers().clone()));
            assert!(message.extensions().get::<Protocol>().is_none());
        }
    }

    #[test]
    fn only_the_right_answer_is_one() {
        let key = key(7);
        let mut headers = HeaderMap::new();
        agree(&mut headers, Some(&key));
        assert!(agreed(&mut headers.clone(), Some(&key)));
        assert!(!agreed(&mut headers.clone(), Some(&self::key(8))));
        assert!(!agreed(&mut HeaderMap::new(), None));
        agreed(&mut headers, Some(&key));
        assert!(headers.is_empty());
    }
}
