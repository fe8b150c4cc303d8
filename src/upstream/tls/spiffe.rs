//! SPIFFE ids: who a workload is, wherever it runs, as its certificate says.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A SPIFFE id that is wanted, `spiffe://trust-domain/path`, or any of a trust domain, `spiffe://trust-domain/*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpiffeId {
    domain: Box<str>,
    /// With its slash; none if any will do.
    path: Option<Box<str>>,
}

/// Why a text is no SPIFFE id.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct SpiffeError(&'static str);

/// The scheme of all ids (SPIFFE-ID, section 2).
const SCHEME: &str = "spiffe://";
/// Bytes of an id (SPIFFE-ID, section 2.3), and of a trust domain.
const ID_MAX: usize = 2048;
const DOMAIN_MAX: usize = 255;

impl FromStr for SpiffeId {
    type Err = SpiffeError;

    fn from_str(text: &str) -> Result<Self, SpiffeError> {
        let rest = text.strip_prefix(SCHEME).ok_or(SpiffeError("it does not begin with spiffe://"))?;
        let slash = rest
            .find('/')
            .ok_or(SpiffeError("it has no path; end it with /* for every id of the trust domain"))?;
        let (domain, path) = rest.split_at(slash);
        if path == "/*" {
            check_domain(domain)?;
            return Ok(Self { domain: domain.into(), path: None });
        }
        check(text)?;
        Ok(Self { domain: domain.into(), path: Some(path.into()) })
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}{}", self.domain, self.path.as_deref().unwrap_or("/*"))
    }
}

impl SpiffeId {
    /// Whether this is the id of a certificate, or one of its trust domain where any will do. What is no id of a workload
    /// is none of those.
    pub(super) fn admits(&self, uri: &str) -> bool {
        let same = |rest: &str| match &self.path {
            Some(path) => rest == &**path,
            None => rest.starts_with('/'),
        };
        check(uri).is_ok()
            && uri.strip_prefix(SCHEME).and_then(|rest| rest.strip_prefix(&*self.domain)).is_some_and(same)
    }
}

/// Looks whether a text is the id of a workload, spelt in the one way that there is (SPIFFE-ID, section 2).
fn check(text: &str) -> Result<(), SpiffeError> {
    if text.len() > ID_MAX {
        return Err(SpiffeError("it has more than 2048 bytes"));
    }
    let rest = text.strip_prefix(SCHEME).ok_or(SpiffeError("it does not begin with spiffe://"))?;
    let (domain, path) = rest.split_once('/').ok_or(SpiffeError("it has no path"))?;
    check_domain(domain)?;
    for segment in path.split('/') {
        if matches!(segment, "" | "." | "..") {
            return Err(SpiffeError("a segment of its path is empty, or one or two dots"));
        }
        let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if !segment.bytes().all(is_sound) {
            return Err(SpiffeError(
                "its path has something else than letters, digits, dots, hyphens and underscores",
            ));
        }
    }
    Ok(())
}

fn check_domain(domain: &str) -> Result<(), SpiffeError> {
    let is_sound = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
    if domain.is_empty() {
        Err(SpiffeError("it has no trust domain"))
    } else if domain.len() > DOMAIN_MAX {
        Err(SpiffeError("its trust domain has more than 255 bytes"))
    } else if !domain.bytes().all(is_sound) {
        Err(SpiffeError(
            "its trust domain has something else than small letters, digits, dots, hyphens and underscores",
        ))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_admits_itself_and_a_trust_domain_all_of_its_own() {
        let id: SpiffeId = "spiffe://prod.example/ns/a/sa/b".parse().unwrap();
        let all: SpiffeId = "spiffe://prod.example/*".parse().unwrap();
        for (uri, by_id, by_all) in [
            ("spiffe://prod.example/ns/a/sa/b", true, true),
            ("spiffe://prod.example/ns/a/sa/bc", false, true),
            ("spiffe://prod.example/ns/a/sa", false, true),
            ("spiffe://prod.example/*", false, false),
            ("spiffe://prod.example", false, false),
            ("spiffe://prod.example/", false, false),
            ("spiffe://prod.example/ns/a/sa/b/", false, false),
            ("spiffe://prod.example/ns//sa", false, false),
            ("spiffe://prod.example/ns/../sa", false, false),
            ("spiffe://prod.example/ns/a?b", false, false),
            ("spiffe://prod.example/%6Es", false, false),
            ("spiffe://prod.example.org/ns", false, false),
            ("spiffe://prod.exampleX/ns", false, false),
            ("spiffe://Prod.example/ns", false, false),
            ("spiffe://prod.example:80/ns", false, false),
            ("spiffe://user@prod.example/ns", false, false),
            ("SPIFFE://prod.example/ns/a/sa/b", false, false),
            ("https://prod.example/ns/a/sa/b", false, false),
        ] {
            assert_eq!((id.admits(uri), all.admits(uri)), (by_id, by_all), "{uri}");
        }
        let long = format!("spiffe://prod.example/{}", "a".repeat(ID_MAX));
        assert!(!all.admits(&long));
    }

    #[test]
    fn what_is_no_id_is_told() {
        for (text, part) in [
            ("prod.example/a", "does not begin with spiffe://"),
            ("spiffe://prod.example", "end it with /*"),
            ("spiffe://prod.example/", "empty"),
            ("spiffe:///a", "no trust domain"),
            ("spiffe://Prod/*", "small letters"),
            ("spiffe://prod/a/*", "letters, digits"),
        ] {
            let error = text.parse::<SpiffeId>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        for text in ["spiffe://prod/*", "spiffe://prod/a/B.c-d_e"] {
            assert_eq!(text.parse::<SpiffeId>().unwrap().to_string(), text);
        }
    }
}
