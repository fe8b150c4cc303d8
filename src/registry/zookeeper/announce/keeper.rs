//! The records of one session: kept in their places, looked at when something happens to them, withdrawn when unwanted.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{AbortHandle, Abortable};
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;
use zookeeper_client::{Client, Error, OneshotWatcher, SessionState};

use super::super::session::{Fault, Session, varied};
use super::record::{Place, Record, Settled};
use super::{Announcements, Owned, session_timeout};
use crate::registry::RegistryError;
use crate::registry::announcer::{Announcement, Standing, Standings, ToAnnounce};

/// How long after a record of ours was touched by somebody else it is put right; varied by half, since a whole prefix may
/// have been deleted, and everybody puts his own back.
const RESTORE: Duration = Duration::from_secs(1);
/// How soon a call is made again whose answer was lost on a connection that is there.
const AGAIN: Duration = Duration::from_millis(100);

/// One announcement, as it stands in this session.
#[derive(Debug)]
struct Kept {
    announcement: Arc<Announcement>,
    /// `None` where its format cannot say it.
    record: Option<Record>,
    place: Place,
    /// When it is looked at next.
    due: Instant,
    /// Ends the watch that is set on it.
    watch: Option<AbortHandle>,
}

/// A record that is to be withdrawn.
#[derive(Debug)]
struct Leaving {
    /// What it was announced as; `None` where that is announced elsewhere now, or was by a session before.
    name: Option<Arc<str>>,
    record: Record,
    place: Place,
    /// When that is tried next.
    due: Instant,
}

type Fired = Pin<Box<dyn Future<Output = Arc<str>> + Send>>;

/// Everything that is announced in one session.
pub(super) struct Keeper<'a> {
    session: &'a Session<'a>,
    owned: &'a Owned,
    standings: &'a Standings,
    kept: BTreeMap<Arc<str>, Kept>,
    leaving: Vec<Leaving>,
    watches: FuturesUnordered<Abortable<Fired>>,
    /// When a lost connection is given up; `None` while there is one.
    give_up: Option<Instant>,
    /// The session before this one, until all is taken over.
    before: Option<Client>,
}

impl<'a> Keeper<'a> {
    pub(super) fn new(
        session: &'a Session<'a>,
        owned: &'a Owned,
        standings: &'a Standings,
        before: Option<Client>,
    ) -> Self {
        let left = owned.records.lock().values().cloned().collect::<Vec<_>>();
        let leaving = left.into_iter().map(|record| Leaving {
            name: None,
            record,
            place: Place::default(),
            due: Instant::now(),
        });
        let leaving = leaving.collect();
        Self {
            session,
            owned,
            standings,
            kept: BTreeMap::new(),
            leaving,
            watches: FuturesUnordered::new(),
            give_up: None,
            before,
        }
    }

    /// Keeps announced what is wanted, until the session fails, or is not short enough for what came to be wanted.
    pub(super) async fn keep(mut self, wanted: &mut ToAnnounce) -> Result<(), RegistryError> {
        let mut states = self.session.states();
        self.note(self.session.client.state())?;
        let mut is_ending = wanted.has_changed().is_err();
        let first = if is_ending { Arc::default() } else { wanted.borrow_and_update().clone() };
        self.adjust(&first);
        loop {
            self.work().await?;
            if self.nothing_is_due() {
                self.before = None;
            }
            if is_ending && self.leaving.is_empty() {
                return Err(RegistryError::Abandoned);
            }
            let (next, give_up) = (self.next_due(), self.give_up);
            tokio::select! {
                biased;
                state = states.changed() => self.note(state)?,
                () = until(give_up) => return Err(self.lost_for_good()),
                changed = wanted.changed(), if !is_ending => {
                    is_ending = changed.is_err();
                    let now = if is_ending { Arc::default() } else { wanted.borrow_and_update().clone() };
                    if session_timeout(self.session.settings, &now) < self.session.settings.session_timeout {
                        return Ok(());
                    }
                    self.adjust(&now);
                }
                Some(fired) = self.watches.next() => if let Ok(name) = fired
                    && let Some(kept) = self.kept.get_mut(&name)
                {
                    kept.due = kept.due.min(Instant::now() + varied(RESTORE));
                },
                () = tokio::time::sleep_until(next), if give_up.is_none() => {}
            }
        }
    }

    /// Notes the session's state; fails when it has ended.
    fn note(&mut self, state: SessionState) -> Result<(), RegistryError> {
        match state {
            SessionState::SyncConnected | SessionState::ConnectedReadOnly => {
                if self.give_up.take().is_some() {
                    self.kept.values_mut().for_each(|kept| kept.due = Instant::now());
                }
                Ok(())
            }
            SessionState::Disconnected => {
                let patience = self.session.settings.connection_timeout * 2;
                self.give_up.get_or_insert_with(|| Instant::now() + patience);
                Ok(())
            }
            SessionState::Expired | SessionState::AuthFailed | SessionState::Closed => {
                Err(self.session.ended(state))
            }
        }
    }

    fn lost_for_good(&self) -> RegistryError {
        self.session.unreachable("the connection was lost and did not come back", Error::ConnectionLoss)
    }

    /// Takes over what is wanted now.
    fn adjust(&mut self, wanted: &Announcements) {
        let gone: Vec<Arc<str>> =
            self.kept.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect();
        for name in gone {
            let Some(Kept { record, place, watch, .. }) = self.kept.remove(&name) else { continue };
            watch.inspect(AbortHandle::abort);
            match record {
                Some(record) => self.leave(Some(name), record, place),
                None => self.tell(&name, None),
            }
        }
        for (name, announcement) in wanted {
            if self.kept.get(name).is_some_and(|kept| kept.announcement == *announcement) {
                continue;
            }
            self.want(name, announcement);
        }
    }

