//! An announcer that runs as the proxy runs it: for ever, and again after each failure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use wayside::registry::RegistryError;
use wayside::registry::announcer::{Announcement, Announcer, Standing};

type Wanted = BTreeMap<Arc<str>, Arc<Announcement>>;

/// An announcer at work.
pub(crate) struct Announcing {
    wanted: Option<watch::Sender<Arc<Wanted>>>,
    standings: watch::Receiver<Arc<BTreeMap<Arc<str>, Standing>>>,
    failures: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Announcing {
    /// Starts it, with nothing to announce.
    pub(crate) fn start(announcer: Arc<dyn Announcer>) -> Self {
        let (wanted, receiver) = watch::channel(Arc::<Wanted>::default());
        let (sender, standings) = watch::channel(Arc::default());
        let failures = Arc::<Mutex<Vec<String>>>::default();
        let failed = Arc::clone(&failures);
        let task = tokio::spawn(async move {
            loop {
                let error = announcer.announce(receiver.clone(), &sender).await;
                if matches!(error, RegistryError::Abandoned) {
                    return;
                }
                failed.lock().push(error.to_string());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Self { wanted: Some(wanted), standings, failures, task }
    }

    /// Has these announced, named by their place.
    pub(crate) fn want(&self, announcements: &[&Announcement]) {
        let named =
            |(number, it): (usize, &&Announcement)| (number.to_string().into(), Arc::new((*it).clone()));
        let all = announcements.iter().enumerate().map(named).collect();
        self.wanted.as_ref().expect("it was not ended").send_replace(Arc::new(all));
    }

    /// How things stand, by place.
    pub(crate) fn standings(&self) -> Vec<Standing> {
        self.standings.borrow().values().cloned().collect()
    }

    /// Whether so many are announced, and none is refused.
    pub(crate) fn all_in_place(&self, count: usize) -> Option<()> {
        let standings = self.standings();
        let in_place = standings.iter().all(|standing| matches!(standing, Standing::Announced { .. }));
        (in_place && standings.len() == count).then_some(())
    }

    /// Why it failed so far.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.failures.lock().clone()
    }

    /// Lets it end as it does when the proxy stops.
    pub(crate) async fn end(&mut self) {
        drop(self.wanted.take());
        (&mut self.task).await.unwrap();
    }
}
