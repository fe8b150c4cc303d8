//! One session with ZooKeeper: connecting, what the server can do, calls with a timeout, and room for watches.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;
use zookeeper_client::{
    AddWatchMode, Client, Connector, Error, PersistentWatcher, SessionState, StateWatcher,
};

use super::Settings;
use super::read::join;
use crate::registry::RegistryError;
pub(super) use crate::registry::varied;

/// The most bytes of paths with a watch of their own. The client sends them all again when it reconnects, 128 KiB in one
/// request, and with a second request of that kind it cannot reconnect at all; 8 KiB are left for the root and for watches
/// that are just being replaced. Room for 2,700 services with paths of 45 bytes.
const WATCHED_BYTES_MAX: usize = 120 * 1024;
/// Folders listed and read at a time: after a reconnect all are due at once.
const LISTINGS_MAX: usize = 32;
/// How long the names of all services are good for one more search of a misspelt one; then it is seen whether they changed.
const NAMES_KEPT: Duration = Duration::from_secs(5);
/// How long what a server has caught up with counts as the present.
const SYNC_KEPT: Duration = Duration::from_millis(100);

/// One session with ZooKeeper.
pub(super) struct Session<'a> {
    pub(super) settings: &'a Settings,
    pub(super) client: Client,
    pub(super) means: Means,
    /// Permits to list and read a whole folder.
    pub(super) listings: Semaphore,
    /// Bytes of paths with a watch of their own. Written and read by the futures of the services, on one thread at a time.
    watched_bytes: AtomicUsize,
    /// The folders below the root.
    names: Mutex<Option<Names>>,
    /// When the server was last asked to catch up, and did.
    synced: Mutex<Option<Instant>>,
    /// Until when readings that follow a reconnect are held up.
    held_up: parking_lot::Mutex<Option<Instant>>,
}

/// The names of a folder's children.
struct Names {
    /// When they were last known to be these.
    at: Instant,
    /// The folder's last change of children.
    pzxid: i64,
    all: Arc<Vec<String>>,
}

/// What the server can do for one who follows a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// Recursive watches, and many reads in one request: from 3.6.
    Recursive,
    /// Watches of the children that fire once, and single reads: before 3.6.
    OneShot,
}

/// Why a call gave nothing.
#[derive(Debug)]
pub(super) enum Fault {
    /// There is no such node.
    Missing,
    /// The connection was lost; the session goes on, and the call may be made again once it is back.
    Lost,
    /// Not for this proxy's eyes.
    Denied,
    /// The path cannot be one in ZooKeeper.
    Unthinkable,
    /// The server does not know this call.
    Unknown,
    /// The session is of no more use.
    Failed(RegistryError),
}

/// Room for a watch of its own on one path, returned when dropped.
pub(super) struct Room<'a> {
    watched_bytes: &'a AtomicUsize,
    bytes: usize,
}

impl<'a> Session<'a> {
    /// Connects, and finds out what the server can do.
    pub(super) async fn open(settings: &'a Settings) -> Result<Self, RegistryError> {
        let mut session = Self::of(settings, connect(settings, connector(settings)).await?);
        session.means = session.find_means().await?;
        Ok(session)
    }

    /// Connects to write, in a way that servers of any age take.
    pub(super) async fn open_to_write(settings: &'a Settings) -> Result<Self, RegistryError> {
        let connector = connector(settings).with_server_version(3, 4, 0);
        Ok(Self::of(settings, connect(settings, connector).await?))
    }

    /// The same, to announce: who lets go of this session leaves its records to it, until they are taken over or it expires. A
    /// client that is let go of while its connection is lost goes on for that, and would close the session once it is back, and
    /// take the records along before the next session has them.
    pub(super) async fn open_to_announce(settings: &'a Settings) -> Result<Self, RegistryError> {
        let connector = connector(settings).with_server_version(3, 4, 0).with_detached();
        Ok(Self::of(settings, connect(settings, connector).await?))
    }

    fn of(settings: &'a Settings, client: Client) -> Self {
        Self {
            settings,
            client,
            means: Means::Recursive,
            listings: Semaphore::new(LISTINGS_MAX),
            watched_bytes: AtomicUsize::new(0),
            names: Mutex::new(None),
            synced: Mutex::new(None),
            held_up: parking_lot::Mutex::new(None),
        }
    }

