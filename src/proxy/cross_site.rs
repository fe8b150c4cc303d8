//! Requests that a page of another site had a browser send, told by what only browsers write: no page can change it.

use http::header::{HeaderMap, HeaderName, HeaderValue, ORIGIN};

use super::error::ProxyError;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses such a request, to this host.
///
/// # Errors
/// [`ProxyError::CrossSite`].
pub fn refuse(headers: &HeaderMap, host: Option<&HeaderValue>) -> Result<(), ProxyError> {
    let is_own = match headers.get(SEC_FETCH_SITE) {
        // The page itself, or whoever typed the address (Fetch Metadata, 2.3).
        Some(site) => matches!(site.as_bytes(), b"same-origin" | b"none"),
        // Older browsers, and those that do not take this host for one to be told so.
        None => headers.get(ORIGIN).is_none_or(|origin| is_origin_of(origin, host)),
    };
    if is_own { Ok(()) } else { Err(ProxyError::CrossSite) }
}

fn is_origin_of(origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
    let origin = origin.as_bytes();
    let authority = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_other_sites_are_told_from_programs_and_own_pages() {
        let refused = |site: Option<&'static str>, origin: Option<&'static str>| {
            let fields = [(SEC_FETCH_SITE, site), (ORIGIN, origin)];
            let fields =
                fields.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::from_static(value?))));
            let host = HeaderValue::from_static("localhost:4140");
            refuse(&fields.collect(), Some(&host)).is_err()
        };
        assert!(!refused(None, None), "a program");
        assert!(!refused(Some("same-origin"), Some("http://localhost:4140")));
        assert!(!refused(Some("none"), None), "whoever typed the address");
        assert!(!refused(None, Some("http://LOCALHOST:4140")));
        for site in ["cross-site", "same-site", "", "Same-Origin", "same-origin, cross-site"] {
            assert!(refused(Some(site), Some("http://localhost:4140")), "{site}");
        }
        for origin in ["http://evil.example", "http://localhost:3000", "null", "", "file://", "http://"] {
            assert!(refused(None, Some(origin)), "{origin}");
        }
    }
}
