//! A desk: the announcer of one target at work, begun again whenever it failed.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use rand::RngExt as _;
use tokio::sync::watch;

use super::{Announcements, Target};
use crate::backoff::Backoff;
use crate::registry::RegistryError;
use crate::registry::announcer::{Announcement, Standing, Standings, ToAnnounce};

type Wanted = Arc<BTreeMap<Arc<str>, Arc<Announcement>>>;

/// The announcer of one target, and what it is told and tells.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) target: Target,
    /// Dropped when everything is to be withdrawn.
    wanted: Mutex<Option<watch::Sender<Wanted>>>,
    receiver: ToAnnounce,
    pub(super) standings: Standings,
    /// Why the registry cannot be announced in at present; `None` while nothing speaks against it.
    pub(super) down: Mutex<Option<String>>,
}

/// What was logged and counted of each announcement.
type Told = BTreeMap<Arc<str>, Standing>;

impl Desk {
    pub(super) fn new(target: Target) -> Self {
        let (wanted, receiver) = watch::channel(Wanted::default());
        let standings = watch::Sender::default();
        Self { target, wanted: Mutex::new(Some(wanted)), receiver, standings, down: Mutex::default() }
    }

    /// Announces these, and nothing else.
    pub(super) fn want(&self, announcements: BTreeMap<Arc<str>, Announcement>) {
        if let Some(wanted) = &*self.wanted.lock() {
            wanted.send_if_modified(|now| {
                let same = now.len() == announcements.len()
                    && now.iter().all(|(key, one)| announcements.get(key) == Some(&**one));
                if !same {
                    let kept = |(key, new): (Arc<str>, Announcement)| {
                        // What did not change stays the same value.
                        let before = now.get(&key).filter(|before| ***before == new);
                        let one = before.map_or_else(|| Arc::new(new), Arc::clone);
                        (key, one)
                    };
                    *now = Arc::new(announcements.into_iter().map(kept).collect());
                }
                !same
            });
        }
    }

    /// Withdraws everything, and ends the announcer then.
    pub(super) fn close(&self) {
        self.want(BTreeMap::new());
        *self.wanted.lock() = None;
    }

    /// How one announcement stands, as the announcer tells.
    pub(super) fn standing(&self, key: &str) -> Option<Standing> {
        self.standings.borrow().get(key).cloned()
    }

    /// Whether everything is to be withdrawn for good.
    fn is_closed(&self) -> bool {
        self.wanted.lock().is_none()
    }

    async fn closed(&self) {
        let mut receiver = self.receiver.clone();
        while receiver.changed().await.is_ok() {}
    }

    /// Runs the announcer until everything is withdrawn at the end; whether it was.
    pub(super) async fn run(self: Arc<Self>, all: Arc<Announcements>) -> bool {
        let mut backoff = Backoff::default();
        let mut told = Told::new();
        let (kind, location) = (self.target.announcer.kind(), self.target.announcer.location());
        loop {
            let was_closed = self.is_closed();
            // Without anything to announce nobody asks the registry, and nothing more is known against it.
            if !was_closed && self.receiver.borrow().is_empty() {
                *self.down.lock() = None;
            }
            let Some(error) = self.serve(&all, &mut backoff, &mut told).await else { return true };
            if self.down.lock().replace(error.clone()).is_none() {
                tracing::warn!(
                    registry = kind,
                    location,
                    cause = error,
                    "nothing can be announced; trying again"
                );
            }
            all.metrics.announce.failures_total.inc();
            // What lies in the registry goes with its lease, or is found there again.
            self.standings.send_replace(Arc::default());
            self.tell(&all, &mut told);
            // At the end it is tried once more, without a pause.
            if was_closed {
                return false;
            }
            let chance = rand::rng().random::<f64>();
            tokio::select! {
                () = self.closed() => {}
                () = tokio::time::sleep(backoff.failed(chance)) => {}
            }
        }
    }

    /// Runs the announcer once; why it failed, or `None` at the end.
    async fn serve(&self, all: &Announcements, backoff: &mut Backoff, told: &mut Told) -> Option<String> {
        let announcing = self.target.announcer.announce(self.receiver.clone(), &self.standings);
        // A client library that panics must not end the announcing for good.
        let mut announcing = AssertUnwindSafe(announcing).catch_unwind();
        let mut standings = self.standings.subscribe();
        let end = loop {
            tokio::select! {
                biased;
                end = &mut announcing => break end,
                Ok(()) = standings.changed() => {
                    if !standings.borrow_and_update().is_empty() {
                        backoff.works();
                        *self.down.lock() = None;
                    }
                    self.tell(all, told);
                }
            }
        };
        self.tell(all, told);
        match end {
            Ok(RegistryError::Abandoned) => None,
            Ok(error) => Some(error.told()),
            Err(_) => Some("the registry's client panicked; please report this".to_owned()),
        }
    }

    /// Logs and counts what changed since it was told last.
    fn tell(&self, all: &Announcements, told: &mut Told) {
        let metrics = &all.metrics.announce;
        let now = Arc::clone(&self.standings.borrow());
        let wanted = Arc::clone(&self.receiver.borrow());
        let is_ending = self.receiver.has_changed().is_err();
        for (id, before) in told.extract_if(.., |key, _| !now.contains_key(key)) {
            if !matches!(before, Standing::Announced { .. }) {
                continue;
            }
            // What is still wanted was not taken out by us: its registry was lost, and the record is left to its lease.
            if wanted.contains_key(&id) && !is_ending {
                tracing::info!(id = &*id, "not known to be in its place any more");
                metrics.changed("lost").inc();
            } else {
                let kept = if self.down.lock().is_some() { "; its registry does not answer" } else { "" };
                tracing::info!(id = &*id, "withdrawn{kept}");
                metrics.changed("withdrawn").inc();
            }
        }
        for (id, standing) in &*now {
            let before = told.insert(Arc::clone(id), standing.clone());
            if before.as_ref() == Some(standing) {
                continue;
            }
            match standing {
                Standing::Announced { record } => {
                    let address = wanted.get(id).map(|one| one.provider.address.to_string());
                    tracing::info!(id = &**id, address, record, "announced");
                    metrics.changed("announced").inc();
                }
                // By another process that takes over, as it should be.
                Standing::Refused { cause } if all.is_handed_over.load(Ordering::Relaxed) => {
                    tracing::debug!(id = &**id, cause, "taken over");
                }
                Standing::Refused { cause } => {
                    tracing::warn!(id = &**id, cause, "cannot be announced");
                    metrics.changed("refused").inc();
                }
            }
        }
        all.changed.notify_one();
    }
}
