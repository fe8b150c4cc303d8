//! A rewriting: the path of a request made into another one by a pattern.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use regex::bytes::{Captures, Regex, RegexBuilder};
use thiserror::Error;

/// The most memory that one pattern takes once it is compiled, in bytes; its automaton may take as much beside it.
const PATTERN_BYTES_MAX: usize = 256 * 1024;

/// How paths are made into others. Two are equal when they are written alike.
#[derive(Clone, Debug)]
pub struct Rewriting {
    pattern: Regex,
    with: Box<str>,
}

/// Why a path is not made into another.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RewriteError {
    /// It leads up again, or would then, so that nobody saw where it leads.
    #[error(
        "the path has a segment that is . or .., or gets one as this route makes it into another; send it without"
    )]
    DotSegments,
    /// It has what a path may not have, and what its provider may read in another way.
    #[error(
        "the path has a backslash, or a % that begins no escape, and this route makes it into another one; send \
         them percent-encoded"
    )]
    Unclear,
    /// It would begin with two slashes, of its own.
    #[error("the path has several slashes in a row where this route makes it begin; send one")]
    Slashes,
    /// What comes of it is no path.
    #[error(
        "the path is made into {0:?}, which is no path that begins with one slash and has only what a path may have; \
         correct rewrite_path, or replace_prefix, of this route"
    )]
    Malformed(String),
}

/// Why a pattern and what takes its place make no [`Rewriting`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RewritingError {
    /// The pattern is none.
    #[error("{0}")]
    Pattern(String),
    /// What takes its place names a group that the pattern does not have.
    #[error(
        "the pattern has no group {0}; write ${{1}}x where the group 1 is followed by a letter, and $$ for a dollar"
    )]
    Group(String),
    /// What takes the place of the beginning of a path is no such beginning.
    #[error("the path would not begin with a slash; write one in front")]
    NoSlash,
    /// What takes its place leads up.
    #[error("the path would have a segment that is . or ..; write the path that it leads to")]
    DotSegments,
}

impl PartialEq for Rewriting {
    fn eq(&self, other: &Self) -> bool {
        (self.pattern.as_str(), &self.with) == (other.pattern.as_str(), &other.with)
    }
}

impl Eq for Rewriting {}

impl Rewriting {
    /// Puts `with` in the place of the first part of a path that matches; `$1`, `${1}` and `${name}` are what its groups
    /// matched, `$$` is a dollar.
    ///
    /// # Errors
    /// When the pattern is none, is too large, or lacks a group that is named, or no path can come of it.
    pub fn new(pattern: &str, with: &str) -> Result<Self, RewritingError> {
        // Bytes, since a path is ASCII: without the tables of Unicode a pattern is smaller, and means what it says.
        let built = RegexBuilder::new(pattern)
            .unicode(false)
            .size_limit(PATTERN_BYTES_MAX)
            .dfa_size_limit(PATTERN_BYTES_MAX)
            .build();
        let pattern = built.map_err(|error| RewritingError::Pattern(told(&error)))?;
        for group in groups(with) {
            let is_there = match group.parse::<usize>() {
                Ok(number) => number < pattern.captures_len(),
                Err(_) => pattern.capture_names().flatten().any(|name| name == group),
            };
            if !is_there {
                return Err(RewritingError::Group(group.to_owned()));
            }
        }
        if pattern.as_str().starts_with('^') && !with.starts_with(['/', '$']) {
            return Err(RewritingError::NoSlash);
        }
        if leads_up(with) {
            return Err(RewritingError::DotSegments);
        }
        Ok(Self { pattern, with: with.into() })
    }

    /// The pattern, as it is written.
    pub fn pattern(&self) -> &str {
        self.pattern.as_str()
    }

    /// What takes its place, as it is written.
    pub fn with(&self) -> &str {
        &self.with
    }

    /// The path that takes the place of this one; `None` where the pattern does not match.
    ///
    /// # Errors
    /// When the path or what comes of it has dot segments, or either is no path.
    pub fn apply(&self, path: &str) -> Result<Option<String>, RewriteError> {
        let Some(found) = self.pattern.captures(path.as_bytes()) else { return Ok(None) };
        if leads_up(path) {
            return Err(RewriteError::DotSegments);
        }
        if !is_clear(path) {
            return Err(RewriteError::Unclear);
        }
        let made = self.put_in(path.as_bytes(), &found);
        let made = String::from_utf8(made).map_err(|error| {
            RewriteError::Malformed(String::from_utf8_lossy(error.as_bytes()).into_owned())
        })?;
        if made.starts_with("//") && path.contains("//") {
            return Err(RewriteError::Slashes);
        }
        if !made.starts_with('/') || made.starts_with("//") || !is_clear(&made) {
            return Err(RewriteError::Malformed(made));
        }
        // A pattern that ends within a segment may make one of what stood behind it: of `/api../x` with `^/api`.
        if leads_up(&made) { Err(RewriteError::DotSegments) } else { Ok(Some(made)) }
    }

