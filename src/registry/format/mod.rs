//! A format: how a registry entry spells a provider.

use std::fmt;

/// Why a record is no provider: one short word, of a fixed set, used as a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// No data.
    Empty,
    /// Not in the form the format asks for.
    Malformed,
    /// Without an address that can be dialled.
    Address,
    /// A field is out of its range.
    Value,
    /// Announced as out of service.
    Disabled,
    /// Another record of the service has the same address and is used instead.
    Duplicate,
}

impl Reason {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Malformed => "malformed",
            Self::Address => "address",
            Self::Value => "value",
            Self::Disabled => "disabled",
            Self::Duplicate => "duplicate",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
