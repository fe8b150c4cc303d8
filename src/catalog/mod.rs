//! The catalog: what we know now, of every service subscribed to.

mod budget;
mod cares;
mod events;
mod failures;
mod ghosts;
mod heard;
mod journal;
mod known;
pub mod layout;
mod layouts;
mod limbo;
mod look;
pub mod merge;
mod reap;
pub mod reconcile;
pub mod removal;
mod sample;
mod service;
mod shares;
pub mod snapshot;
pub mod source;
mod sources;
pub mod status;
#[cfg(not(fuzzing))]
mod store;
#[cfg(fuzzing)]
pub mod store;
mod subscription;
pub mod subset;
mod told;
mod undialled;
mod uses;
mod watcher;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use thiserror::Error;
use tokio::sync::{Notify, watch};

pub use budget::{Allowance, Budget};
pub use cares::Cares;
pub use events::{Event, Happened, What};
pub use failures::{Failure, Failures};
pub use known::Known;
pub use layout::Layout;
pub use layouts::Layouts;
pub use snapshot::{Members, NoEndpoint, ShadowTally, Snapshot, scene};
pub use source::{Role, Source, SourceSet};
pub use sources::Restrictions;
pub use status::{RegistryStatus, Selection, ServiceStatus, SummaryStatus};
pub use subscription::{Claim, Freshness, RegistryState, Subscription};
pub use subset::Subset;
pub use uses::Use;

use crate::balance::rng;
use crate::clock::{Clock, Moment};
use crate::provider::{Allowed, ServiceName};
use crate::registry::format::Reason;
use crate::telemetry::metrics::Metrics;
use events::Events;
use service::Service;
use source::{SOURCES_MAX, Standing};
use sources::Followed;
use store::Shelf;
use store::handover::Handover;

/// How services are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Services subscribed at once, declared ones included.
    pub services_max: usize,
    /// Whether a service is subscribed when a request first names it; otherwise only declared ones are known.
    pub on_demand: bool,
    /// How long an undeclared service is followed after its last request.
    pub idle: Duration,
    /// How long a service that the registry does not know is remembered as absent after its last request.
    pub absent_idle: Duration,
    /// How long a request waits for the first list of a service, while the registry answers or was not tried yet.
    pub first_list_timeout: Duration,
    /// How long the changes after a first one are gathered before they are applied together.
    pub settle: Duration,
    /// The age from which stale data is warned about.
    pub stale_warning: Duration,
    /// How long a provider is kept as a spare whose record went by what may be an accident.
    pub limbo: Duration,
    /// How long nothing must have been reached behind a record without an owner for it to count as a ghost's.
    pub ghost_after: Duration,
    /// How long nobody must have answered behind a ghost's record for it to be deleted in its registry; never if `None`.
    pub reap_after: Option<Duration>,
    /// The reserved addresses that may be dialled; other records with such an address are skipped.
    pub allowed: Allowed,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            services_max: 1024,
            on_demand: true,
            idle: Duration::from_mins(10),
            absent_idle: Duration::from_mins(1),
            first_list_timeout: Duration::from_secs(2),
            settle: Duration::from_millis(50),
            stale_warning: Duration::from_mins(5),
            limbo: Duration::from_mins(1),
            ghost_after: Duration::from_secs(10),
            reap_after: None,
            allowed: Allowed::default(),
        }
    }
}

/// What we know now. The only place that writes endpoints, snapshots and freshness.
#[derive(Debug)]
pub struct Catalog {
    settings: Settings,
    metrics: Arc<Metrics>,
    clock: Clock,
    /// The registries that are followed, in the order of the configuration.
    sources: Vec<Followed>,
    /// What changes when providers or subscriptions do; never taken for a pick.
    state: Mutex<State>,
    /// Told when something is to be written to the store.
    store_due: Notify,
}

#[derive(Debug)]
struct State {
    services: HashMap<ServiceName, Service>,
    /// What is kept of each source on disk, by number; empty without a store.
    shelves: Vec<Shelf>,
    /// What is handed over from process to process; none without a store.
    handover: Option<Handover>,
    /// How each source stands, by number.
    standings: Vec<Standing>,
    /// The sources that services may come from.
    restrictions: Restrictions,
    /// How endpoints are treated.
    cares: Cares,
    /// How they are laid out in tiers.
    layouts: Layouts,
    /// What tells this process apart from others, where nothing configured does.
    seed: u64,
    rng: SmallRng,
    /// The number of the last memory made.
    memories: u64,
    /// What happened lately.
    events: Events,
}

