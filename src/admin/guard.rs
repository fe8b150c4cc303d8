//! Who may ask: programs and people of this machine, but no page in a browser that was led here by a name of its own.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{HOST, ORIGIN};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::answer::Refusal;

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
        let host = host(authority).trim_end_matches('.').to_ascii_lowercase();
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        bare.is_some_and(|bare| bare.parse::<Ipv6Addr>().is_ok())
            || host.parse::<Ipv4Addr>().is_ok()
            || host == "localhost"
            || host.ends_with(".localhost")
            || self.names.contains(&host)
    }

    fn judge(&self, request: &Request) -> Result<(), Refusal> {
        let mut hosts = request.headers().get_all(HOST).iter();
        let host = match request.uri().authority() {
            Some(authority) => authority.as_str(),
            None => hosts.next().map_or("", |host| host.to_str().unwrap_or("?")),
        };
        // HTTP/1.0 has no Host, and no browser speaks it.
        if !host.is_empty() && !self.knows(host) {
            let error =
                format!("{host:?} is no name of this proxy; a page in a browser may have been led here");
            let cure = "ask by IP address or as localhost, or list the name in admin.hosts";
            return Err(Refusal::new(StatusCode::FORBIDDEN, error, cure));
        }
        let Some(origin) = request.headers().get(ORIGIN) else { return Ok(()) };
        let origin = origin.to_str().unwrap_or("?");
        let same = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        if same.is_some_and(|same| same.eq_ignore_ascii_case(host)) {
            return Ok(());
        }
        let error = format!("the page at {origin:?} may not ask this proxy");
        Err(Refusal::new(
            StatusCode::FORBIDDEN,
            error,
            "open the page of this port itself, or ask without a browser",
        ))
    }
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

    fn allows(host: Option<&str>, origin: Option<&str>) -> bool {
        let mut request = Request::builder().uri("/");
        for (name, value) in [(HOST, host), (ORIGIN, origin)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        Guard::new(&["Sidecar.internal".to_owned()]).judge(&request.body(Body::empty()).unwrap()).is_ok()
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
}
