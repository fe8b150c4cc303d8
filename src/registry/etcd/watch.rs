//! The one watch: a session, and every wanted service listed, watched from there on, and compared from time to time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{AbortHandle, Abortable};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};

use super::Settings;
use super::find::{Found, find};
use super::known::Known;
use super::list::Listed;
use super::session::{Fault, Session};
use super::stream::{Says, Stream, Ticket, Word};
use crate::provider::ServiceName;
use crate::registry::format::Folder;
use crate::registry::{Listing, RegistryError, Report, Reports, Wanted, varied};

/// How often a service is looked for again that is not there, or may not be read; varied by half.
const RECHECK: Duration = Duration::from_secs(30);
/// How long events may be on their way when an audit has been listed: what none of them told of by then was missed.
const GRACE: Duration = Duration::from_secs(1);
/// From when on a refused watch may be due to the stream: its token is the one of its beginning, and tokens end.
const TOKEN_AGE: Duration = Duration::from_secs(1);
/// A list is made and compared in proportion to its length, so the next one of a service comes this much later for each
/// record of it: a change after a quiet moment at once, and ten lists a second of ten thousand providers that change all the time.
const PAUSE_PER_RECORD: Duration = Duration::from_micros(10);
/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// The most words taken before what they changed is reported.
const BATCH_MAX: usize = 1_000;

/// Follows every wanted service until the session fails.
pub(super) async fn watch(settings: &Settings, wanted: Wanted, reports: Reports) -> RegistryError {
    match run(settings, wanted, reports).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn run(settings: &Settings, mut wanted: Wanted, reports: Reports) -> Result<Infallible, RegistryError> {
    let session = Session::open(settings).await?;
    let stream = Stream::open(&session).await?;
    reports.send(Report::Connected { detail: session.detail() }).await?;
    let (services, watches, running) = (BTreeMap::new(), HashMap::new(), FuturesUnordered::new());
    let mut watcher = Watcher { session: &session, reports: &reports, stream, services, watches, running };
    let names = wanted.borrow_and_update().clone();
    watcher.adjust(&names).await?;
    loop {
        tokio::select! {
            word = watcher.stream.next() => watcher.hear(word?).await?,
            Some(done) = watcher.running.next() => if let Ok(done) = done {
                watcher.go_on(done).await?;
            },
            changed = wanted.changed() => {
                changed.map_err(|_| RegistryError::Abandoned)?;
                let names = wanted.borrow_and_update().clone();
                watcher.adjust(&names).await?;
            }
        }
    }
}

/// What was waited for, of one service.
struct Done {
    service: ServiceName,
    what: What,
}

enum What {
    /// It is time to list it again.
    Due,
    /// It was listed.
    Listed(Result<Found, Fault>),
    /// It was listed a while ago for an audit.
    Settled(Listed),
    /// Its next list may be made.
    Paused,
}

type Running<'a> = Pin<Box<dyn Future<Output = Done> + Send + 'a>>;

/// All that is followed in one session. What is waited for runs inside the one watch: dropping it drops that.
struct Watcher<'a> {
    session: &'a Session<'a>,
    reports: &'a Reports,
    stream: Stream<'a>,
    services: BTreeMap<ServiceName, Followed>,
    /// What each watch is of.
    watches: HashMap<Ticket, (ServiceName, Folder)>,
    running: FuturesUnordered<Abortable<Running<'a>>>,
}

/// One service that is followed.
struct Followed {
    known: Known,
    /// Its watches; none before it was listed.
    tickets: Vec<Ticket>,
    /// Ends what is waited for.
    waiting: AbortHandle,
    /// When it was reported last in this session.
    reported: Option<Instant>,
    /// Whether there is something to report.
    due: bool,
    /// Whether it is waited for that the next report may be made.
    paused: bool,
    /// What is to be reported: when the word of it came, and the records read for it.
    heard: Option<Instant>,
    reads: usize,
    /// Whether reading found what no word had told of.
    healed: bool,
}

impl<'a> Watcher<'a> {
    /// Follows what is newly wanted, and lets go of what is no longer.
    async fn adjust(&mut self, wanted: &BTreeSet<ServiceName>) -> Result<(), RegistryError> {
        let is_wanted =
            |service: &&ServiceName| wanted.get(*service).is_some_and(|wanted| wanted.is(service));
        let unwanted: Vec<ServiceName> =
            self.services.keys().filter(|service| !is_wanted(service)).cloned().collect();
        for service in unwanted {
            self.unwatch(&service).await?;
            if let Some(followed) = self.services.remove(&service) {
                followed.waiting.abort();
            }
        }
        for service in wanted {
            if !self.services.contains_key(service) {
                let settings = self.session.settings;
                let known =
                    Known::new(Arc::clone(&settings.format), service.clone(), settings.folders(service));
                self.services.insert(service.clone(), Followed::new(known));
                self.list(service);
            }
        }
        Ok(())
    }

