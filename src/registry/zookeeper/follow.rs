//! One service, followed in rounds: set the watches, read the folders whole, report it, then read again what events mark.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::known::{Change, Known};
use super::place::{Found, Place, Watched, Watches};
use super::ration::Ration;
use super::read::{self, join};
use super::session::{Fault, Means, Session, varied};
use crate::provider::ServiceName;
use crate::registry::format::Folder;
use crate::registry::{Listing, RegistryError, Report, Reports};

/// How often a service is read that is not there, or may not be read, or has no watch; varied by half.
pub(super) const RECHECK: Duration = Duration::from_secs(30);

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
    /// Where its entries lie: its providers, and perhaps its rules behind them.
    pub(super) places: Vec<Place<'a>>,
    pub(super) known: Known,
    /// Whether what was reported last is still what the registry vouched for: false at first and once the connection is lost.
    pub(super) vouched: bool,
    /// Connections lost since the last report.
    losses: u32,
    /// Whether anything was reported yet.
    reported: bool,
    /// When the first word of a change arrived that is yet to be reported.
    pub(super) heard: Option<std::time::Instant>,
    /// Whether what is to be reported was found by reading alone.
    healed: bool,
    /// How often it is read.
    pub(super) ration: Ration,
    /// The watches of the last round; replaced by new ones before they are dropped.
    watches: Option<Watches<'a>>,
}

impl<'a> Follow<'a> {
    /// Follows a service in a session.
    pub(super) fn new(session: &'a Session<'a>, reports: &'a Reports, service: ServiceName) -> Self {
        let format = &session.settings.format;
        let place = |folder, name| Place { folder, name, post: None };
        let rules = format.rules_folder(&service).map(|name| place(Folder::Rules, name));
        let providers = place(Folder::Providers, format.folder(&service));
        Self {
            session,
            reports,
            places: std::iter::once(providers).chain(rules).collect(),
            known: Known::new(Arc::clone(format), service.clone(), &session.settings.chroot),
            service,
            vouched: false,
            losses: 0,
            reported: false,
            heard: None,
            healed: false,
            ration: Ration::new(Instant::now()),
            watches: None,
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
                Err(Fault::Denied) => {
                    if let Err(error) = self.stand_by().await {
                        return error;
                    }
                }
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
        self.spread().await;
        let session = self.session;
        let permit = session.listings.acquire().await;
        let mut watches = self.watch(self.paths()).await?;
        let mut found = self.look_at(&mut watches).await?;
        if matches!(found.first(), Some(Found::Missing))
            && let Some(alike) = self.paths_alike().await?
        {
            watches = self.watch(alike).await?;
            found = self.look_at(&mut watches).await?;
        }
        let (mut change, mut reads) = (Change::default(), 0);
        for (watched, found) in watches.each().zip(found) {
            let (changed, read) = self.take(watched.folder, &watched.path, found).await?;
            (change, reads) = (change.and(changed), reads + read);
        }
        drop(permit);
        self.tell_if_healed(&change);
        self.report_if_needed(change, reads).await?;
        let result = self.attend(&mut watches).await;
        watches.give_room();
        self.watches = Some(watches);
        result
    }

    /// The folders of the service, spelt as the service is.
    pub(super) fn paths(&self) -> Vec<String> {
        let root = self.session.settings.root();
        self.places.iter().map(|place| join(root, &place.name)).collect()
    }

    /// The folders spelt as they are, if that of the providers differs from the service only in case.
    pub(super) async fn paths_alike(&self) -> Result<Option<Vec<String>>, Fault> {
        let (session, root) = (self.session, self.session.settings.root());
        let mut paths = Vec::new();
        for place in &self.places {
            match session.look_alike(&place.name).await? {
                Some(alike) => paths.push(join(root, &alike)),
                None if paths.is_empty() => return Ok(None),
                None => paths.push(join(root, &place.name)),
            }
        }
        Ok(Some(paths))
    }

    /// Sets the watches.
    async fn watch(&self, paths: Vec<String>) -> Result<Watches<'a>, Fault> {
        let mut all = self.places.iter().zip(paths).map(|(place, path)| (place.folder, path));
        let (folder, path) = all.next().expect("a service has a folder of providers");
        let providers = Watched::new(self.session, folder, path).await?;
        let rules = match all.next() {
            Some((folder, path)) => Some(Watched::new(self.session, folder, path).await?),
            None => None,
        };
        Ok(Watches { providers, rules })
    }

