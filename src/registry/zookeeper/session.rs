//! One session with ZooKeeper: connecting, what the server can do, calls with a timeout, and room for watches.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;
use zookeeper_client::{AddWatchMode, Client, Error, PersistentWatcher, SessionState, StateWatcher};

use super::Settings;
use crate::registry::RegistryError;
pub(super) use crate::registry::varied;

/// The most bytes of paths with a watch of their own. The client sends them all again when it reconnects, 128 KiB in one
/// request, and with a second request of that kind it cannot reconnect at all; 8 KiB are left for the root and for watches
/// that are just being replaced. Room for 2,700 services with paths of 45 bytes.
const WATCHED_BYTES_MAX: usize = 120 * 1024;
/// Folders listed and read at a time: after a reconnect all are due at once.
const LISTINGS_MAX: usize = 32;
/// How long the names of all services are good for one more search of a misspelt one.
const NAMES_KEPT: Duration = Duration::from_secs(5);

/// One session with ZooKeeper.
pub(super) struct Session<'a> {
    pub(super) settings: &'a Settings,
    pub(super) client: Client,
    pub(super) means: Means,
    /// Permits to list and read a whole folder.
    pub(super) listings: Semaphore,
    /// Bytes of paths with a watch of their own. Written and read by the futures of the services, on one thread at a time.
    watched_bytes: AtomicUsize,
    /// The folders below the root, and when they were read.
    names: Mutex<Option<(Instant, Arc<Vec<String>>)>>,
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
        let client = connect(settings).await?;
        let mut session = Self {
            settings,
            client,
            means: Means::Recursive,
            listings: Semaphore::new(LISTINGS_MAX),
            watched_bytes: AtomicUsize::new(0),
            names: Mutex::new(None),
        };
        session.means = session.find_means().await?;
        Ok(session)
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

    /// The folder whose name differs from this one only in case: HTTP clients write host names in lower case.
    pub(super) async fn look_alike(&self, folder: &str) -> Result<Option<String>, Fault> {
        let mut names = self.names.lock().await;
        let kept = names.as_ref().filter(|(at, _)| at.elapsed() < NAMES_KEPT);
        let known = match kept {
            Some((_, known)) => Arc::clone(known),
            None => {
                let root = self.settings.root();
                let read = match self.call("list", root, self.client.list_children(root)).await {
                    Ok(read) => Arc::new(read),
                    Err(Fault::Missing | Fault::Denied) => Arc::default(),
                    Err(fault) => return Err(fault),
                };
                *names = Some((Instant::now(), Arc::clone(&read)));
                read
            }
        };
        let alike = known.iter().filter(|name| name.eq_ignore_ascii_case(folder) && *name != folder);
        Ok(alike.min().cloned())
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.watched_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Tries each server once: trying again is the catalog's.
async fn connect(settings: &Settings) -> Result<Client, RegistryError> {
    let mut connector = Client::connector()
        .with_session_timeout(settings.session_timeout)
        .with_connection_timeout(settings.connection_timeout)
        .with_fail_eagerly();
    if let Some(auth) = &settings.auth {
        connector = connector.with_auth("digest", auth.as_bytes());
    }
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
