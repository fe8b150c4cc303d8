//! What an HTTP/2 request must be like (RFC 9113, 8.2 and 8.3), beyond what the library holds, and what of it HTTP/1.1 says otherwise.

use http::header::{HOST, HeaderValue};
use http::uri::Authority;
use http::{Method, Request, Uri};

use crate::body::Body;
use crate::proxy::error::ProxyError;
use crate::proxy::headers;
use crate::proxy::record::Record;
use crate::proxy::traits::Traits;
use crate::proxy::websocket;
use crate::proxy::worker::Worker;

/// Puts a request into the form that all layers know, and gives what its headers are like from now on. A request for a
/// WebSocket (RFC 8441) becomes the one that HTTP/1.1 would make; its record has the way back.
///
/// # Errors
/// [`ProxyError::BadRequest`] and [`ProxyError::HeadersTooMany`].
pub fn adapt(
    message: &mut Request<Body>,
    traits: Traits,
    record: &Record,
    worker: &Worker,
) -> Result<Traits, ProxyError> {
    if websocket::is_asked_for(message) {
        let key = websocket::key(worker.random_id());
        websocket::to_http1(message, key);
    }
    if message.method() != Method::CONNECT {
        check_target(message.method(), message.uri())?;
        check_host(message.uri(), message.headers().get(HOST))?;
    }
    if message.headers().values().any(is_padded) {
        return Err(ProxyError::BadRequest("a space before or behind the value of a field"));
    }
    if traits.has(Traits::COOKIES) {
        headers::join_cookies(message.headers_mut());
    }
    let limit = worker.shared.settings.headers_max;
    if message.headers().len() > limit {
        return Err(ProxyError::HeadersTooMany { limit });
    }
    Ok(if record.tunnel.borrow().is_some() { Traits::of(message.headers()) } else { traits })
}

/// Whether a value begins or ends with what HTTP/1.1 would leave out, and HTTP/2 does not allow (RFC 9113, 8.2.1).
fn is_padded(value: &HeaderValue) -> bool {
    let value = value.as_bytes();
    [value.first(), value.last()].into_iter().flatten().any(|byte| matches!(byte, b' ' | b'\t'))
}

/// `:scheme` is what this proxy can speak, `:path` a path, or `*` for OPTIONS (RFC 9113, 8.3.1).
fn check_target(method: &Method, uri: &Uri) -> Result<(), ProxyError> {
    if uri.scheme_str().is_some_and(|scheme| scheme != "http" && scheme != "https") {
        return Err(ProxyError::BadRequest("the :scheme is neither http nor https"));
    }
    match uri.path_and_query().map(http::uri::PathAndQuery::as_str) {
        Some("*") if method == Method::OPTIONS => Ok(()),
        Some(path) if path.starts_with('/') => Ok(()),
        Some(_) | None => Err(ProxyError::BadRequest("the :path is no path")),
    }
}

/// One host is named, and in one way: a `Host` beside `:authority` says the same (RFC 9113, 8.3.1).
fn check_host(uri: &Uri, host: Option<&HeaderValue>) -> Result<(), ProxyError> {
    let Some(authority) = uri.authority().map(Authority::as_str) else {
        return match host {
            Some(_) => Ok(()),
            None => Err(ProxyError::BadRequest("no :authority; send exactly one")),
        };
    };
    if authority.contains('@') {
        return Err(ProxyError::BadRequest("a user in :authority, which http does not know"));
    }
    let is_same = |host: &HeaderValue| host.as_bytes().eq_ignore_ascii_case(authority.as_bytes());
    if host.is_none_or(is_same) {
        Ok(())
    } else {
        Err(ProxyError::BadRequest("Host differs from :authority; send one of them"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_path() {
        let is_good =
            |method: Method, uri: &'static str| check_target(&method, &Uri::from_static(uri)).is_ok();
        assert!(
            is_good(Method::GET, "http://svc/x?y")
                && is_good(Method::GET, "https://svc/")
                && is_good(Method::GET, "/x")
        );
        assert!(is_good(Method::OPTIONS, "*"));
        assert!(!is_good(Method::GET, "*") && !is_good(Method::GET, "ftp://svc/x"));
    }

    #[test]
    fn a_value_has_no_space_around_it() {
        let is_padded = |value| is_padded(&HeaderValue::from_static(value));
        assert!(is_padded(" a") && is_padded("a\t") && is_padded(" "));
        assert!(!is_padded("a b") && !is_padded(""));
    }

    #[test]
    fn host_and_authority_say_the_same() {
        let is_good = |uri: &'static str, host: Option<&'static str>| {
            check_host(&Uri::from_static(uri), host.map(HeaderValue::from_static).as_ref()).is_ok()
        };
        assert!(is_good("http://svc/", None) && is_good("/", Some("svc")));
        assert!(is_good("http://svc:80/", Some("SVC:80")));
        assert!(!is_good("/", None) && !is_good("http://svc/", Some("other")));
        assert!(!is_good("http://me@svc/", None) && !is_good("http://svc/", Some("")));
    }
}
