//! Following the registry for ever: the first change of a service at once, what follows together, and again after a failure.

mod settle;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use rand::RngExt as _;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::Catalog;
use super::journal;
use super::service::Service;
use super::subscription::{Freshness, RegistryState};
use crate::backoff::Backoff;
use crate::drain::Drain;
use crate::registry::{Listing, Registry, Report, Reports, View};
use settle::Settle;

/// How often subscriptions without requests and stale data are looked for.
const SWEEP: Duration = Duration::from_secs(1);

impl Catalog {
    /// Follows a registry until the drain begins: a failure makes what is known stale, and the watch begins again. That drain
    /// is not the one of the traffic: requests that are being finished still want fresh providers.
    pub fn follow(
        self: &Arc<Self>,
        registry: Arc<dyn Registry>,
        drain: Drain,
    ) -> impl Future<Output = ()> + use<> {
        let catalog = Arc::clone(self);
        async move {
            let follower = Follower::new(catalog);
            tokio::select! {
                biased;
                () = drain.begun() => {}
                () = follower.run(&*registry) => {}
            }
        }
    }

    fn begin(&self, registry: &dyn Registry) {
        let now = self.clock.now();
        let mut state = self.state.lock();
        state.facts.kind = registry.kind();
        state.facts.location = registry.location();
        state.facts.since = now;
        self.registry.send_replace(RegistryState::Connecting);
    }

    /// The registry answers. What is stale stays so until it is listed again.
    fn connected(&self, detail: Option<String>) {
        let state = &mut *self.state.lock();
        let facts = &mut state.facts;
        if detail.is_some() {
            facts.detail = detail;
        }
        if *self.registry.borrow() != RegistryState::Up {
            facts.since = self.clock.now();
            facts.cause = None;
            self.metrics.catalog.registry_up.set(1);
            self.registry.send_replace(RegistryState::Up);
            let (kind, location, detail) = (facts.kind, &facts.location, facts.detail.as_deref());
            tracing::info!(registry = kind, location, detail, "the registry answers");
        }
    }

    /// The registry does not answer. Nothing that is known is given up.
    fn disconnected(&self, cause: String) {
        let now = self.clock.now();
        let state = &mut *self.state.lock();
        let shared: Arc<str> = cause.as_str().into();
        let stale = state.services.values().filter(|service| service.mark_stale(now, &shared)).count();
        let facts = &mut state.facts;
        let before = *self.registry.borrow();
        if before == RegistryState::Up {
            self.metrics.catalog.registry_disconnects_total.inc();
        }
        if before == RegistryState::Down {
            tracing::debug!(registry = facts.kind, cause, "the registry still does not answer");
        } else {
            facts.since = now;
            facts.detail = None;
            let (kind, location) = (facts.kind, &facts.location);
            tracing::warn!(
                registry = kind,
                location,
                cause,
                stale,
                "the registry does not answer; known providers stay in use"
            );
        }
        facts.cause = Some(cause);
        self.metrics.catalog.registry_up.set(0);
        self.registry
            .send_if_modified(|state| std::mem::replace(state, RegistryState::Down) != RegistryState::Down);
    }

    /// Takes over a list. True when it changed something.
    fn apply(&self, listing: Listing) -> bool {
        let name = listing.service.clone();
        let changed_at = listing.changed_at;
        let absent = matches!(listing.view, View::Absent);
        let (applied, providers) = {
            let state = &mut *self.state.lock();
            let Some(service) = state.services.get_mut(&name) else { return false };
            let memories = &mut state.memories;
            let number = || {
                *memories += 1;
                *memories
            };
            let applied = service.apply(listing, number, self.clock.now(), &mut state.rng);
            (applied, service.endpoints.len())
        };
        let metrics = &self.metrics.catalog;
        metrics.swaps_total.inc_by(applied.swaps as u64);
        for skipped in &applied.newly_skipped {
            metrics.skipped(skipped.reason.as_str()).inc();
        }
        // A list that only refreshes shows changes of any age, which say nothing of how fast this proxy is.
        if !applied.refreshed
            && applied.swaps > 0
            && let Some(age) = changed_at.and_then(|changed| SystemTime::now().duration_since(changed).ok())
        {
            metrics.change_to_swap_seconds.observe(age.as_secs_f64());
        }
        journal::log(&name, &applied, absent, providers);
        applied.swaps > 0 || applied.absence_changed
    }

