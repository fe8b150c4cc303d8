//! Who may ask: programs and people of this machine, but no page in a browser that was led here by a name of its own.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::Request;
use axum::http::header::{HOST, HeaderName, ORIGIN, VIA};
use axum::http::uri::Authority;
use axum::http::{Method, StatusCode, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::answer::Refusal;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// The names under which this port is asked.
///
/// A page on the web can make its own name resolve to 127.0.0.1 and then read what is answered there (DNS rebinding). It
/// cannot choose the `Host` that the browser sends with it, so only names that no stranger can own are answered.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    names: Arc<[String]>,
}

impl Guard {
    pub(super) fn new(names: &[String]) -> Self {
        Self { names: names.iter().map(|name| name.to_ascii_lowercase()).collect() }
    }

    fn knows(&self, authority: &str) -> bool {
        let host = host(authority);
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        bare.is_some_and(|bare| bare.parse::<Ipv6Addr>().is_ok())
            || host.parse::<Ipv4Addr>().is_ok()
            || host == "localhost"
            || host.strip_suffix(".localhost").is_some_and(|label| !label.is_empty())
            || self.names.contains(&host)
    }

    fn judge(&self, request: &Request) -> Result<(), Refusal> {
        let host = self.host(request)?;
        no_stranger(request, host)?;
        not_through_us(request)
    }

    /// The host that is asked, one of this port's names; empty where HTTP/1.0 has none, which no browser speaks.
    fn host<'r>(&self, request: &'r Request) -> Result<&'r str, Refusal> {
        let mut hosts = request.headers().get_all(HOST).iter();
        let host = hosts.next().map(|host| host.to_str().unwrap_or("?"));
        let authority = request.uri().authority().map(Authority::as_str);
        let is_whole = authority.is_some() || request.version() < Version::HTTP_11;
        if hosts.next().is_some() || (host.is_none() && !is_whole) {
            let error = "there is not exactly one Host";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, error, "send one, as every client does"));
        }
        // What an absolute target says counts, and a Host that says something else is no sign of good faith.
        if let Some(stranger) = authority.into_iter().chain(host).find(|host| !self.knows(host)) {
            let error =
                format!("{stranger:?} is no name of this proxy; a page in a browser may have been led here");
            let cure = "ask by IP address or as localhost, or list the name in admin.hosts";
            return Err(Refusal::new(StatusCode::FORBIDDEN, error, cure));
        }
        Ok(authority.or(host).unwrap_or_default())
    }
}

/// Refuses what a page of another origin has a browser send. Browsers say so by `Origin` with whatever may change something,
/// and by `Sec-Fetch-Site` (Fetch Metadata, 2.3) with everything; a link to the page of this port may be followed.
fn no_stranger(request: &Request, host: &str) -> Result<(), Refusal> {
    let cure = "open the page of this port itself, or ask without a browser";
    let texts = |name: HeaderName| {
        let values = request.headers().get_all(name).into_iter();
        values.map(|value| value.to_str().unwrap_or("?")).collect::<Vec<_>>()
    };
    let is_own = |origin: &str| {
        let same = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        same.is_some_and(|same| same.eq_ignore_ascii_case(host))
    };
    // No browser writes several; what does is not judged by the one that suits it.
    if let Some(origin) = texts(ORIGIN).into_iter().find(|origin| !is_own(origin)) {
        let error = format!("the page at {origin:?} may not ask this proxy");
        return Err(Refusal::new(StatusCode::FORBIDDEN, error, cure));
    }
    let is_link = || {
        let is_navigation = texts(SEC_FETCH_MODE) == ["navigate"] && texts(SEC_FETCH_DEST) == ["document"];
        is_navigation && request.method() == Method::GET && request.uri().path() == "/"
    };
    match texts(SEC_FETCH_SITE)[..] {
        [] | ["same-origin" | "none"] => Ok(()),
        ["cross-site" | "same-site"] if is_link() => Ok(()),
        _ => Err(Refusal::new(StatusCode::FORBIDDEN, "a page of another site may not ask this proxy", cure)),
    }
}

/// Refuses what came through a proxy of this kind: whoever can write to a registry could list this port as a provider, and the
/// apps beside the proxy would ask it in good faith.
fn not_through_us(request: &Request) -> Result<(), Refusal> {
    let is_ours = |hop: &[u8]| {
        let mut words = hop.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        words.nth(1).is_some_and(|by| by.to_ascii_lowercase().starts_with(b"wayside-"))
    };
    let hops = request.headers().get_all(VIA).iter();
    if hops.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).any(is_ours) {
        let error = "this came through a proxy: a registry lists this port as the provider of a service";
        let cure = "delete that record, and ask this port directly";
        return Err(Refusal::new(StatusCode::FORBIDDEN, error, cure));
    }
    Ok(())
}

/// The part of an authority before its port.
fn host(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) | None => authority,
    }
}