    /// Reading several nodes in one request came with the recursive watch, in 3.6; an older server cuts the connection for it.
    async fn find_means(&self) -> Result<Means, RegistryError> {
        let root = self.settings.root();
        let mut reader = self.client.new_multi_reader();
        let asked = reader.add_get_data(root).map(|()| reader.commit());
        let answer = async { asked?.await };
        match self.call("ask what the server can do at", root, answer).await {
            Ok(_) | Err(Fault::Missing | Fault::Denied) => Ok(Means::Recursive),
            Err(Fault::Unknown) => {
                tracing::info!(
                    "ZooKeeper is older than 3.6: watches that fire once are used, and changes of data are found by the audit"
                );
                Ok(Means::OneShot)
            }
            Err(Fault::Failed(error)) => Err(error),
            Err(Fault::Lost) => {
                Err(self.unreachable("the connection was lost at once", Error::ConnectionLoss))
            }
            Err(Fault::Unthinkable) => Err(self.unreachable(root, Error::BadArguments(&"not a path"))),
        }
    }

    /// What an operator is told of this session.
    pub(super) fn detail(&self) -> String {
        let id = self.client.session_id();
        let timeout = humantime::format_duration(self.client.session_timeout());
        format!("session {id} with {}, timeout {timeout}", self.settings.servers)
    }

