//! What changes by time alone: limbo ends, weights grow, and records that nobody answers behind turn out to be ghosts'.

use std::collections::BTreeSet;

use rand::RngExt as _;

use super::events::{Events, What};
use super::limbo::Reviewed;
use super::service::Service;
use super::{Catalog, RegistryState, Settings, journal};
use crate::clock::Moment;
use crate::endpoint::{Endpoint, Ghost, ReachState};
use crate::provider::{ServiceName, Tenure};

/// Failures to connect in a row from which on a record may be a ghost's.
const FAILURES: u32 = 2;

impl Catalog {
    /// Looks at every service again, as time has passed.
    pub(super) fn review(&self) {
        let now = self.clock.now();
        let state = &mut *self.state.lock();
        for (name, service) in &mut state.services {
            journal::hear(&mut state.events, name, service, now);
            let reviewed = service.review(self.settings.limbo, now, &mut state.rng);
            self.drop_reviewed(name, reviewed, &mut state.events);
            for wait in service.first_picks() {
                self.metrics.catalog.swap_to_pick_seconds.observe(wait.as_secs_f64());
            }
            for endpoint in &*service.endpoints {
                if is_haunted(endpoint, &self.settings, now) {
                    endpoint.memory.haunt(Ghost::Silent, now, state.rng.random());
                }
            }
            for (endpoint, ghost) in note(service) {
                let (address, record) = (&endpoint.memory.address, &*endpoint.provider.record);
                if let Some(ghost) = ghost {
                    let why = ghost.as_str();
                    tracing::warn!(service = %name, %address, record, "the record is a ghost's: {why}");
                    state.events.add(name, &endpoint, What::Ghost, why);
                } else {
                    tracing::info!(service = %name, %address, record, "what was thought a ghost answers");
                    state.events.add(name, &endpoint, What::Revived, "");
                }
            }
        }
    }

    /// The services some of whose endpoints may have gone from a source by accident, as long as it was not asked again.
    pub(super) fn unconfirmed(&self, number: usize) -> BTreeSet<ServiceName> {
        let state = self.state.lock();
        let unconfirmed = state.services.iter().filter(|(_, service)| service.is_unconfirmed(number));
        unconfirmed.map(|(name, _)| name.clone()).collect()
    }

    /// Notes that a source said a second time who belongs to a service.
    pub(super) fn confirm(&self, name: &ServiceName) {
        let now = self.clock.now();
        let state = &mut *self.state.lock();
        if let Some(service) = state.services.get_mut(name) {
            let reviewed = service.confirm(now, &mut state.rng);
            self.drop_reviewed(name, reviewed, &mut state.events);
        }
    }

    /// Whether a source answers.
    pub(super) fn is_up(&self, number: usize) -> bool {
        self.state.lock().standings[number].state == RegistryState::Up
    }

    fn drop_reviewed(&self, name: &ServiceName, reviewed: Reviewed, events: &mut Events) {
        self.count_swaps(&reviewed.swaps);
        for (endpoint, reason) in reviewed.dropped {
            tracing::info!(service = %name, endpoint = %endpoint.memory.address, "not used any more: {reason}");
            events.add(name, &endpoint, What::Dropped, reason);
        }
    }
}

/// Whether a record without an owner has had nobody behind it for long enough.
fn is_haunted(endpoint: &Endpoint, settings: &Settings, now: Moment) -> bool {
    let memory = &endpoint.memory;
    endpoint.provider.tenure == Tenure::Lasting
        && endpoint.limbo.is_none()
        && memory.ghost().is_none()
        && memory.reach.failing_for(now) >= settings.ghost_after
        && matches!(memory.reach.state(now), ReachState::Unreachable { failures, .. } if failures >= FAILURES)
}

/// The endpoints that became ghosts since the last call, and those that are none any more.
fn note(service: &mut Service) -> Vec<(Endpoint, Option<Ghost>)> {
    let mut news = Vec::new();
    let mut ghosts = BTreeSet::new();
    for endpoint in &*service.endpoints {
        let number = endpoint.memory.number;
        let ghost = endpoint.memory.ghost();
        if ghost.is_some() {
            ghosts.insert(number);
        }
        if ghost.is_some() != service.ghosts.contains(&number) {
            news.push((endpoint.clone(), ghost));
        }
    }
    service.ghosts = ghosts;
    news
}