    /// Takes what came on the stream, and all that came right behind it, and reports what that changed.
    async fn hear(&mut self, word: Option<Word>) -> Result<(), RegistryError> {
        let mut changed = BTreeSet::new();
        self.heed(word, &mut changed).await?;
        for _ in 0..BATCH_MAX {
            let Some(word) = self.stream.next().now_or_never() else { break };
            self.heed(word?, &mut changed).await?;
        }
        self.stream.tidy().await?;
        for service in changed {
            self.report_in_time(&service).await?;
        }
        Ok(())
    }

    /// Reports a service now, or when the pause after its last report is over.
    async fn report_in_time(&mut self, service: &ServiceName) -> Result<(), RegistryError> {
        let Some(followed) = self.services.get_mut(service) else { return Ok(()) };
        followed.due = true;
        if followed.paused {
            return Ok(());
        }
        let left = followed.pause_left();
        if left.is_zero() {
            return self.report(service).await;
        }
        followed.paused = true;
        let service = service.clone();
        let done: Running<'a> = Box::pin(async move {
            tokio::time::sleep(left).await;
            Done { service, what: What::Paused }
        });
        let (_, registration) = AbortHandle::new_pair();
        self.running.push(Abortable::new(done, registration));
        Ok(())
    }

    async fn heed(
        &mut self,
        word: Option<Word>,
        changed: &mut BTreeSet<ServiceName>,
    ) -> Result<(), RegistryError> {
        let Some(word) = word else { return Ok(()) };
        let Some((service, folder)) = self.watches.get(&word.ticket).cloned() else { return Ok(()) };
        let Some(followed) = self.services.get_mut(&service) else { return Ok(()) };
        match word.says {
            Says::Events(events) => {
                let mut news = false;
                for event in &events {
                    news |= followed.known.hear(folder, event);
                }
                if news {
                    followed.heard.get_or_insert_with(Instant::now);
                    followed.reads += events.len();
                    changed.insert(service);
                }
            }
            Says::Reached(revision) => followed.known.reach(revision),
            Says::Compacted => {
                tracing::debug!(%service, "what was to be watched was compacted away; it is listed again");
                self.unwatch(&service).await?;
                self.list(&service);
            }
            Says::Refused(reason) if self.may_have_a_dead_token() => {
                tracing::debug!(reason, "a watch was refused; a stream with a new token is opened");
                self.renew().await?;
            }
            Says::Refused(reason) => {
                self.unwatch(&service).await?;
                self.stand_by(&service, &reason).await?;
            }
            Says::Over(reason) => {
                let source = etcd_client::Error::WatchError(reason);
                return Err(self.session.unreachable(format!("the watch of {service} ended"), source));
            }
        }
        Ok(())
    }

    fn may_have_a_dead_token(&self) -> bool {
        self.session.settings.auth.is_some() && self.stream.opened.elapsed() >= TOKEN_AGE
    }

    /// Begins again on a new stream. Listing comes first, and gets a new token where the old one is dead.
    async fn renew(&mut self) -> Result<(), RegistryError> {
        self.session.ask().await?;
        self.stream = Stream::open(self.session).await?;
        self.watches.clear();
        let services: Vec<ServiceName> = self.services.keys().cloned().collect();
        for service in services {
            if let Some(followed) = self.services.get_mut(&service) {
                followed.tickets.clear();
            }
            self.list(&service);
        }
        Ok(())
    }

    /// Goes on with a service for which the waiting is over.
    async fn go_on(&mut self, Done { service, what }: Done) -> Result<(), RegistryError> {
        let Some(followed) = self.services.get_mut(&service) else { return Ok(()) };
        match what {
            What::Due => self.list(&service),
            What::Paused => {
                followed.paused = false;
                if followed.due {
                    self.report_in_time(&service).await?;
                }
            }
            What::Listed(Ok(found))
                if !followed.tickets.is_empty() && followed.known.folders() == found.folders =>
            {
                let settled = async {
                    tokio::time::sleep(GRACE).await;
                    What::Settled(found.listed)
                };
                self.wait(&service, settled);
            }
            What::Listed(Ok(found)) => self.begin(&service, found).await?,
            What::Settled(listed) => {
                if followed.known.compare(&listed) {
                    tracing::warn!(%service, "a reading found a change that no event had told of");
                    followed.healed = true;
                    followed.reads += listed.records.len();
                    self.report(&service).await?;
                    self.unwatch(&service).await?;
                    self.watch(&service, listed.revision).await?;
                }
                self.audit_later(&service);
            }
            What::Listed(Err(Fault::Denied)) => self.stand_by(&service, "permission denied").await?,
            What::Listed(Err(fault)) => return Err(self.session.failure(fault, "could not be listed")),
        }
        Ok(())
    }

    /// Takes over where a service lies and what is there, and watches it from there on.
    async fn begin(&mut self, service: &ServiceName, found: Found) -> Result<(), RegistryError> {
        self.unwatch(service).await?;
        let Some(followed) = self.services.get_mut(service) else { return Ok(()) };
        let moved = followed.known.folders() != found.folders;
        if moved {
            let format = Arc::clone(&self.session.settings.format);
            followed.known = Known::new(format, service.clone(), found.folders);
        }
        followed.reads += found.listed.records.len();
        if followed.known.compare(&found.listed) || moved || followed.reported.is_none() {
            self.report(service).await?;
        }
        self.watch(service, found.listed.revision).await?;
        self.audit_later(service);
        Ok(())
    }

    /// Lists a service now.
    fn list(&mut self, service: &ServiceName) {
        let Some(followed) = self.services.get_mut(service) else { return };
        followed.known.begin_audit();
        let (session, own) = (self.session, service.clone());
        self.wait(service, async move { What::Listed(find(session, &own).await) });
    }

    fn audit_later(&mut self, service: &ServiceName) {
        let absent = self.services.get(service).is_some_and(|followed| followed.known.is_absent());
        let audit = self.session.settings.pace.audit;
        self.list_in(service, varied(if absent { audit.min(RECHECK) } else { audit }));
    }

    fn list_in(&mut self, service: &ServiceName, pause: Duration) {
        self.wait(service, async move {
            tokio::time::sleep(pause).await;
            What::Due
        });
    }

    /// Waits for something of a service, in place of what was waited for.
    fn wait(&mut self, service: &ServiceName, what: impl Future<Output = What> + Send + 'a) {
        let Some(followed) = self.services.get_mut(service) else { return };
        let (handle, registration) = AbortHandle::new_pair();
        std::mem::replace(&mut followed.waiting, handle).abort();
        let service = service.clone();
        let done: Running<'a> = Box::pin(async move { Done { service, what: what.await } });
        self.running.push(Abortable::new(done, registration));
    }

    /// Watches a service from behind a revision.
    async fn watch(&mut self, service: &ServiceName, revision: i64) -> Result<(), RegistryError> {
        let Some(followed) = self.services.get_mut(service) else { return Ok(()) };
        for (folder, prefix) in followed.known.folders() {
            let ticket = self.stream.ask(prefix, revision + 1).await?;
            followed.tickets.push(ticket);
            self.watches.insert(ticket, (service.clone(), *folder));
        }
        Ok(())
    }

    async fn unwatch(&mut self, service: &ServiceName) -> Result<(), RegistryError> {
        let Some(followed) = self.services.get_mut(service) else { return Ok(()) };
        for ticket in followed.tickets.drain(..) {
            self.watches.remove(&ticket);
            self.stream.cancel(ticket).await?;
        }
        Ok(())
    }

    /// A service cannot be read: what was reported is no longer vouched for, and it is tried again at a low rate.
    async fn stand_by(&mut self, service: &ServiceName, reason: &str) -> Result<(), RegistryError> {
        let cause =
            format!("etcd does not let this proxy read the service; give auth, or a role that may: {reason}");
        tracing::warn!(%service, "{cause}");
        self.unwatch(service).await?;
        if let Some(followed) = self.services.get_mut(service) {
            followed.reported = None;
        }
        self.list_in(service, varied(RECHECK));
        self.reports.send(Report::Unheard { service: service.clone(), cause }).await
    }

    async fn report(&mut self, service: &ServiceName) -> Result<(), RegistryError> {
        let Some(followed) = self.services.get_mut(service) else { return Ok(()) };
        (followed.reported, followed.due) = (Some(Instant::now()), false);
        let listing = Listing {
            revision: Some(followed.known.revision()),
            reads: u32::try_from(std::mem::take(&mut followed.reads)).unwrap_or(u32::MAX),
            heard: followed.heard.take(),
            healed: std::mem::take(&mut followed.healed),
            ..Listing::new(service.clone(), followed.known.view())
        };
        self.reports.send(Report::Listed(listing)).await
    }
}

impl Followed {
    fn new(known: Known) -> Self {
        let (waiting, _) = AbortHandle::new_pair();
        let (tickets, heard) = (Vec::new(), None);
        let reported = None;
        Self { known, tickets, waiting, reported, due: false, paused: false, heard, reads: 0, healed: false }
    }

    /// How long until its next report is due.
    fn pause_left(&self) -> Duration {
        let records = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        let pause = PAUSE_PER_RECORD.saturating_mul(records).min(PAUSE_MAX);
        self.reported.map_or(Duration::ZERO, |at| pause.saturating_sub(at.elapsed()))
    }
}