    fn want(&mut self, name: &Arc<str>, announcement: &Arc<Announcement>) {
        let settings = self.session.settings;
        let record = Record::of(&*settings.format, settings.root(), announcement);
        let (record, refused) = match record {
            Ok(record) => (Some(record), None),
            Err(cause) => (None, Some(cause)),
        };
        let mut kept = Kept {
            announcement: Arc::clone(announcement),
            record,
            place: Place::default(),
            due: Instant::now(),
            watch: None,
        };
        if let Some(before) = self.kept.remove(name) {
            before.watch.inspect(AbortHandle::abort);
            match before.record {
                Some(old) if kept.record.as_ref().is_some_and(|new| old.is_at(new)) => {
                    kept.place = before.place;
                    kept.place.doubt();
                }
                Some(old) => self.leave(None, old, before.place),
                None => {}
            }
        }
        if let Some(new) = &kept.record {
            // A numbered one that lies under a number of its own is another's, and goes as it was to.
            let is_other = |place: &Place| new.entry.is_numbered && place.path().is_some();
            self.leaving.retain(|leaving| !leaving.record.is_at(new) || is_other(&leaving.place));
        }
        if let Some(cause) = refused {
            self.tell(name, Some(Standing::Refused { cause }));
        }
        self.kept.insert(Arc::clone(name), kept);
    }

    fn leave(&mut self, name: Option<Arc<str>>, record: Record, place: Place) {
        self.leaving.push(Leaving { name, record, place, due: Instant::now() });
    }

    /// Does all that is due.
    async fn work(&mut self) -> Result<(), RegistryError> {
        if self.give_up.is_some() {
            return Ok(());
        }
        let now = Instant::now();
        for mut leaving in std::mem::take(&mut self.leaving) {
            if leaving.due > now {
                self.leaving.push(leaving);
                continue;
            }
            let withdrawn = leaving.place.withdraw(self.session, self.owned, &leaving.record).await;
            match withdrawn {
                Ok(()) => {}
                Err(Fault::Failed(error)) => return Err(error),
                Err(Fault::Lost) => {
                    leaving.due = Instant::now() + AGAIN;
                    self.leaving.push(leaving);
                    continue;
                }
                // It cannot be there, or not be seen.
                Err(Fault::Denied | Fault::Missing | Fault::Unthinkable | Fault::Unknown) => {
                    self.owned.forget(&leaving.record);
                }
            }
            if let Some(name) = leaving.name.filter(|name| !self.kept.contains_key(name)) {
                self.tell(&name, None);
            }
        }
        let due = self.kept.iter().filter(|(_, kept)| kept.due <= now);
        for name in due.map(|(name, _)| Arc::clone(name)).collect::<Vec<_>>() {
            self.settle(&name).await?;
        }
        Ok(())
    }

    /// Brings one record into its place.
    async fn settle(&mut self, name: &Arc<str>) -> Result<(), RegistryError> {
        let Some(kept) = self.kept.get_mut(name) else { return Ok(()) };
        let audit = Instant::now() + varied(self.session.settings.pace.audit);
        let Some(record) = &kept.record else {
            kept.due = audit;
            return Ok(());
        };
        let (standing, watch) = match kept.place.settle(self.session, self.owned, record).await {
            Ok(Settled::InPlace(record, watch)) => (Standing::Announced { record }, Some(watch)),
            Ok(Settled::Refused(cause, watch)) => (Standing::Refused { cause }, watch),
            Err(Fault::Failed(error)) => return Err(error),
            Err(Fault::Lost) => {
                kept.due = Instant::now() + AGAIN;
                return Ok(());
            }
            Err(Fault::Denied) => {
                let path = kept.place.path().unwrap_or(&record.folder);
                let cause =
                    format!("ZooKeeper lets nobody like this proxy see {path}; give credentials that may");
                (Standing::Refused { cause }, None)
            }
            Err(Fault::Missing | Fault::Unthinkable | Fault::Unknown) => {
                let cause =
                    format!("{} can be no path in ZooKeeper; choose another service or id", record.folder);
                (Standing::Refused { cause }, None)
            }
        };
        kept.due = audit;
        kept.watch.take().inspect(AbortHandle::abort);
        kept.watch = watch.map(|watch| watched(&self.watches, name, watch));
        self.tell(name, Some(standing));
        Ok(())
    }

    fn tell(&self, name: &Arc<str>, standing: Option<Standing>) {
        self.standings.send_if_modified(|standings| {
            if standings.get(name) == standing.as_ref() {
                return false;
            }
            let standings = Arc::make_mut(standings);
            match standing {
                Some(standing) => drop(standings.insert(Arc::clone(name), standing)),
                None => drop(standings.remove(name)),
            }
            true
        });
    }

    fn next_due(&self) -> Instant {
        let due = self.kept.values().map(|kept| kept.due);
        let leaving = self.leaving.iter().map(|leaving| leaving.due);
        due.chain(leaving).min().unwrap_or_else(|| Instant::now() + self.session.settings.pace.audit)
    }

    fn nothing_is_due(&self) -> bool {
        let now = Instant::now();
        self.leaving.is_empty() && self.kept.values().all(|kept| kept.due > now)
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Waits for a watch among the others.
fn watched(
    watches: &FuturesUnordered<Abortable<Fired>>,
    name: &Arc<str>,
    watch: OneshotWatcher,
) -> AbortHandle {
    let name = Arc::clone(name);
    let fired: Fired = Box::pin(async move {
        watch.changed().await;
        name
    });
    let (handle, registration) = AbortHandle::new_pair();
    watches.push(Abortable::new(fired, registration));
    handle
}