/// Why a service cannot be subscribed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SubscribeError {
    /// As many services are followed as may be, and all are in use.
    #[error("{max} services are in use, as many as catalog.services_max allows")]
    TooMany {
        /// [`Settings::services_max`].
        max: usize,
    },
    /// Services are not followed on demand, and this one is not declared.
    #[error("the service is not declared, and services.on_demand is off")]
    NotDeclared,
}

impl Catalog {
    /// Knows nothing yet. `seed` decides where orders begin and how pauses vary.
    ///
    /// # Panics
    /// With more than [`SOURCES_MAX`] sources.
    pub fn new(
        settings: Settings,
        sources: Vec<Source>,
        metrics: Arc<Metrics>,
        clock: Clock,
        seed: u64,
    ) -> Arc<Self> {
        assert!(sources.len() <= SOURCES_MAX, "a configuration has no more sources");
        let state = State {
            services: HashMap::new(),
            shelves: Vec::new(),
            handover: None,
            standings: sources.iter().map(|_| Standing::new(clock.now())).collect(),
            restrictions: Restrictions::new(),
            cares: Cares::default(),
            layouts: Layouts::default(),
            seed,
            rng: rng::for_worker(seed, u64::MAX),
            memories: 0,
            events: Events::default(),
        };
        let followed = |source: Source| {
            let metrics = metrics.catalog.registry(&source.name);
            Followed { source, metrics, wanted: watch::Sender::default() }
        };
        let sources = sources.into_iter().map(followed).collect();
        // What was never counted is 0, and not unknown.
        for reason in Reason::ALL {
            metrics.catalog.skipped(reason.as_str());
        }
        Arc::new(Self {
            settings,
            metrics,
            clock,
            sources,
            state: Mutex::new(state),
            store_due: Notify::new(),
        })
    }

    /// The number of registries that can be followed.
    pub const fn sources(&self) -> usize {
        self.sources.len()
    }

    /// How services are followed.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The subscription for a claim. On the first for a service, the registry is asked for it.
    ///
    /// # Errors
    /// When the service is followed by nobody yet and may not be.
    pub fn subscribe(&self, claim: &Claim) -> Result<Arc<Subscription>, SubscribeError> {
        self.claim(claim, false)
    }

    /// As [`Catalog::subscribe`], for a service known by configuration: it stays without requests.
    ///
    /// # Errors
    /// When as many services are followed as may be.
    pub fn declare(&self, claim: &Claim) -> Result<Arc<Subscription>, SubscribeError> {
        self.claim(claim, true)
    }

    /// Lets go of what was declared and is none of these: it stays for as long as requests ask for it, as what nobody declared does.
    /// A service of which other claims are to be declared stays as it is until one of them has been.
    pub fn declare_no_others(&self, claims: &[Claim]) {
        for (name, service) in &mut self.state.lock().services {
            let is_named = claims.iter().any(|claim| claim.service == *name);
            service.declare_no_others(claims, is_named);
        }
    }

    /// Ends services that nobody declares, where none is followed on demand: once nothing goes by a table that named them.
    pub fn end_undeclared(&self) {
        if self.settings.on_demand {
            return;
        }
        for service in self.state.lock().services.values_mut().filter(|service| !service.is_declared()) {
            service.drop_idle(|_| true);
        }
    }

    fn claim(&self, claim: &Claim, declared: bool) -> Result<Arc<Subscription>, SubscribeError> {
        let refused = |_: &SubscribeError| self.metrics.catalog.subscriptions_refused_total.inc();
        self.find_or_follow(claim, declared).inspect_err(refused)
    }

