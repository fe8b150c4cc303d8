//! A subscription: a route's standing claim on a service, and the snapshot its requests pick from.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam_utils::CachePadded;
use tokio::sync::watch;

use super::budget::Budget;
use super::failures::Failures;
use super::snapshot::Snapshot;
use super::subset::Subset;
use crate::balance::Choice;
use crate::clock::Moment;
use crate::provider::ServiceName;

/// What a route wants of a service: which endpoints, and how one is chosen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The service.
    pub service: ServiceName,
    /// Which of its endpoints.
    pub subset: Subset,
    /// How one of them is chosen.
    pub choice: Choice,
}

impl Claim {
    /// A claim on all endpoints of a service.
    pub fn on(service: ServiceName, choice: impl Into<Choice>) -> Self {
        Self { service, subset: Subset::default(), choice: choice.into() }
    }

    /// The same on all endpoints of the service.
    #[must_use]
    pub fn whole(&self) -> Self {
        Self::on(self.service.clone(), self.choice)
    }

    /// The same for bytes that are passed on raw: on endpoints that speak whatever they like.
    #[must_use]
    pub fn raw(mut self) -> Self {
        self.subset.raw = true;
        self
    }
}

/// How far what is known of a service can be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It was not listed yet.
    Pending,
    /// What is known is what the registry says.
    Live,
    /// The registry stopped answering; what is known is what it said last.
    Stale {
        /// Since when.
        since: Moment,
        /// What became of the registry.
        cause: Arc<str>,
    },
    /// No registry was heard yet; what is known is what an earlier process wrote down.
    FromDisk {
        /// Since when it is used.
        since: Moment,
        /// How old it was then.
        age: Duration,
    },
    /// The registry answers, and knows no such service.
    Absent,
}

impl fmt::Display for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending => f.write_str("pending"),
            Self::Live => f.write_str("live"),
            Self::Stale { cause, .. } => write!(f, "stale ({cause})"),
            Self::FromDisk { .. } => f.write_str("from disk"),
            Self::Absent => f.write_str("absent"),
        }
    }
}

/// Whether a registry answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryState {
    /// It was not reached yet, and nothing says that it cannot be.
    Connecting,
    /// It answers.
    Up,
    /// It does not answer.
    Down,
}

impl RegistryState {
    /// The word for it in logs, metrics and admin answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// A route's standing claim on a service. Shared by all workers; the catalog replaces what is in it.
pub struct Subscription {
    claim: Claim,
    /// Written by the catalog when providers change, read by workers at each request.
    snapshot: ArcSwap<Snapshot>,
    /// The bits of the moment of the last request. Written by workers, read by the catalog's sweep.
    used: CachePadded<AtomicU64>,
    /// Set once by the catalog when the claim is dropped, read by workers at each request.
    closed: AtomicBool,
    /// Written by the catalog, read by requests that find nothing, and by admin.
    freshness: watch::Receiver<Freshness>,
    /// Whether a first list can still come soon. Written by the catalog, read by requests that wait for it.
    hope: watch::Receiver<bool>,
    /// The budget of the service, which all its claims share. Written by workers.
    budget: Arc<Budget>,
    /// The latest requests to the service that failed, of all its claims. Written by workers.
    failures: Arc<Failures>,
}

impl Subscription {
    pub(super) fn new(
        claim: Claim,
        snapshot: Snapshot,
        now: Moment,
        freshness: watch::Receiver<Freshness>,
        hope: watch::Receiver<bool>,
        budget: Arc<Budget>,
        failures: Arc<Failures>,
    ) -> Self {
        Self {
            claim,
            snapshot: ArcSwap::from_pointee(snapshot),
            used: CachePadded::new(AtomicU64::new(now.to_bits())),
            closed: AtomicBool::new(false),
            freshness,
            hope,
            budget,
            failures,
        }
    }

    /// What is claimed.
    pub const fn claim(&self) -> &Claim {
        &self.claim
    }

    /// What requests pick from; workers keep an [`arc_swap::Cache`] of it.
    pub const fn snapshot(&self) -> &ArcSwap<Snapshot> {
        &self.snapshot
    }

    /// What may be sent again of the service's requests.
    pub const fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// The latest requests to the service that failed.
    pub fn failures(&self) -> &Failures {
        &self.failures
    }

    /// Notes a request. Called for each; writes at most once per millisecond, since all workers share the place.
    pub fn touch(&self, now: Moment) {
        if self.used.load(Ordering::Relaxed) < now.to_bits() {
            self.used.store(now.to_bits(), Ordering::Relaxed);
        }
    }

    /// The moment of the last request, or of the subscribing.
    pub fn used(&self) -> Moment {
        Moment::from_bits(self.used.load(Ordering::Relaxed)).unwrap_or(Moment::START)
    }

    /// Whether the claim was dropped: the snapshot changes no more, and the worker should subscribe anew.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// How far the snapshot can be trusted.
    pub fn freshness(&self) -> Freshness {
        self.freshness.borrow().clone()
    }

    /// Waits until the service was listed for the first time, and says whether it was. Gives up when every registry that
    /// could still list it is known not to answer, when the claim is dropped, and after `timeout`.
    pub async fn listed(&self, timeout: Duration) -> bool {
        let (mut freshness, mut hope) = (self.freshness.clone(), self.hope.clone());
        let listed = freshness.wait_for(|freshness| *freshness != Freshness::Pending);
        let lost = hope.wait_for(|hope| !hope);
        let first = async {
            tokio::select! {
                biased;
                listed = listed => listed.is_ok(),
                // A list that came ends hope as well, and may have come just now.
                _ = lost => *self.freshness.borrow() != Freshness::Pending,
            }
        };
        tokio::time::timeout(timeout, first).await.unwrap_or(false)
    }

    pub(super) fn replace(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("claim", &self.claim).finish_non_exhaustive()
    }
}