    /// A call with its timeout; `doing` and `path` tell of it in errors.
    pub(super) async fn call<T>(
        &self,
        doing: &str,
        path: &str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Fault> {
        let limit = self.settings.pace.call_timeout;
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.fault(error, doing, path)),
            // Calls made while the connection is lost wait for the next one; how long is up to the watch.
            Err(_) if self.client.state() == SessionState::Disconnected => Err(Fault::Lost),
            Err(elapsed) => {
                let limit = humantime::format_duration(limit);
                let doing = format!("{} did not {doing} {path} within {limit}", self.settings.servers);
                Err(Fault::Failed(RegistryError::Unreachable { doing, source: elapsed.into() }))
            }
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the client's errors: those not named end the session"
    )]
    fn fault(&self, error: Error, doing: &str, path: &str) -> Fault {
        match error {
            Error::NoNode => Fault::Missing,
            // Calls on their way share the connection's error: custom ones tell of its sockets and timeouts.
            Error::ConnectionLoss | Error::Custom(_) => Fault::Lost,
            Error::NoAuth => Fault::Denied,
            Error::BadArguments(_) => Fault::Unthinkable,
            Error::Unimplemented => Fault::Unknown,
            _ if self.client.state() == SessionState::Disconnected => Fault::Lost,
            error => Fault::Failed(self.unreachable(format!("could not {doing} {path}"), error)),
        }
    }

    /// The registry error of a session that failed.
    pub(super) fn unreachable(&self, doing: impl Display, source: Error) -> RegistryError {
        let doing = format!("ZooKeeper at {}: {doing}", self.settings.servers);
        RegistryError::Unreachable { doing, source: source.into() }
    }

    /// The registry error of a session that ended.
    pub(super) fn ended(&self, state: SessionState) -> RegistryError {
        match state {
            SessionState::AuthFailed => refused(self.settings, Error::AuthFailed),
            SessionState::Expired => self.unreachable("the session expired", Error::SessionExpired),
            SessionState::Closed
            | SessionState::Disconnected
            | SessionState::SyncConnected
            | SessionState::ConnectedReadOnly => self.unreachable("the session ended", Error::ClientClosed),
        }
    }

    /// Follows the state of the session from now on; only the latest state is told.
    pub(super) fn states(&self) -> StateWatcher {
        self.client.state_watcher()
    }

    /// Waits until the session is connected; for ever if it has ended, which [`super::watch`] sees as well and acts upon.
    pub(super) async fn connected(&self) {
        let mut states = self.states();
        let mut state = self.client.state();
        while state == SessionState::Disconnected {
            state = states.changed().await;
        }
        if state.is_terminated() {
            std::future::pending::<()>().await;
        }
    }

    /// Room for a watch on a path of its own, or `None` when there is none left.
    pub(super) fn room(&self, path: &str) -> Option<Room<'_>> {
        let bytes = self.settings.chroot.len() + path.len();
        let before = self.watched_bytes.fetch_add(bytes, Ordering::Relaxed);
        let room = Room { watched_bytes: &self.watched_bytes, bytes };
        (before + bytes <= WATCHED_BYTES_MAX).then_some(room)
    }

    /// Sets a recursive watch on a path, which need not exist.
    pub(super) async fn arm(&self, path: &str) -> Result<PersistentWatcher, Fault> {
        self.call("watch", path, self.client.watch(path, AddWatchMode::PersistentRecursive)).await
    }

    /// Lets the server catch up with the others, so that what is read next is no older than now. One after the other may rely
    /// on it for a moment.
    pub(super) async fn sync(&self) -> Result<(), Fault> {
        let mut synced = self.synced.lock().await;
        if synced.is_none_or(|at| at.elapsed() >= SYNC_KEPT) {
            let (now, root) = (Instant::now(), self.settings.root());
            self.call("sync", root, self.client.sync(root)).await?;
            *synced = Some(now);
        }
        Ok(())
    }

    /// Holds up the readings that follow a reconnect, all of this session together, by a part of the spread.
    pub(super) async fn spread(&self) {
        let until = {
            let mut held_up = self.held_up.lock();
            let now = Instant::now();
            let draw = || now + self.settings.spread.mul_f64(rand::random());
            let until = held_up.filter(|until| *until > now).unwrap_or_else(draw);
            *held_up = Some(until);
            until
        };
        tokio::time::sleep_until(until).await;
    }

    /// The folder whose path below the root differs from this one only in case: HTTP clients write host names in lower case.
    /// `None` as well when it is there as it is written.
    pub(super) async fn look_alike(&self, folder: &str) -> Result<Option<String>, Fault> {
        let mut path = self.settings.root().to_owned();
        let mut found = Vec::new();
        for part in folder.split('/') {
            let names = if found.is_empty() { self.names().await? } else { self.list(&path).await?.0 };
            let alike = |name: &&String| name.eq_ignore_ascii_case(part);
            let Some(name) = names.iter().find(|name| *name == part).or(names.iter().filter(alike).min())
            else {
                return Ok(None);
            };
            path = join(&path, name);
            found.push(name.clone());
        }
        let found = found.join("/");
        Ok((found != folder).then_some(found))
    }

    /// The names below the root, not much older than now.
    async fn names(&self) -> Result<Arc<Vec<String>>, Fault> {
        let mut names = self.names.lock().await;
        let root = self.settings.root();
        if let Some(kept) = &mut *names {
            if kept.at.elapsed() >= NAMES_KEPT {
                let now = Instant::now();
                let stat = self.call("look at", root, self.client.check_stat(root)).await?;
                if stat.is_some_and(|stat| stat.pzxid == kept.pzxid) {
                    kept.at = now;
                }
            }
            if kept.at.elapsed() < NAMES_KEPT {
                return Ok(Arc::clone(&kept.all));
            }
        }
        let at = Instant::now();
        let (all, pzxid) = self.list(root).await?;
        *names = Some(Names { at, pzxid, all: Arc::clone(&all) });
        Ok(all)
    }

    /// The names in a folder and its last change of children; none in one that is not there or may not be listed.
    async fn list(&self, path: &str) -> Result<(Arc<Vec<String>>, i64), Fault> {
        match self.call("list", path, self.client.get_children(path)).await {
            Ok((names, stat)) => Ok((Arc::new(names), stat.pzxid)),
            Err(Fault::Missing | Fault::Denied) => Ok((Arc::default(), 0)),
            Err(fault) => Err(fault),
        }
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.watched_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

fn connector(settings: &Settings) -> Connector {
    let connector = Client::connector()
        .with_session_timeout(settings.session_timeout)
        .with_connection_timeout(settings.connection_timeout)
        .with_fail_eagerly();
    match &settings.auth {
        Some(auth) => connector.with_auth("digest", auth.as_bytes()),
        None => connector,
    }
}

/// Tries each server once: trying again is the catalog's.
async fn connect(settings: &Settings, connector: Connector) -> Result<Client, RegistryError> {
    let limit = settings.session_timeout + settings.connection_timeout;
    let doing = || format!("cannot open a session with ZooKeeper at {}", settings.servers);
    match tokio::time::timeout(limit, connector.connect(&settings.cluster())).await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(Error::AuthFailed)) => Err(refused(settings, Error::AuthFailed)),
        // The client does not say what became of each server: a refused connection, silence, a name that is not known.
        Ok(Err(error @ Error::NoHosts)) => {
            let doing = format!("{}; check that it runs there and can be reached from here", doing());
            Err(RegistryError::Unreachable { doing, source: error.into() })
        }
        Ok(Err(error)) => Err(RegistryError::Unreachable { doing: doing(), source: error.into() }),
        Err(elapsed) => Err(RegistryError::Unreachable { doing: doing(), source: elapsed.into() }),
    }
}

/// The registry error of credentials that are not taken.
fn refused(settings: &Settings, source: Error) -> RegistryError {
    let doing = format!("ZooKeeper at {} does not take these credentials; correct auth", settings.servers);
    RegistryError::Refused { doing, source: source.into() }
}
