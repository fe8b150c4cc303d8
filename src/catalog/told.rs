//! What the catalog tells those who ask it: operators, scrapes, readiness.

use super::{Catalog, Event, Happened, Known, Selection, ServiceStatus, State, SummaryStatus, journal};
use crate::provider::ServiceName;

impl Catalog {
    /// Every service, for an operator, by name.
    pub fn services(&self) -> Vec<ServiceStatus> {
        let now = self.clock.now();
        let state = self.state.lock();
        let mut services: Vec<_> = state
            .services
            .iter()
            .map(|(name, service)| ServiceStatus::of(name, service, &self.sources, &Selection::ALL, now))
            .collect();
        services.sort_by(|a, b| a.name.cmp(&b.name));
        services
    }

    /// Every service in one line, for an operator, by name; cheap enough for each second.
    pub fn summaries(&self) -> Vec<SummaryStatus> {
        let now = self.clock.now();
        let mut outlines: Vec<_> = {
            let state = self.state.lock();
            state.services.iter().map(|(name, service)| service.outline(name)).collect()
        };
        outlines.sort_by(|a, b| a.name.cmp(&b.name));
        outlines.iter().map(|outline| SummaryStatus::of(outline, now)).collect()
    }

    /// One service, for an operator.
    pub fn service(&self, name: &str) -> Option<ServiceStatus> {
        self.service_in_part(name, &Selection::ALL)
    }

    /// The same, with those of its endpoints that are asked for.
    pub fn service_in_part(&self, name: &str, selection: &Selection) -> Option<ServiceStatus> {
        let now = self.clock.now();
        let state = self.state.lock();
        state
            .services
            .get_key_value(name)
            .map(|(name, service)| ServiceStatus::of(name, service, &self.sources, selection, now))
    }

    /// Every service with its endpoints, by name; cheap enough for each scrape.
    pub fn known(&self) -> Vec<Known> {
        let state = self.state.lock();
        let mut known: Vec<_> =
            state.services.iter().map(|(name, service)| service.known(name, &self.sources)).collect();
        known.sort_by(|a, b| a.service.cmp(&b.service));
        known
    }

    /// What happened to endpoints lately, the newest first, at most `limit`; of one service, or of all.
    pub fn events(&self, service: Option<&str>, limit: usize) -> Vec<Event> {
        self.events_after(0, service, limit).events
    }

    /// The same of those with a higher number, and what it takes to follow them.
    pub fn events_after(&self, number: u64, service: Option<&str>, limit: usize) -> Happened {
        let now = self.clock.now();
        let State { services, events, .. } = &mut *self.state.lock();
        services.iter().for_each(|(name, service)| journal::hear(events, name, service, now));
        events.after(number, service, limit)
    }

    /// The number of the newest event; 0 before the first.
    pub fn last_event(&self) -> u64 {
        self.state.lock().events.last()
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
}
