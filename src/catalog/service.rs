//! One service: what is known of it, how fresh that is, and who subscribed to it.

use std::collections::HashSet;
use std::sync::Arc;

use rand::rngs::SmallRng;
use tokio::sync::watch;

use super::Known;
use super::reconcile::{Reconciled, reconcile};
use super::snapshot::Snapshot;
use super::subscription::{Claim, Freshness, RegistryState, Subscription};
use crate::clock::Moment;
use crate::endpoint::Endpoint;
use crate::provider::ServiceName;
use crate::registry::{Listing, Skipped, View};

/// One service. Lives behind the catalog's lock.
#[derive(Debug)]
pub(super) struct Service {
    /// All endpoints, in order of address.
    pub(super) endpoints: Arc<[Endpoint]>,
    /// Whether the registry said last that it knows no such service.
    pub(super) absent: bool,
    /// The records of the last list that are no provider.
    pub(super) skipped: Vec<Skipped>,
    /// The registry's version of the last list.
    pub(super) revision: Option<i64>,
    /// When a list last changed what is known.
    pub(super) changed: Option<Moment>,
    /// Who subscribed; none only between two sweeps.
    pub(super) claims: Vec<Claimed>,
    freshness: watch::Sender<Freshness>,
}

/// A subscription, and whether it stays without requests.
#[derive(Debug)]
pub(super) struct Claimed {
    pub(super) subscription: Arc<Subscription>,
    pub(super) declared: bool,
}

/// What a list led to.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) reconciled: Reconciled,
    /// What was known of the service before this list was not fresh.
    pub(super) refreshed: bool,
    /// Whether the service came into being or ceased to be.
    pub(super) absence_changed: bool,
    /// Skipped records that the list before did not have.
    pub(super) newly_skipped: Vec<Skipped>,
    /// Snapshots replaced.
    pub(super) swaps: usize,
}

impl Service {
    pub(super) fn new() -> Self {
        Self {
            endpoints: Arc::new([]),
            absent: false,
            skipped: Vec::new(),
            revision: None,
            changed: None,
            claims: Vec::new(),
            freshness: watch::Sender::new(Freshness::Pending),
        }
    }

    pub(super) fn freshness(&self) -> Freshness {
        self.freshness.borrow().clone()
    }

    pub(super) fn is_pending(&self) -> bool {
        *self.freshness.borrow() == Freshness::Pending
    }

    /// Whether it was ever listed, as present or absent.
    pub(super) const fn was_listed(&self) -> bool {
        self.changed.is_some()
    }

    pub(super) fn known(&self, name: &ServiceName) -> Known {
        Known { service: name.clone(), freshness: self.freshness(), endpoints: Arc::clone(&self.endpoints) }
    }

    pub(super) fn is_declared(&self) -> bool {
        self.claims.iter().any(|claimed| claimed.declared)
    }

    /// The moment of the last request to any subscription.
    pub(super) fn used(&self) -> Moment {
        self.claims.iter().map(|claimed| claimed.subscription.used()).max().unwrap_or(Moment::START)
    }

    /// The subscription for a claim, made with its snapshot when it is the first of its kind.
    pub(super) fn subscribe(
        &mut self,
        claim: &Claim,
        declared: bool,
        registry: &watch::Sender<RegistryState>,
        now: Moment,
        rng: &mut SmallRng,
    ) -> Arc<Subscription> {
        let known = self.claims.iter_mut().find(|claimed| claimed.subscription.claim() == claim);
        if let Some(claimed) = known {
            claimed.declared |= declared;
            claimed.subscription.touch(now);
            return Arc::clone(&claimed.subscription);
        }
        let snapshot = self.snapshot(claim, &Snapshot::not_listed(), rng);
        let (freshness, registry) = (self.freshness.subscribe(), registry.subscribe());
        let subscription = Arc::new(Subscription::new(claim.clone(), snapshot, now, freshness, registry));
        self.claims.push(Claimed { subscription: Arc::clone(&subscription), declared });
        subscription
    }