    fn put_in(&self, path: &[u8], found: &Captures<'_>) -> Vec<u8> {
        let whole = found.get(0).map_or(0..0, |whole| whole.range());
        let mut made = path[..whole.start].to_vec();
        found.expand(self.with.as_bytes(), &mut made);
        made.extend_from_slice(&path[whole.end..]);
        made
    }
}

/// What is wrong with a pattern, in one line: the library draws where.
fn told(error: &regex::Error) -> String {
    if matches!(error, regex::Error::CompiledTooBig(_)) {
        return format!("it takes more than {PATTERN_BYTES_MAX} bytes; write a simpler one");
    }
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// The groups that a replacement names.
fn groups(with: &str) -> impl Iterator<Item = &str> {
    let mut rest = with;
    std::iter::from_fn(move || {
        loop {
            let (_, after) = rest.split_once('$')?;
            if let Some(after) = after.strip_prefix('$') {
                rest = after;
                continue;
            }
            let (group, after) = match after.strip_prefix('{') {
                Some(inside) => inside.split_once('}').unwrap_or((inside, "")),
                None => {
                    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
                    after.split_at(after.bytes().position(|byte| !is_name(byte)).unwrap_or(after.len()))
                }
            };
            rest = after;
            return Some(group);
        }
    })
}

/// Whether a path has a segment that is `.` or `..` to anybody: also where it is percent-encoded, as far as its slashes, where a
/// backslash counts as one, and where parameters follow it, which some servers take off first (RFC 3986, 3.3).
pub fn leads_up(path: &str) -> bool {
    if !path.contains(['.', '%']) {
        return false;
    }
    let plain: Cow<'_, [u8]> = percent_decode_str(path).into();
    let is_dots = |segment: &[u8]| {
        let named = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        matches!(named, b"." | b"..")
    };
    plain.split(|byte| matches!(byte, b'/' | b'\\')).any(is_dots)
}

/// Whether a text has only what can stand in a path and is read alike by all: what RFC 3986, 3.3, lets stand there, and what
/// clients send there all the same.
fn is_clear(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_fine = |at: usize| match bytes[at] {
        b'%' => bytes.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)),
        b'\\' | b'?' | b'#' | b'<' | b'>' | b'`' => false,
        byte => byte.is_ascii_graphic() || !byte.is_ascii(),
    };
    (0..bytes.len()).all(is_fine)
}

