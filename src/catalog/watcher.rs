//! Following the registry for ever: the first change of a service at once, what follows together, and again after a failure.

mod second_look;
mod settle;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use rand::RngExt as _;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::heard::Heard;
use super::service::Swaps;
use super::sources::Followed;
use super::subscription::{Freshness, RegistryState};
use super::{Catalog, undialled};
use crate::backoff::Backoff;
use crate::drain::Drain;
use crate::provider::ServiceName;
use crate::registry::{Listing, Registry, Report, Reports};
use second_look::SecondLook;
use settle::Settle;

/// How often subscriptions without requests and stale data are looked for.
const SWEEP: Duration = Duration::from_secs(1);

impl Catalog {
    /// Follows the source of that number until the drain begins: a failure makes what it said stale, and the watch begins
    /// again. That drain is not the one of the traffic: requests that are being finished still want fresh providers.
    pub fn follow(self: &Arc<Self>, number: usize, drain: Drain) -> impl Future<Output = ()> + use<> {
        let catalog = Arc::clone(self);
        async move {
            let registry = Arc::clone(&catalog.sources[number].source.registry);
            let follower = Follower::new(catalog, number);
            tokio::select! {
                biased;
                () = drain.begun() => {}
                () = follower.run(&*registry) => {}
            }
        }
    }

    /// A registry answers. What is stale stays so until it is listed again.
    fn connected(&self, number: usize, detail: Option<String>) {
        let outcomes = {
            let state = &mut *self.state.lock();
            let Followed { source, metrics, .. } = &self.sources[number];
            let standing = &mut state.standings[number];
            if detail.is_some() {
                standing.detail = detail;
            }
            if standing.state == RegistryState::Up {
                return;
            }
            standing.state = RegistryState::Up;
            standing.since = self.clock.now();
            standing.cause = None;
            metrics.up.set(1);
            let (name, location, detail) =
                (&*source.name, source.registry.location(), standing.detail.as_deref());
            tracing::info!(registry = name, location, detail, "the registry answers");
            self.reconsider(state, |_| true)
        };
        self.account(outcomes);
    }

    /// A registry does not answer. Nothing that is known is given up.
    fn disconnected(&self, number: usize, cause: String) {
        let outcomes = {
            let now = self.clock.now();
            let state = &mut *self.state.lock();
            let shared: Arc<str> = cause.as_str().into();
            let heard = state.services.values_mut().filter_map(|service| service.heard[number].as_mut());
            let stale = heard.filter_map(|heard| heard.mark_stale(now, &shared).then_some(())).count();
            let Followed { source, metrics, .. } = &self.sources[number];
            let standing = &mut state.standings[number];
            let before = std::mem::replace(&mut standing.state, RegistryState::Down);
            if before == RegistryState::Up {
                metrics.disconnects_total.inc();
            }
            let name = &*source.name;
            if before == RegistryState::Down {
                tracing::debug!(registry = name, cause, "the registry still does not answer");
            } else {
                standing.since = now;
                standing.detail = None;
                let location = source.registry.location();
                tracing::warn!(
                    registry = name,
                    location,
                    cause,
                    stale,
                    "the registry does not answer; known providers stay in use"
                );
            }
            standing.cause = Some(cause);
            metrics.up.set(0);
            Self::recall_all(state, now);
            self.reconsider(state, |_| true)
        };
        self.account(outcomes);
    }

    /// The registry answers, but not for this service. Nothing that is known is given up.
    fn unheard(&self, number: usize, name: &ServiceName, cause: &str) {
        self.connected(number, None);
        let outcomes = {
            let now = self.clock.now();
            let state = &mut *self.state.lock();
            let Some(service) = state.services.get_mut(name) else { return };
            let Some(heard) = service.heard[number].as_mut() else { return };
            heard.mark_stale(now, &cause.into());
            self.reconsider_one(state, name)
        };
        self.account(outcomes);
    }

    /// Takes over a list. True when it changed something.
    fn apply(&self, number: usize, mut listing: Listing) -> bool {
        undialled::pass_over(&mut listing, &self.settings.allowed);
        let outcome = {
            let state = &mut *self.state.lock();
            self.hear(state, number, listing)
        };
        self.account(outcome)
    }

    pub(super) fn count_swaps(&self, swaps: &Swaps) {
        let metrics = &self.metrics.catalog;
        metrics.swaps_total.inc_by(swaps.count as u64);
        for wait in &swaps.first_picks {
            metrics.swap_to_pick_seconds.observe(wait.as_secs_f64());
        }
    }

