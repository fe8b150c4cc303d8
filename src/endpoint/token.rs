//! A token: the short name of an endpoint that is the same in every proxy and after every start.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use twox_hash::XxHash3_64;

use crate::provider::Address;

/// The short name of an endpoint: a hash of its address, written as 16 hexadecimal digits.
///
/// It tells nobody the address who does not guess it: whoever guesses one can see whether he is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(u64);

/// A text that is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a token has 16 hexadecimal digits")]
pub struct TokenError;

impl Token {
    /// The token of whoever is at this address.
    pub fn of(address: &Address) -> Self {
        Self(XxHash3_64::oneshot(address.to_string().as_bytes()))
    }

    /// The number behind it.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Whether a text spells this token.
    pub fn is(self, text: &str) -> bool {
        text.parse() == Ok(self)
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let is_token = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = is_token.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        number.map(Self).ok_or(TokenError)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_same_for_ever() {
        let token = Token::of(&"10.0.0.1:80".parse().unwrap());
        assert_eq!(token.to_string(), "0bdac9db975d9f08", "cookies hold it");
        assert_eq!(token.to_string().parse(), Ok(token));
        assert_ne!(token, Token::of(&"10.0.0.1:8".parse().unwrap()));
    }

    #[test]
    fn nothing_else_reads_as_one() {
        for text in ["", "0123456789abcde", "0123456789abcdef0", "+123456789abcdef", "0123456789abcdeg"] {
            assert_eq!(text.parse::<Token>(), Err(TokenError), "{text}");
        }
        assert!("0123456789ABCDEF".parse::<Token>().unwrap().is("0123456789abcdef"));
    }
}