    fn find_or_follow(&self, claim: &Claim, declared: bool) -> Result<Arc<Subscription>, SubscribeError> {
        let now = self.clock.now();
        let (subscription, outcome) = {
            let state = &mut *self.state.lock();
            let mut outcome = None;
            let is_declared = || state.services.get(&claim.service).is_some_and(Service::is_declared);
            if !declared && !self.settings.on_demand && !is_declared() {
                return Err(SubscribeError::NotDeclared);
            }
            if !state.services.contains_key(&claim.service) {
                if state.services.len() >= self.settings.services_max {
                    self.make_room(state, now)?;
                }
                outcome = self.begin(state, &claim.service, now);
            }
            let State { services, rng, .. } = &mut *state;
            let service = services.get_mut(&claim.service).expect("it is there, or was begun above");
            let subscription = service.subscribe(claim, declared, now, rng);
            self.publish_wanted(state);
            (subscription, outcome)
        };
        self.account(outcome);
        Ok(subscription)
    }

    /// Lets go of one service that can be spared, as [`Catalog::spare`] ranks them.
    fn make_room(&self, state: &mut State, now: Moment) -> Result<(), SubscribeError> {
        let spared = state.services.iter().filter_map(|(name, service)| {
            Some((self.spare(service, &state.standings, now)?, service.used(), name))
        });
        let max = self.settings.services_max;
        let name = spared.min().map(|(_, _, name)| name.clone()).ok_or(SubscribeError::TooMany { max })?;
        self.remove(state, &name);
        Ok(())
    }

    fn remove(&self, state: &mut State, name: &ServiceName) {
        if let Some(service) = state.services.remove(name) {
            service.close();
            self.metrics.forget(name);
        }
    }

    /// Tells the registry which services are wanted, when that changed.
    fn publish_wanted(&self, state: &State) {
        self.metrics.catalog.services.set(i64::try_from(state.services.len()).unwrap_or(i64::MAX));
        for (number, followed) in self.sources.iter().enumerate() {
            let is_asked = |service: &Service| service.heard[number].is_some();
            followed.wanted.send_if_modified(|wanted| {
                let asked = state.services.values().filter(|service| is_asked(service)).count();
                let is_same = wanted.len() == asked
                    && wanted.iter().all(|name| {
                        let followed = state.services.get_key_value(name);
                        followed.is_some_and(|(now, service)| now.is(name) && is_asked(service))
                    });
                if !is_same {
                    let asked = state.services.iter().filter(|(_, service)| is_asked(service));
                    *wanted = Arc::new(asked.map(|(name, _)| name.clone()).collect());
                }
                !is_same
            });
        }
    }

    /// Drops what no request asked for during its time, and no longer waits for registries that say nothing.
    fn sweep(&self) {
        let now = self.clock.now();
        let outcomes = {
            let state = &mut *self.state.lock();
            let State { services, standings, .. } = &mut *state;
            for service in services.values_mut() {
                if let Some(limit) = self.idle_limit(service, standings) {
                    service.drop_idle(|subscription| now.since(subscription.used()) >= limit);
                }
            }
            let unused = services.iter().filter(|(_, service)| service.claims.is_empty());
            for name in unused.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
                tracing::debug!(service = %name, "no longer followed: no request asked for it");
                self.remove(state, &name);
            }
            self.publish_wanted(state);
            self.reconsider(state, Service::awaits_a_source)
        };
        self.account(outcomes);
    }

    /// How long a service may be without requests: one that nobody ever saw is soon forgotten, so that typing errors cost
    /// little. While a registry that knows it does not answer, it is not given up, since it could not be learnt again.
    fn idle_limit(&self, service: &Service, standings: &[Standing]) -> Option<Duration> {
        if service.is_unknown() || !service.was_listed() {
            Some(self.settings.absent_idle)
        } else {
            service.could_be_learnt_again(&self.sources, standings).then_some(self.settings.idle)
        }
    }

    /// Whether a service can be spared when there is no room, and how soon: first those the registry does not know, then
    /// those it never listed and nobody waits for, then those without a request for a while.
    fn spare(&self, service: &Service, standings: &[Standing], now: Moment) -> Option<u8> {
        let unused = now.since(service.used());
        if service.is_declared() {
            None
        } else if service.is_unknown() {
            Some(0)
        } else if !service.was_listed() {
            (unused >= self.settings.first_list_timeout).then_some(1)
        } else {
            let is_idle = unused >= self.settings.absent_idle;
            (is_idle && service.could_be_learnt_again(&self.sources, standings)).then_some(2)
        }
    }
}

#[cfg(test)]
mod tests;
