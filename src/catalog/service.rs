//! One service: what is known of it, how fresh that is, and who subscribed to it.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rand::rngs::SmallRng;
use tokio::sync::watch;

use super::Known;
use super::reconcile::{Reconciled, reconcile};
use super::removal::{self, Circumstances, Lapse, Recent, Verdict};
use super::snapshot::Snapshot;
use super::subscription::{Claim, Freshness, RegistryState, Subscription};
use crate::clock::Moment;
use crate::endpoint::{Endpoint, Limbo};
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
    /// When what is known last changed.
    pub(super) changed: Option<Moment>,
    /// When it was last listed.
    pub(super) listed: Option<Moment>,
    /// Who subscribed; none only between two sweeps.
    pub(super) claims: Vec<Claimed>,
    freshness: watch::Sender<Freshness>,
    /// What went lately.
    recent: Recent,
    /// The numbers of the memories of endpoints that are ghosts, as told last.
    pub(super) ghosts: BTreeSet<u64>,
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
    /// Those that are not used any more.
    pub(super) withdrawn: Vec<Endpoint>,
    /// Those that are not listed any more, and used while they answer.
    pub(super) kept: Vec<Endpoint>,
    /// What was known of the service before this list was not fresh.
    pub(super) refreshed: bool,
    /// Whether the service came into being or ceased to be.
    pub(super) absence_changed: bool,
    /// Skipped records that the list before did not have.
    pub(super) newly_skipped: Vec<Skipped>,
    /// Snapshots replaced.
    pub(super) swaps: Swaps,
}

/// The snapshots that were replaced.
#[derive(Debug, Default)]
pub(super) struct Swaps {
    /// How many.
    pub(super) count: usize,
    /// How long each of those that were picked from had waited for its first pick.
    pub(super) first_picks: Vec<Duration>,
}

