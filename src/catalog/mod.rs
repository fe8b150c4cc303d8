//! The catalog: what we know now, of every service subscribed to.

mod events;
mod ghosts;
mod journal;
pub mod reconcile;
pub mod removal;
mod service;
pub mod snapshot;
pub mod status;
mod subscription;
pub mod subset;
mod watcher;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use thiserror::Error;
use tokio::sync::watch;

pub use events::{Event, What};
pub use snapshot::{NoEndpoint, Snapshot};
pub use status::{RegistryStatus, ServiceStatus};
pub use subscription::{Claim, Freshness, RegistryState, Subscription};
pub use subset::Subset;

use crate::balance::rng;
use crate::clock::{Clock, Moment};
use crate::endpoint::Endpoint;
use crate::provider::ServiceName;
use crate::telemetry::metrics::Metrics;
use events::Events;
use service::Service;
use status::RegistryFacts;

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
        }
    }
}

/// What we know now. The only place that writes endpoints, snapshots and freshness.
#[derive(Debug)]
pub struct Catalog {
    settings: Settings,
    metrics: Arc<Metrics>,
    clock: Clock,
    /// What changes when providers or subscriptions do; never taken for a pick.
    state: Mutex<State>,
    /// The services whose providers are wanted. Written under the lock, read by the registry.
    wanted: watch::Sender<Arc<BTreeSet<ServiceName>>>,
    /// Whether the registry answers. Written under the lock, read by requests that wait for a first list.
    registry: watch::Sender<RegistryState>,
}

#[derive(Debug)]
struct State {
    services: HashMap<ServiceName, Service>,
    facts: RegistryFacts,
    rng: SmallRng,
    /// Whether stale data was warned of in this outage.
    warned: bool,
    /// The number of the last memory made.
    memories: u64,
    /// What happened lately.
    events: Events,
}

/// One service, as far as metrics need it.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its name.
    pub service: ServiceName,
    /// How far the rest can be trusted.
    pub freshness: Freshness,
    /// The registry's version of the last list, where it has one.
    pub revision: Option<i64>,
    /// When what is known last changed.
    pub changed: Option<Moment>,
    /// Its endpoints, in order of address.
    pub endpoints: Arc<[Endpoint]>,
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
    #[error("the service is not declared, and catalog.on_demand is off")]
    NotDeclared,
}

impl Catalog {
    /// Knows nothing yet. `seed` decides where orders begin and how pauses vary.
    pub fn new(settings: Settings, metrics: Arc<Metrics>, clock: Clock, seed: u64) -> Arc<Self> {
        let facts = RegistryFacts {
            kind: "",
            location: String::new(),
            since: clock.now(),
            detail: None,
            cause: None,
        };
        let state = State {
            services: HashMap::new(),
            facts,
            rng: rng::for_worker(seed, u64::MAX),
            warned: false,
            memories: 0,
            events: Events::default(),
        };
        Arc::new(Self {
            settings,
            metrics,
            clock,
            state: Mutex::new(state),
            wanted: watch::Sender::default(),
            registry: watch::Sender::new(RegistryState::Connecting),
        })
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

    fn claim(&self, claim: &Claim, declared: bool) -> Result<Arc<Subscription>, SubscribeError> {
        let refused = |_: &SubscribeError| self.metrics.catalog.subscriptions_refused_total.inc();
        self.find_or_follow(claim, declared).inspect_err(refused)
    }

    fn find_or_follow(&self, claim: &Claim, declared: bool) -> Result<Arc<Subscription>, SubscribeError> {
        let now = self.clock.now();
        let state = &mut *self.state.lock();
        if !state.services.contains_key(&claim.service) {
            if !declared && !self.settings.on_demand {
                return Err(SubscribeError::NotDeclared);
            }
            if state.services.len() >= self.settings.services_max {
                self.make_room(state, now)?;
            }
        }
        let service = state.services.entry(claim.service.clone()).or_insert_with(Service::new);
        let subscription = service.subscribe(claim, declared, &self.registry, now, &mut state.rng);
        self.publish_wanted(state);
        Ok(subscription)
    }

    /// Lets go of one service that can be spared, as [`Catalog::spare`] ranks them.
    fn make_room(&self, state: &mut State, now: Moment) -> Result<(), SubscribeError> {
        let spared = state
            .services
            .iter()
            .filter_map(|(name, service)| self.spare(service, now).map(|rank| (rank, service.used(), name)));
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
        self.wanted.send_if_modified(|wanted| {
            let same = wanted.len() == state.services.len()
                && wanted.iter().all(|name| state.services.contains_key(name));
            if !same {
                *wanted = Arc::new(state.services.keys().cloned().collect());
            }
            !same
        });
    }

    /// Drops what no request asked for during its time.
    fn sweep(&self) {
        let now = self.clock.now();
        let state = &mut *self.state.lock();
        for service in state.services.values_mut() {
            if let Some(limit) = self.idle_limit(service) {
                service.drop_idle(|subscription| now.since(subscription.used()) >= limit);
            }
        }
        let unused = state.services.iter().filter(|(_, service)| service.claims.is_empty());
        for name in unused.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            tracing::debug!(service = %name, "no longer followed: no request asked for it");
            self.remove(state, &name);
        }
        self.publish_wanted(state);
    }

