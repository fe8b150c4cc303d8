//! How the endpoints of each service are laid out in tiers, as the configuration says, and that it can say otherwise while running.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Catalog;
use super::layout::Layout;
use crate::provider::ServiceName;

/// How the endpoints of each service are laid out in tiers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layouts {
    /// Where nothing else is said.
    pub usual: Arc<Layout>,
    /// What is said of a service.
    pub by_service: BTreeMap<ServiceName, Arc<Layout>>,
}

impl Layouts {
    /// How the endpoints of a service are laid out.
    pub fn of(&self, service: &ServiceName) -> &Arc<Layout> {
        self.by_service.get(service).unwrap_or(&self.usual)
    }

    /// The same, drawn by this number where nothing else tells this proxy apart.
    fn drawn_by(mut self, seed: u64) -> Self {
        for layout in std::iter::once(&mut self.usual).chain(self.by_service.values_mut()) {
            Arc::make_mut(layout).identity.get_or_insert(seed);
        }
        self
    }
}

impl Catalog {
    /// From now on endpoints are laid out so.
    pub fn lay_out(&self, layouts: Layouts) {
        let now = self.clock.now();
        let state = &mut *self.state.lock();
        let layouts = layouts.drawn_by(state.seed);
        let mut swaps = 0;
        for (name, service) in &mut state.services {
            let layout = layouts.of(name);
            if service.layout != *layout {
                service.layout = Arc::clone(layout);
                swaps += service.rebuild(now, &mut state.rng).count;
            }
        }
        self.metrics.catalog.swaps_total.inc_by(swaps as u64);
        state.layouts = layouts;
    }
}
