//! One service: what is known of it, how fresh that is, and who subscribed to it.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rand::rngs::SmallRng;
use tokio::sync::watch;

use super::Known;
use super::budget::Budget;
use super::failures::Failures;
use super::heard::Heard;
use super::layout::Layout;
use super::limbo::{Occasion, warm};
use super::merge::Choice;
use super::reconcile::{Reconciled, reconcile};
use super::removal::{Recent, Withdrawal};
use super::snapshot::{Members, Snapshot};
use super::source::SourceSet;
use super::sources::Followed;
use super::status::Outline;
use super::store::handover::Inheritance;
use super::subscription::{Claim, Freshness, Subscription};
use crate::clock::Moment;
use crate::endpoint::{Care, Endpoint, Group};
use crate::provider::ServiceName;
use crate::registry::{Listing, Skipped, View};

/// One service. Lives behind the catalog's lock.
#[derive(Debug)]
pub(super) struct Service {
    /// All endpoints, in order of address.
    pub(super) endpoints: Arc<[Endpoint]>,
    /// What an earlier process left of them.
    pub(super) inheritance: Option<Inheritance>,
    /// What they have in common.
    pub(super) group: Arc<Group>,
    /// How they are treated.
    pub(super) care: Arc<Care>,
    /// How they are laid out in tiers.
    pub(super) layout: Arc<Layout>,
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
    /// What each source said last, by number; `None` for those that are not asked.
    pub(super) heard: Vec<Option<Heard>>,
    /// Which of them are used.
    pub(super) choice: Choice,
    pub(super) freshness: watch::Sender<Freshness>,
    /// Whether one that could be used is still to be waited for.
    pub(super) hope: watch::Sender<bool>,
    /// What went lately.
    pub(super) recent: Recent,
    /// The sources that have to be asked again whether what went from them is gone.
    pub(super) unconfirmed: SourceSet,
    /// The numbers of the memories of endpoints that are ghosts, as told last.
    pub(super) ghosts: BTreeSet<u64>,
    /// What may be sent again of its requests.
    budget: Arc<Budget>,
    /// Its latest requests that failed.
    failures: Arc<Failures>,
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
    /// Those that are not used any more, and why.
    pub(super) withdrawn: Vec<(Endpoint, Withdrawal)>,
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
    /// Nothing is known yet; these sources are asked, and what they name is treated and laid out so.
    pub(super) fn new(
        name: &ServiceName,
        heard: Vec<Option<Heard>>,
        care: Arc<Care>,
        layout: Arc<Layout>,
    ) -> Self {
        Self {
            endpoints: Arc::new([]),
            inheritance: None,
            group: Arc::new(Group::of(name.clone())),
            care,
            layout,
            absent: false,
            skipped: Vec::new(),
            revision: None,
            changed: None,
            listed: None,
            claims: Vec::new(),
            heard,
            choice: Choice::UNKNOWN,
            freshness: watch::Sender::new(Freshness::Pending),
            hope: watch::Sender::new(true),
            recent: Recent::default(),
            unconfirmed: SourceSet::NONE,
            ghosts: BTreeSet::new(),
            budget: Arc::default(),
            failures: Arc::default(),
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

    pub(super) fn known(&self, name: &ServiceName, sources: &[Followed]) -> Known {
        Known {
            service: name.clone(),
            freshness: self.freshness(),
            words: self.words_of(sources),
            changed: self.changed,
            endpoints: Arc::clone(&self.endpoints),
            shadows: self.shadows(sources),
            tallies: self
                .claims
                .iter()
                .filter_map(|claimed| Some(claimed.subscription.snapshot().load().shadow()?.tally()))
                .collect(),
        }
    }

    /// What is told of it in one line, as far as it may change meanwhile.
    pub(super) fn outline(&self, name: &ServiceName) -> Outline {
        Outline {
            name: name.clone(),
            declared: self.is_declared(),
            raw: self.claims.iter().any(|claimed| claimed.subscription.claim().subset.raw),
            freshness: self.freshness(),
            endpoints: Arc::clone(&self.endpoints),
            skipped: self.skipped.len(),
        }
    }

    /// Its latest requests that failed.
    pub(super) fn failures(&self) -> &Failures {
        &self.failures
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
        let (freshness, hope) = (self.freshness.subscribe(), self.hope.subscribe());
        let subscription = Arc::new(Subscription::new(
            claim.clone(),
            snapshot,
            now,
            freshness,
            hope,
            Arc::clone(&self.budget),
            Arc::clone(&self.failures),
        ));
        self.claims.push(Claimed { subscription: Arc::clone(&subscription), declared });
        subscription
    }

    /// Takes over the list of all sources together: endpoints, snapshots, freshness, in this order, so that whoever waits
    /// for a first list finds it.
    pub(super) fn apply(
        &mut self,
        listing: Listing,
        freshness: Freshness,
        occasion: Occasion,
        number: impl FnMut() -> u64,
        rng: &mut SmallRng,
    ) -> Applied {
        let now = occasion.circumstances.now;
        let (absent, providers, mut skipped) = match listing.view {
            View::Absent => (true, Vec::new(), Vec::new()),
            View::Present { providers, skipped } => (false, providers, skipped),
        };
        let before = self.freshness();
        let was_listed = self.was_listed();
        let mut reconciled = reconcile(&self.endpoints, providers, &self.group, number);
        skipped.append(&mut reconciled.duplicates);
        let newly_skipped = news(&self.skipped, &skipped);
        let (mut endpoints, withdrawn, kept) = self.judge(&mut reconciled, &occasion);
        warm(&mut endpoints, SystemTime::now());
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
        if was_listed {
            // Of a first list all are new to us, and none of them to its work.
            applied.reconciled.added.iter().for_each(|endpoint| endpoint.memory.begin_slowly());
        }
        // What an earlier process knew is no news to its work either.
        self.inherit(&applied.reconciled.added, now);
        for endpoint in &applied.reconciled.restarted {
            endpoint.memory.begin_anew();
            endpoint.memory.uncheck();
        }
        let new = applied.reconciled.added.iter().chain(&applied.reconciled.restarted);
        new.for_each(|endpoint| endpoint.memory.list(now));
        self.endpoints = endpoints.into();
        self.absent = absent;
        self.skipped = skipped;
        self.revision = listing.revision;
        if occasion.speaker.is_some() {
            self.listed = Some(now);
        }
        applied.swaps = self.rebuild(now, rng);
        if applied.refreshed {
            self.freshness.send_replace(freshness);
        }
        for (endpoint, _) in &applied.withdrawn {
            endpoint.memory.retire();
        }
        applied
    }

    /// How long the present snapshots waited for their first pick, as far as not told yet.
    pub(super) fn first_picks(&self) -> impl Iterator<Item = Duration> {
        self.claims.iter().filter_map(|claimed| claimed.subscription.snapshot().load().take_first_pick())
    }

    /// Has only those of these claims stay without requests; where they name it, once one of them does.
    pub(super) fn declare_no_others(&mut self, claims: &[Claim], is_named: bool) {
        let stays = |claimed: &Claimed| claimed.declared && claims.contains(claimed.subscription.claim());
        if is_named && !self.claims.iter().any(stays) {
            // Meanwhile it would be refused where nothing is on demand, and could be given up for another.
            return;
        }
        for claimed in &mut self.claims {
            claimed.declared = stays(claimed);
        }
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
    pub(super) fn rebuild(&self, now: Moment, rng: &mut SmallRng) -> Swaps {
        let mut swaps = Swaps::default();
        if !self.was_listed() {
            // They say that nothing is known. What would be made now says that there is nobody, for which no request waits.
            return swaps;
        }
        let members = self.members();
        for Claimed { subscription, .. } in &self.claims {
            let claim = subscription.claim();
            let before = subscription.snapshot().load();
            if !before.says(&members, claim) {
                let after = Snapshot::new(&members, claim, &before, now, rng);
                swaps.first_picks.extend(before.take_first_pick());
                subscription.replace(after);
                swaps.count += 1;
            }
        }
        if swaps.count > 0 {
            self.group.make_room();
        }
        swaps
    }

    fn snapshot(&self, claim: &Claim, previous: &Snapshot, now: Moment, rng: &mut SmallRng) -> Snapshot {
        if self.is_pending() {
            return Snapshot::not_listed();
        }
        Snapshot::new(&self.members(), claim, previous, now, rng)
    }

    pub(super) fn members(&self) -> Members {
        let (endpoints, care) = (Arc::clone(&self.endpoints), Arc::clone(&self.care));
        Members { endpoints, absent: self.absent, care, layout: Arc::clone(&self.layout) }
    }
}

/// The skipped records that were not skipped for the same cause before.
fn news(before: &[Skipped], now: &[Skipped]) -> Vec<Skipped> {
    let key = |skipped: &Skipped| (skipped.record.clone(), skipped.reason, skipped.detail.clone());
    let before: HashSet<_> = before.iter().map(key).collect();
    now.iter().filter(|skipped| !before.contains(&key(skipped))).cloned().collect()
}
