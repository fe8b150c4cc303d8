//! The services that one worker's requests asked for, each with all that a request needs at hand.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;

use crate::catalog::{Catalog, Claim, Snapshot, SubscribeError, Subscription};
use crate::provider::ServiceName;
use crate::route::Table;
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
#[derive(Debug)]
pub struct Directory {
    /// The table by which names have their claims; only ever compared.
    table: Cell<*const Table>,
    by_name: RefCell<HashMap<ServiceName, Rc<Bound>>>,
    by_claim: RefCell<HashMap<Claim, Rc<Bound>>>,
}

impl Default for Directory {
    fn default() -> Self {
        let table = Cell::new(std::ptr::null());
        Self { table, by_name: RefCell::default(), by_claim: RefCell::default() }
    }
}

impl Directory {
    /// Forgets what names meant by another table than this, which may claim other endpoints for them. To be told of each
    /// table before the one before it is let go, since another one could have its place after that.
    pub fn heed(&self, table: &Arc<Table>) {
        if self.table.replace(Arc::as_ptr(table)) != Arc::as_ptr(table) {
            self.by_name.borrow_mut().clear();
        }
    }

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
