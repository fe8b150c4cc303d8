//! How the endpoints of each service are treated, as the configuration says, and that it can say otherwise while running.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Catalog;
use crate::endpoint::Care;
use crate::provider::ServiceName;

/// How the endpoints of each service are treated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cares {
    /// Where nothing else is said.
    pub usual: Arc<Care>,
    /// What is said of a service.
    pub by_service: BTreeMap<ServiceName, Arc<Care>>,
}

impl Cares {
    /// How the endpoints of a service are treated.
    pub fn of(&self, service: &ServiceName) -> &Arc<Care> {
        self.by_service.get(service).unwrap_or(&self.usual)
    }
}

impl Catalog {
    /// From now on endpoints are treated so. What was experienced with them stays; where none is to be ejected any more, those
    /// that are come back.
    pub fn tend(&self, cares: Cares) {
        let now = self.clock.now();
        let state = &mut *self.state.lock();
        let mut swaps = 0;
        for (name, service) in &mut state.services {
            let care = cares.of(name);
            if service.care != *care {
                service.care = Arc::clone(care);
                if care.ejecting.is_none() {
                    service.endpoints.iter().for_each(|endpoint| endpoint.memory.pardon(now));
                }
                swaps += service.rebuild(now, &mut state.rng).count;
            }
        }
        self.metrics.catalog.swaps_total.inc_by(swaps as u64);
        state.cares = cares;
    }
}
