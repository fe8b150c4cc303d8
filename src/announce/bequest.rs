//! A bequest: one announcement as it is left to the process that takes the place of this one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::entry::{self, Entry, Origin};
use super::{Advertised, Announcements, Book, Ending, LOOK, Refusal, Target, Wish};
use crate::check::{Check, CheckKind};
use crate::provider::{Protocol, Weight};
use crate::registry::announcer::Standing;

/// One announcement: what it takes to announce the same again, under the same name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bequest {
    service: String,
    id: String,
    /// The name of its target.
    target: String,
    address: String,
    /// Whether the record is in its place.
    is_announced: bool,
    /// What a program asked for; `None` where the configuration says it all.
    requested: Option<Requested>,
}

/// What a program asked for, apart from service, id and address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Requested {
    version: String,
    weight_hundredths: u32,
    zone: Option<String>,
    protocol: String,
    secure: bool,
    metadata: BTreeMap<String, String>,
    service_metadata: BTreeMap<String, String>,
    endpoints: Vec<serde_json::Value>,
    ttl_ms: u64,
    /// Whether it is asked for a connection; programs can ask for no other check.
    is_checked: bool,
    /// When it ends unless it is asked for again.
    expires_ms: Option<u64>,
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Bequest {
    fn of(entry: &Entry, is_announced: bool, now: Instant) -> Self {
        let wish = &entry.wish;
        let requested = || Requested {
            version: wish.version.to_string(),
            weight_hundredths: wish.weight.hundredths(),
            zone: wish.zone.as_deref().map(str::to_owned),
            protocol: wish.protocol.as_str().to_owned(),
            secure: wish.secure,
            metadata: wish.metadata.clone(),
            service_metadata: wish.service_metadata.clone(),
            endpoints: wish.endpoints.clone(),
            ttl_ms: ms(wish.ttl),
            is_checked: wish.check.kind != CheckKind::None,
            expires_ms: entry.expires.map(|at| ms(at.saturating_duration_since(now))),
        };
        Self {
            service: wish.service.to_string(),
            id: entry.id.to_string(),
            target: wish.target.name.to_string(),
            address: wish.address.to_string(),
            is_announced,
            requested: (entry.origin == Origin::Request).then(requested),
        }
    }

    /// The name of the announcement among all.
    fn key(&self) -> Arc<str> {
        entry::key_of(&self.service, &self.id, &self.target)
    }

    /// Whether it is the one that the configuration wishes for, without saying its id.
    pub(super) fn is_of(&self, wish: &Wish) -> bool {
        self.requested.is_none()
            && self.service == wish.service.as_str()
            && *self.target == *wish.target.name
            && self.address == wish.address.to_string()
    }

    /// Whether it is the one of this name, and in its place.
    pub(super) fn is_in_place_as(&self, key: &str) -> bool {
        self.is_announced && *self.key() == *key
    }

    pub(super) fn id(&self) -> Arc<str> {
        self.id.as_str().into()
    }

    /// What a program wished for, and for how long; `None` where it was the configuration, or it can be wished for no more.
    fn wish(&self, target: &Target) -> Option<(Wish, Option<Duration>)> {
        let requested = self.requested.as_ref().filter(|_| *self.target == *target.name)?;
        let address = Advertised::As(self.address.parse().ok()?);
        let kind = if requested.is_checked { CheckKind::Tcp } else { CheckKind::None };
        let wish = Wish {
            id: Some(self.id()),
            version: requested.version.as_str().into(),
            weight: Weight::from_hundredths(requested.weight_hundredths),
            zone: requested.zone.as_deref().map(Arc::from),
            protocol: *Protocol::ALL.iter().find(|protocol| protocol.as_str() == requested.protocol)?,
            secure: requested.secure,
            metadata: requested.metadata.clone(),
            service_metadata: requested.service_metadata.clone(),
            endpoints: requested.endpoints.clone(),
            ttl: Duration::from_millis(requested.ttl_ms),
            check: Check { kind, ..Check::default() },
            ..Wish::new(self.service.parse().ok()?, address, target.clone())
        };
        Some((wish, requested.expires_ms.map(Duration::from_millis)))
    }
}

