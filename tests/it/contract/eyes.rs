//! A registry seen twice: as it reports, and as the catalog knows it.

use std::sync::Arc;

use wayside::balance::Policy;
use wayside::catalog::{Catalog, Claim, Freshness, Settings, Source};
use wayside::clock::Clock;
use wayside::drain::Drain;
use wayside::registry::{Registry, View};
use wayside::telemetry::metrics::Metrics;

use super::LATER;
use crate::support::patience::eventually;
use crate::support::watching::Watching;

/// A registry seen twice, each time over a connection of its own.
pub(super) struct Eyes {
    pub(super) watching: Watching,
    pub(super) catalog: Arc<Catalog>,
    pub(super) metrics: Arc<Metrics>,
    drain: Drain,
}

impl Eyes {
    /// Follows these services.
    pub(super) fn open(registry: Arc<dyn Registry>, services: &[&str]) -> Self {
        let (metrics, drain) = (Metrics::new(), Drain::new());
        let source = Source::new(Arc::clone(&registry));
        let catalog =
            Catalog::new(Settings::default(), vec![source], Arc::clone(&metrics), Clock::start(), 1);
        for service in services {
            catalog.declare(&Claim::on(service.parse().unwrap(), Policy::default())).unwrap();
        }
        drain.spawn("follow", catalog.follow(0, drain.clone()));
        Self { watching: Watching::start(registry, services), catalog, metrics, drain }
    }

    /// The addresses that the registry reported last, in order; `None` when it is absent or was not reported.
    pub(super) fn reported(&self, service: &str) -> Option<Vec<String>> {
        let providers = self.watching.providers(service)?;
        let mut addresses: Vec<String> =
            providers.iter().map(|provider| provider.address.to_string()).collect();
        addresses.sort();
        Some(addresses)
    }

    /// The addresses that the catalog has, in order, and how fresh they are.
    pub(super) fn known(&self, service: &str) -> (Vec<String>, Freshness) {
        let known = self.catalog.known().into_iter().find(|known| known.service.as_str() == service);
        let known = known.expect("it is declared");
        let endpoints = known.endpoints.iter();
        let mut addresses: Vec<String> =
            endpoints.map(|endpoint| endpoint.provider.address.to_string()).collect();
        addresses.sort();
        (addresses, known.freshness)
    }

    /// Waits until both see exactly these addresses, fresh.
    pub(super) async fn see(&self, what: &str, service: &str, addresses: &[&str]) {
        let seen = || {
            let (known, freshness) = self.known(service);
            let both = self.reported(service)? == addresses && known == addresses;
            (both && freshness == Freshness::Live).then_some(())
        };
        eventually(LATER, what, seen).await;
    }

    /// Waits until both see that there is no such service.
    pub(super) async fn see_nothing(&self, what: &str, service: &str) {
        let seen = || {
            self.watching.is_absent(service)?;
            (self.known(service) == (Vec::new(), Freshness::Absent)).then_some(())
        };
        eventually(LATER, what, seen).await;
    }

    /// Whether the registry ever reported this service empty or absent from the report with that number on.
    pub(super) fn was_empty_since(&self, count: usize, service: &str) -> bool {
        self.watching.lists_since(count, service).iter().any(|listing| match &listing.view {
            View::Present { providers, .. } => providers.is_empty(),
            View::Absent => true,
        })
    }
}

impl Drop for Eyes {
    fn drop(&mut self) {
        self.drain.begin();
    }
}
