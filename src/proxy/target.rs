//! What a request says of where it goes: its target and its `Host`, refused where two readers could see different things.

use std::net::Ipv6Addr;

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

/// Whether a value is a host, and perhaps a port, as RFC 3986 has them (3.2.2 and 3.2.3), and no list. It may be empty; and an
/// IPv6 address is unmistakable without its brackets, too.
fn is_host(value: &[u8]) -> bool {
    let (is_host, port) = if let Some(rest) = value.strip_prefix(b"[") {
        let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
        (is_ipv6(&rest[..end]), &rest[end + 1..])
    } else {
        let colon = value.iter().position(|byte| *byte == b':').unwrap_or(value.len());
        (value[..colon].iter().all(|byte| HOST_BYTES[usize::from(*byte)]), &value[colon..])
    };
    let is_port = match port {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_host && is_port || is_ipv6(value)
}

/// Whether this is an IPv6 address, perhaps with a zone (RFC 6874).
fn is_ipv6(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let (address, zone) = text.split_once('%').unwrap_or((text, ""));
    address.parse::<Ipv6Addr>().is_ok() && zone.bytes().all(|byte| HOST_BYTES[usize::from(byte)])
}

/// What names may have, but for the comma, which stands between values of a field that may have several;
/// and what percent-encoding takes.
static HOST_BYTES: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let it = byte as u8;
        allowed[byte] = is_name_byte(it) && it != b',' || it == b'%';
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
        for host in [
            "svc",
            "svc:80",
            "svc:",
            "a.b-c_d~e",
            "[::1]:80",
            "[fe80::1%25eth0]",
            "::1",
            "",
            "127.0.0.1",
            "a%20b",
        ] {
            assert!(checked("GET", "/", &[host]), "{host}");
        }
        for host in ["a b", "a,b", "svc, svc", "a/b", "a@b", "a\tb", "a?b", "a#b", "a\\b", "\"a\"", "a<b"] {
            assert!(!checked("GET", "/", &[host]), "{host}");
        }
        for host in ["x:1.0", "a:b", "a:80:90", "a:-1", "[::1", "[::1]x", "[a]", "a[b]", "]", "[]", "::1::"] {
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
