//! How a line of a log is spelled.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// How a line of a log is spelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineFormat {
    /// For people: a fixed order, names before what is not plain.
    #[default]
    Text,
    /// For programs: one JSON object per line.
    Json,
}

/// A text is not the name of a [`LineFormat`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the format of a log is \"text\" or \"json\", not {0:?}")]
pub struct UnknownLineFormat(String);

impl LineFormat {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Text, Self::Json];

    /// The word for it in configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl fmt::Display for LineFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for LineFormat {
    type Err = UnknownLineFormat;

    fn from_str(text: &str) -> Result<Self, UnknownLineFormat> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or_else(|| UnknownLineFormat(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back() {
        for format in LineFormat::ALL {
            assert_eq!(format.as_str().parse(), Ok(format));
        }
        assert_eq!(
            "xml".parse::<LineFormat>().unwrap_err().to_string(),
            "the format of a log is \"text\" or \"json\", not \"xml\""
        );
    }
}