    /// Takes over a list: endpoints, snapshots, freshness, in this order, so that whoever waits for a first list finds it.
    pub(super) fn apply(
        &mut self,
        listing: Listing,
        number: impl FnMut() -> u64,
        now: Moment,
        rng: &mut SmallRng,
    ) -> Applied {
        let (absent, providers, mut skipped) = match listing.view {
            View::Absent => (true, Vec::new(), Vec::new()),
            View::Present { providers, skipped } => (false, providers, skipped),
        };
        let mut reconciled = reconcile(&self.endpoints, providers, number);
        skipped.append(&mut reconciled.duplicates);
        let newly_skipped = news(&self.skipped, &skipped);
        let absence_changed = absent != self.absent;
        let first = self.is_pending();
        if !reconciled.is_unchanged() {
            self.endpoints = std::mem::take(&mut reconciled.endpoints).into();
        }
        if first || absence_changed || !reconciled.is_unchanged() {
            self.changed = Some(now);
        }
        self.absent = absent;
        self.skipped = skipped;
        self.revision = listing.revision;
        let freshness = if absent { Freshness::Absent } else { Freshness::Live };
        let refreshed = *self.freshness.borrow() != freshness;
        let swaps = self.rebuild(rng);
        if refreshed {
            self.freshness.send_replace(freshness);
        }
        for endpoint in &reconciled.restarted {
            endpoint.memory.reach.succeed();
        }
        for endpoint in &reconciled.retired {
            endpoint.memory.retire();
        }
        Applied { reconciled, refreshed, absence_changed, newly_skipped, swaps }
    }

    /// Marks what is known as no longer fresh; what was never listed stays pending. True when it was fresh.
    pub(super) fn mark_stale(&self, now: Moment, cause: &Arc<str>) -> bool {
        self.freshness.send_if_modified(|freshness| match freshness {
            Freshness::Pending | Freshness::Stale { .. } => false,
            Freshness::Live | Freshness::Absent => {
                *freshness = Freshness::Stale { since: now, cause: Arc::clone(cause) };
                true
            }
        })
    }

    /// Drops the subscriptions for which `idle` is true, unless they are declared.
    pub(super) fn drop_idle(&mut self, idle: impl Fn(&Subscription) -> bool) {
        self.claims.retain(|claimed| {
            let keep = claimed.declared || !idle(&claimed.subscription);
            if !keep {
                claimed.subscription.close();
            }
            keep
        });
    }

    /// Ends it all: subscriptions are closed, pools of its endpoints let go.
    pub(super) fn close(&self) {
        for claimed in &self.claims {
            claimed.subscription.close();
        }
        for endpoint in &*self.endpoints {
            endpoint.memory.retire();
        }
    }

    /// Replaces the snapshots that would say something else now; gives their number.
    fn rebuild(&self, rng: &mut SmallRng) -> usize {
        let mut swaps = 0;
        for Claimed { subscription, .. } in &self.claims {
            let claim = subscription.claim();
            let before = subscription.snapshot().load();
            let endpoints = claim.subset.select(&self.endpoints);
            let out_of_reach = claim.subset.out_of_reach(&self.endpoints);
            if !before.says(&endpoints, self.endpoints.len(), self.absent)
                || before.out_of_reach != out_of_reach
            {
                let known = self.endpoints.len();
                let after = Snapshot::new(endpoints, known, self.absent, claim.policy, &before, rng);
                subscription.replace(after.without(out_of_reach));
                swaps += 1;
            }
        }
        swaps
    }

    fn snapshot(&self, claim: &Claim, previous: &Snapshot, rng: &mut SmallRng) -> Snapshot {
        if self.is_pending() {
            return Snapshot::not_listed();
        }
        let endpoints = claim.subset.select(&self.endpoints);
        Snapshot::new(endpoints, self.endpoints.len(), self.absent, claim.policy, previous, rng)
            .without(claim.subset.out_of_reach(&self.endpoints))
    }
}

/// The skipped records that were not skipped for the same cause before.
fn news(before: &[Skipped], now: &[Skipped]) -> Vec<Skipped> {
    let key = |skipped: &Skipped| (skipped.record.clone(), skipped.reason, skipped.detail.clone());
    let before: HashSet<_> = before.iter().map(key).collect();
    now.iter().filter(|skipped| !before.contains(&key(skipped))).cloned().collect()
}
