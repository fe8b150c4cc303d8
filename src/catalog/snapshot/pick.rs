//! The pick: one endpoint of a snapshot for one attempt.

use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;

use rand::RngExt as _;

use super::tiers::Tier;
use super::walk::Walk;
use super::{NoEndpoint, Snapshot};
use crate::balance::{Ask, Detour, Step};
use crate::clock::Moment;
use crate::endpoint::{Endpoint, Fit};

/// Proposals asked for before all endpoints are looked at. Enough that with half of them out, one pick in 2^32 looks.
pub(super) const PROPOSALS_MAX: usize = 32;

/// Endpoints passed over at one pick because they should get no more just now: when as many are, most should not, and looking
/// for others is in vain. How many is up to chance: each costs a turn of round robin, and always the same number of turns
/// would lead to the same few endpoints.
const DEFERRED_MAX: RangeInclusive<usize> = 8..=12;

/// So many endpoints are few enough to look at all of them then, since chance may have proposed the same ones all along.
const FEW: usize = 32;

impl Snapshot {
    /// The endpoint for one attempt.
    ///
    /// Of the nearest tier that can take it: an endpoint that is available, has room, and was not tried, as the balancer
    /// proposes; on a first attempt one that is out and whose turn it is to be tried again; in panic one that is out, but
    /// not because it cannot be reached. If there is none, one of another tier; then a spare; then one that was not
    /// tried, whatever its state, those within reach first: a provider that may answer is better than none. If all were
    /// tried, an available one once more: the cause may lie with a connection. An endpoint of weight 0 is picked only
    /// when all have weight 0, or when the request wishes for it. Never allocates, but at the first wish for a token.
    ///
    /// # Errors
    /// When there is no endpoint, or all were tried and none is available, or nothing but room is missing.
    pub fn pick(&self, ask: &mut Ask<'_>) -> Result<&Endpoint, NoEndpoint> {
        let Some(nearest) = self.tiers.list.first() else { return Err(self.nothing()) };
        if self.first_pick.load(Ordering::Relaxed) == 0 {
            self.first_pick.store(ask.now.to_bits(), Ordering::Relaxed);
        }
        if let (Some(_), Some(notes)) = (ask.wish, &mut ask.notes) {
            notes.step(Step::Wished);
        }
        let picked = match ask.wish.and_then(|wish| self.grant(wish, ask)) {
            Some(granted) => granted?,
            None => {
                let picked = self.propose(nearest, ask)?;
                if let Some(shadow) = &self.shadow
                    && ask.detour.is_none()
                    && !self.stands_in(picked)
                {
                    shadow.compare(ask, &self.care, picked);
                }
                picked
            }
        };
        picked.memory.latency.ask(ask.now);
        Ok(picked)
    }

