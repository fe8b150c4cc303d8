//! Announcing in etcd: each announcement is a record with a lease of its own, kept alive and in its place.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;

use super::keep::Keep;
use super::session::Session;
use super::{Settings, location};
use crate::registry::announcer::{Announcement, Announcer, Standing, Standings, ToAnnounce};
use crate::registry::{RegistryError, Watch};

/// etcd v3 as a place to announce.
#[derive(Debug)]
pub struct EtcdAnnouncer {
    settings: Settings,
}

/// The announcer of these settings; nothing is connected before it announces.
pub const fn announcer(settings: Settings) -> EtcdAnnouncer {
    EtcdAnnouncer { settings }
}

impl Announcer for EtcdAnnouncer {
    fn kind(&self) -> &'static str {
        "etcd"
    }

    fn location(&self) -> String {
        location(&self.settings)
    }

    fn announce<'a>(&'a self, wanted: ToAnnounce, standings: &'a Standings) -> Watch<'a> {
        Box::pin(async move {
            let board = Board(standings);
            board.clear();
            let error = match announce(&self.settings, wanted, &board).await {
                Ok(never) => match never {},
                Err(error) => error,
            };
            // What a lost session leaves behind ends with its lease; nobody knows of it until there is another.
            board.clear();
            error
        })
    }
}

/// Where it is told how things stand.
pub(super) struct Board<'a>(&'a Standings);

impl Board<'_> {
    pub(super) fn set(&self, name: &Arc<str>, standing: Standing) {
        self.0.send_if_modified(|standings| {
            if standings.get(name) == Some(&standing) {
                return false;
            }
            Arc::make_mut(standings).insert(Arc::clone(name), standing);
            true
        });
    }

    pub(super) fn remove(&self, name: &str) {
        self.0.send_if_modified(|standings| {
            standings.contains_key(name) && Arc::make_mut(standings).remove(name).is_some()
        });
    }

    fn clear(&self) {
        self.0.send_if_modified(|standings| {
            let any = !standings.is_empty();
            if any {
                *standings = Arc::default();
            }
            any
        });
    }
}

type Keeping<'a> = Pin<Box<dyn Future<Output = Result<Arc<str>, RegistryError>> + Send + 'a>>;

async fn announce(
    settings: &Settings,
    mut wanted: ToAnnounce,
    board: &Board<'_>,
) -> Result<Infallible, RegistryError> {
    let session = Session::open(settings).await?;
    let (keeps, running) = (BTreeMap::new(), FuturesUnordered::new());
    let mut keeps = Keeps { session: &session, board, keeps, running };
    let names = wanted.borrow_and_update().clone();
    keeps.adjust(&names);
    let mut closing = false;
    loop {
        if closing && keeps.running.is_empty() {
            return Err(RegistryError::Abandoned);
        }
        tokio::select! {
            Some(ended) = keeps.running.next() => {
                keeps.keeps.remove(&ended?);
                // It may have come to be wanted again while it was being withdrawn.
                if !closing {
                    let names = wanted.borrow().clone();
                    keeps.adjust(&names);
                }
            }
            changed = wanted.changed(), if !closing => {
                closing = changed.is_err();
                let names = if closing { Arc::default() } else { wanted.borrow_and_update().clone() };
                keeps.adjust(&names);
            }
        }
    }
}

/// The announcements that are kept. Their futures run inside the one announcing: dropping it drops them.
struct Keeps<'a> {
    session: &'a Session<'a>,
    board: &'a Board<'a>,
    /// What each is to be; `None` once it is to be withdrawn.
    keeps: BTreeMap<Arc<str>, watch::Sender<Option<Arc<Announcement>>>>,
    running: FuturesUnordered<Keeping<'a>>,
}

impl Keeps<'_> {
    /// Keeps what is newly wanted, changes what changed, and withdraws what is no longer wanted.
    fn adjust(&mut self, wanted: &BTreeMap<Arc<str>, Arc<Announcement>>) {
        for (name, keep) in &self.keeps {
            let wanted = wanted.get(name);
            keep.send_if_modified(|announcement| {
                // What is being withdrawn goes all the way; it is kept anew afterwards.
                let differs = announcement.is_some() && announcement.as_ref() != wanted;
                if differs {
                    *announcement = wanted.cloned();
                }
                differs
            });
        }
        for (name, announcement) in wanted {
            if self.keeps.contains_key(name) {
                continue;
            }
            let (sender, receiver) = watch::channel(Some(Arc::clone(announcement)));
            let (session, board, own) = (self.session, self.board, Arc::clone(name));
            self.running.push(Box::pin(async move {
                Keep::new(session, board, Arc::clone(&own), receiver).run().await.map(|()| own)
            }));
            self.keeps.insert(Arc::clone(name), sender);
        }
    }
}