/// Answers those who may ask, and tells others why they may not.
pub(super) async fn check(guard: Guard, request: Request, next: Next) -> Response {
    match guard.judge(&request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn judged(request: axum::http::request::Builder) -> Option<u16> {
        let guard = Guard::new(&["Sidecar.internal".to_owned()]);
        let refusal = guard.judge(&request.body(Body::empty()).unwrap()).err()?;
        Some(refusal.into_response().status().as_u16())
    }

    fn allows(host: Option<&str>, origin: Option<&str>) -> bool {
        let mut request = Request::builder().uri("/").version(Version::HTTP_10);
        for (name, value) in [(HOST, host), (ORIGIN, origin)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        judged(request).is_none()
    }

    #[test]
    fn names_that_nobody_else_can_own_are_answered() {
        for host in [
            "127.0.0.1:4141",
            "127.0.0.1",
            "[::1]:4141",
            "[::1]",
            "localhost:4141",
            "LOCALHOST",
            "localhost.",
            "a.localhost:1",
        ] {
            assert!(allows(Some(host), None), "{host}");
        }
        assert!(allows(None, None));
        assert!(allows(Some("sidecar.internal:4141"), None));
    }

    #[test]
    fn other_names_are_not() {
        for host in [
            "evil.example",
            "evil.example:4141",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "notlocalhost",
            "::1x",
            "[evil]",
            "127.0.0.1:x",
            ".localhost",
            "localhost..",
            "localhost@evil.example",
            "evil.example@localhost",
        ] {
            assert!(!allows(Some(host), None), "{host}");
        }
    }

    #[test]
    fn only_pages_of_this_port_may_ask() {
        let host = Some("localhost:4141");
        assert!(allows(host, Some("http://localhost:4141")));
        for origin in ["http://localhost:3000", "http://evil.example", "null", "", "ftp://localhost:4141"] {
            assert!(!allows(host, Some(origin)), "{origin}");
        }
    }
    #[test]
    fn there_is_one_host_however_it_is_said() {
        let request = |target: &str, hosts: &[&str]| {
            let request = Request::builder().uri(target);
            judged(hosts.iter().fold(request, |request, host| request.header(HOST, *host)))
        };
        assert_eq!(request("/", &["localhost"]), None);
        assert_eq!(request("/", &[]), Some(400));
        assert_eq!(request("/", &["localhost", "localhost"]), Some(400));
        assert_eq!(request("/", &["localhost", "evil.example"]), Some(400));
        assert_eq!(request("http://localhost:4141/", &["localhost:4141"]), None);
        assert_eq!(request("http://evil.example/", &["localhost"]), Some(403));
        assert_eq!(request("http://localhost/", &["evil.example"]), Some(403));
        assert_eq!(request("/", &[""]), Some(403));
    }

    #[test]
    fn other_sites_may_link_to_the_page_and_nothing_else() {
        let request = |method: &str, path: &str, fields: &[(&str, &str)]| {
            let request = Request::builder().method(method).uri(path).header(HOST, "localhost:4141");
            judged(fields.iter().fold(request, |request, (name, value)| request.header(*name, *value)))
        };
        let navigates = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        for site in ["cross-site", "same-site", "?"] {
            for (method, path) in
                [("GET", "/services"), ("GET", "/registry?service=a"), ("POST", "/registry")]
            {
                assert_eq!(request(method, path, &[("sec-fetch-site", site)]), Some(403), "{site} {path}");
                let link = [("sec-fetch-site", site), navigates[0], navigates[1]];
                assert_eq!(request(method, path, &link), Some(403), "{site} {path}");
            }
        }
        let link = |dest| [("sec-fetch-site", "cross-site"), navigates[0], ("sec-fetch-dest", dest)];
        assert_eq!(request("GET", "/", &link("document")), None);
        assert_eq!(request("GET", "/", &link("iframe")), Some(403));
        assert_eq!(request("POST", "/", &link("document")), Some(403));
        let twice = [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")];
        assert_eq!(request("GET", "/services", &twice), Some(403));
        let twice = [("origin", "http://localhost:4141"), ("origin", "http://evil.example")];
        assert_eq!(request("GET", "/services", &twice), Some(403));
        for site in ["same-origin", "none"] {
            assert_eq!(request("PUT", "/log-level", &[("sec-fetch-site", site)]), None, "{site}");
        }
    }

    #[test]
    fn what_a_proxy_of_this_kind_passes_on_is_refused() {
        let via = |value: &[u8]| {
            let value = axum::http::HeaderValue::from_bytes(value).unwrap();
            judged(Request::builder().uri("/config").header(HOST, "localhost:4141").header(VIA, value))
        };
        assert_eq!(via(b"1.1 wayside-0000abcd"), Some(403));
        assert_eq!(via(b"1.0 fred, 2.0\tWayside-0000abcd (\xe9)"), Some(403));
        assert_eq!(via(b"1.1 vegur"), None);
    }
}