    fn propose<'s>(&'s self, nearest: &'s Tier, ask: &mut Ask<'_>) -> Result<&'s Endpoint, NoEndpoint> {
        let (number, tier) = if self.tiers.list.len() == 1 { (0, nearest) } else { self.choose(ask) };
        // A tier that gets nothing comes back only if it is tried: those before this one, and all where what is left falls short.
        let upto = if self.tiers.falls_short() { self.tiers.list.len() } else { number };
        if upto > 0
            && let Some(endpoint) = self.trial(upto, ask)
        {
            return Ok(endpoint);
        }
        if let Some(notes) = &mut ask.notes {
            notes.step(Step::Tier(number));
        }
        // The first that would do if no other did.
        let (mut deferred, mut left) = (None, 0);
        for turn in 0..PROPOSALS_MAX {
            let endpoint = &tier.endpoints[tier.balancer.propose(ask, turn)];
            let fit = endpoint.fit(&self.care, ask.now);
            if let Some(notes) = &mut ask.notes {
                let word = if was_tried(endpoint, ask.tried) { "tried" } else { fit.as_str() };
                notes.step(Step::Proposed(endpoint.memory.number, word));
            }
            match fit {
                Fit::Ready if !was_tried(endpoint, ask.tried) => {
                    ask.detour = spill(number);
                    return Ok(endpoint);
                }
                Fit::Deferred if !was_tried(endpoint, ask.tried) => {
                    if deferred.is_none() {
                        deferred = Some(endpoint);
                        left = ask.rng.random_range(DEFERRED_MAX);
                    }
                    left -= 1;
                    if left == 0 {
                        break;
                    }
                }
                Fit::Out if self.is_worth_it(endpoint, number, ask) => return Ok(endpoint),
                Fit::Ready | Fit::Deferred | Fit::Full | Fit::Out => {}
            }
        }
        if let Some(endpoint) = deferred {
            ask.detour = spill(number);
            return Ok(self.find_ready(tier, ask).unwrap_or(endpoint));
        }
        self.search(ask, &|endpoint| self.wants(endpoint))
    }

    /// Whether any endpoint is available that would be picked.
    pub fn is_usable(&self, now: Moment) -> bool {
        self.tiers.is_usable(now) || self.spares.iter().any(Endpoint::is_available)
    }

    /// An endpoint whose turn it is to be tried again, for an ask that would otherwise go to another service.
    pub fn pick_trial(&self, ask: &mut Ask<'_>) -> Option<&Endpoint> {
        let picked = if self.tiers.list.is_empty() { None } else { self.trial(self.tiers.list.len(), ask) };
        picked.inspect(|picked| picked.memory.latency.ask(ask.now))
    }

    /// Whether it is a spare, picked in place of those that are not available.
    fn stands_in(&self, picked: &Endpoint) -> bool {
        !self.spares.is_empty() && picked.is_spare()
    }

    /// Of a tier that has few endpoints, one that is ready.
    #[cold]
    fn find_ready<'t>(&self, tier: &'t Tier, ask: &mut Ask<'_>) -> Option<&'t Endpoint> {
        if tier.endpoints.len() > FEW {
            return None;
        }
        let is_ready = |endpoint: &&Endpoint| {
            self.wants(endpoint)
                && !was_tried(endpoint, ask.tried)
                && endpoint.fit(&self.care, ask.now) == Fit::Ready
        };
        let walk = Walk::new(tier.endpoints.len(), ask.rng.random());
        let mut endpoints = walk.map(|index| &tier.endpoints[index]);
        endpoints.find(is_ready)
    }

    /// The tier that an ask falls to.
    #[inline(never)]
    fn choose(&self, ask: &mut Ask<'_>) -> (usize, &Tier) {
        let number = self.tiers.choose(ask);
        (number, &self.tiers.list[number])
    }

    /// An endpoint of the tiers before this number whose turn it is to be tried again, so that a tier that gets nothing comes back.
    #[inline(never)]
    fn trial(&self, number: usize, ask: &mut Ask<'_>) -> Option<&Endpoint> {
        let tier = &self.tiers.list[ask.rng.random_range(0..number)];
        let endpoint = &tier.endpoints[ask.rng.random_range(0..tier.endpoints.len())];
        let is_due = ask.tried.is_empty()
            && self.wants(endpoint)
            && !endpoint.is_available()
            && endpoint.memory.has_room(&self.care)
            && endpoint.memory.try_claim(ask.now);
        is_due.then_some(endpoint)
    }

    /// Whether an endpoint that is out, as proposed of this tier, is picked all the same: for a trial, or in panic.
    #[cold]
    fn is_worth_it(&self, endpoint: &Endpoint, number: usize, ask: &mut Ask<'_>) -> bool {
        if !endpoint.memory.has_room(&self.care) {
            return false;
        }
        if ask.tried.is_empty() && endpoint.memory.try_claim(ask.now) {
            return true;
        }
        let is_panic =
            endpoint.is_reachable() && !was_tried(endpoint, ask.tried) && self.tiers.panics(number, ask.now);
        if is_panic {
            ask.detour = Some(Detour::Panic);
        }
        is_panic
    }

    /// Whether an endpoint asks for traffic. Of spares none is asked.
    fn wants(&self, endpoint: &Endpoint) -> bool {
        self.tiers.weightless
            || endpoint.weight.hundredths() > 0
            || (!self.spares.is_empty() && endpoint.is_spare())
    }

    /// Looks at all endpoints that are wanted, when proposals did not lead to one.
    #[cold]
    pub(super) fn search(
        &self,
        ask: &mut Ask<'_>,
        wanted: &dyn Fn(&Endpoint) -> bool,
    ) -> Result<&Endpoint, NoEndpoint> {
        if let Some(notes) = &mut ask.notes {
            notes.step(Step::Searched);
        }
        let (tried, now) = (ask.tried, ask.now);
        // Each tier from another place on, so that what comes behind a gap does not get all of it.
        let luck = ask.rng.random();
        let among = |tier: &'_ Tier, fits: &dyn Fn(&Endpoint) -> bool| -> Option<usize> {
            let mut walk = Walk::new(tier.endpoints.len(), luck);
            walk.find(|index| wanted(&tier.endpoints[*index]) && fits(&tier.endpoints[*index]))
        };
        let first = |fits: &dyn Fn(usize, &Endpoint) -> bool| {
            let tiers = self.tiers.list.iter().enumerate();
            let mut found = tiers.filter_map(|(number, tier)| {
                let index = among(tier, &|endpoint| fits(number, endpoint))?;
                Some((number, &tier.endpoints[index]))
            });
            let spare = || self.spares.iter().find(|spare| wanted(spare) && fits(SPARE, spare));
            found.next().or_else(|| spare().map(|spare| (SPARE, spare)))
        };
        let fresh = |endpoint: &Endpoint| !was_tried(endpoint, tried);
        let fit = |endpoint: &Endpoint| endpoint.fit(&self.care, now);
        for wanted in [Fit::Ready, Fit::Deferred] {
            if let Some((number, endpoint)) = first(&|_, endpoint| fit(endpoint) == wanted && fresh(endpoint))
            {
                ask.detour = if number == SPARE { None } else { spill(number) };
                return Ok(endpoint);
            }
        }
        let in_panic = |number: usize, endpoint: &Endpoint| {
            number != SPARE
                && endpoint.is_reachable()
                && fresh(endpoint)
                && fit(endpoint) == Fit::Out
                && endpoint.memory.has_room(&self.care)
                && self.tiers.panics(number, now)
        };
        if let Some((_, endpoint)) = first(&in_panic) {
            ask.detour = Some(Detour::Panic);
            return Ok(endpoint);
        }
        if first(&|_, endpoint| fit(endpoint) == Fit::Full).is_some() {
            return Err(NoEndpoint::Full);
        }
        let last = |fits: &dyn Fn(&Endpoint) -> bool| {
            first(&|_, endpoint| endpoint.memory.has_room(&self.care) && fits(endpoint))
        };
        let found = last(&|endpoint| endpoint.is_reachable() && fresh(endpoint))
            .or_else(|| last(&|endpoint| endpoint.memory.ghost().is_none() && fresh(endpoint)))
            .or_else(|| last(&fresh))
            .or_else(|| last(&Endpoint::is_available));
        let why =
            || if first(&|_, it| fresh(it)).is_some() { NoEndpoint::Full } else { NoEndpoint::AllTried };
        found.map(|(_, endpoint)| endpoint).ok_or_else(why)
    }
}

/// The number of a tier in place of which a spare was found.
const SPARE: usize = usize::MAX;

fn spill(number: usize) -> Option<Detour> {
    (number > 0).then_some(Detour::Spill)
}

pub(super) fn was_tried(endpoint: &Endpoint, tried: &[u64]) -> bool {
    tried.contains(&endpoint.memory.number)
}