    /// Warns of stale data, once until all of it is fresh again.
    fn warn_of_staleness(&self) {
        let now = self.clock.now();
        let state = &mut *self.state.lock();
        let age = |service: &Service| match service.freshness() {
            Freshness::Stale { since, .. } => Some(now.since(since)),
            Freshness::Pending | Freshness::Live | Freshness::Absent => None,
        };
        let ages: Vec<Duration> = state.services.values().filter_map(age).collect();
        let oldest = ages.iter().max().copied().unwrap_or_default();
        if ages.is_empty() {
            state.warned = false;
        } else if oldest >= self.settings.stale_warning && !state.warned {
            state.warned = true;
            let (services, seconds) = (ages.len(), oldest.as_secs());
            let cause = state.facts.cause.as_deref();
            tracing::warn!(
                services,
                seconds,
                cause,
                "providers are stale: the registry has not been heard for long"
            );
        }
    }
}

/// The task that follows one registry.
struct Follower {
    catalog: Arc<Catalog>,
    settle: Settle,
    sweep: Interval,
    backoff: Backoff,
}

impl Follower {
    fn new(catalog: Arc<Catalog>) -> Self {
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let settle = Settle::new(catalog.settings.settle);
        Self { catalog, settle, sweep, backoff: Backoff::default() }
    }

    async fn run(mut self, registry: &dyn Registry) {
        self.catalog.begin(registry);
        loop {
            let cause = self.watch(registry).await;
            self.catalog.metrics.catalog.watch_failures_total.inc();
            self.catalog.disconnected(cause);
            let pause = self.pause();
            self.rest(pause).await;
        }
    }

    /// Watches until the registry fails; gives the cause.
    async fn watch(&mut self, registry: &dyn Registry) -> String {
        let (reports, mut queue) = Reports::channel();
        let watch = registry.watch(self.catalog.wanted.subscribe(), reports);
        // A client library that panics must not end the following for good.
        let mut watch = AssertUnwindSafe(watch).catch_unwind();
        let end = loop {
            tokio::select! {
                biased;
                Some(report) = queue.recv() => self.hear(report),
                end = &mut watch => break end,
                () = until(self.settle.next()) => self.apply_due(),
                _ = self.sweep.tick() => self.look_after(),
            }
        };
        // What it said before it failed still holds.
        while let Ok(report) = queue.try_recv() {
            self.hear(report);
        }
        self.apply_held();
        end.map_or_else(
            |_| "the registry's client panicked; please report this".to_owned(),
            |error| error.told(),
        )
    }

    /// Waits for a pause, and goes on looking after what is known.
    async fn rest(&mut self, pause: Duration) {
        let end = Instant::now() + pause;
        loop {
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(end) => return,
                _ = self.sweep.tick() => self.look_after(),
            }
        }
    }

    fn look_after(&self) {
        self.catalog.sweep();
        self.catalog.warn_of_staleness();
    }

    fn hear(&mut self, report: Report) {
        match report {
            Report::Connected { detail } => {
                self.backoff.works();
                self.catalog.connected(Some(detail));
            }
            Report::Disconnected { cause } => {
                self.apply_held();
                self.catalog.disconnected(cause);
            }
            Report::Listed(listing) => {
                let metrics = &self.catalog.metrics.catalog;
                metrics.listings_total.inc();
                metrics.records_read_total.inc_by(u64::from(listing.reads));
                self.catalog.connected(None);
                if let Some(listing) = self.settle.hold_back(listing) {
                    self.apply(listing);
                }
            }
        }
    }

    fn apply(&mut self, listing: Listing) {
        let service = listing.service.clone();
        if self.catalog.apply(listing) {
            self.settle.open(service, Instant::now());
        }
    }

    fn apply_due(&mut self) {
        for listing in self.settle.due(Instant::now()) {
            self.apply(listing);
        }
    }

    fn apply_held(&mut self) {
        for listing in self.settle.close() {
            self.catalog.apply(listing);
        }
    }

    fn pause(&mut self) -> Duration {
        let chance = self.catalog.state.lock().rng.random::<f64>();
        self.backoff.failed(chance)
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
