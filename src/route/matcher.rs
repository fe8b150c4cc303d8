//! Matchers: the requests a route is for, by host, path, method and headers.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::percent_decode_str;
use thiserror::Error;

use super::host::Host;
use crate::telemetry::access::carries_credentials;

/// The requests a route is for: those that meet every condition. Without conditions it is for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    /// One of these hosts; any when empty.
    pub hosts: Vec<HostPattern>,
    /// A path under this one; any when `None`.
    pub path: Option<PathPrefix>,
    /// One of these methods; any when empty.
    pub methods: Vec<Method>,
    /// All of these headers.
    pub headers: Vec<HeaderPattern>,
}

/// Hosts: one name, one IP address, or all names under a domain. Case and port do not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This name, lower case.
    Name(Box<str>),
    /// Every name with something before this domain, which is kept with its leading dot: `*.example.org`.
    Under(Box<str>),
    /// This address.
    Ip(IpAddr),
}

/// A path prefix, compared segment by segment: `/api` covers `/api` and `/api/users`, not `/apis`.
///
/// Segments are compared after percent-decoding, so `/%61pi` is covered too, while an encoded slash never divides
/// segments. Dot segments mean nothing here: no prefix contains one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPrefix {
    segments: Vec<Box<[u8]>>,
    text: Box<str>,
}

/// A header that must be there, with one exact value or with any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderPattern {
    /// The header.
    pub name: HeaderName,
    /// One of its values, byte for byte; any when `None`.
    pub value: Option<HeaderValue>,
}

/// The first condition that a request does not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmet<'a> {
    /// Its host is none of these.
    Host(&'a [HostPattern]),
    /// Its method is none of these.
    Method(&'a [Method]),
    /// It has no such header.
    Header(&'a HeaderPattern),
    /// Its path is not under this one.
    Path(&'a PathPrefix),
}

impl fmt::Display for Unmet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn listed<T: ToString>(all: &[T]) -> String {
            all.iter().map(T::to_string).collect::<Vec<_>>().join(" or ")
        }
        match self {
            Self::Host(hosts) => write!(f, "its host is not {}", listed(hosts)),
            Self::Method(methods) => write!(f, "its method is not {}", listed(methods)),
            Self::Header(HeaderPattern { name, value: None }) => write!(f, "it has no header {name}"),
            // Whoever asks for an explanation need not know it, or could send it then.
            Self::Header(HeaderPattern { name, value: Some(_) }) if carries_credentials(name) => {
                write!(f, "it has no header {name} with the value that is wanted")
            }
            Self::Header(HeaderPattern { name, value: Some(value) }) => {
                write!(f, "it has no header {name}: {}", String::from_utf8_lossy(value.as_bytes()))
            }
            Self::Path(prefix) => write!(f, "its path is not under {}", prefix.as_str()),
        }
    }
}

/// Why a text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PatternError {
    /// A host with a port.
    #[error("ports are ignored when hosts are compared; leave the port out")]
    Port,
    /// Neither a host nor `*.` and a domain.
    #[error("a host is a name, an IP address, or *. and a domain")]
    Host,
    /// A path that does not begin with a slash.
    #[error("a path begins with /")]
    NoSlash,
    /// A path with an empty segment.
    #[error("a path prefix has no empty segment; write one / where there are two")]
    EmptySegment,
    /// A path with a segment `.` or `..`.
    #[error("a path prefix has no segment . or ..; write the path they lead to")]
    DotSegment,
    /// A path with a query, a fragment, white space or a control character.
    #[error("a path prefix cannot contain {0:?}; percent-encode it, and leave queries out")]
    Character(char),
}