    /// Looks at what is watched, folder by folder.
    async fn look_at(&self, watches: &mut Watches<'_>) -> Result<Vec<Found>, Fault> {
        let mut found = Vec::new();
        for watched in watches.each() {
            found.push(self.look(watched.folder, &watched.path).await?);
        }
        Ok(found)
    }

    /// Waits for events and acts upon them, until the next round is due.
    async fn attend(&mut self, watches: &mut Watches<'_>) -> Result<(), Fault> {
        let due = Instant::now() + self.interval();
        loop {
            let (mut marked, mut lost) = (false, false);
            // Before anything else: it may have been lost and be back already.
            self.vouched &= !watches.each().any(|watched| watched.batch.lost);
            for Watched { batch, .. } in watches.each() {
                if let Some(state) = batch.ended {
                    return Err(Fault::Failed(self.session.ended(state)));
                }
                if batch.rearm {
                    return Ok(());
                }
                lost |= batch.lost;
                marked |= batch.folder || !batch.children.is_empty();
            }
            if marked {
                self.heard.get_or_insert_with(std::time::Instant::now);
            }
            let wait = self.ration.wait(Instant::now());
            if marked && !lost && wait.is_zero() {
                self.ration.take(Instant::now());
                if watches.each().any(|watched| watched.batch.folder) {
                    return Ok(());
                }
                self.read_marked(watches).await?;
                continue;
            }
            tokio::select! {
                biased;
                () = watches.hear() => {}
                () = tokio::time::sleep(wait), if marked && !lost => {}
                () = tokio::time::sleep_until(due) => return Ok(()),
            }
        }
    }

    /// Reads what is marked, and reports it.
    async fn read_marked(&mut self, watches: &mut Watches<'_>) -> Result<(), Fault> {
        let (mut change, mut reads) = (Change::default(), 0);
        for Watched { folder, path, batch, .. } in watches.each() {
            let names = std::mem::take(&mut batch.children);
            // That a folder came is an event of its own.
            if self.known.is_present(*folder) {
                reads += count(&names);
                let read = read::nodes(self.session, path, names.into_iter().collect()).await?;
                change = change.and(self.known.update(*folder, path, read));
            }
        }
        self.report_if_needed(change, reads).await
    }

    /// Lists a folder, or sees that it need not be listed. What nobody vouches for is seen as it is now, and not as a server
    /// that lags behind has it.
    pub(super) async fn look(&self, folder: Folder, path: &str) -> Result<Found, Fault> {
        let (session, client) = (self.session, &self.session.client);
        if !self.vouched {
            session.sync().await?;
        }
        // Where names are all there is to know, the folder itself tells whether anything changed.
        if !self.known.reads_data() && self.known.is_present(folder) {
            match session.call("look at", path, client.check_stat(path)).await? {
                None => return Ok(Found::Missing),
                Some(stat) if self.known.is_as_listed(folder, &stat) => return Ok(Found::AsListed),
                Some(_) => {}
            }
        }
        match session.call("list", path, client.get_children(path)).await {
            Ok((names, stat)) => Ok(Found::Names(names, stat)),
            Err(Fault::Missing) => Ok(Found::Missing),
            Err(Fault::Denied) => Ok(Found::Denied),
            Err(fault) => Err(fault),
        }
    }

