//! Credentials for a registry: a user and a password, never shown.

use std::fmt;
use std::str::FromStr;

use super::url::UrlError;

/// A user and a password; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth(String);

impl FromStr for Auth {
    type Err = UrlError;

    /// Reads `user:password`; the error does not show it.
    fn from_str(text: &str) -> Result<Self, UrlError> {
        match text.split_once(':') {
            Some((user, _)) if !user.is_empty() => Ok(Self(text.to_owned())),
            Some(_) | None => Err(UrlError::new("the credentials have no user", "write USER:PASSWORD")),
        }
    }
}

impl Auth {
    /// Both with a colon between them, as they were given.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The user, and the password.
    pub(super) fn parts(&self) -> (&str, &str) {
        self.0.split_once(':').unwrap_or((&self.0, ""))
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Auth(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_may_hold_anything_and_is_never_shown() {
        let auth: Auth = "scott:ti:ger".parse().unwrap();
        assert_eq!(auth.parts(), ("scott", "ti:ger"));
        assert_eq!(format!("{auth:?}"), "Auth(..)");
        for wrong in ["tiger", ":tiger", ""] {
            assert_eq!(
                wrong.parse::<Auth>().unwrap_err().to_string(),
                "the credentials have no user; write USER:PASSWORD"
            );
        }
    }
}
