//! Announcing in ZooKeeper: ephemeral records in a session of their own, put back when somebody deletes them.
//!
//! The session's timeout is the shortest time that an announcement may outlive this process. A record is looked at when a
//! watch of its own fires, after each reconnect, and at a low rate in any case. What lies in its place and is not ours is
//! left of a program that died, and replaced; unless ours was there before, in this session: then two programs announce the
//! same id, and the later one keeps it, since taking it back and forth would help nobody.

mod keeper;
mod record;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use self::keeper::Keeper;
use self::record::Record;
use super::Settings;
use super::session::Session;
use crate::provider::Address;
use crate::registry::announcer::{Announcement, Announcer, Standings, ToAnnounce};
use crate::registry::{RegistryError, Watch};

/// The shortest session timeout asked for; the server has bounds of its own.
const SESSION_TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// The sessions of ours that are remembered: a record of one that has not expired yet is ours.
const SESSIONS_MAX: usize = 64;

/// What announces in ZooKeeper.
#[derive(Debug)]
pub struct Announcing {
    settings: Settings,
    owned: Owned,
}

/// The announcer of these settings; nothing is connected before something is announced.
pub fn announcer(settings: Settings) -> Announcing {
    Announcing { settings, owned: Owned::default() }
}

impl Announcer for Announcing {
    fn kind(&self) -> &'static str {
        "zookeeper"
    }

    fn location(&self) -> String {
        format!("zookeeper://{}?prefix={}", self.settings.cluster(), self.settings.root())
    }

    fn server(&self) -> Option<Address> {
        self.settings.servers.split(',').next()?.parse().ok()
    }

    fn announce<'a>(&'a self, wanted: ToAnnounce, standings: &'a Standings) -> Watch<'a> {
        Box::pin(async move {
            match self.run(wanted, standings).await {
                Ok(never) => match never {},
                Err(error) => error,
            }
        })
    }
}

impl Announcing {
    async fn run(&self, mut wanted: ToAnnounce, standings: &Standings) -> Result<Infallible, RegistryError> {
        standings.send_replace(Arc::default());
        // Without anything to announce or withdraw there is no session.
        while wanted.borrow_and_update().is_empty() && self.owned.is_empty() {
            wanted.changed().await.map_err(|_| RegistryError::Abandoned)?;
        }
        let mut before = None;
        loop {
            let mut settings = self.settings.clone();
            settings.session_timeout = session_timeout(&settings, &wanted.borrow());
            let session = Session::open_to_announce(&settings).await?;
            self.owned.note_session(session.client.session_id().0);
            let keeper = Keeper::new(&session, &self.owned, standings, before.take());
            keeper.keep(&mut wanted).await?;
            // Kept until its records are taken over by the session that follows.
            before = Some(session.client);
        }
    }
}

/// The timeout to ask for: the shortest time that one of these may outlive this process.
fn session_timeout(settings: &Settings, wanted: &Announcements) -> Duration {
    let shortest = wanted.values().map(|announcement| announcement.ttl).min();
    let least = SESSION_TIMEOUT_MIN.max(settings.connection_timeout * 2);
    shortest.unwrap_or(settings.session_timeout).max(least)
}

type Announcements = BTreeMap<Arc<str>, Arc<Announcement>>;

/// What is ours in the registry, over all sessions of this process.
#[derive(Debug, Default)]
struct Owned {
    sessions: Mutex<VecDeque<i64>>,
    /// The records that may be there, by the path they were created with.
    records: Mutex<BTreeMap<String, Record>>,
    /// The paths of numbered records in this session, each of one announcement: those of one service may have one name but for
    /// the number.
    held: Mutex<BTreeSet<String>>,
    /// Whether the server was found not to replace a record in one step. Written and read as records are brought into place.
    cannot_replace: AtomicBool,
}

impl Owned {
    fn note_session(&self, id: i64) {
        let mut sessions = self.sessions.lock();
        sessions.push_front(id);
        sessions.truncate(SESSIONS_MAX);
        // What is left of sessions before is there to be taken over.
        self.held.lock().clear();
    }

    fn hold(&self, path: &str) {
        self.held.lock().insert(path.to_owned());
    }

    fn is_held(&self, path: &str) -> bool {
        self.held.lock().contains(path)
    }

    fn let_go(&self, path: &str) {
        self.held.lock().remove(path);
    }

    fn has_session(&self, id: i64) -> bool {
        self.sessions.lock().contains(&id)
    }

    fn note(&self, record: &Record) {
        self.records.lock().entry(record.path()).or_insert_with(|| record.clone());
    }

    fn forget(&self, record: &Record) {
        self.records.lock().remove(&record.path());
    }

    fn can_replace(&self) -> bool {
        !self.cannot_replace.load(Ordering::Relaxed)
    }

    fn cannot_replace(&self) {
        self.cannot_replace.store(true, Ordering::Relaxed);
    }

    fn is_empty(&self) -> bool {
        self.records.lock().is_empty()
    }
}
