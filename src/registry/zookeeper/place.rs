//! The folders of a service: where each lies, and the watch on it.

use futures_util::FutureExt as _;
use zookeeper_client::{PersistentWatcher, Stat, WatchedEvent};

use super::batch::Batch;
use super::one_shot::Post;
use super::session::{Fault, Room, Session};
use crate::registry::format::Folder;

/// A folder of a service.
pub(super) struct Place<'a> {
    pub(super) folder: Folder,
    /// Where it should lie, below the root.
    pub(super) name: String,
    /// Where watches fire once, the one in force, until it fires.
    pub(super) post: Option<Post<'a>>,
}

/// What a look at a folder gave.
pub(super) enum Found {
    /// There is no such folder.
    Missing,
    /// Its names are not for this proxy's eyes.
    Denied,
    /// It has the names it had when it was listed last.
    AsListed,
    /// Its names, and its own state.
    Names(Vec<String>, Stat),
}

/// A folder with a recursive watch on it.
pub(super) struct Watched<'a> {
    pub(super) folder: Folder,
    pub(super) path: String,
    /// What was heard of it and not acted upon yet.
    pub(super) batch: Batch,
    watcher: PersistentWatcher,
    _room: Option<Room<'a>>,
}

impl<'a> Watched<'a> {
    /// Sets a watch on a folder, or on the root when there is no room for one more.
    pub(super) async fn new(session: &'a Session<'a>, folder: Folder, path: String) -> Result<Self, Fault> {
        let room = session.room(&path);
        let watcher = session.arm(if room.is_some() { &path } else { session.settings.root() }).await?;
        Ok(Self { folder, path, batch: Batch::default(), watcher, _room: room })
    }

    /// Marks what an event is about.
    fn mark(&mut self, event: WatchedEvent) {
        self.batch.add(&self.path, event);
    }

    /// Whether anything was heard that nobody has looked at; to be asked once, before it is dropped.
    fn has_more(&mut self) -> bool {
        self.watcher.changed().now_or_never().is_some()
    }
}

/// The watches on a service's folders: on its providers, and perhaps on its rules.
///
/// They replace older ones before these are dropped, so that the client does not tell the server to forget both.
pub(super) struct Watches<'a> {
    pub(super) providers: Watched<'a>,
    pub(super) rules: Option<Watched<'a>>,
}

impl<'a> Watches<'a> {
    /// All of them.
    pub(super) fn each(&mut self) -> impl Iterator<Item = &mut Watched<'a>> {
        std::iter::once(&mut self.providers).chain(&mut self.rules)
    }

    /// Waits for an event, and marks what it is about, and what came with it. No more may be heard once the session has ended.
    pub(super) async fn hear(&mut self) {
        let Self { providers, rules } = self;
        let of_rules = async {
            match rules.as_mut() {
                Some(rules) => rules.watcher.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            event = providers.watcher.changed() => providers.mark(event),
            event = of_rules => if let Some(rules) = rules { rules.mark(event) },
        }
        for watched in self.each() {
            while watched.batch.ended.is_none()
                && let Some(event) = watched.watcher.changed().now_or_never()
            {
                watched.mark(event);
            }
        }
    }

    /// Whether anything was heard that nobody has acted upon; to be asked once, before they are dropped.
    pub(super) fn have_more(&mut self) -> bool {
        self.each().any(|watched| !watched.batch.children.is_empty() || watched.has_more())
    }
}