#[cfg(test)]
mod tests {
    use http::uri::PathAndQuery;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_comes_of_a_path_is_one(path in "(/[a-z.%0-9e/~:@]{0,6}){1,4}", with in "[/$a-z.?#%{} \\\\]{0,8}") {
            for pattern in ["^/[a-z]*/(?<a>.*)$", "(a)", "[^/]+", "^(.*)$"] {
                let Ok(rewriting) = Rewriting::new(pattern, &with) else { continue };
                if let Ok(Some(made)) = rewriting.apply(&path) {
                    let target = PathAndQuery::try_from(made.as_str()).unwrap();
                    prop_assert_eq!(target.path(), made.as_str());
                    prop_assert!(made.starts_with('/') && !made.starts_with("//"), "{}", made);
                    prop_assert!(!leads_up(&path) && !leads_up(&made), "{}", made);
                }
            }
        }
    }

    fn made(pattern: &str, with: &str, path: &str) -> Result<Option<String>, RewriteError> {
        Rewriting::new(pattern, with).unwrap().apply(path)
    }

    #[test]
    fn groups_take_their_places() {
        let path = |pattern, with, path| made(pattern, with, path).unwrap();
        assert_eq!(path("^/v1/(.*)$", "/$1", "/v1/users/7").as_deref(), Some("/users/7"));
        assert_eq!(path("^/v1/(.*)$", "/$1", "/v1/").as_deref(), Some("/"));
        assert_eq!(path("^/v1/(.*)$", "/$1", "/v2/users"), None);
        assert_eq!(
            path("^/(?<who>[^/]+)/at/(.*)$", "/${2}x/${who}/$$", "/a/at/b").as_deref(),
            Some("/bx/a/$")
        );
        assert_eq!(path("/old", "/new", "/a/old/old").as_deref(), Some("/a/new/old"), "the first");
        assert_eq!(path("^/a(?<rest>/.*)?$", "/b$rest", "/a").as_deref(), Some("/b"));
        assert_eq!(path("^/a/(.*)$", "/$1", "/a/b%2Fc").as_deref(), Some("/b%2Fc"));
    }

    #[test]
    fn what_is_sent_is_a_path() {
        for (pattern, with, path) in [
            ("^/v1/(.*)$", "//$1", "/v1/x"),
            ("^/v1/(.*)$", "$1", "/v1/x"),
            ("^/v1/(.*)$", "/$1?a=b", "/v1/x"),
            ("^/v1/(.*)$", "/a b/$1", "/v1/x"),
            ("^/v1/(.*)$", "/$1#x", "/v1/x"),
            ("%2", "%", "/v1/%2fx"),
            (".*", "", "/x"),
        ] {
            let error = made(pattern, with, path).unwrap_err();
            assert!(matches!(error, RewriteError::Malformed(_)), "{pattern} {with} {path}: {error:?}");
        }
    }

    #[test]
    fn what_a_client_sent_is_not_laid_to_the_configuration() {
        let path = |path| made("^/v1/(.*)$", "/v2/$1", path);
        for (asked, sent) in
            [("/v1/a[0]|b", "/v2/a[0]|b"), ("/v1/\"{^}\"", "/v2/\"{^}\""), ("/v1/é", "/v2/é")]
        {
            assert_eq!(path(asked).unwrap().as_deref(), Some(sent));
        }
        for asked in ["/v1/%zz", "/v1/100%", "/v1/%2", "/v1/a\\b"] {
            assert_eq!(path(asked), Err(RewriteError::Unclear), "{asked}");
        }
        assert_eq!(made("^/v1/(.*)$", "/$1", "/v1//evil.example/x"), Err(RewriteError::Slashes));
        assert_eq!(made("^/v1(.*)$", "$1", "/v1//evil.example/x"), Err(RewriteError::Slashes));
    }

    #[test]
    fn a_path_that_leads_up_is_not_made_into_another() {
        for path in [
            "/p/../admin",
            "/p/%2e%2e/admin",
            "/p/.%2E/admin",
            "/p/./x",
            "/p/x/..",
            "/p/..%2fadmin",
            "/p/..\\admin",
            "/p/..%5cadmin",
            "/p/..;/admin",
            "/p/..;a=b/admin",
            "/p/%2e%2e%3Ba/admin",
        ] {
            assert_eq!(made("^/p/(.*)$", "/static/$1", path), Err(RewriteError::DotSegments), "{path}");
        }
        for path in ["/p/...", "/p/.well-known", "/p/a..b", "/p/%2ex", "/p/a;..", "/p/..."] {
            assert!(made("^/p/(.*)$", "/static/$1", path).is_ok(), "{path}");
        }
    }

    #[test]
    fn no_path_is_made_that_leads_up() {
        for (pattern, with, path) in [
            ("^/api(.*)$", "/static/$1", "/api../admin"),
            ("^/api(.*)$", "/static/$1", "/api%2e%2e/admin"),
            ("^/api", "/static/", "/api."),
            ("x", "", "/static/.x./admin"),
            ("^/(.*)$", "/static/.$1", "/./admin"),
        ] {
            assert_eq!(made(pattern, with, path), Err(RewriteError::DotSegments), "{pattern} {with} {path}");
        }
        let error = Rewriting::new("^/a", "/b/../c").unwrap_err();
        assert!(error.to_string().ends_with("; write the path that it leads to"), "{error}");
    }

    #[test]
    fn patterns_are_checked_when_they_are_read() {
        let wrong = |pattern, with| Rewriting::new(pattern, with).unwrap_err().to_string();
        assert_eq!(wrong("^/(", "/"), "unclosed group");
        assert!(wrong("^/v1/(.*)$", "/$2").starts_with("the pattern has no group 2; "));
        assert!(wrong("^/v1/(.*)$", "/$1x").starts_with("the pattern has no group 1x; "));
        assert!(wrong("^/v1/(.*)$", "/${who}").starts_with("the pattern has no group who; "));
        assert_eq!(wrong("^/v1/(.*)$", "x/$1"), "the path would not begin with a slash; write one in front");
        assert!(wrong("(a{200}){200}", "/").contains("write a simpler one"));
        assert!(Rewriting::new("^/v1/(.*)$", "/$$1/${1}x/$1/").is_ok());
    }
}
