//! The name that requests ask for.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// The longest service name accepted, in bytes: what a DNS name, a znode and a metric label all bear.
const SERVICE_NAME_MAX: usize = 253;

/// A name that requests ask for: 1 to 253 bytes, no control characters, no white space, nothing that is not seen, neither `.`
/// nor `..`.
///
/// Case is kept, since registries distinguish it. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName(Arc<str>);

/// Why a text is not a [`ServiceName`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ServiceNameError {
    /// The text is empty.
    #[error("a service name cannot be empty")]
    Empty,
    /// The text is longer than 253 bytes.
    #[error("a service name has at most {SERVICE_NAME_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// A character that no registry could keep or that would break a path, a header or a log line.
    #[error("a service name cannot contain {0:?}")]
    BadCharacter(char),
    /// `.` and `..`, which mean something else in paths.
    #[error("{0:?} cannot be a service name")]
    Reserved(String),
}

impl ServiceName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same name, asked for anew: equal to this one, and not [`ServiceName::is`] it.
    pub fn anew(&self) -> Self {
        Self(Arc::from(&*self.0))
    }

    /// Whether this is a clone of the other. Of a set of names that is replaced faster than it is read, this tells one that
    /// stayed from one that went and came back.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl FromStr for ServiceName {
    type Err = ServiceNameError;

    fn from_str(text: &str) -> Result<Self, ServiceNameError> {
        if text.is_empty() {
            return Err(ServiceNameError::Empty);
        }
        if text.len() > SERVICE_NAME_MAX {
            return Err(ServiceNameError::TooLong(text.len()));
        }
        let bad = |character: &char| {
            character.is_control()
                || character.is_whitespace()
                || is_invisible(*character)
                || matches!(character, '?' | '#' | '"' | '\\')
        };
        if let Some(character) = text.chars().find(bad) {
            return Err(ServiceNameError::BadCharacter(character));
        }
        if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(ServiceNameError::Reserved(text.to_owned()));
        }
        Ok(Self(text.into()))
    }
}

/// Whether a character is not seen, or turns those around it about, so that a name would be read as another: those that
/// Unicode has as ignorable by default, and those for annotations.
const fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for ServiceName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_names_as_they_are() {
        for name in ["greeter", "go.micro.srv.Greeter", "web/users", "com.foo.BarService:1.0", "größe"] {
            assert_eq!(name.parse::<ServiceName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn refuses_what_would_break_a_path_or_a_log_line() {
        let error = |text: &str| text.parse::<ServiceName>().unwrap_err();
        assert_eq!(error(""), ServiceNameError::Empty);
        assert_eq!(error(&"x".repeat(254)), ServiceNameError::TooLong(254));
        assert_eq!(error("a\nb"), ServiceNameError::BadCharacter('\n'));
        assert_eq!(error("a b"), ServiceNameError::BadCharacter(' '));
        for unseen in [
            '\u{202e}',
            '\u{200b}',
            '\u{feff}',
            '\u{2028}',
            '\u{9b}',
            '\u{61c}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{e0041}',
        ] {
            assert_eq!(error(&format!("a{unseen}b")), ServiceNameError::BadCharacter(unseen));
        }
        for text in [".", "..", "a/../b", "a//b", "/a", "a/"] {
            assert!(matches!(error(text), ServiceNameError::Reserved(_)), "{text}");
        }
    }
}
