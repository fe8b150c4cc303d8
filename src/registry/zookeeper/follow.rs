//! One service, followed in rounds: set the watch, read the folder whole, report it, then read again what events mark.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::Instant;
use zookeeper_client::{PersistentWatcher, Stat};

use super::batch::Batch;
use super::known::{Change, Known};
use super::one_shot::Post;
use super::read::{self, join};
use super::session::{Fault, Means, Room, Session, varied};
use crate::provider::ServiceName;
use crate::registry::{Listing, RegistryError, Report, Reports};

/// How often a service is read that is not there, or may not be read, or has no watch; varied by half.
pub(super) const RECHECK: Duration = Duration::from_secs(30);
/// The longest a folder is read later than it could be after a reconnect, so that a fleet does not read at once.
const RECONNECT_SPREAD: Duration = Duration::from_millis(200);

/// How long a service waits after a connection was lost, times the connections lost in a row: a connection that is lost for
/// what is asked must not be lost for it again at once. Varied by half.
const LOSS_PAUSE: Duration = Duration::from_millis(20);
/// Connections in a row beyond which the pause is no longer, at a second.
const LOSSES_MAX: u32 = 50;

/// One service, followed.
pub(super) struct Follow<'a> {
    pub(super) session: &'a Session<'a>,
    reports: &'a Reports,
    pub(super) service: ServiceName,
    /// The name of the service's folder as it should be.
    folder_name: String,
    pub(super) known: Known,
    /// Whether what was reported last is still what the registry vouched for: false at first and once the connection is lost.
    pub(super) vouched: bool,
    /// Connections lost since the last report.
    losses: u32,
    /// Whether anything was reported yet.
    reported: bool,
    /// When the word of the change arrived that is to be reported.
    heard: Option<std::time::Instant>,
    /// Whether what is to be reported was found by reading alone.
    healed: bool,
    /// The watch in force; replaced by a new one before it is dropped, so that the client does not tell the server to forget both.
    watcher: Option<PersistentWatcher>,
    /// The same where watches fire once: it stays in force until it fires.
    pub(super) post: Option<Post<'a>>,
}

/// The names of a folder's children, and the folder's own state.
pub(super) type Children = (Vec<String>, Stat);

impl<'a> Follow<'a> {
    /// Follows a service in a session.
    pub(super) fn new(session: &'a Session<'a>, reports: &'a Reports, service: ServiceName) -> Self {
        let format = &session.settings.format;
        Self {
            session,
            reports,
            folder_name: format.folder(&service),
            known: Known::new(Arc::clone(format), service.clone(), &session.settings.chroot),
            service,
            vouched: false,
            losses: 0,
            reported: false,
            heard: None,
            healed: false,
            watcher: None,
            post: None,
        }
    }

    /// Follows the service until the session is of no more use.
    pub(super) async fn run(mut self) -> RegistryError {
        loop {
            let round = match self.session.means {
                Means::Recursive => self.round().await,
                Means::OneShot => self.one_shot_round().await,
            };
            match round {
                Ok(()) | Err(Fault::Missing) => {}
                Err(Fault::Lost) => {
                    self.vouched = false;
                    self.losses = self.losses.saturating_add(1);
                    self.session.connected().await;
                    tokio::time::sleep(varied(LOSS_PAUSE * self.losses.min(LOSSES_MAX))).await;
                }
                Err(Fault::Failed(error)) => return error,
                Err(Fault::Denied) => self.stand_by().await,
                Err(Fault::Unknown) => {
                    let error = zookeeper_client::Error::Unimplemented;
                    return self
                        .session
                        .unreachable("the server now connected to is older than the one before", error);
                }
                Err(Fault::Unthinkable) => match self.never_there().await {
                    Ok(never) => match never {},
                    Err(error) => return error,
                },
            }
        }
    }

    /// One round: ends well when it is time for the next.
    async fn round(&mut self) -> Result<(), Fault> {
        let mut folder = self.folder();
        let mut room = self.session.room(&folder);
        let mut watcher = self.arm(&folder, room.as_ref()).await?;
        self.spread().await;
        let permit = self.session.listings.acquire().await;
        let mut children = self.list(&folder).await?;
        if children.is_none()
            && let Some(alike) = self.look_alike().await?
        {
            folder = alike;
            room = self.session.room(&folder);
            watcher = self.arm(&folder, room.as_ref()).await?;
            children = self.list(&folder).await?;
        }
        let (change, reads) = self.take(&folder, children).await?;
        drop(permit);
        self.tell_if_healed(&change);
        self.report_if_needed(change, reads).await?;
        let result = self.attend(&folder, &mut watcher).await;
        self.watcher = Some(watcher);
        drop(room);
        result
    }

    /// The folder of the service, spelt as the service is.
    pub(super) fn folder(&self) -> String {
        join(self.session.settings.root(), &self.folder_name)
    }

    /// The folder whose name differs from the service's only in case, if there is one.
    pub(super) async fn look_alike(&self) -> Result<Option<String>, Fault> {
        let alike = self.session.look_alike(&self.folder_name).await?;
        Ok(alike.map(|alike| join(self.session.settings.root(), &alike)))
    }

