//! A provider: one running instance of a service, as a registry announces it.

mod address;
mod reserved;
mod service_name;
mod tenure;
mod warm_up;
mod weight;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use address::{Address, AddressError, Host};
pub use reserved::{Allowed, Reserved, is_reserved_somewhere};
pub use service_name::{ServiceName, ServiceNameError};
pub use tenure::Tenure;
pub use warm_up::WarmUp;
pub use weight::{Weight, WeightError};

/// One running instance of a service, as a registry announces it: a value, compared by all it says.
///
/// What this proxy has experienced with it is kept by [`crate::endpoint::Memory`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// The registry's name for this instance; unique within a service, and what an operator searches for.
    pub id: Arc<str>,
    /// Where the record lies in its registry: a path, a key, a line; empty where that says no more than the id.
    pub record: Arc<str>,
    /// How long the record stays once whoever wrote it has died.
    pub tenure: Tenure,
    /// Where it listens. Two records of a service with one address are one provider.
    pub address: Address,
    /// Its share of traffic relative to its siblings, once it is warm.
    pub weight: Weight,
    /// How its weight grows after its start, when it says so.
    pub warm_up: Option<WarmUp>,
    /// Where it runs, when it says so.
    pub zone: Option<Arc<str>>,
    /// The announced version; empty when there is none.
    pub version: Arc<str>,
    /// What is spoken with it.
    pub protocol: Protocol,
    /// Whether that is spoken over TLS.
    pub secure: bool,
    /// The handlers it says it has, where it is called by handler (Go Micro's `Say` of `Say.Hello`); empty elsewhere.
    pub handlers: Box<[Box<str>]>,
    /// Everything else the record says about this instance.
    pub metadata: BTreeMap<String, String>,
}

impl Provider {
    /// A provider of which only the id and address are known: usual weight, HTTP/1.1, no version, no metadata.
    pub fn new(id: impl Into<Arc<str>>, address: Address) -> Self {
        Self {
            id: id.into(),
            record: Arc::from(""),
            tenure: Tenure::default(),
            address,
            weight: Weight::ONE,
            warm_up: None,
            zone: None,
            version: Arc::from(""),
            protocol: Protocol::Http1,
            secure: false,
            handlers: Box::default(),
            metadata: BTreeMap::new(),
        }
    }
}

/// What is spoken with a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, as gRPC servers speak it: in clear text by prior knowledge, under TLS as agreed in the handshake.
    H2c,
    /// Go Micro's own calls over HTTP/1.1: a connection to such a provider belongs to one client connection.
    Mucp,
    /// A protocol of its own on a bare connection, such as Dubbo's or Thrift: HTTP cannot be sent to such a provider.
    Tcp,
}

impl Protocol {
    /// Every protocol.
    pub const ALL: [Self; 4] = [Self::Http1, Self::H2c, Self::Mucp, Self::Tcp];

    /// Whether it carries HTTP requests.
    pub const fn is_http(self) -> bool {
        match self {
            Self::Http1 | Self::H2c | Self::Mucp => true,
            Self::Tcp => false,
        }
    }

    /// The word for it in logs, admin answers and configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::H2c => "h2c",
            Self::Mucp => "mucp",
            Self::Tcp => "tcp",
        }
    }
}
