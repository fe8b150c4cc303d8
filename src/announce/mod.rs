//! Announcing: the apps that this proxy stands beside are told of in a registry while they are well.
//!
//! What is to be announced comes from the configuration, from operators and programs on the admin port, and from the command
//! line. Each has a gate, which its check opens and closes, and an address, which may have to be found. What has both is handed
//! to the announcer of its registry, which keeps it in its place until it fails; then it is tried again, after a pause that
//! grows. At the end everything is withdrawn before anything else stops.

mod address;
mod ask;
mod bequest;
mod desk;
mod entry;
mod gate;
mod run;
pub mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

pub use address::Advertised;
pub use bequest::Bequest;

use crate::check::Check;
use crate::clock::Clock;
use crate::provider::{Protocol, ServiceName, Weight};
use crate::registry::announcer::Announcer;
use crate::telemetry::metrics::Metrics;
use desk::Desk;
use entry::{Entry, Origin};
use status::Status;

/// The most announcements of one process.
pub const ANNOUNCEMENTS_MAX: usize = 64;
/// How long a record may outlive this process, where nothing else is said.
pub const TTL: Duration = Duration::from_secs(30);

/// Where something is announced.
#[derive(Clone)]
pub struct Target {
    /// What tells it from other targets of this process.
    pub name: Arc<str>,
    /// What announces there.
    pub announcer: Arc<dyn Announcer>,
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Target").field(&self.name).finish()
    }
}

/// What is to be announced, when, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// The service.
    pub service: ServiceName,
    /// The id of the provider; one is made up where there is none, and kept as long as the process lives.
    pub id: Option<Arc<str>>,
    /// Where the app listens, as others reach it.
    pub address: Advertised,
    /// Its version; may be empty.
    pub version: Arc<str>,
    /// Its share of traffic.
    pub weight: Weight,
    /// Where it runs.
    pub zone: Option<Arc<str>>,
    /// What is spoken with it.
    pub protocol: Protocol,
    /// Whether that is spoken over TLS.
    pub secure: bool,
    /// What else the record is to say of it.
    pub metadata: BTreeMap<String, String>,
    /// The metadata of the service itself, in formats that know of such.
    pub service_metadata: BTreeMap<String, String>,
    /// The endpoints of the service as Go Micro describes them, in formats that know of such.
    pub endpoints: Vec<serde_json::Value>,
    /// How long the record may outlive this process.
    pub ttl: Duration,
    /// How it is found whether the app is well.
    pub check: Check,
    /// How long after the start of the proxy the app is first asked.
    pub start_delay: Duration,
    /// Where it is announced.
    pub target: Target,
}

impl Wish {
    /// A provider of which only service and address are known: checked by connecting to it.
    pub fn new(service: ServiceName, address: Advertised, target: Target) -> Self {
        Self {
            service,
            id: None,
            address,
            version: Arc::from(""),
            weight: Weight::ONE,
            zone: None,
            protocol: Protocol::Http1,
            secure: false,
            metadata: BTreeMap::new(),
            service_metadata: BTreeMap::new(),
            endpoints: Vec::new(),
            ttl: TTL,
            check: Check::default(),
            start_delay: Duration::ZERO,
            target,
        }
    }
}

/// Why something is not announced, or not withdrawn.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// As many are announced as may be.
    #[error("{ANNOUNCEMENTS_MAX} announcements are kept, as many as there may be; withdraw one first")]
    TooMany,
    /// The configuration announces it, and it alone can change that.
    #[error("{service:?} with the id {id:?} is announced by the configuration; change it there")]
    Configured {
        /// The service.
        service: String,
        /// The id.
        id: String,
    },
    /// The proxy is about to end.
    #[error("this proxy is stopping, and announces nothing more")]
    Stopping,
}

/// Everything that is announced by this process.
#[derive(Debug)]
pub struct Announcements {
    metrics: Arc<Metrics>,
    clock: Clock,
    book: Mutex<Book>,
    /// Something was written into the book.
    changed: Notify,
    /// Whether another process is about to take over, which so takes records away from this one. Written by the app.
    is_handed_over: AtomicBool,
    /// Once nothing runs any more, whether all was withdrawn.
    ended: watch::Sender<Option<bool>>,
}

/// What is to be announced, and where.
#[derive(Debug, Default)]
struct Book {
    /// By service and id.
    entries: BTreeMap<Arc<str>, Entry>,
    desks: Vec<Arc<Desk>>,
    /// What the process before announced, whose place this one takes.
    left: Vec<Bequest>,
    /// How it ends, once it does.
    ending: Option<Ending>,
}

/// What becomes at the end of what is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It is withdrawn.
    Withdraw,
    /// Another process has announced it meanwhile, and it is left alone.
    Leave,
}

impl Announcements {
    /// Nothing is announced yet.
    pub fn new(metrics: Arc<Metrics>, clock: Clock) -> Arc<Self> {
        let ended = watch::Sender::default();
        let is_handed_over = AtomicBool::new(false);
        Arc::new(Self {
            metrics,
            clock,
            book: Mutex::default(),
            changed: Notify::new(),
            is_handed_over,
            ended,
        })
    }

