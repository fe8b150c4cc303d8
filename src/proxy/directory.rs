//! The services that one worker's requests asked for, each with all that a request needs at hand.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
use foldhash::HashMap;

use super::recent::Recent;
use crate::catalog::{Allowance, Catalog, Claim, Snapshot, SubscribeError, Subscription};
use crate::clock::Moment;
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
    /// Requests of this worker that the budget was not told of yet.
    untold: Cell<u32>,
    /// How long they took lately, where somebody wants to know.
    recent: RefCell<Option<Box<Recent>>>,
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
        Rc::new(Self { subscription, recorder, snapshot, untold: Cell::new(0), recent: RefCell::default() })
    }

    /// The service.
    pub fn service(&self) -> &ServiceName {
        &self.subscription.claim().service
    }

    /// Counts a request, for the budget of what is sent again.
    pub fn count(&self) {
        self.untold.set(self.untold.get().saturating_add(1));
    }

    /// Whether one attempt more may be made at the service; it is taken from the budget that all workers share.
    pub fn withdraw(&self, now: Moment, allowance: Allowance) -> bool {
        self.subscription.budget().withdraw(now, self.untold.take(), allowance)
    }

    /// Gives back an attempt that was not made.
    pub fn give_back(&self, now: Moment) {
        self.subscription.budget().give_back(now);
    }

    fn tell_budget(&self, now: Moment) {
        let untold = self.untold.take();
        if untold > 0 {
            self.subscription.budget().deposit(now, untold);
        }
    }

    /// Notes how long a first attempt took to be answered.
    pub fn took(&self, time: Duration) {
        self.recent.borrow_mut().get_or_insert_default().note(time);
    }

    /// The time within which so many percent of the latest requests were answered, if that can be told.
    pub fn percentile(&self, percent: u8) -> Option<Duration> {
        self.recent.borrow_mut().as_mut()?.percentile(percent)
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
    /// Looked into for each request, and only services that are followed are in it: strangers cannot fill it with what collides.
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

    /// Forgets what is no longer followed, and hands counted requests to the metrics and budgets.
    pub fn sweep(&self, now: Moment) {
        let followed = |bound: &Rc<Bound>| {
            bound.recorder.flush();
            bound.tell_budget(now);
            !bound.subscription.is_closed()
        };
        self.by_name.borrow_mut().retain(|_, bound| followed(bound));
        self.by_claim.borrow_mut().retain(|_, bound| followed(bound));
    }
}
