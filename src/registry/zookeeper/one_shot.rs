//! Following a service on servers before 3.6: watches that fire once, and changes of data found by the audit.

use std::future::Future;
use std::pin::Pin;

use tokio::time::Instant;
use zookeeper_client::{EventType, OneshotWatcher, SessionState, StateWatcher, WatchedEvent};

use super::follow::{Children, Follow, RECHECK, present};
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
        let mut states = self.session.states();
        self.spread().await;
        let permit = self.session.listings.acquire().await;
        let mut folder = self.folder();
        let (session, client) = (self.session, &self.session.client);
        if session.call("look for", &folder, client.check_stat(&folder)).await?.is_none() {
            folder = self.look_alike().await?.unwrap_or(folder);
        }
        let children = self.look(&folder).await?;
        let (change, reads) = self.take(&folder, children).await?;
        drop(permit);
        self.report_if_needed(change, reads).await?;
        let interval = if self.post.is_some() { self.interval() } else { varied(RECHECK) };
        let due = Instant::now() + interval;
        loop {
            let state = tokio::select! {
                state = states.changed() => state,
                event = fired(&mut self.post) => {
                    self.post = None;
                    if event.event_type != EventType::Session {
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
    async fn look(&mut self, folder: &str) -> Result<Option<Children>, Fault> {
        let (session, client) = (self.session, &self.session.client);
        session.call("sync", folder, client.sync(folder)).await?;
        let watched = self.post.as_ref().is_some_and(|post| post.path == folder);
        let room = if watched { None } else { session.room(folder) };
        let Some(room) = room else {
            return present(session.call("list", folder, client.get_children(folder)).await);
        };
        loop {
            let listed = session.call("list", folder, client.get_and_watch_children(folder)).await;
            if let Some((names, stat, watcher)) = present(listed)? {
                self.post = Some(Post::new(folder, watcher, session.states(), room));
                return Ok(Some((names, stat)));
            }
            let (stat, watcher) =
                session.call("look for", folder, client.check_and_watch_stat(folder)).await?;
            if stat.is_none() {
                self.post = Some(Post::new(folder, watcher, session.states(), room));
                return Ok(None);
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

/// Waits until the watch fires; for ever when there is none.
async fn fired(post: &mut Option<Post<'_>>) -> WatchedEvent {
    match post.as_mut().and_then(|post| post.fired.as_mut()) {
        Some(fired) => fired.as_mut().await,
        None => std::future::pending().await,
    }
}
