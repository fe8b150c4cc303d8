//! Sticky sessions: a cookie that holds the endpoint a session is with.

use std::fmt::Write as _;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use super::cookie;
use crate::endpoint::Token;

/// How sessions are held together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sticky {
    /// The name of the cookie.
    pub cookie: Box<str>,
    /// How long it is kept from when it was set; as long as the browser runs if `None`.
    pub ttl: Option<Duration>,
    /// The paths it is for.
    pub path: Box<str>,
}

/// What a cookie holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The endpoint.
    pub token: Token,
    /// The part of the split that it was in, where there is a split.
    pub mark: Option<u32>,
}

impl Sticky {
    /// What the cookie of a request holds, if it has one that is ours.
    pub fn held(&self, headers: &HeaderMap) -> Option<Held> {
        let text = std::str::from_utf8(cookie::find(headers, &self.cookie)?).ok()?;
        let (token, mark) = text.split_once('-').map_or((text, None), |(token, mark)| (token, Some(mark)));
        let is_mark = |mark: &&str| mark.len() == 8 && mark.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mark = match mark {
            Some(mark) => Some(u32::from_str_radix(Some(mark).filter(is_mark)?, 16).ok()?),
            None => None,
        };
        Some(Held { token: token.parse().ok()?, mark })
    }

    /// The value of `Set-Cookie` that has a client hold this.
    pub fn set(&self, held: Held, secure: bool) -> HeaderValue {
        let mut text = format!("{}={}", self.cookie, held.token);
        if let Some(mark) = held.mark {
            let _ = write!(text, "-{mark:08x}");
        }
        let _ = write!(text, "; Path={}", self.path);
        if let Some(ttl) = self.ttl {
            let _ = write!(text, "; Max-Age={}", ttl.as_secs());
        }
        text.push_str("; HttpOnly; SameSite=Lax");
        if secure {
            text.push_str("; Secure");
        }
        HeaderValue::try_from(text).expect("the configuration takes no others than visible characters")
    }

    /// Takes the cookie out of a request: it concerns the client and this proxy.
    pub fn take_out(&self, headers: &mut HeaderMap) {
        cookie::take_out(headers, &self.cookie);
    }
}

#[cfg(test)]
mod tests {
    use http::header::COOKIE;

    use super::*;

    fn sticky(ttl: Option<u64>) -> Sticky {
        Sticky { cookie: "w".into(), ttl: ttl.map(Duration::from_secs), path: "/".into() }
    }

    fn held(cookie: &str) -> Option<Held> {
        sticky(None).held(&HeaderMap::from_iter([(COOKIE, cookie.parse().unwrap())]))
    }

    #[test]
    fn what_is_set_is_held() {
        let token = Token::of(&"10.0.0.1:80".parse().unwrap());
        for mark in [None, Some(7), Some(u32::MAX)] {
            let set = sticky(Some(3600)).set(Held { token, mark }, true);
            let set = set.to_str().unwrap();
            assert!(set.ends_with("; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax; Secure"), "{set}");
            assert_eq!(held(set.split(';').next().unwrap()), Some(Held { token, mark }));
        }
        let set = sticky(None).set(Held { token, mark: None }, false);
        assert_eq!(set, "w=0bdac9db975d9f08; Path=/; HttpOnly; SameSite=Lax");
    }

    #[test]
    fn what_is_not_ours_is_nothing() {
        let long = format!("w={}", "0".repeat(9000));
        for cookie in
            ["", "w=", "w=0bdac9db975d9f0", "w=0bdac9db975d9f08-", "w=0bdac9db975d9f08-1", "x=1", &long]
        {
            assert_eq!(held(cookie), None, "{cookie}");
        }
        assert_eq!(held("w=0bdac9db975d9f08-+0000001"), None);
    }
}
