//! What requests are made of: each claim with its snapshot, and when it was last asked for.

use std::sync::Arc;

use super::{Catalog, Snapshot};
use crate::clock::Moment;
use crate::provider::ServiceName;

/// A claim, as far as it tells which endpoints this proxy uses.
#[derive(Clone, Debug)]
pub struct Use {
    /// The service.
    pub service: ServiceName,
    /// When a request last asked for it.
    pub used: Moment,
    /// What is picked from.
    pub snapshot: Arc<Snapshot>,
}

impl Catalog {
    /// Every claim with what is picked from, by service.
    pub fn uses(&self) -> Vec<Use> {
        let state = self.state.lock();
        let claims = state.services.iter().flat_map(|(name, service)| {
            service.claims.iter().map(move |claimed| Use {
                service: name.clone(),
                used: claimed.subscription.used(),
                snapshot: claimed.subscription.snapshot().load_full(),
            })
        });
        let mut uses: Vec<_> = claims.collect();
        uses.sort_by(|a, b| a.service.cmp(&b.service));
        uses
    }
}
