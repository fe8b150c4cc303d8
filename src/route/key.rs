//! A key: what requests are told apart by, so that those that belong together stay together.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::{HeaderMap, HeaderName};
use thiserror::Error;
use twox_hash::XxHash3_64;

use super::cookie;

/// What requests are told apart by: the first of these that a request has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// At least one.
    pub sources: Vec<Source>,
}

/// Where in a request a key is looked for. What is empty is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The first header of this name.
    Header(HeaderName),
    /// The first cookie of this name.
    Cookie(Box<str>),
    /// The first parameter of this name in the query, as it was sent.
    Query(Box<str>),
    /// The path as it was sent, without the query.
    Path,
    /// The IP address of whoever made the connection; there is none over a Unix socket.
    Client,
}

/// A text that is no source of keys.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SourceError {
    /// Not one of the kinds.
    #[error("a key is header:NAME, cookie:NAME, query:NAME, path or client")]
    Kind,
    /// A header or cookie whose name cannot be one.
    #[error("{0:?} cannot be the name of a {1}")]
    Name(String, &'static str),
}

/// What keys are taken from.
#[derive(Clone, Copy, Debug)]
pub struct Keyed<'a> {
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The path as sent, without the query.
    pub path: &'a str,
    /// The query, if there is one.
    pub query: Option<&'a str>,
    /// The client's address, if it has one.
    pub client: Option<IpAddr>,
}

impl Key {
    /// The hash of a request's key: XXH3 (64 bits, no seed) of its bytes, the same in every proxy. `None` when it has none.
    ///
    /// An IP address is hashed as it is written.
    pub fn hash(&self, request: &Keyed<'_>) -> Option<u64> {
        self.find(request).map(|(_, hash)| hash)
    }

    /// The same, with where it was found.
    pub fn find(&self, request: &Keyed<'_>) -> Option<(&Source, u64)> {
        self.sources.iter().find_map(|source| Some((source, source.hash(request)?)))
    }
}

impl Source {
    fn hash(&self, request: &Keyed<'_>) -> Option<u64> {
        let bytes = match self {
            Self::Header(name) => request.headers.get(name)?.as_bytes(),
            Self::Cookie(name) => cookie::find(request.headers, name)?,
            Self::Query(name) => parameter(request.query?, name)?.as_bytes(),
            Self::Path => request.path.as_bytes(),
            Self::Client => return Some(XxHash3_64::oneshot(request.client?.to_string().as_bytes())),
        };
        (!bytes.is_empty()).then(|| XxHash3_64::oneshot(bytes))
    }
}

fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    let mut pairs = query.split('&');
    pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// The characters that names of cookies are made of (RFC 9110, 5.6.2).
pub fn is_token(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(fits)
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let wrong = |name: &str, kind| SourceError::Name(name.to_owned(), kind);
        match text.split_once(':') {
            None if text == "path" => Ok(Self::Path),
            None if text == "client" => Ok(Self::Client),
            Some(("header", name)) => {
                HeaderName::from_bytes(name.as_bytes()).map(Self::Header).map_err(|_| wrong(name, "header"))
            }
            Some(("cookie", name)) if is_token(name) => Ok(Self::Cookie(name.into())),
            Some(("cookie", name)) => Err(wrong(name, "cookie")),
            Some(("query", name)) if !name.is_empty() && !name.contains(['&', '=', '#']) => {
                Ok(Self::Query(name.into()))
            }
            Some(("query", name)) => Err(wrong(name, "parameter")),
            Some(_) | None => Err(SourceError::Kind),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Path => f.write_str("path"),
            Self::Client => f.write_str("client"),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::HeaderValue;

    use super::*;

    fn hash(sources: &[&str], fields: &[(&'static str, &'static str)], target: &str) -> Option<u64> {
        let headers = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let key = Key { sources: sources.iter().map(|source| source.parse().unwrap()).collect() };
        key.hash(&Keyed { headers: &headers, path, query, client: Some([10, 0, 0, 1].into()) })
    }

    /// What a text is hashed to.
    fn of(text: &str) -> Option<u64> {
        Some(XxHash3_64::oneshot(text.as_bytes()))
    }

    #[test]
    fn the_first_source_that_a_request_has_counts() {
        let all = ["header:X-User", "cookie:session", "query:id", "path"];
        let fields = [("x-user", "ann"), ("cookie", "a=b; session=s1")];
        assert_eq!(hash(&all, &fields, "/p?id=7"), of("ann"));
        assert_eq!(hash(&all, &fields[1..], "/p?id=7"), of("s1"));
        assert_eq!(hash(&all, &[("x-user", "")], "/p?xid=8&id=7"), of("7"));
        assert_eq!(hash(&all, &[], "/p?idx=7&id="), of("/p"));
        assert_eq!(hash(&["client"], &[], "/"), of("10.0.0.1"));
        assert_eq!(hash(&all[..3], &[], "/p"), None);
    }

    #[test]
    fn hashes_are_the_same_for_ever() {
        assert_eq!(of("ann"), Some(HASH_OF_ANN), "all proxies must agree, whatever their version");
    }

    /// What it was when keys came up.
    const HASH_OF_ANN: u64 = 5_200_682_613_324_210_888;

    #[test]
    fn sources_read_back_and_others_are_refused() {
        for text in ["header:x-user", "cookie:session", "query:id", "path", "client"] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
        for text in
            ["", "x-user", "header:", "header:a b", "cookie:", "cookie:a=b", "query:", "query:a=b", "ip:1"]
        {
            assert!(text.parse::<Source>().is_err(), "{text}");
        }
    }
}