impl Matcher {
    /// The bytes of its path prefix, as they stand in `path`, where this matcher is for a request.
    ///
    /// # Errors
    /// The first condition that the request does not meet, where it is not.
    pub(super) fn judge(
        &self,
        method: &Method,
        host: Host<'_>,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<usize, Unmet<'_>> {
        if !self.hosts.is_empty() && !self.hosts.iter().any(|pattern| pattern.matches(host)) {
            return Err(Unmet::Host(&self.hosts));
        }
        if !self.methods.is_empty() && !self.methods.contains(method) {
            return Err(Unmet::Method(&self.methods));
        }
        if let Some(pattern) = self.headers.iter().find(|pattern| !pattern.matches(headers)) {
            return Err(Unmet::Header(pattern));
        }
        let Some(prefix) = &self.path else { return Ok(0) };
        prefix.matched(path).ok_or(Unmet::Path(prefix))
    }

    /// Whether this matcher is for every request that `other` is for.
    pub fn covers(&self, other: &Self) -> bool {
        let hosts = self.hosts.is_empty()
            || (!other.hosts.is_empty()
                && other.hosts.iter().all(|narrow| self.hosts.iter().any(|wide| wide.covers(narrow))));
        let path = match (&self.path, &other.path) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(wide), Some(narrow)) => narrow.segments.starts_with(&wide.segments),
        };
        let methods = self.methods.is_empty()
            || (!other.methods.is_empty()
                && other.methods.iter().all(|method| self.methods.contains(method)));
        let headers = self.headers.iter().all(|wide| other.headers.iter().any(|narrow| wide.covers(narrow)));
        hosts && path && methods && headers
    }
}

impl HostPattern {
    fn matches(&self, host: Host<'_>) -> bool {
        match (self, host) {
            (Self::Name(name), Host::Name(asked)) => asked.eq_ignore_ascii_case(name),
            (Self::Under(domain), Host::Name(asked)) => is_under(asked, domain),
            (Self::Ip(ip), Host::Ip(asked)) => *ip == asked,
            (Self::Name(_) | Self::Under(_), Host::Ip(_) | Host::Missing)
            | (Self::Ip(_), Host::Name(_) | Host::Missing) => false,
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Under(wide), Self::Under(narrow)) => narrow.ends_with(&**wide),
            (Self::Under(domain), Self::Name(name)) => is_under(name, domain),
            (Self::Name(_) | Self::Ip(_), _) | (Self::Under(_), Self::Ip(_)) => self == other,
        }
    }
}

/// Whether a name has something before a domain, which begins with a dot. Bytes, since a name may be cut anywhere.
fn is_under(name: &str, domain: &str) -> bool {
    name.len()
        .checked_sub(domain.len())
        .is_some_and(|start| start > 0 && name.as_bytes()[start..].eq_ignore_ascii_case(domain.as_bytes()))
}

impl FromStr for HostPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if let Ok(ip) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return Ok(Self::Ip(ip));
        }
        if text.contains(':') {
            return Err(PatternError::Port);
        }
        let (is_under, name) = match text.strip_prefix("*.") {
            Some(domain) => (true, domain),
            None => (false, text),
        };
        match Host::parse(Some(name)) {
            Some(Host::Name(name)) if !name.contains('*') => Ok(if is_under {
                Self::Under(format!(".{}", name.to_ascii_lowercase()).into())
            } else {
                Self::Name(name.to_ascii_lowercase().into())
            }),
            Some(Host::Name(_) | Host::Ip(_) | Host::Missing) | None => Err(PatternError::Host),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Under(domain) => write!(f, "*{domain}"),
            Self::Ip(ip) => write!(f, "{ip}"),
        }
    }
}

impl PathPrefix {
    /// The bytes of `path` that this prefix covers, or `None` when it does not.
    pub(super) fn matched(&self, path: &str) -> Option<usize> {
        path.strip_prefix('/')?;
        let mut matched = 0;
        for segment in &self.segments {
            let rest = path[matched..].strip_prefix('/')?;
            let end = rest.find('/').unwrap_or(rest.len());
            if !percent_decode_str(&rest[..end]).eq(segment.iter().copied()) {
                return None;
            }
            matched += 1 + end;
        }
        Some(matched)
    }

