//! Following a service on servers before 3.6: watches that fire once, and changes of data found by the audit.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::Instant;
use zookeeper_client::{EventType, OneshotWatcher, SessionState, StateWatcher, WatchedEvent};

use super::follow::{Follow, RECHECK};
use super::known::Change;
use super::place::{Found, Place};
use super::session::{Fault, Room, varied};

/// A watch that fires once; the client sets it again after a reconnect, and the server tells what it missed.
///
/// While connected it is forgotten rather than dropped: the client would ask the server to remove it, and a server that
/// does not know that request cuts the connection. A forgotten watch ends when it fires, or with the session.
pub(super) struct Post<'a> {
    path: String,
    fired: Option<Pin<Box<dyn Future<Output = WatchedEvent> + Send + Sync>>>,
    states: StateWatcher,
    _room: Room<'a>,
}

impl Follow<'_> {
    /// One round: ends well when it is time for the next.
    pub(super) async fn one_shot_round(&mut self) -> Result<(), Fault> {
        let (session, client) = (self.session, &self.session.client);
        let mut states = session.states();
        self.spread().await;
        let permit = session.listings.acquire().await;
        let mut paths = self.paths();
        if session.call("look for", &paths[0], client.check_stat(&paths[0])).await?.is_none() {
            paths = self.paths_alike().await?.unwrap_or(paths);
        }
        let (mut change, mut reads) = (Change::default(), 0);
        for (place, path) in paths.iter().enumerate() {
            let found = self.look_and_watch(place, path).await?;
            let (changed, read) = self.take(self.places[place].folder, path, found).await?;
            (change, reads) = (change.and(changed), reads + read);
        }
        drop(permit);
        self.report_if_needed(change, reads).await?;
        let all_are_watched = self.places.iter().all(|place| place.post.is_some());
        let interval = if all_are_watched { self.interval() } else { varied(RECHECK) };
        let due = Instant::now() + interval;
        loop {
            let state = tokio::select! {
                state = states.changed() => state,
                event = fired(&mut self.places) => {
                    if event.event_type != EventType::Session {
                        self.heard.get_or_insert_with(std::time::Instant::now);
                        tokio::time::sleep(self.ration.wait(Instant::now())).await;
                        self.ration.take(Instant::now());
                        return Ok(());
                    }
                    event.session_state
                }
                () = tokio::time::sleep_until(due) => return Ok(()),
            };
            match state {
                SessionState::Disconnected => self.vouched = false,
                SessionState::SyncConnected | SessionState::ConnectedReadOnly => return Ok(()),
                SessionState::Expired | SessionState::AuthFailed | SessionState::Closed => {
                    return Err(Fault::Failed(self.session.ended(state)));
                }
            }
        }
    }

    /// Lists a folder, and sees to it that a watch is in force there: on its children, or on its coming.
    async fn look_and_watch(&mut self, place: usize, path: &str) -> Result<Found, Fault> {
        let (session, client) = (self.session, &self.session.client);
        let folder = self.places[place].folder;
        let watched = self.places[place].post.as_ref().is_some_and(|post| post.path == path);
        let room = if watched { None } else { session.room(path) };
        let Some(room) = room else { return self.look(folder, path).await };
        if !self.vouched {
            session.sync().await?;
        }
        loop {
            match session.call("list", path, client.get_and_watch_children(path)).await {
                Ok((names, stat, watcher)) => {
                    self.places[place].post = Some(Post::new(path, watcher, session.states(), room));
                    return Ok(Found::Names(names, stat));
                }
                Err(Fault::Missing) => {}
                Err(Fault::Denied) => return Ok(Found::Denied),
                Err(fault) => return Err(fault),
            }
            let (stat, watcher) = session.call("look for", path, client.check_and_watch_stat(path)).await?;
            if stat.is_none() {
                self.places[place].post = Some(Post::new(path, watcher, session.states(), room));
                return Ok(Found::Missing);
            }
            // It came between the two calls.
            std::mem::forget(watcher);
        }
    }
}

impl<'a> Post<'a> {
    fn new(path: &str, watcher: OneshotWatcher, states: StateWatcher, room: Room<'a>) -> Self {
        Self { path: path.to_owned(), fired: Some(Box::pin(watcher.changed())), states, _room: room }
    }
}

impl Drop for Post<'_> {
    fn drop(&mut self) {
        if self.states.peek_state() == SessionState::SyncConnected {
            std::mem::forget(self.fired.take());
        }
    }
}

/// Waits until one of the watches fires, which then is none any more; for ever when there is none.
async fn fired(places: &mut [Place<'_>]) -> WatchedEvent {
    let fired = |context: &mut Context<'_>| {
        for place in &mut *places {
            let fired = place.post.as_mut().and_then(|post| post.fired.as_mut());
            if let Some(Poll::Ready(event)) = fired.map(|fired| fired.as_mut().poll(context)) {
                place.post = None;
                return Poll::Ready(event);
            }
        }
        Poll::Pending
    };
    std::future::poll_fn(fired).await
}
