//! What a request says of where it goes: its target and its `Host`, refused where two readers could see different things.

use http::header::HOST;
use http::uri::Scheme;
use http::{Method, Request, Uri, Version};

use super::error::ProxyError;
use super::traits::Traits;
use crate::route::is_name_byte;

/// Refuses a target or a `Host` that is not as it should be (RFC 9112, 3.2; RFC 9110, 4.2 and 7.2).
///
/// # Errors
/// [`ProxyError::BadRequest`] or [`ProxyError::ConnectRefused`].
pub fn check<B>(message: &Request<B>, traits: Traits) -> Result<(), ProxyError> {
    let uri = message.uri();
    let is_connect = message.method() == Method::CONNECT;
    if is_connect && (uri.scheme().is_some() || uri.path_and_query().is_some() || !names_port(uri)) {
        return Err(ProxyError::ConnectRefused);
    }
    if traits.has(Traits::HOSTS) {
        return refused("more than one Host; send exactly one");
    }
    if !traits.has(Traits::HOST) {
        if message.version() == Version::HTTP_11 {
            return refused("no Host; send exactly one");
        }
    } else if message.headers().get(HOST).is_some_and(|host| !is_host(host.as_bytes())) {
        return refused("a Host that is none; send a name or an address, and perhaps a port");
    }
    match (uri.scheme(), uri.authority()) {
        (None, Some(_)) if is_connect => Ok(()),
        (None, None) if uri.path() == "*" && message.method() != Method::OPTIONS => {
            refused("the request target is no path; only OPTIONS may ask of a whole host")
        }
        (None, None) => Ok(()),
        (None, Some(_)) => refused("the request target is no path; only CONNECT may name a host alone"),
        (Some(scheme), _) if *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS => {
            refused("the request target has a scheme other than http and https")
        }
        (Some(_), Some(authority)) if authority.as_str().contains('@') => {
            refused("the request target names a user; leave it out")
        }
        (Some(_), Some(authority)) if !is_host(authority.as_str().as_bytes()) => {
            refused("the request target names no host; send a name or an address, and perhaps a port")
        }
        (Some(_), _) => Ok(()),
    }
}

/// Whether a target is a host and a port, as that of CONNECT has to be (RFC 9110, 9.3.6).
fn names_port(uri: &Uri) -> bool {
    uri.authority()
        .is_some_and(|authority| authority.port().is_some() && is_host(authority.as_str().as_bytes()))
}

const fn refused(why: &'static str) -> Result<(), ProxyError> {
    Err(ProxyError::BadRequest(why))
}

/// Whether a value could be a host and a port: nothing but what RFC 3986 lets stand there, and no list. It may be empty.
fn is_host(value: &[u8]) -> bool {
    value.iter().all(|byte| HOST_BYTES[usize::from(*byte)])
}

/// What names may have, but for the comma, which stands between values of a field that may have several;
/// and what ports, addresses and percent-encoding take.
static HOST_BYTES: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let it = byte as u8;
        allowed[byte] = is_name_byte(it) && it != b',' || matches!(it, b':' | b'[' | b']' | b'%');
        byte += 1;
    }
    allowed
};

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(method: &str, target: &str, hosts: &[&str]) -> bool {
        let mut request = Request::builder().method(method).uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let request = request.body(()).unwrap();
        check(&request, Traits::of(request.headers())).is_ok()
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for host in
            ["svc", "svc:80", "a.b-c_d~e", "[::1]:80", "[fe80::1%25eth0]", "", "127.0.0.1", "a%20b", "x:1.0"]
        {
            assert!(checked("GET", "/", &[host]), "{host}");
        }
        for host in ["a b", "a,b", "svc, svc", "a/b", "a@b", "a\tb", "a?b", "a#b", "a\\b", "\"a\"", "a<b"] {
            assert!(!checked("GET", "/", &[host]), "{host}");
        }
        assert!(!checked("GET", "/", &[]) && !checked("GET", "/", &["a", "a"]));
    }

    #[test]
    fn a_target_is_a_path_or_names_a_host_as_it_should() {
        for target in ["/", "//a", "/a/../b", "/%00", "http://svc/x", "https://svc", "http://svc:80?x"] {
            assert!(checked("GET", target, &["svc"]), "{target}");
        }
        for target in [
            "*",
            "svc",
            "svc:80",
            "ftp://svc/x",
            "http://me@svc/x",
            "http://me:secret@svc/x",
            "http://svc,other/x",
        ] {
            assert!(!checked("GET", target, &["svc"]), "{target}");
        }
        assert!(checked("OPTIONS", "*", &["svc"]) && checked("CONNECT", "svc:80", &["svc"]));
        for target in ["svc", "/svc:80", "http://svc:80/", "me@svc:80"] {
            assert!(!checked("CONNECT", target, &["svc"]), "{target}");
        }
    }
}
