//! Which fields may stand in trailers: none that says how a message is read, where it goes, or who may.

use http::{HeaderMap, HeaderName};

/// Fields that mean something only ahead of the body (RFC 9110, 6.5.1), or on one connection (7.6.1); and those by which a client
/// that is not believed could say whom it comes from, to a provider that makes no difference. In order.
const HEAD_ONLY: [&str; 31] = [
    "age",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "expires",
    "forwarded",
    "host",
    "keep-alive",
    "location",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// Takes out of trailers what may not stand there: its reader could take it for a field of the head.
pub(super) fn clean(trailers: &mut HeaderMap) {
    let is_out =
        |name: &&HeaderName| HEAD_ONLY.binary_search(&name.as_str()).is_ok() || is_claim(name.as_str());
    let out: Vec<HeaderName> = trailers.keys().filter(is_out).cloned().collect();
    for name in out {
        trailers.remove(name);
    }
}

/// Whether a field could be taken for the word of a proxy on whom a request comes from, as it is taken out of the heads of clients
/// that are not believed (`proxy/forwarded.rs`): some read an underscore as a dash.
fn is_claim(name: &str) -> bool {
    // Nearly all begin otherwise.
    if !name.starts_with(['f', 'x']) {
        return false;
    }
    let name = name.replace('_', "-");
    name.starts_with("x-forwarded-") || matches!(&*name, "forwarded" | "x-forwarded" | "x-real-ip")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_what_means_something_at_the_end_stays() {
        assert!(HEAD_ONLY.is_sorted());
        let one = HeaderValue::from_static("1");
        let claims = ["x-real-ip", "x_real_ip", "x_forwarded_for", "x-forwarded-port", "x-forwarded"];
        let all = HEAD_ONLY.into_iter().chain(claims).chain(["grpc-status", "x-sum", "server-timing"]);
        let mut trailers: HeaderMap = all.map(|name| (HeaderName::from_static(name), one.clone())).collect();
        clean(&mut trailers);
        let mut left: Vec<&str> = trailers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["grpc-status", "server-timing", "x-sum"]);
    }
}