    /// The prefix as it was written, without a slash at its end unless it is `/`.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for PathPrefix {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let rest = text.strip_prefix('/').ok_or(PatternError::NoSlash)?;
        let bad = |character: &char| {
            character.is_control() || character.is_whitespace() || matches!(character, '?' | '#')
        };
        if let Some(character) = text.chars().find(bad) {
            return Err(PatternError::Character(character));
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let decoded = |segment: &str| {
            let segment: Vec<u8> = percent_decode_str(segment).collect();
            match segment.as_slice() {
                b"" => Err(PatternError::EmptySegment),
                b"." | b".." => Err(PatternError::DotSegment),
                _ => Ok(segment.into_boxed_slice()),
            }
        };
        let segments = match rest {
            "" if text == "/" => Vec::new(),
            _ => rest.split('/').map(decoded).collect::<Result<_, _>>()?,
        };
        Ok(Self { segments, text: format!("/{rest}").into() })
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl HeaderPattern {
    /// Whether one of these headers is it.
    pub fn matches(&self, headers: &HeaderMap) -> bool {
        match &self.value {
            None => headers.contains_key(&self.name),
            Some(value) => headers.get_all(&self.name).iter().any(|sent| sent == value),
        }
    }

    fn covers(&self, other: &Self) -> bool {
        self.name == other.name && (self.value.is_none() || self.value == other.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_for(matcher: &Matcher, host: &str, path: &str) -> bool {
        let host = Host::parse(Some(host)).unwrap();
        matcher.judge(&Method::GET, host, path, &HeaderMap::new()).is_ok()
    }

    #[test]
    fn hosts_are_compared_without_case_and_port() {
        let matcher = |host: &str| Matcher { hosts: vec![host.parse().unwrap()], ..Matcher::default() };
        assert!(is_for(&matcher("API.example.org"), "api.Example.org:80", "/"));
        assert!(is_for(&matcher("*.example.org"), "a.b.Example.org", "/"));
        assert!(!is_for(&matcher("*.example.org"), "example.org", "/"));
        assert!(!is_for(&matcher("*.example.org"), "anexample.org", "/"));
        assert!(is_for(&matcher("[::1]"), "[0:0::1]:80", "/"));
        assert!(is_for(&matcher("localhost"), "localhost:80", "/"));
        assert!(!is_for(&matcher("10.0.0.1"), "10.0.0.2", "/"));
    }

    #[test]
    fn the_value_of_a_header_that_is_a_secret_is_not_told() {
        let told = |name: &'static str| {
            let value = Some(HeaderValue::from_static("planted"));
            Unmet::Header(&HeaderPattern { name: HeaderName::from_static(name), value }).to_string()
        };
        assert_eq!(told("x-stage"), "it has no header x-stage: planted");
        for name in ["x-token", "authorization", "x_api_key"] {
            assert_eq!(told(name), format!("it has no header {name} with the value that is wanted"));
        }
    }

    #[test]
    fn prefixes_are_compared_by_segment() {
        let prefix: PathPrefix = "/api/v1/".parse().unwrap();
        assert_eq!(prefix.as_str(), "/api/v1");
        for (path, matched) in [
            ("/api/v1", Some(7)),
            ("/api/v1/", Some(7)),
            ("/api/v1/users", Some(7)),
            ("/api/%761", Some(9)),
            ("/api/v12", None),
            ("/api", None),
            ("/api%2Fv1", None),
            ("//api/v1", None),
            ("/api/../api/v1", None),
            ("api/v1", None),
            ("*", None),
        ] {
            assert_eq!(prefix.matched(path), matched, "{path}");
        }
    }

    #[test]
    fn patterns_are_refused_with_the_cure() {
        assert_eq!("h:80".parse::<HostPattern>(), Err(PatternError::Port));
        for text in ["", "a b", "*", "a.*", "*.", "*.*.a", "*.10.0.0.1", "h/x"] {
            assert_eq!(text.parse::<HostPattern>(), Err(PatternError::Host), "{text}");
        }
        assert_eq!("api".parse::<PathPrefix>(), Err(PatternError::NoSlash));
        assert_eq!("/a//b".parse::<PathPrefix>(), Err(PatternError::EmptySegment));
        assert_eq!("//".parse::<PathPrefix>(), Err(PatternError::EmptySegment));
        assert_eq!("/a/%2e%2E/b".parse::<PathPrefix>(), Err(PatternError::DotSegment));
        assert_eq!("/a?b".parse::<PathPrefix>(), Err(PatternError::Character('?')));
    }
}