    /// Every service, for an operator, by name.
    pub fn services(&self) -> Vec<ServiceStatus> {
        let now = self.clock.now();
        let state = self.state.lock();
        let mut services: Vec<_> =
            state.services.iter().map(|(name, service)| ServiceStatus::of(name, service, now)).collect();
        services.sort_by(|a, b| a.name.cmp(&b.name));
        services
    }

    /// One service, for an operator.
    pub fn service(&self, name: &str) -> Option<ServiceStatus> {
        let now = self.clock.now();
        let state = self.state.lock();
        state.services.get_key_value(name).map(|(name, service)| ServiceStatus::of(name, service, now))
    }

    /// Every service with its endpoints, by name; cheap enough for each scrape.
    pub fn known(&self) -> Vec<Known> {
        let state = self.state.lock();
        let mut known: Vec<_> = state.services.iter().map(|(name, service)| service.known(name)).collect();
        known.sort_by(|a, b| a.service.cmp(&b.service));
        known
    }

    /// The last changes of who belongs to which service, the newest first, at most `limit`; of one service, or of all.
    pub fn events(&self, service: Option<&str>, limit: usize) -> Vec<Event> {
        self.state.lock().events.newest(service, limit)
    }

    /// The registry, for an operator.
    pub fn registry_status(&self) -> RegistryStatus {
        let state = self.state.lock();
        state.facts.status(*self.registry.borrow(), self.clock.now())
    }

    /// The declared services that were not listed yet, by name.
    pub fn declared_pending(&self) -> Vec<ServiceName> {
        let state = self.state.lock();
        let pending =
            state.services.iter().filter(|(_, service)| service.is_declared() && service.is_pending());
        let mut names: Vec<_> = pending.map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }

    /// How long a service may be without requests: one that nobody ever saw is soon forgotten, so that typing errors cost
    /// little. While the registry does not answer, nothing that is known is given up, since it could not be learnt again.
    fn idle_limit(&self, service: &Service) -> Option<Duration> {
        if service.is_unknown() || !service.was_listed() {
            Some(self.settings.absent_idle)
        } else {
            self.is_up().then_some(self.settings.idle)
        }
    }

    /// Whether a service can be spared when there is no room, and how soon: first those the registry does not know, then
    /// those it never listed and nobody waits for, then those without a request for a while.
    fn spare(&self, service: &Service, now: Moment) -> Option<u8> {
        let unused = now.since(service.used());
        if service.is_declared() {
            None
        } else if service.is_unknown() {
            Some(0)
        } else if !service.was_listed() {
            (unused >= self.settings.first_list_timeout).then_some(1)
        } else {
            (unused >= self.settings.absent_idle && self.is_up()).then_some(2)
        }
    }

    fn is_up(&self) -> bool {
        *self.registry.borrow() == RegistryState::Up
    }
}

#[cfg(test)]
mod tests;