    /// Warns of what a registry said and does not vouch for any more, once until all of it is fresh again.
    fn warn_of_staleness(&self, number: usize) {
        let now = self.clock.now();
        let state = &mut *self.state.lock();
        let heard = state.services.values().filter_map(|service| service.heard[number].as_ref());
        let age = |heard: &Heard| match heard.freshness {
            Freshness::Stale { since, .. } => Some(now.since(since)),
            Freshness::Pending | Freshness::Live | Freshness::FromDisk { .. } | Freshness::Absent => None,
        };
        let ages: Vec<Duration> = heard.filter_map(age).collect();
        let oldest = ages.iter().max().copied().unwrap_or_default();
        let standing = &mut state.standings[number];
        if ages.is_empty() {
            standing.warned = false;
        } else if oldest >= self.settings.stale_warning && !standing.warned {
            standing.warned = true;
            let (services, seconds) = (ages.len(), oldest.as_secs());
            let cause = standing.cause.as_deref();
            tracing::warn!(
                registry = &*self.sources[number].source.name,
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
    /// The number of its source.
    number: usize,
    settle: Settle,
    sweep: Interval,
    backoff: Backoff,
}

impl Follower {
    fn new(catalog: Arc<Catalog>, number: usize) -> Self {
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let settle = Settle::new(catalog.settings.settle);
        Self { catalog, number, settle, sweep, backoff: Backoff::default() }
    }

    async fn run(mut self, registry: &dyn Registry) {
        loop {
            let cause = self.watch(registry).await;
            self.source().metrics.watch_failures_total.inc();
            self.catalog.disconnected(self.number, cause);
            let pause = self.pause();
            self.rest(pause).await;
        }
    }

    /// Watches until the registry fails; gives the cause.
    async fn watch(&mut self, registry: &dyn Registry) -> String {
        let (reports, mut queue) = Reports::channel();
        let watch = registry.watch(self.source().wanted.subscribe(), reports);
        // A client library that panics must not end the following for good.
        let mut watch = AssertUnwindSafe(watch).catch_unwind();
        let mut second = SecondLook::default();
        let end = loop {
            tokio::select! {
                biased;
                Some(report) = queue.recv() => {
                    second.overtake(&report);
                    self.hear(report);
                }
                end = &mut watch => break end,
                () = until(self.settle.next()) => self.apply_due(),
                () = until(second.due()) => second.begin(registry, self.catalog.unconfirmed(self.number)),
                seen = second.seen() => self.confirm(seen),
                _ = self.sweep.tick() => {
                    self.look_after();
                    if !self.catalog.unconfirmed(self.number).is_empty() {
                        second.plan(self.luck());
                    }
                }
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
        // What concerns all sources is looked after by one of those that follow them.
        if self.number == 0 {
            self.catalog.sweep();
            self.catalog.review();
        }
        self.catalog.warn_of_staleness(self.number);
    }

    fn source(&self) -> &Followed {
        &self.catalog.sources[self.number]
    }

    fn hear(&mut self, report: Report) {
        match report {
            Report::Connected { detail } => {
                self.backoff.works();
                self.catalog.connected(self.number, Some(detail));
            }
            Report::Unheard { service, cause } => {
                self.apply_held();
                self.catalog.unheard(self.number, &service, &cause);
            }
            Report::Disconnected { cause } => {
                self.apply_held();
                self.catalog.disconnected(self.number, cause);
            }
            Report::Listed(listing) => {
                let metrics = &self.source().metrics;
                metrics.listings_total.inc();
                metrics.records_read_total.inc_by(u64::from(listing.reads));
                metrics.healed_total.inc_by(u64::from(listing.healed));
                self.catalog.connected(self.number, None);
                if let Some(listing) = self.settle.hold_back(listing) {
                    self.apply(listing);
                }
            }
        }
    }

    fn apply(&mut self, listing: Listing) {
        let service = listing.service.clone();
        if self.catalog.apply(self.number, listing) {
            self.settle.open(service, Instant::now());
        }
    }

    /// Takes over what a second look showed: what is there after all, and that the rest is gone indeed.
    fn confirm(&mut self, seen: Vec<Listing>) {
        // Once the registry itself is lost, nothing is confirmed: it is looked at again when it is back.
        let seen = if self.catalog.is_up(self.number) { seen } else { Vec::new() };
        for listing in seen {
            let service = listing.service.clone();
            self.apply(listing);
            self.catalog.confirm(&service);
        }
    }

    fn apply_due(&mut self) {
        for listing in self.settle.due(Instant::now()) {
            self.apply(listing);
        }
    }

    fn apply_held(&mut self) {
        for listing in self.settle.close() {
            self.catalog.apply(self.number, listing);
        }
    }

    fn pause(&mut self) -> Duration {
        let luck = self.luck();
        self.backoff.failed(luck)
    }

    /// A number from 0 to 1.
    fn luck(&self) -> f64 {
        self.catalog.state.lock().rng.random()
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