/// What time led to.
#[derive(Debug, Default)]
pub(super) struct Reviewed {
    /// Those that are not used any more after they had been kept for a while, with the reason.
    pub(super) dropped: Vec<(Endpoint, &'static str)>,
    /// Snapshots replaced.
    pub(super) swaps: Swaps,
}

impl Applied {
    /// Whether it changed nothing of who belongs to the service.
    pub(super) const fn is_unchanged(&self) -> bool {
        let list = &self.reconciled;
        list.added.is_empty()
            && list.changed.is_empty()
            && list.returned.is_empty()
            && self.withdrawn.is_empty()
            && self.kept.is_empty()
    }
}

impl Service {
    pub(super) fn new() -> Self {
        Self {
            endpoints: Arc::new([]),
            absent: false,
            skipped: Vec::new(),
            revision: None,
            changed: None,
            listed: None,
            claims: Vec::new(),
            freshness: watch::Sender::new(Freshness::Pending),
            recent: Recent::default(),
            ghosts: BTreeSet::new(),
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

    /// Whether the registry knows no such service, and nothing is left of it here.
    pub(super) fn is_unknown(&self) -> bool {
        self.absent && self.endpoints.is_empty()
    }

    pub(super) fn known(&self, name: &ServiceName) -> Known {
        Known {
            service: name.clone(),
            freshness: self.freshness(),
            revision: self.revision,
            changed: self.changed,
            endpoints: Arc::clone(&self.endpoints),
        }
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
        let snapshot = self.snapshot(claim, &Snapshot::not_listed(), now, rng);
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
        limbo: Duration,
        now: Moment,
        rng: &mut SmallRng,
    ) -> Applied {
        let (absent, providers, mut skipped) = match listing.view {
            View::Absent => (true, Vec::new(), Vec::new()),
            View::Present { providers, skipped } => (false, providers, skipped),
        };
        let before = self.freshness();
        let mut reconciled = reconcile(&self.endpoints, providers, number);
        skipped.append(&mut reconciled.duplicates);
        let newly_skipped = news(&self.skipped, &skipped);
        let in_doubt = matches!(before, Freshness::Stale { .. });
        let (mut endpoints, withdrawn, kept) =
            self.judge(&mut reconciled, Circumstances { in_doubt, now, limbo });
        warm(&mut endpoints, SystemTime::now());
        let freshness = if absent { Freshness::Absent } else { Freshness::Live };
        let mut applied = Applied {
            reconciled,
            withdrawn,
            kept,
            refreshed: before != freshness,
            absence_changed: absent != self.absent,
            newly_skipped,
            swaps: Swaps::default(),
        };
        if before == Freshness::Pending || applied.absence_changed || !applied.is_unchanged() {
            self.changed = Some(now);
        }
        self.endpoints = endpoints.into();
        self.absent = absent;
        self.skipped = skipped;
        self.revision = listing.revision;
        self.listed = Some(now);
        applied.swaps = self.rebuild(now, rng);
        if applied.refreshed {
            self.freshness.send_replace(freshness);
        }
        for endpoint in &applied.reconciled.restarted {
            endpoint.memory.find_well();
        }
        for endpoint in &applied.withdrawn {
            endpoint.memory.retire();
        }
        applied
    }

    /// What becomes of those that the list lacks. Gives all endpoints in order of address, those withdrawn, and those newly
    /// in limbo.
    fn judge(
        &mut self,
        reconciled: &mut Reconciled,
        circumstances: Circumstances,
    ) -> (Vec<Endpoint>, Vec<Endpoint>, Vec<Endpoint>) {
        let unlisted = std::mem::take(&mut reconciled.unlisted);
        let (in_limbo, gone): (Vec<_>, Vec<_>) =
            unlisted.into_iter().partition(|endpoint| endpoint.limbo.is_some());
        let (mut withdrawn, mut kept) = (Vec::new(), Vec::new());
        for verdict in removal::judge(gone, &reconciled.endpoints, &mut self.recent, circumstances) {
            match verdict {
                Verdict::Withdrawn(endpoint) => withdrawn.push(endpoint),
                Verdict::Kept(endpoint) => kept.push(endpoint),
            }
        }
        let mut endpoints = std::mem::take(&mut reconciled.endpoints);
        if !in_limbo.is_empty() || !kept.is_empty() {
            endpoints.extend(in_limbo.into_iter().chain(kept.iter().cloned()));
            endpoints.sort_by(|a, b| a.memory.address.cmp(&b.memory.address));
        }
        (endpoints, withdrawn, kept)
    }

    /// Whether the going of some endpoint waits to be confirmed by asking the registry again.
    pub(super) fn is_unconfirmed(&self) -> bool {
        self.endpoints
            .iter()
            .any(|endpoint| endpoint.limbo.as_ref().is_some_and(|limbo| limbo.is_unconfirmed))
    }

    /// Notes that the registry said a second time that what went is gone.
    pub(super) fn confirm(&mut self, now: Moment, rng: &mut SmallRng) -> Reviewed {
        let absent = self.absent;
        self.revise(now, rng, |endpoint, limbo| {
            if limbo.is_unconfirmed { removal::confirm(endpoint, limbo, absent) } else { Lapse::Stays }
        })
    }

    /// Looks at what changes by time alone: limbo ends, weights grow.
    pub(super) fn review(&mut self, limbo: Duration, now: Moment, rng: &mut SmallRng) -> Reviewed {
        let is_moving = |endpoint: &Endpoint| endpoint.limbo.is_some() || endpoint.is_warming();
        if !self.endpoints.iter().any(is_moving) {
            return Reviewed::default();
        }
        let others = self.endpoints.iter().any(|endpoint| endpoint.limbo.is_none());
        let circumstances = Circumstances { in_doubt: false, now, limbo };
        self.revise(now, rng, |endpoint, limbo| removal::review(endpoint, limbo, others, circumstances))
    }

    /// Does with each endpoint in limbo what becomes of it, and gives growing weights their present value.
    fn revise(
        &mut self,
        now: Moment,
        rng: &mut SmallRng,
        lapse: impl Fn(&Endpoint, &Limbo) -> Lapse,
    ) -> Reviewed {
        let mut reviewed = Reviewed::default();
        let mut endpoints = Vec::with_capacity(self.endpoints.len());
        for endpoint in &*self.endpoints {
            match endpoint.limbo.as_ref().map_or(Lapse::Stays, |limbo| lapse(endpoint, limbo)) {
                Lapse::Stays => endpoints.push(endpoint.clone()),
                Lapse::Changes(limbo) => {
                    endpoints.push(Endpoint { limbo: Some(Arc::new(limbo)), ..endpoint.clone() });
                }
                Lapse::Ends(reason) => reviewed.dropped.push((endpoint.clone(), reason)),
            }
        }
        warm(&mut endpoints, SystemTime::now());
        self.endpoints = endpoints.into();
        if !reviewed.dropped.is_empty() {
            self.changed = Some(now);
        }
        reviewed.swaps = self.rebuild(now, rng);
        for (endpoint, _) in &reviewed.dropped {
            endpoint.memory.retire();
        }
        reviewed
    }

    /// How long the present snapshots waited for their first pick, as far as not told yet.
    pub(super) fn first_picks(&self) -> impl Iterator<Item = Duration> {
        self.claims.iter().filter_map(|claimed| claimed.subscription.snapshot().load().take_first_pick())
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

    /// Replaces the snapshots that would say something else now.
    fn rebuild(&self, now: Moment, rng: &mut SmallRng) -> Swaps {
        let mut swaps = Swaps::default();
        for Claimed { subscription, .. } in &self.claims {
            let claim = subscription.claim();
            let before = subscription.snapshot().load();
            let endpoints = claim.subset.select(&self.endpoints);
            if !before.says(&endpoints, self.endpoints.len(), self.absent) {
                let known = self.endpoints.len();
                let after = Snapshot::new(endpoints, known, self.absent, claim.policy, &before, now, rng);
                swaps.first_picks.extend(before.take_first_pick());
                subscription.replace(after);
                swaps.count += 1;
            }
        }
        swaps
    }

    fn snapshot(&self, claim: &Claim, previous: &Snapshot, now: Moment, rng: &mut SmallRng) -> Snapshot {
        if self.is_pending() {
            return Snapshot::not_listed();
        }
        let endpoints = claim.subset.select(&self.endpoints);
        Snapshot::new(endpoints, self.endpoints.len(), self.absent, claim.policy, previous, now, rng)
    }
}

/// Gives endpoints that warm up the weight they have come to.
fn warm(endpoints: &mut [Endpoint], wall: SystemTime) {
    for endpoint in endpoints {
        if let Some(warm_up) = endpoint.provider.warm_up {
            endpoint.weight = warm_up.weight(endpoint.provider.weight, wall);
        }
    }
}

/// The skipped records that were not skipped for the same cause before.
fn news(before: &[Skipped], now: &[Skipped]) -> Vec<Skipped> {
    let key = |skipped: &Skipped| (skipped.record.clone(), skipped.reason, skipped.detail.clone());
    let before: HashSet<_> = before.iter().map(key).collect();
    now.iter().filter(|skipped| !before.contains(&key(skipped))).cloned().collect()
}
