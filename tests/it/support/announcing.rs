//! An announcer at work as this program runs it: for ever, begun again after a failure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use wayside::provider::Provider;
use wayside::registry::RegistryError;
use wayside::registry::announcer::{Announcement, Announcer, Standing};

use super::patience::eventually;

type Wanted = Arc<BTreeMap<Arc<str>, Arc<Announcement>>>;

/// How long a registry that is there may take for anything.
const SOON: Duration = Duration::from_secs(10);

/// An announcer at work; ends when dropped, without withdrawing anything.
pub(crate) struct Announcing {
    wanted: Option<watch::Sender<Wanted>>,
    standings: watch::Sender<Arc<BTreeMap<Arc<str>, Standing>>>,
    failures: Arc<Mutex<Vec<String>>>,
    tasks: JoinSet<()>,
}

impl Announcing {
    /// Announces nothing yet.
    pub(crate) fn start(announcer: Arc<dyn Announcer>) -> Self {
        let (wanted, receiver) = watch::channel(Wanted::default());
        let standings = watch::Sender::default();
        let failures = Arc::<Mutex<Vec<String>>>::default();
        let mut tasks = JoinSet::new();
        let (told, failed) = (standings.clone(), Arc::clone(&failures));
        tasks.spawn(async move {
            loop {
                let error = announcer.announce(receiver.clone(), &told).await;
                if matches!(error, RegistryError::Abandoned) {
                    return;
                }
                failed.lock().push(error.told());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        Self { wanted: Some(wanted), standings, failures, tasks }
    }

    /// Announces these, each by its id, and nothing else.
    pub(crate) fn want(&self, announcements: &[Announcement]) {
        let by_id = |one: &Announcement| (Arc::clone(&one.provider.id), Arc::new(one.clone()));
        let wanted = self.wanted.as_ref().unwrap();
        wanted.send_replace(Arc::new(announcements.iter().map(by_id).collect()));
    }

    /// How one stands.
    pub(crate) fn standing(&self, id: &str) -> Option<Standing> {
        self.standings.borrow().get(id).cloned()
    }

    /// Waits until one is in its place; where that is.
    pub(crate) async fn announced(&self, id: &str) -> String {
        let find = || match self.standing(id) {
            Some(Standing::Announced { record }) => Some(record),
            Some(Standing::Refused { .. }) | None => None,
        };
        eventually(SOON, "it is announced", find).await
    }

    /// Waits until one is refused; why.
    pub(crate) async fn refused(&self, id: &str) -> String {
        let find = || match self.standing(id) {
            Some(Standing::Refused { cause }) => Some(cause),
            Some(Standing::Announced { .. }) | None => None,
        };
        eventually(SOON, "it is refused", find).await
    }

    /// Waits until nothing is announced.
    pub(crate) async fn withdrawn(&self) {
        eventually(SOON, "all is withdrawn", || self.standings.borrow().is_empty().then_some(())).await;
    }

    /// Wants nothing any more, and waits until the announcer has ended by itself.
    pub(crate) async fn end(&mut self) {
        self.wanted = None;
        let ended = tokio::time::timeout(SOON, self.tasks.join_next()).await;
        ended.expect("the announcer should end").unwrap().unwrap();
        assert!(self.standings.borrow().is_empty(), "an announcer that has ended has withdrawn everything");
    }

    /// Why it failed, each time it did.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.failures.lock().clone()
    }
}

/// A provider of `greeter` to be announced.
pub(crate) fn announcement(id: &str, address: &str) -> Announcement {
    Announcement {
        service: "greeter".parse().unwrap(),
        provider: Provider::new(id, address.parse().unwrap()),
        service_metadata: BTreeMap::new(),
        endpoints: Vec::new(),
        ttl: Duration::from_secs(30),
        since: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
    }
}