impl Announcements {
    /// What is announced, or is to be, for a process that takes the place of this one.
    pub fn bequests(&self) -> Vec<Bequest> {
        let book = self.book.lock();
        let now = Instant::now();
        let bequest =
            |(key, entry): (&Arc<str>, &Entry)| Bequest::of(entry, book.is_announced(key, entry), now);
        book.entries.iter().map(bequest).collect()
    }

    /// Notes whether another process is about to take over.
    pub fn hand_over(&self, is_handed_over: bool) {
        self.is_handed_over.store(is_handed_over, Ordering::Relaxed);
    }

    /// Whether another process is about to take over.
    pub fn is_handed_over(&self) -> bool {
        self.is_handed_over.load(Ordering::Relaxed)
    }

    /// Takes over what another process announces: ids that it made up, and what programs asked it for. Before anything is configured.
    pub fn inherit(&self, left: Vec<Bequest>, target: Option<&Target>) {
        let wishes = target.into_iter().flat_map(|target| left.iter().filter_map(|it| it.wish(target)));
        for (wish, lasts) in wishes {
            if let Err(refusal) = self.ask(wish, lasts) {
                tracing::warn!(%refusal, "what a program had announced by the process before is not taken over");
            }
        }
        self.book.lock().left = left;
    }

    /// Takes over once more what programs asked the other process for, since it answered them while this one got ready: what came
    /// since then comes, what they withdrew goes, and what they asked for again lasts as long as there.
    pub fn catch_up(&self, last: &[Bequest], target: &Target) {
        for (wish, lasts) in last.iter().filter_map(|bequest| bequest.wish(target)) {
            match self.ask(wish, lasts) {
                // What the configuration of this one says, no program changes.
                Ok(_) | Err(Refusal::Configured { .. } | Refusal::Stopping) => {}
                Err(refusal @ Refusal::TooMany) => tracing::warn!(
                    %refusal,
                    "what a program had announced by the process before is not taken over"
                ),
            }
        }
        let asked: BTreeSet<Arc<str>> = last.iter().map(Bequest::key).collect();
        let mut book = self.book.lock();
        let before = book.left.iter().filter(|bequest| bequest.requested.is_some()).map(Bequest::key);
        for key in before.filter(|key| !asked.contains(key)).collect::<Vec<_>>() {
            if book.entries.get(&key).is_some_and(|entry| entry.origin == Origin::Request) {
                book.entries.remove(&key);
            }
        }
        drop(book);
        self.changed.notify_one();
    }

    /// Waits until all that another process has in place, and that is wished for here as well, is in place by this one's
    /// doing; at most so long. Gives all that is wished for here, whether it is in place or not.
    pub async fn taken_over(&self, limit: Duration) -> BTreeSet<Arc<str>> {
        let deadline = Instant::now() + limit;
        loop {
            {
                let book = self.book.lock();
                let mut awaited = book.left.iter().filter(|bequest| bequest.is_announced).map(Bequest::key);
                let is_missing = |key: Arc<str>| {
                    book.entries.get(&key).is_some_and(|entry| !book.is_announced(&key, entry))
                };
                if !awaited.any(is_missing) || Instant::now() >= deadline {
                    return book.entries.keys().cloned().collect();
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Leaves these to the process that has announced them meanwhile, withdraws all others, and announces nothing more.
    pub async fn leave(&self, taken: &BTreeSet<Arc<str>>, limit: Duration) {
        self.book.lock().entries.retain(|key, _| taken.contains(key));
        self.changed.notify_one();
        let deadline = Instant::now() + limit;
        while self.book.lock().holds_others(taken) && Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
        }
        self.book.lock().ending = Some(Ending::Leave);
        self.changed.notify_one();
        let mut ended = self.ended.subscribe();
        // What does not end in a moment ends with the process.
        let _ = tokio::time::timeout(limit, ended.wait_for(Option::is_some)).await;
    }
}

impl Book {
    fn is_announced(&self, key: &str, entry: &Entry) -> bool {
        let standing = self.desk(&entry.wish.target).and_then(|desk| desk.standing(key));
        matches!(standing, Some(Standing::Announced { .. }))
    }

    /// Whether anything else than these is in some registry.
    fn holds_others(&self, taken: &BTreeSet<Arc<str>>) -> bool {
        self.desks.iter().any(|desk| desk.standings.borrow().keys().any(|key| !taken.contains(key)))
    }
}
