//! Limbo in a service: who comes there when a list lacks them, what becomes of them, and weights that grow meanwhile.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rand::rngs::SmallRng;

use super::reconcile::Reconciled;
use super::removal::{self, Circumstances, Lapse, Verdict, Withdrawal};
use super::service::{Service, Swaps};
use super::source::SourceSet;
use crate::clock::Moment;
use crate::endpoint::{Endpoint, Limbo};
use crate::provider::Address;

/// How a list of a service comes to be applied.
#[derive(Debug)]
pub(super) struct Occasion {
    /// The source whose list it is; none when time passed or sources are chosen otherwise.
    pub(super) speaker: Option<usize>,
    /// Addresses that sources name whose lists are not used.
    pub(super) named_elsewhere: HashSet<Address>,
    pub(super) circumstances: Circumstances,
}

/// What time led to.
#[derive(Debug, Default)]
pub(super) struct Reviewed {
    /// Those that are not used any more after they had been kept for a while, with the reason.
    pub(super) dropped: Vec<(Endpoint, &'static str)>,
    /// Snapshots replaced.
    pub(super) swaps: Swaps,
}

impl Service {
    /// What becomes of those that the list lacks. Gives all endpoints in order of address, those withdrawn, and those newly
    /// in limbo.
    pub(super) fn judge(
        &mut self,
        reconciled: &mut Reconciled,
        occasion: &Occasion,
    ) -> (Vec<Endpoint>, Vec<(Endpoint, Withdrawal)>, Vec<Endpoint>) {
        let unlisted = std::mem::take(&mut reconciled.unlisted);
        let (in_limbo, gone): (Vec<_>, Vec<_>) =
            unlisted.into_iter().partition(|endpoint| endpoint.limbo.is_some());
        // What a source still names, and what nobody spoke of, went because sources are chosen otherwise.
        let (gone, unused): (Vec<_>, Vec<_>) = gone.into_iter().partition(|endpoint| {
            occasion.speaker.is_some() && !occasion.named_elsewhere.contains(&endpoint.memory.address)
        });
        let mut withdrawn: Vec<_> =
            unused.into_iter().map(|endpoint| (endpoint, Withdrawal::NotUsed)).collect();
        let mut kept = Vec::new();
        for verdict in removal::judge(gone, &reconciled.endpoints, &mut self.recent, occasion.circumstances) {
            match verdict {
                Verdict::Withdrawn(endpoint, reason) => withdrawn.push((endpoint, reason)),
                Verdict::Kept(endpoint) => kept.push(endpoint),
            }
        }
        let is_unconfirmed =
            |endpoint: &Endpoint| endpoint.limbo.as_ref().is_some_and(|limbo| limbo.is_unconfirmed);
        if let Some(speaker) = occasion.speaker
            && kept.iter().any(is_unconfirmed)
        {
            self.unconfirmed = self.unconfirmed.with(speaker);
        }
        let mut endpoints = std::mem::take(&mut reconciled.endpoints);
        if !in_limbo.is_empty() || !kept.is_empty() {
            endpoints.extend(in_limbo.into_iter().chain(kept.iter().cloned()));
            endpoints.sort_by(|a, b| a.memory.address.cmp(&b.memory.address));
        }
        (endpoints, withdrawn, kept)
    }

    /// Whether the going of some endpoint waits to be confirmed by asking a source again.
    pub(super) fn is_unconfirmed(&self, number: usize) -> bool {
        self.unconfirmed.contains(number)
            && self
                .endpoints
                .iter()
                .any(|endpoint| endpoint.limbo.as_ref().is_some_and(|limbo| limbo.is_unconfirmed))
    }

    /// Notes that the registry said a second time that what went is gone.
    pub(super) fn confirm(&mut self, now: Moment, rng: &mut SmallRng) -> Reviewed {
        let absent = self.absent;
        self.unconfirmed = SourceSet::NONE;
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
}

/// Gives endpoints that warm up the weight they have come to.
pub(super) fn warm(endpoints: &mut [Endpoint], wall: SystemTime) {
    for endpoint in endpoints {
        if let Some(warm_up) = endpoint.provider.warm_up {
            endpoint.weight = warm_up.weight(endpoint.provider.weight, wall);
        }
    }
}
