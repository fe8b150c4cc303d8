//! The second look: a registry from which most providers vanished is asked again before it is believed, over a connection
//! of its own and after a while that differs from proxy to proxy.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::provider::ServiceName;
use crate::registry::{Listing, Registry, Report, Reports, View};

/// The longest until the second look; each proxy chooses a time up to it, so that a fleet does not ask at once.
const SPREAD: Duration = Duration::from_secs(5);
/// How long a registry may take to answer a second look.
const LIMIT: Duration = Duration::from_secs(20);

/// A second look, when there is reason for one.
#[derive(Default)]
pub(super) struct SecondLook<'r> {
    due: Option<Instant>,
    look: Option<Pin<Box<dyn Future<Output = Vec<Listing>> + Send + 'r>>>,
    /// What the watch itself said last of services that it listed since this look began.
    overtaken: HashMap<ServiceName, View>,
}

impl<'r> SecondLook<'r> {
    /// Sees to it that there will be one; `luck`, from 0 to 1, says when.
    pub(super) fn plan(&mut self, luck: f64) {
        if self.look.is_none() {
            self.due.get_or_insert_with(|| Instant::now() + SPREAD.mul_f64(luck));
        }
    }

    /// When it is due; `None` when none is planned.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Begins to look at these services.
    pub(super) fn begin(&mut self, registry: &'r dyn Registry, services: BTreeSet<ServiceName>) {
        self.due = None;
        self.overtaken.clear();
        if !services.is_empty() {
            self.look = Some(Box::pin(look(registry, services)));
        }
    }

    /// Notes what the watch itself says meanwhile. What it lists may be newer than what is seen, which is told only once all of
    /// it was seen; and it would not list it again.
    pub(super) fn overtake(&mut self, report: &Report) {
        if let (Some(_), Report::Listed(listing)) = (&self.look, report) {
            self.overtaken.insert(listing.service.clone(), listing.view.clone());
        }
    }

    /// Waits for what it shows: a list of each service that was listed in time, and of which the watch itself said nothing else
    /// meanwhile. For ever when none is on its way.
    pub(super) async fn seen(&mut self) -> Vec<Listing> {
        let Some(look) = &mut self.look else { return std::future::pending().await };
        let mut seen = look.await;
        self.look = None;
        let said = std::mem::take(&mut self.overtaken);
        seen.retain(|listing| said.get(&listing.service).is_none_or(|view| *view == listing.view));
        seen
    }
}

async fn look(registry: &dyn Registry, services: BTreeSet<ServiceName>) -> Vec<Listing> {
    let mut missing = services.clone();
    let (_wanted, receiver) = watch::channel(Arc::new(services));
    let (reports, mut queue) = Reports::channel();
    let mut seen = Vec::new();
    let all = async {
        while !missing.is_empty()
            && let Some(report) = queue.recv().await
        {
            if let Report::Listed(listing) = report
                && missing.remove(&listing.service)
            {
                seen.push(listing);
            }
        }
    };
    tokio::select! {
        biased;
        () = all => {}
        _failed = registry.watch(receiver, reports) => {}
        () = tokio::time::sleep(LIMIT) => {}
    }
    seen
}
