//! A registry: where providers are announced, and how this proxy hears of them.
//!
//! A registry method is a future that runs until it fails. It connects, lists, watches, and reports the whole list of a
//! service each time something changed. It never retries after a failure of the registry as a whole, keeps nothing
//! between two calls, and knows nothing of staleness: that is written once, in the catalog. Cancelling is dropping the
//! future.

pub mod announcer;
pub mod auth;
pub mod consul;
pub mod dns;
pub mod etcd;
pub mod file;
pub mod fixed;
mod follows;
pub mod format;
pub mod kinds;
mod records;
pub mod url;
pub mod written;
pub mod zookeeper;

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use thiserror::Error;
use tokio::sync::{mpsc, watch};

use crate::provider::{Provider, ServiceName};

/// The services whose providers are wanted; changes while a watch runs. Only the latest set is seen, so a service that went and
/// is wanted again may never seem to be gone: it is told by [`ServiceName::is`], and has to be listed as one that is new.
pub type Wanted = watch::Receiver<Arc<BTreeSet<ServiceName>>>;

/// What [`Registry::watch`] returns: runs until the registry fails.
pub type Watch<'a> = Pin<Box<dyn Future<Output = RegistryError> + Send + 'a>>;

/// Where providers are announced.
pub trait Registry: Send + Sync + fmt::Debug {
    /// The kind, as the scheme of its URL says it: `zookeeper`, `etcd`, `file`, `fixed`.
    fn kind(&self) -> &'static str;

    /// Where it is, for messages and logs; never with a secret in it.
    fn location(&self) -> String;

    /// Follows every wanted service until the registry fails: reports each one's whole list at first and whenever it changed.
    ///
    /// A service that is wanted later is listed as soon as it is; one no longer wanted is let go. One service's bad
    /// records never hold up another, and are reported as [`Skipped`] beside the good ones.
    fn watch<'a>(&'a self, wanted: Wanted, reports: Reports) -> Watch<'a>;

    /// Deletes the record of a provider that proved to be a ghost, after looking once more whether it is what it was: without
    /// an owner, and unchanged. Registries that are only read spare it.
    fn reap<'a>(&'a self, _service: &'a ServiceName, _provider: &'a Provider) -> Reap<'a> {
        Box::pin(std::future::ready(Ok(Reaped::Spared("nothing is deleted in this kind of registry"))))
    }
}

/// What [`Registry::reap`] returns.
pub type Reap<'a> = Pin<Box<dyn Future<Output = Result<Reaped, RegistryError>> + Send + 'a>>;

/// What became of a record that was to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaped {
    /// It is deleted.
    Deleted,
    /// It was left alone, for this reason.
    Spared(&'static str),
}

/// Why a watch ended.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// The registry does not answer, or stopped answering.
    #[error("{doing}")]
    Unreachable {
        /// What was tried.
        doing: String,
        /// The cause, in the words of the client.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The registry answers, but refuses.
    #[error("{doing}")]
    Refused {
        /// What was tried, and what the operator can do about it.
        doing: String,
        /// The cause, in the words of the client.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nobody listens to the reports any more: the proxy stops.
    #[error("nobody listens any more")]
    Abandoned,
}

impl RegistryError {
    /// The error and all its causes, in one line.
    pub fn told(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        text
    }
}

/// What a registry says while it is watched.
#[derive(Clone, Debug)]
pub enum Report {
    /// The registry answers; what is listed from now on is fresh.
    Connected {
        /// The session, server or file, for an operator.
        detail: String,
    },
    /// The registry does not answer at present, and the watch goes on by itself: what was listed is stale until listed again.
    Disconnected {
        /// The cause.
        cause: String,
    },
    /// The whole list of one service.
    Listed(Listing),
    /// The registry answers, but not for this service: what was listed of it is stale until it is listed again.
    Unheard {
        /// The service.
        service: ServiceName,
        /// The cause, and what to do about it.
        cause: String,
    },
}

/// The whole list of one service, as read at one time.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The service.
    pub service: ServiceName,
    /// What the registry has for it.
    pub view: View,
    /// When the change that led to this list was made, where the registry tells (its clock).
    pub changed_at: Option<SystemTime>,
    /// The registry's version of the list (zxid, revision, index), where it has one.
    pub revision: Option<i64>,
    /// Records read for this list: what the change cost the registry.
    pub reads: u32,
    /// When the registry's word of the change arrived here; `None` when the list was not asked for by such a word.
    pub heard: Option<Instant>,
    /// Whether reading found a change that no word of the registry had told of, while it was connected.
    pub healed: bool,
}

impl Listing {
    /// A list of which no more is known.
    pub const fn new(service: ServiceName, view: View) -> Self {
        Self { service, view, changed_at: None, revision: None, reads: 0, heard: None, healed: false }
    }
}

/// What a registry has for a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum View {
    /// The registry answers, and knows no such service.
    Absent,
    /// The service exists, with or without providers.
    Present {
        /// The providers, the longest unchanged first where the registry tells, else in its order. Addresses may repeat:
        /// the last one of an address is the newest.
        providers: Vec<Arc<Provider>>,
        /// The records that are no provider.
        skipped: Vec<Skipped>,
    },
}

/// A record that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Where it lies: a path, a key, a line.
    pub record: String,
    /// One short word for metrics, of a fixed set: see [`format::Reason`].
    pub reason: format::Reason,
    /// The cause in full, for the log and the admin page.
    pub detail: String,
}

/// Where a registry sends its [`Report`]s; waits while the catalog is busy.
#[derive(Clone, Debug)]
pub struct Reports(mpsc::Sender<Report>);

impl Reports {
    /// Reports in the queue before a registry has to wait.
    const QUEUE: usize = 64;

    /// A sender and what it sends to.
    pub fn channel() -> (Self, mpsc::Receiver<Report>) {
        let (sender, receiver) = mpsc::channel(Self::QUEUE);
        (Self(sender), receiver)
    }

    /// Hands over one report.
    ///
    /// # Errors
    /// [`RegistryError::Abandoned`] when nobody listens any more; the watch should return it.
    pub async fn send(&self, report: Report) -> Result<(), RegistryError> {
        self.0.send(report).await.map_err(|_| RegistryError::Abandoned)
    }
}

/// How a registry is watched where it has a choice; every kind takes what concerns it.
#[derive(Clone, Debug)]
pub struct Pace {
    /// How long a call may take before the registry counts as unreachable.
    pub call_timeout: Duration,
    /// How often what is watched is compared with what is there; varied by half.
    pub audit: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { call_timeout: Duration::from_secs(5), audit: Duration::from_mins(5) }
    }
}

/// A duration varied by half, so that a fleet does not act at once.
fn varied(duration: Duration) -> Duration {
    duration.mul_f64(rand::random_range(0.5..1.5))
}