    /// Sets a watch on the folder, or on the root when there is no room for one more.
    async fn arm(&self, folder: &str, room: Option<&Room<'_>>) -> Result<PersistentWatcher, Fault> {
        let path = if room.is_some() { folder } else { self.session.settings.root() };
        self.session.arm(path).await
    }

    /// Waits for events and handles them, until the next round is due.
    async fn attend(&mut self, folder: &str, watcher: &mut PersistentWatcher) -> Result<(), Fault> {
        let due = Instant::now() + self.interval();
        loop {
            let mut batch = Batch::default();
            tokio::select! {
                biased;
                event = watcher.changed() => batch.add(folder, event),
                () = tokio::time::sleep_until(due) => return Ok(()),
            }
            while batch.ended.is_none()
                && let Some(event) = watcher.changed().now_or_never()
            {
                batch.add(folder, event);
            }
            if let Some(state) = batch.ended {
                return Err(Fault::Failed(self.session.ended(state)));
            }
            self.vouched &= !batch.lost;
            if batch.rearm || batch.folder {
                return Ok(());
            }
            if !batch.children.is_empty() && self.known.is_present() {
                self.heard = Some(std::time::Instant::now());
                let names: Vec<String> = batch.children.into_iter().collect();
                let reads = u32::try_from(names.len()).unwrap_or(u32::MAX);
                let read = read::nodes(self.session, folder, names).await?;
                let change = self.known.update(folder, read);
                self.report_if_needed(change, reads).await?;
            }
        }
    }

    /// Lists the children of a folder, no older than now; `None` when there is no such folder.
    async fn list(&self, folder: &str) -> Result<Option<Children>, Fault> {
        let (session, client) = (self.session, &self.session.client);
        // Both are on their way before the first answer.
        let (sync, children) = (client.sync(folder), client.get_children(folder));
        let (sync, children) =
            tokio::join!(session.call("sync", folder, sync), session.call("list", folder, children));
        sync?;
        present(children)
    }

    /// Reads the children of a folder. Gives the change, and the records read.
    pub(super) async fn take(
        &mut self,
        folder: &str,
        children: Option<Children>,
    ) -> Result<(Change, u32), Fault> {
        let Some((names, stat)) = children else { return Ok((self.known.set_absent(), 0)) };
        let reads = u32::try_from(names.len()).unwrap_or(u32::MAX);
        let read = read::nodes(self.session, folder, names).await?;
        Ok((self.known.replace(folder, &stat, read), reads))
    }

    /// Reports the list if it changed, or if the registry is to vouch for it anew.
    pub(super) async fn report_if_needed(&mut self, change: Change, reads: u32) -> Result<(), Fault> {
        if self.vouched && !change.any {
            return Ok(());
        }
        let listing = Listing {
            changed_at: change.at.filter(|_| self.reported),
            revision: self.known.revision(),
            reads,
            heard: self.heard.take(),
            healed: std::mem::take(&mut self.healed),
            ..Listing::new(self.service.clone(), self.known.view())
        };
        self.reports.send(Report::Listed(listing)).await.map_err(Fault::Failed)?;
        self.vouched = true;
        self.losses = 0;
        self.reported = true;
        Ok(())
    }

    /// Spreads the readings that follow a reconnect over a moment; the first reading of a service is never held up.
    pub(super) async fn spread(&self) {
        if self.reported && !self.vouched {
            tokio::time::sleep(RECONNECT_SPREAD.mul_f64(rand::random())).await;
        }
    }

    /// A change found by reading alone while the connection held is one that the watch should have told of. What the new
    /// watch hears, the one before it hears too.
    fn tell_if_healed(&mut self, change: &Change) {
        let heard = self.watcher.take().is_none_or(|mut watcher| watcher.changed().now_or_never().is_some());
        if change.any && self.vouched && !heard {
            self.healed = true;
            tracing::warn!(service = %self.service, "a reading found a change that no event had told of");
        }
    }

    /// How long until the next round.
    pub(super) fn interval(&self) -> Duration {
        let audit = self.session.settings.pace.audit;
        varied(if self.known.is_present() { audit } else { audit.min(RECHECK) })
    }

    /// The service cannot be read: what was reported stands, and it is tried again at a low rate.
    async fn stand_by(&self) {
        tracing::warn!(
            service = %self.service,
            "ZooKeeper does not let this proxy read the service; give auth, or READ on its folder to everybody"
        );
        tokio::time::sleep(varied(RECHECK)).await;
    }

    /// No folder can have this name, so there is no such service, and there never will be.
    async fn never_there(&mut self) -> Result<Infallible, RegistryError> {
        let change = self.known.set_absent();
        match self.report_if_needed(change, 0).await {
            Err(Fault::Failed(error)) => Err(error),
            Ok(()) | Err(_) => std::future::pending().await,
        }
    }
}

/// An answer that there is no such node, as `None`.
pub(super) fn present<T>(answer: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(Fault::Missing) => Ok(None),
        Err(fault) => Err(fault),
    }
}
