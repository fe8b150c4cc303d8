//! A format: how a registry entry spells a provider.

pub mod kinds;

mod go_micro;

use std::fmt;

use crate::provider::{Provider, ServiceName};

pub use go_micro::GoMicro;

/// How a registry entry spells a provider, and where the entries of a service lie.
///
/// Pure: from bytes to values, without a clock, input or output. What it reads was written by others, so nothing in it may
/// make a format panic, recurse without bound, or keep more than the entry holds.
pub trait Format: Send + Sync + fmt::Debug {
    /// The word for it in a registry's URL: `go-micro`.
    fn name(&self) -> &'static str;

    /// The folder of a service below the registry's prefix: one or more path parts, without a slash at either end.
    fn folder(&self, service: &ServiceName) -> String;

    /// The providers that one entry announces, and what of it is none.
    fn decode(&self, entry: Entry<'_>) -> Decoded;
}

/// One entry of a registry, as it lies there.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its name within the service.
    pub name: &'a str,
    /// What it holds.
    pub data: &'a [u8],
}

/// What an entry says: usually one provider or one reason why there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// The providers.
    pub providers: Vec<Provider>,
    /// The parts that are none.
    pub unusable: Vec<Unusable>,
}

/// Why an entry, or a part of it, is no provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// One short word for metrics.
    pub reason: Reason,
    /// The cause in full, for the log and the admin page.
    pub detail: String,
}

impl Decoded {
    /// An entry that announces nothing usable.
    pub fn unusable(reason: Reason, detail: impl Into<String>) -> Self {
        Self { providers: Vec::new(), unusable: vec![Unusable { reason, detail: detail.into() }] }
    }
}

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
    /// The registry does not let this proxy read it.
    Denied,
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
            Self::Denied => "denied",
            Self::Duplicate => "duplicate",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
