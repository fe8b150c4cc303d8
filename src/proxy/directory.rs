//! The services that one worker's requests asked for, each with all that a request needs at hand.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;

use crate::catalog::{Catalog, Claim, Snapshot, SubscribeError, Subscription};
use crate::provider::ServiceName;
use crate::telemetry::metrics::{Metrics, Recorder};

/// A subscription as one worker holds it.
pub struct Bound {
    /// The subscription.
    pub subscription: Arc<Subscription>,
    /// Where its requests are counted.
    pub recorder: Recorder,
    snapshot: RefCell<Cache<Latest, Arc<Snapshot>>>,
}

/// Leads a cache to the snapshot of a subscription.
struct Latest(Arc<Subscription>);

impl std::ops::Deref for Latest {
    type Target = ArcSwap<Snapshot>;

    fn deref(&self) -> &Self::Target {
        self.0.snapshot()
    }
}

impl Bound {
    fn new(subscription: Arc<Subscription>, metrics: &Metrics) -> Rc<Self> {
        let recorder = metrics.recorder(&subscription.claim().service);
        let snapshot = RefCell::new(Cache::new(Latest(Arc::clone(&subscription))));
        Rc::new(Self { subscription, recorder, snapshot })
    }

    /// The service.
    pub fn service(&self) -> &ServiceName {
        &self.subscription.claim().service
    }

    /// Looks at the latest snapshot: one atomic load when it has not changed.
    pub fn look<T>(&self, look: impl FnOnce(&Snapshot) -> T) -> T {
        look(self.snapshot.borrow_mut().load())
    }
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Bound").field(self.service()).finish()
    }
}

/// The services that one worker's requests asked for.
#[derive(Debug, Default)]
pub struct Directory {
    by_name: RefCell<HashMap<ServiceName, Rc<Bound>>>,
    by_claim: RefCell<HashMap<Claim, Rc<Bound>>>,
}

impl Directory {
    /// What is bound to a name that a request gave, if it is and still followed.
    pub fn named(&self, name: &str) -> Option<Rc<Bound>> {
        self.by_name.borrow().get(name).filter(|bound| !bound.subscription.is_closed()).cloned()
    }

    /// Subscribes for a name that a request gave, which has the same meaning as the claim.
    ///
    /// # Errors
    /// When the catalog refuses.
    pub fn subscribe(
        &self,
        claim: &Claim,
        catalog: &Catalog,
        metrics: &Metrics,
    ) -> Result<Rc<Bound>, SubscribeError> {
        let bound = Bound::new(catalog.subscribe(claim)?, metrics);
        self.by_name.borrow_mut().insert(claim.service.clone(), Rc::clone(&bound));
        Ok(bound)
    }

    /// What is bound to the claim of a route; subscribes if nothing is.
    ///
    /// # Errors
    /// When the catalog refuses.
    pub fn claimed(
        &self,
        claim: &Claim,
        catalog: &Catalog,
        metrics: &Metrics,
    ) -> Result<Rc<Bound>, SubscribeError> {
        if let Some(bound) = self.by_claim.borrow().get(claim)
            && !bound.subscription.is_closed()
        {
            return Ok(Rc::clone(bound));
        }
        let bound = Bound::new(catalog.subscribe(claim)?, metrics);
        self.by_claim.borrow_mut().insert(claim.clone(), Rc::clone(&bound));
        Ok(bound)
    }

    /// Forgets what is no longer followed, and hands counted requests to the metrics.
    pub fn sweep(&self) {
        let followed = |bound: &Rc<Bound>| {
            bound.recorder.flush();
            !bound.subscription.is_closed()
        };
        self.by_name.borrow_mut().retain(|_, bound| followed(bound));
        self.by_claim.borrow_mut().retain(|_, bound| followed(bound));
    }
}
