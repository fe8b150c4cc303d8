//! A registry watched as the catalog does it: for ever, with everything it reports kept for the test to look at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use wayside::provider::{Provider, ServiceName};
use wayside::registry::{Listing, Registry, Report, Reports, View};

/// A registry under watch; the watch ends when dropped.
pub(crate) struct Watching {
    pub(crate) wanted: watch::Sender<Arc<BTreeSet<ServiceName>>>,
    seen: Arc<Mutex<Seen>>,
    _tasks: JoinSet<()>,
}

/// What was reported, and when.
#[derive(Default)]
struct Seen {
    reports: Vec<(Instant, Report)>,
    listings: BTreeMap<ServiceName, Listing>,
    failures: Vec<String>,
}

impl Watching {
    /// Watches these services.
    pub(crate) fn start(registry: Arc<dyn Registry>, services: &[&str]) -> Self {
        let (wanted, receiver) = watch::channel(Arc::new(names(services)));
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (reports, mut queue) = Reports::channel();
        let mut tasks = JoinSet::new();
        let failures = Arc::clone(&seen);
        tasks.spawn(async move {
            loop {
                let error = registry.watch(receiver.clone(), reports.clone()).await;
                failures.lock().failures.push(format!("{error}: {:?}", std::error::Error::source(&error)));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        let reported = Arc::clone(&seen);
        tasks.spawn(async move {
            while let Some(report) = queue.recv().await {
                let mut seen = reported.lock();
                if let Report::Listed(listing) = &report {
                    seen.listings.insert(listing.service.clone(), listing.clone());
                }
                seen.reports.push((Instant::now(), report));
            }
        });
        Self { wanted, seen, _tasks: tasks }
    }

    /// Wants these services instead; those wanted before stay what they are.
    pub(crate) fn want(&self, services: &[&str]) {
        self.wanted.send_modify(|wanted| {
            let kept = |name: ServiceName| wanted.get(&name).cloned().unwrap_or(name);
            *wanted = Arc::new(names(services).into_iter().map(kept).collect());
        });
    }

    /// The last list of a service.
    pub(crate) fn listing(&self, service: &str) -> Option<Listing> {
        self.seen.lock().listings.get(service).cloned()
    }

    /// The providers of a service's last list.
    pub(crate) fn providers(&self, service: &str) -> Option<Vec<Arc<Provider>>> {
        match self.listing(service)?.view {
            View::Present { providers, .. } => Some(providers),
            View::Absent => None,
        }
    }

    /// The ids of the providers of a service's last list, in order of name.
    pub(crate) fn ids(&self, service: &str) -> Option<Vec<String>> {
        let mut ids: Vec<String> =
            self.providers(service)?.iter().map(|provider| provider.id.to_string()).collect();
        ids.sort();
        Some(ids)
    }

    /// Whether the last list has exactly these ids.
    pub(crate) fn has(&self, service: &str, ids: &[&str]) -> Option<()> {
        (self.ids(service)? == ids).then_some(())
    }

    /// Whether the last list says that there is no such service.
    pub(crate) fn is_absent(&self, service: &str) -> Option<()> {
        (self.listing(service)?.view == View::Absent).then_some(())
    }

    /// Reports so far.
    pub(crate) fn count(&self) -> usize {
        self.seen.lock().reports.len()
    }

    /// How long ago the last report came.
    pub(crate) fn quiet(&self) -> Duration {
        self.seen.lock().reports.last().map(|(at, _)| at.elapsed()).unwrap_or_default()
    }

    /// Reports from the one with that number on.
    pub(crate) fn since(&self, count: usize) -> Vec<(Instant, Report)> {
        self.seen.lock().reports[count..].to_vec()
    }

    /// The lists of a service from the report with that number on.
    pub(crate) fn lists_since(&self, count: usize, service: &str) -> Vec<Listing> {
        let listing = |(_, report)| match report {
            Report::Listed(listing) if listing.service.as_str() == service => Some(listing),
            Report::Listed(_)
            | Report::Connected { .. }
            | Report::Disconnected { .. }
            | Report::Unheard { .. } => None,
        };
        self.since(count).into_iter().filter_map(listing).collect()
    }

    /// Whether the registry was reported connected from the report with that number on.
    pub(crate) fn connected_since(&self, count: usize) -> Option<()> {
        let reports = self.since(count);
        reports.iter().any(|(_, report)| matches!(report, Report::Connected { .. })).then_some(())
    }

    /// Whether the registry was reported disconnected from the report with that number on.
    pub(crate) fn disconnected_since(&self, count: usize) -> Option<()> {
        let reports = self.since(count);
        reports.iter().any(|(_, report)| matches!(report, Report::Disconnected { .. })).then_some(())
    }

    /// Whether it was told of a service that the registry does not tell of it.
    pub(crate) fn unheard(&self, name: &str) -> bool {
        let is_told = |(_, report): &(Instant, Report)| matches!(report, Report::Unheard { service, .. } if service.as_str() == name);
        self.seen.lock().reports.iter().any(is_told)
    }

    /// Why watches ended so far.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.seen.lock().failures.clone()
    }
}

fn names(services: &[&str]) -> BTreeSet<ServiceName> {
    services.iter().map(|service| service.parse().unwrap()).collect()
}
