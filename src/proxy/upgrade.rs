//! Whether a request asks to speak another protocol on its connection (RFC 9110, 7.8), and which ones that may be.

use http::header::{HeaderValue, UPGRADE};
use http::{Request, Version};

use super::headers::{lists, names};
use super::traits::Traits;

/// How HTTP/2 is asked for by an upgrade (RFC 7540, 3.2), which RFC 9113 has done away with.
const HTTP2: [&str; 2] = ["h2c", "h2"];

/// Whether a request asks for another protocol. Whoever asks for HTTP/2 asks this proxy, which takes it only from the first byte
/// on, and may pass over the wish: a provider could not tell how it is to be spoken, and some refuse what asks without saying.
pub fn is_wanted<B>(request: &Request<B>, traits: Traits) -> bool {
    traits.has(Traits::UPGRADE)
        && request.version() == Version::HTTP_11
        && names(request.headers(), "upgrade")
        && request.headers().get(UPGRADE).is_some_and(|protocols| without_http2(protocols).is_some())
}

/// What is asked for beside HTTP/2, if anything is.
pub fn without_http2(protocols: &HeaderValue) -> Option<HeaderValue> {
    if !HTTP2.iter().any(|protocol| lists(protocols, protocol)) {
        return Some(protocols.clone());
    }
    let is_http2 = |protocol: &[u8]| HTTP2.iter().any(|it| protocol.eq_ignore_ascii_case(it.as_bytes()));
    let named = protocols.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let others: Vec<&[u8]> = named.filter(|protocol| !protocol.is_empty() && !is_http2(protocol)).collect();
    if others.is_empty() { None } else { HeaderValue::from_bytes(&others.join(&b", "[..])).ok() }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::proxy::headers::clean_request;
    use crate::proxy::request::Exchange;

    #[test]
    fn http2_is_asked_of_nobody_by_an_upgrade() {
        for (asked, passed) in [
            ("websocket", Some("websocket")),
            ("foo/1, websocket", Some("foo/1, websocket")),
            ("h2c", None),
            ("H2C , h2,", None),
            ("h2c, websocket", Some("websocket")),
            ("foo/1,h2c,websocket", Some("foo/1, websocket")),
        ] {
            let request =
                Request::get("/").header("connection", "Upgrade, HTTP2-Settings").header("upgrade", asked);
            let mut request = request.header("http2-settings", "AAA").body(()).unwrap();
            let traits = Traits::of(request.headers());
            assert_eq!(is_wanted(&request, traits), passed.is_some(), "{asked}");
            let exchange = if passed.is_some() { Exchange::Upgrade } else { Exchange::Plain };
            clean_request(request.headers_mut(), traits, exchange, false);
            let left = |name| request.headers().get(name).map(|value: &HeaderValue| value.to_str().unwrap());
            assert_eq!((left("connection"), left("upgrade")), (passed.map(|_| "upgrade"), passed), "{asked}");
            assert_eq!(left("http2-settings"), None);
        }
        let none = Request::new(());
        assert!(!is_wanted(&none, Traits::of(&HeaderMap::new())));
    }
}
