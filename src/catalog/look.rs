//! A look at what a claim has at present, through a copy, so that nothing is changed by it.

use std::sync::Arc;

use tokio::sync::watch;

use super::snapshot::Snapshot;
use super::{Catalog, Claim, Freshness, SubscribeError, Subscription};
use crate::balance::rng;
use crate::endpoint::{Care, Endpoint};
use crate::provider::ServiceName;

impl Catalog {
    /// A subscription with a copy of what a claim has at present. Nobody learns of it: no registry is asked, no request is
    /// counted, and what is done with its endpoints is done to copies.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe) would, where nothing on demand is followed.
    pub fn look(&self, claim: &Claim) -> Result<Arc<Subscription>, SubscribeError> {
        let now = self.clock.now();
        let state = self.state.lock();
        let (snapshot, freshness) = match state.services.get(&claim.service) {
            None if !self.settings.on_demand => return Err(SubscribeError::NotDeclared),
            None => (Snapshot::not_listed(), Freshness::Pending),
            Some(service) => {
                let mut claims = service.claims.iter().map(|claimed| &claimed.subscription);
                let live = claims.find(|subscription| subscription.claim() == claim);
                let scene = match live {
                    Some(live) => live.snapshot().load().scene(claim, now),
                    None if service.was_listed() => {
                        let (members, before) = (service.members(), Snapshot::not_listed());
                        let rng = &mut rng::for_worker(0, 0);
                        Snapshot::new(&members, claim, &before, now, rng).scene(claim, now)
                    }
                    None => Snapshot::not_listed().scene(claim, now),
                };
                (scene.snapshot(now), service.freshness())
            }
        };
        let (freshness, hope) = (watch::channel(freshness).1, watch::channel(false).1);
        Ok(Arc::new(Subscription::new(
            claim.clone(),
            snapshot,
            now,
            freshness,
            hope,
            Arc::default(),
            Arc::default(),
        )))
    }

    /// The endpoints of a service themselves, and how they are treated; `None` where it is not followed.
    pub fn members(&self, service: &ServiceName) -> Option<(Arc<[Endpoint]>, Arc<Care>)> {
        let state = self.state.lock();
        let service = state.services.get(service)?;
        Some((Arc::clone(&service.endpoints), Arc::clone(&service.care)))
    }
}