    /// Takes over what the configuration announces; what is as it was before stays untouched.
    pub fn configure(&self, wishes: &[Wish]) {
        let mut book = self.book.lock();
        if book.ending.is_some() {
            return;
        }
        let (now, moment) = (Instant::now(), self.clock.now());
        let is_configured = |entry: &Entry| entry.origin == Origin::Configuration;
        let mut before: BTreeMap<Arc<str>, Entry> =
            book.entries.extract_if(.., |_, entry| is_configured(entry)).collect();
        for wish in wishes {
            let left = || book.left.iter().find(|bequest| bequest.is_of(wish)).map(Bequest::id);
            let id = wish.id.clone().or_else(|| entry::id_of_nameless(&before, wish, wishes)).or_else(left);
            let id = id.unwrap_or_else(|| entry::made_up(&wish.service));
            let key = entry::key(&wish.service, &id, &wish.target);
            let entry = match before.remove(&key) {
                Some(mut entry) => {
                    entry.change(wish.clone(), now);
                    entry
                }
                None => {
                    let mut entry = Entry::new(Origin::Configuration, wish.clone(), id, now, moment);
                    // It has started already where another process has it announced.
                    if book.left.iter().any(|bequest| bequest.is_in_place_as(&key)) {
                        entry.due = Some(now);
                    }
                    entry
                }
            };
            // The configuration wins over a program that asked for the same.
            book.entries.insert(key, entry);
        }
        drop(book);
        self.changed.notify_one();
    }

    /// Announces what a program asks for, or changes what it asked for; with `lasts`, only until that has passed since it
    /// asked last. Gives what [`Announcements::settled`] asks for.
    ///
    /// # Errors
    /// When the configuration announces the same, when there are too many, and at the end.
    pub fn ask(&self, wish: Wish, lasts: Option<Duration>) -> Result<Arc<str>, Refusal> {
        let mut book = self.book.lock();
        if book.ending.is_some() {
            return Err(Refusal::Stopping);
        }
        let now = Instant::now();
        let id = wish.id.clone().unwrap_or_else(|| entry::made_up(&wish.service));
        let key = entry::key(&wish.service, &id, &wish.target);
        let count = book.entries.len();
        match book.entries.get_mut(&key) {
            Some(entry) if entry.origin == Origin::Configuration => {
                let (service, id) = (wish.service.to_string(), id.to_string());
                return Err(Refusal::Configured { service, id });
            }
            Some(entry) => {
                entry.change(wish, now);
                entry.expires = lasts.map(|lasts| now + lasts);
            }
            None if count >= ANNOUNCEMENTS_MAX => return Err(Refusal::TooMany),
            None => {
                let mut entry = Entry::new(Origin::Request, wish, id, now, self.clock.now());
                entry.expires = lasts.map(|lasts| now + lasts);
                book.entries.insert(Arc::clone(&key), entry);
            }
        }
        drop(book);
        self.changed.notify_one();
        Ok(key)
    }

    /// Withdraws what a program asked for; false when there is no such announcement.
    ///
    /// # Errors
    /// When the configuration announces it.
    pub fn withdraw(&self, service: &ServiceName, id: &str, target: &Target) -> Result<bool, Refusal> {
        let mut book = self.book.lock();
        let key = entry::key(service, id, target);
        match book.entries.get(&key) {
            None => return Ok(false),
            Some(entry) if entry.origin == Origin::Configuration => {
                let (service, id) = (service.to_string(), id.to_owned());
                return Err(Refusal::Configured { service, id });
            }
            Some(_) => book.entries.remove(&key),
        };
        drop(book);
        self.changed.notify_one();
        Ok(true)
    }

    /// Withdraws everything and announces nothing more; waits for it at most so long. False when it was not done by then, or
    /// the registry does not answer: what is left there goes with its lease.
    pub async fn close(&self, limit: Duration) -> bool {
        self.book.lock().ending.get_or_insert(Ending::Withdraw);
        self.changed.notify_one();
        let mut ended = self.ended.subscribe();
        let ended = tokio::time::timeout(limit, ended.wait_for(Option::is_some)).await;
        ended.is_ok_and(|ended| ended.is_ok_and(|withdrawn| *withdrawn == Some(true)))
    }

    /// Waits until everything is to be withdrawn; to be called only before anything runs that announces.
    pub async fn closing(&self) {
        while self.book.lock().ending.is_none() {
            self.changed.notified().await;
        }
    }

    /// Whether anything is announced, or is to be.
    pub fn is_empty(&self) -> bool {
        self.book.lock().entries.is_empty()
    }

    /// Everything that is to be announced, and how it stands, by service and id.
    pub fn status(&self) -> Vec<Status> {
        let book = self.book.lock();
        let now = self.clock.now();
        book.entries.values().map(|entry| Status::of(entry, book.desk(&entry.wish.target), now)).collect()
    }

    /// How one announcement stands once that is known, or after a while; `None` when it is gone.
    pub async fn settled(&self, key: &str, limit: Duration) -> Option<Status> {
        let look = || {
            let book = self.book.lock();
            let entry = book.entries.get(key)?;
            Some(Status::of(entry, book.desk(&entry.wish.target), self.clock.now()))
        };
        let deadline = Instant::now() + limit;
        loop {
            let status = look()?;
            if status.is_settled() || Instant::now() >= deadline {
                return Some(status);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until what was withdrawn is gone from its registry, at most so long; whether it is.
    pub async fn gone(&self, service: &ServiceName, id: &str, target: &Target, limit: Duration) -> bool {
        let key = entry::key(service, id, target);
        let desks = self.book.lock().desks.clone();
        let gone = async {
            while desks.iter().any(|desk| desk.standing(&key).is_some()) {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(limit, gone).await.is_ok()
    }
}

/// How often it is looked whether an announcement that somebody waits for has settled.
const LOOK: Duration = Duration::from_millis(10);

impl Book {
    fn desk(&self, target: &Target) -> Option<&Arc<Desk>> {
        self.desks.iter().find(|desk| desk.target == *target)
    }
}