    /// Takes over what was found in a folder, and reads the records there. Gives the change, and the records read.
    ///
    /// Names that are the records are read as well, once: by whom and when they were made stands beside them. A name that was
    /// made anew while the registry vouched for it was told of by an event, and is not read again for that.
    pub(super) async fn take(
        &mut self,
        folder: Folder,
        path: &str,
        found: Found,
    ) -> Result<(Change, u32), Fault> {
        let (names, stat) = match found {
            Found::Missing => return Ok((self.known.set_absent(folder), 0)),
            Found::AsListed => return Ok((Change::default(), 0)),
            Found::Denied => {
                return match folder {
                    Folder::Providers => Err(Fault::Denied),
                    Folder::Rules => Ok((self.known.set_rules_denied(path), 0)),
                };
            }
            Found::Names(names, stat) => (names.into_iter().collect::<BTreeSet<String>>(), stat),
        };
        let is_known =
            |name: &&String| self.vouched && !self.known.reads_data() && self.known.knows(folder, name);
        let unread: Vec<String> = names.iter().filter(|name| !is_known(name)).cloned().collect();
        let reads = count(&unread);
        let read = read::nodes(self.session, path, unread).await?;
        Ok((self.known.replace(folder, path, &stat, &names, read), reads))
    }

    /// Reports the list if it changed, or if the registry is to vouch for it anew.
    pub(super) async fn report_if_needed(&mut self, change: Change, reads: u32) -> Result<(), Fault> {
        let (heard, healed) = (self.heard.take(), std::mem::take(&mut self.healed));
        if self.vouched && !change.any {
            return Ok(());
        }
        let listing = Listing {
            changed_at: change.at.filter(|_| self.reported),
            revision: self.known.revision(),
            reads,
            heard: heard.filter(|_| change.any),
            healed,
            ..Listing::new(self.service.clone(), self.known.view())
        };
        self.reports.send(Report::Listed(listing)).await.map_err(Fault::Failed)?;
        self.vouched = true;
        self.losses = 0;
        self.reported = true;
        Ok(())
    }

    /// Holds up what follows a reconnect, so that a fleet does not read at once; the first reading of a service never waits.
    pub(super) async fn spread(&self) {
        if self.reported && !self.vouched {
            self.session.spread().await;
        }
    }

    /// A change found by reading alone while the connection held is one that the watch should have told of. What the new
    /// watch hears, the one before it hears too.
    fn tell_if_healed(&mut self, change: &Change) {
        let heard = self.watches.take().is_none_or(|mut watches| watches.have_more());
        if change.any && self.vouched && !heard && self.heard.is_none() {
            self.healed = true;
            tracing::warn!(service = %self.service, "a reading found a change that no event had told of");
        }
    }

    /// How long until the next round.
    pub(super) fn interval(&self) -> Duration {
        let audit = self.session.settings.pace.audit;
        varied(if self.known.is_present(Folder::Providers) { audit } else { audit.min(RECHECK) })
    }

    /// The service cannot be read: what was reported is no longer vouched for, and it is tried again at a low rate.
    async fn stand_by(&mut self) -> Result<(), RegistryError> {
        let cause = "ZooKeeper does not let this proxy read the service; give auth, or READ on its folder to everybody";
        tracing::warn!(service = %self.service, "{cause}");
        self.vouched = false;
        let unheard = Report::Unheard { service: self.service.clone(), cause: cause.to_owned() };
        self.reports.send(unheard).await?;
        tokio::time::sleep(varied(RECHECK)).await;
        Ok(())
    }

    /// No folder can have this name, so there is no such service, and there never will be.
    async fn never_there(&mut self) -> Result<Infallible, RegistryError> {
        let change = self.known.set_absent(Folder::Providers);
        match self.report_if_needed(change, 0).await {
            Err(Fault::Failed(error)) => Err(error),
            Ok(()) | Err(_) => std::future::pending().await,
        }
    }
}

/// How many.
fn count<T>(names: impl IntoIterator<Item = T>) -> u32 {
    u32::try_from(names.into_iter().count()).unwrap_or(u32::MAX)
}
