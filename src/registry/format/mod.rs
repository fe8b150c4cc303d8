//! A format: how a registry entry spells a provider.

pub mod kinds;
pub mod rule;

mod convention;
mod curator;
mod dubbo;
mod dubbo_app;
mod go_micro;
mod go_zero;
mod grpc;
#[cfg(test)]
mod hostile;
mod json;
mod kratos;
mod nerve;
mod plain;
#[cfg(test)]
mod sample;
mod serverset;

use std::fmt;

use crate::provider::{Provider, ServiceName};
use crate::registry::announcer::Announcement;

pub use curator::{Curator, Payload};
pub use dubbo::Dubbo;
pub use dubbo_app::DubboApp;
pub use go_micro::GoMicro;
pub use go_zero::GoZero;
pub use grpc::Grpc;
pub(in crate::registry) use json::{VALUE_BYTES_MAX, bounded_pairs};
pub use kratos::Kratos;
pub use nerve::Nerve;
pub use plain::Plain;
pub use rule::Rule;
pub use serverset::ServerSet;

/// How a registry entry spells a provider, and where the entries of a service lie.
///
/// Pure: from bytes to values, without a clock, input or output. What it reads was written by others, so nothing in it may
/// make a format panic, recurse without bound, or keep more than the entry holds.
pub trait Format: Send + Sync + fmt::Debug {
    /// The word for it in a registry's URL: `go-micro`.
    fn name(&self) -> &'static str;

    /// The folder of all services, where a registry's URL names none: absolute, or `/`. A registry whose keys have no root,
    /// such as etcd, leaves out the slash in front: with `/` and the folder `greeter`, keys begin with `greeter/`.
    fn prefix(&self) -> &'static str;

    /// The same in etcd, where not all put it in the same place.
    fn prefix_in_etcd(&self) -> &'static str {
        self.prefix()
    }

    /// The folder of a service below the registry's prefix: one or more path parts, without a slash at either end.
    fn folder(&self, service: &ServiceName) -> String;

    /// A second folder, of entries that bear upon the providers of a service and are none themselves; spelt as the first.
    fn rules_folder(&self, _service: &ServiceName) -> Option<String> {
        None
    }

    /// Whether an entry's data matters, or its name says everything, so that listing a folder is reading it.
    fn reads_data(&self) -> bool {
        true
    }

    /// What one entry announces, and what of it is of no use.
    fn decode(&self, entry: Entry<'_>) -> Decoded;

    /// The entry that announces a provider, such that every reader of this format can read it.
    ///
    /// # Errors
    /// When this format cannot say it, with what to do instead.
    fn encode(&self, _announcement: &Announcement) -> Result<Encoded, String> {
        Err(format!("nothing is announced in the format {:?}; choose go-micro", self.name()))
    }
}

/// One entry of a registry, as it lies there.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The service that was asked for.
    pub service: &'a ServiceName,
    /// Which of the service's folders it lies in.
    pub folder: Folder,
    /// Its name within the folder.
    pub name: &'a str,
    /// What it holds; empty where the format does not read it.
    pub data: &'a [u8],
}

impl<'a> Entry<'a> {
    /// An entry that may announce providers.
    pub const fn of(service: &'a ServiceName, name: &'a str, data: &'a [u8]) -> Self {
        Self { service, folder: Folder::Providers, name, data }
    }
}

/// One of the folders of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folder {
    /// [`Format::folder`].
    Providers,
    /// [`Format::rules_folder`].
    Rules,
}

/// An entry to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Its name within the folder of its service.
    pub name: String,
    /// Whether the registry is to add a number of its own to the name, as ten digits.
    pub is_numbered: bool,
    /// What it is to hold.
    pub data: Vec<u8>,
}

/// What an entry says: usually one provider or one reason why there is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// The providers.
    pub providers: Vec<Provider>,
    /// What it says of the service's other entries.
    pub rules: Vec<Rule>,
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

impl Unusable {
    /// The longest cause, in bytes: messages quote records, which were written by others.
    const DETAIL_BYTES_MAX: usize = 1000;

    /// Why something is no provider: the word, and the cause in full, unless that is longer than a message should be, and
    /// without what controls a terminal.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        if detail.contains(char::is_control) {
            // A record must not end a line of a log, nor speak to a terminal.
            let written = |found: char| if found.is_control() { '\u{fffd}' } else { found };
            detail = detail.chars().map(written).collect();
        }
        if detail.len() > Self::DETAIL_BYTES_MAX {
            detail.truncate(detail.floor_char_boundary(Self::DETAIL_BYTES_MAX));
            detail.push('…');
        }
        Self { reason, detail }
    }
}

impl From<Result<Provider, Unusable>> for Decoded {
    fn from(result: Result<Provider, Unusable>) -> Self {
        match result {
            Ok(provider) => Self { providers: vec![provider], ..Self::default() },
            Err(unusable) => Self { unusable: vec![unusable], ..Self::default() },
        }
    }
}

impl FromIterator<Result<Provider, Unusable>> for Decoded {
    fn from_iter<I: IntoIterator<Item = Result<Provider, Unusable>>>(results: I) -> Self {
        let mut decoded = Self::default();
        for result in results {
            match result {
                Ok(provider) => decoded.providers.push(provider),
                Err(unusable) => decoded.unusable.push(unusable),
            }
        }
        decoded
    }
}

impl Decoded {
    /// An entry that announces nothing usable.
    pub fn unusable(reason: Reason, detail: impl Into<String>) -> Self {
        Self { unusable: vec![Unusable::new(reason, detail)], ..Self::default() }
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
    /// Of the service, but not what was asked for: of another group, version or endpoint.
    Filtered,
    /// The registry does not let this proxy read it.
    Denied,
    /// Another record of the service has the same address and is used instead.
    Duplicate,
    /// Its address is reserved, so that it is never dialled.
    Reserved,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Empty,
        Self::Malformed,
        Self::Address,
        Self::Value,
        Self::Disabled,
        Self::Filtered,
        Self::Denied,
        Self::Duplicate,
        Self::Reserved,
    ];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Malformed => "malformed",
            Self::Address => "address",
            Self::Value => "value",
            Self::Disabled => "disabled",
            Self::Filtered => "filtered",
            Self::Denied => "denied",
            Self::Duplicate => "duplicate",
            Self::Reserved => "reserved",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
