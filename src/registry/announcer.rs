//! An announcer: how this proxy tells a registry of the providers it stands beside.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::Watch;
use crate::provider::{Address, Provider, ServiceName};

/// What is to be announced, by a name of ours for each; changes while an announcer runs.
pub type ToAnnounce = watch::Receiver<Arc<BTreeMap<Arc<str>, Arc<Announcement>>>>;

/// Where an announcer tells how things stand, by the same names.
pub type Standings = watch::Sender<Arc<BTreeMap<Arc<str>, Standing>>>;

/// One provider, to be announced.
#[derive(Clone, Debug, PartialEq)]
pub struct Announcement {
    /// The service it is a provider of.
    pub service: ServiceName,
    /// The provider; its `record` and `tenure` are the registry's to give, and are ignored.
    pub provider: Provider,
    /// The metadata of the service itself, in formats that know of such.
    pub service_metadata: BTreeMap<String, String>,
    /// The endpoints of the service as Go Micro describes them, handed on as they are, in formats that know of such.
    pub endpoints: Vec<serde_json::Value>,
    /// How long the record may outlive this process, where the registry can be told.
    pub ttl: Duration,
    /// When the provider was first announced, in formats that say so. A record that is written anew keeps it.
    pub since: SystemTime,
}

/// How things stand with one announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is in its place.
    Announced {
        /// Where the record lies.
        record: String,
    },
    /// It is not, and cannot be as it is.
    Refused {
        /// Why, and what to do about it.
        cause: String,
    },
}

/// How this proxy tells a registry of providers.
pub trait Announcer: Send + Sync + fmt::Debug {
    /// The kind, as the scheme of its URL says it.
    fn kind(&self) -> &'static str;

    /// Where it is, for messages and logs; never with a secret in it.
    fn location(&self) -> String;

    /// A server of it, so that the address can be found that this machine has towards it; `None` where it has no server.
    fn server(&self) -> Option<Address> {
        None
    }

    /// Keeps announced what is to be announced, and nothing else of ours, until the registry fails.
    ///
    /// What comes to be wanted is announced, what changed is written anew, what is no longer wanted is withdrawn, what
    /// somebody else deleted is restored. `standings` is told after each of these, and holds no announcement that is neither
    /// in place nor refused: an empty one says that all is withdrawn. Ends with
    /// [`RegistryError::Abandoned`](super::RegistryError::Abandoned), all being withdrawn, when nobody can want anything any
    /// more. Cancelling is dropping the future, which leaves records to their lease.
    fn announce<'a>(&'a self, wanted: ToAnnounce, standings: &'a Standings) -> Watch<'a>;
}
