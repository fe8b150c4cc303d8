//! Reaping: the ghosts whose records may be deleted, and deleting one in the registry that has it.

use std::sync::Arc;

use super::events::What;
use super::source::Role;
use super::{Catalog, Freshness, RegistryState};
use crate::endpoint::{Endpoint, Ghost};
use crate::provider::{Provider, ServiceName, Tenure};
use crate::registry::{Reaped, Registry};

impl Catalog {
    /// The ghosts that have been silent for long enough to be reaped, if any ever are. Only of services that are fresh: what
    /// a registry said long ago is no ground for deleting anything.
    pub fn reapable(&self) -> Vec<(ServiceName, Endpoint)> {
        let Some(after) = self.settings.reap_after else { return Vec::new() };
        let now = self.clock.now();
        let is_due = |endpoint: &&Endpoint| {
            endpoint.memory.ghost() == Some(Ghost::Silent)
                && endpoint.limbo.is_none()
                && endpoint.provider.tenure == Tenure::Lasting
                && endpoint.memory.reach.failing_for(now) >= after
        };
        let state = self.state.lock();
        let fresh = state.services.iter().filter(|(_, service)| service.freshness() == Freshness::Live);
        let due = fresh.flat_map(|(name, service)| {
            service.endpoints.iter().filter(is_due).map(|endpoint| (name.clone(), endpoint.clone()))
        });
        due.collect()
    }

    /// Deletes a ghost's record in the registry that has it.
    pub async fn reap(&self, service: &ServiceName, endpoint: &Endpoint) {
        let Some(registry) = self.holder(service, &endpoint.provider) else { return };
        let (address, record) = (&endpoint.memory.address, &*endpoint.provider.record);
        match registry.reap(service, &endpoint.provider).await {
            Ok(Reaped::Deleted) => {
                tracing::warn!(%service, %address, record, "the record of a ghost was deleted in the registry");
                self.metrics.catalog.removals("reaped").inc();
                let cause = "nobody had answered behind it for as long as reap_after says";
                self.state.lock().events.add(service, endpoint, What::Reaped, cause);
            }
            Ok(Reaped::Spared(why)) => {
                tracing::info!(%service, %address, record, "the record of a ghost was left alone: {why}");
            }
            Err(error) => {
                let error = error.told();
                tracing::warn!(%service, %address, record, error, "the record of a ghost could not be deleted");
            }
        }
    }

    /// The registry that names a provider, while it answers; never one that is only compared.
    fn holder(&self, service: &ServiceName, provider: &Provider) -> Option<Arc<dyn Registry>> {
        let state = self.state.lock();
        let heard = &state.services.get(service)?.heard;
        let holds = |number: &usize| {
            state.standings[*number].state == RegistryState::Up
                && self.sources[*number].source.role != Role::Shadow
                && heard[*number].as_ref().is_some_and(|heard| {
                    heard.providers().iter().any(|named| named.record == provider.record)
                })
        };
        let number = (0..heard.len()).find(holds)?;
        Some(Arc::clone(&self.sources[number].source.registry))
    }
}
