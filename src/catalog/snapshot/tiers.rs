//! The tiers of a snapshot, and the reckoning of how much each can take at present.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use rand::Rng as _;
use rand::rngs::SmallRng;

use super::same_endpoints;
use crate::balance::{Ask, Balancer};
use crate::catalog::layout::{Layout, Place, TIERS_MAX};
use crate::catalog::shares::{Division, Strength, WHOLE, divide};
use crate::catalog::subscription::Claim;
use crate::clock::Moment;
use crate::endpoint::{Endpoint, Refusal};

/// Endpoints for each millisecond that a reckoning stands even though something changed. Looking at so many takes some
/// hundredths of one, so a storm of changes costs a few percent of the time.
const ENDPOINTS_PER_MS: usize = 1000;

/// The endpoints of one snapshot that are equally near.
#[derive(Debug)]
pub(super) struct Tier {
    pub(super) place: Place,
    /// In order of address; at least one.
    pub(super) endpoints: Arc<[Endpoint]>,
    pub(super) balancer: Arc<dyn Balancer>,
    /// When it was last found that no more of them may be ejected.
    pub(super) refusal: Refusal,
}

/// The tiers of a snapshot.
#[derive(Debug)]
pub(super) struct Tiers {
    /// Nearest first; none when there is no endpoint.
    pub(super) list: Box<[Tier]>,
    pub(super) layout: Arc<Layout>,
    /// Whether no endpoint of any asks for traffic, so that weights do not tell them apart.
    pub(super) weightless: bool,
    /// The refusal of whoever is in no tier.
    pub(super) refusal: Refusal,
    reckoning: Reckoning,
}

/// What was reckoned when the endpoints last changed. Written by whichever worker finds it out of date, read by all: in
/// the worst case one of them reads half of an old one and half of a new one, once.
#[derive(Debug, Default)]
struct Reckoning {
    /// The number of changes in the group that it goes by, and one more; 0 before the first.
    changes: AtomicU64,
    /// The bits of the moment at which it was made.
    made: AtomicU64,
    /// Where the share of each tier ends.
    ends: [AtomicU32; TIERS_MAX],
    /// Whether each is in panic.
    panics: [AtomicBool; TIERS_MAX],
    /// Whether any endpoint is available that asks for traffic.
    is_usable: AtomicBool,
    /// Whether all of several tiers together cannot take the whole.
    falls_short: AtomicBool,
}

impl Tiers {
    /// No tier.
    pub(super) fn none() -> Self {
        Self {
            list: Box::default(),
            layout: Arc::default(),
            weightless: true,
            refusal: Refusal::default(),
            reckoning: Reckoning::default(),
        }
    }

    /// The tiers of these endpoints, which are in order of address. The order of a policy goes on where it stood in the
    /// same tier before.
    pub(super) fn new(
        endpoints: &Arc<[Endpoint]>,
        layout: &Arc<Layout>,
        claim: &Claim,
        previous: &Self,
        rng: &mut SmallRng,
    ) -> Self {
        let tier = |(place, endpoints): (Place, Arc<[Endpoint]>)| {
            let before = previous.list.iter().find(|tier| tier.place == place);
            let same = before.filter(|before| same_endpoints(&before.endpoints, &endpoints));
            let balancer = match same {
                Some(same) => Arc::clone(&same.balancer),
                None => claim.choice.build(&endpoints, before.map(|tier| &*tier.balancer), rng),
            };
            Tier { place, endpoints, balancer, refusal: Refusal::default() }
        };
        Self {
            list: layout.part(endpoints).into_iter().map(tier).collect(),
            layout: Arc::clone(layout),
            weightless: endpoints.iter().all(|endpoint| endpoint.weight.hundredths() == 0),
            refusal: Refusal::default(),
            reckoning: Reckoning::default(),
        }
    }

    /// The tier that an ask falls to, by the share that each can take.
    pub(super) fn choose(&self, ask: &mut Ask<'_>) -> usize {
        self.reckon(ask.now);
        let ends = &self.reckoning.ends[..self.list.len()];
        if ends[0].load(Ordering::Relaxed) == WHOLE {
            return 0;
        }
        // What belongs together goes to one tier.
        let luck = ask.key.unwrap_or_else(|| ask.rng.next_u64());
        let drawn = u32::try_from(luck % u64::from(WHOLE)).unwrap_or(0);
        ends.iter().position(|end| drawn < end.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Whether a tier is in panic.
    pub(super) fn panics(&self, number: usize, now: Moment) -> bool {
        self.reckon(now);
        self.reckoning.panics[number].load(Ordering::Relaxed)
    }

    /// Whether any endpoint is available that asks for traffic.
    pub(super) fn is_usable(&self, now: Moment) -> bool {
        self.reckon(now);
        self.reckoning.is_usable.load(Ordering::Relaxed)
    }

    /// Whether there are several tiers that together cannot take the whole, as was reckoned last.
    pub(super) fn falls_short(&self) -> bool {
        self.reckoning.falls_short.load(Ordering::Relaxed)
    }

    /// What a tier can take at present.
    fn strength(&self, tier: &Tier) -> Strength {
        let mut strength = Strength::default();
        for endpoint in &*tier.endpoints {
            let weight = u64::from(endpoint.weight.hundredths()).max(u64::from(self.weightless));
            strength.all += weight;
            let (is_available, is_reachable) = (endpoint.is_available(), endpoint.is_reachable());
            strength.available += if is_available { weight } else { 0 };
            strength.reachable += if is_available || is_reachable { weight } else { 0 };
        }
        strength
    }

    /// What each tier can take at present, and how the traffic is divided by that.
    pub(super) fn division(&self) -> ([Strength; TIERS_MAX], Division) {
        let mut strengths = [Strength::default(); TIERS_MAX];
        for (strength, tier) in strengths.iter_mut().zip(&self.list) {
            *strength = self.strength(tier);
        }
        let Layout { spill_below, panic_below, .. } = *self.layout;
        (strengths, divide(&strengths[..self.list.len().max(1)], spill_below, panic_below))
    }

    /// Whether tiers of these strengths, if they are several, cannot take the whole together: in that case alone one that is not
    /// wholly available would panic.
    fn cannot_take_it(&self, strengths: &[Strength; TIERS_MAX]) -> bool {
        let count = self.list.len();
        count > 1 && divide(&strengths[..count], self.layout.spill_below, 100).panics.contains(&true)
    }

    /// Makes the reckoning anew if something changed since.
    fn reckon(&self, now: Moment) {
        let Some(first) = self.list.first().and_then(|tier| tier.endpoints.first()) else { return };
        let changes = first.memory.group().changes().wrapping_add(1);
        if self.reckoning.changes.load(Ordering::Relaxed) != changes {
            self.reckon_anew(changes, now);
        }
    }

    #[cold]
    fn reckon_anew(&self, changes: u64, now: Moment) {
        let endpoints: usize = self.list.iter().map(|tier| tier.endpoints.len()).sum();
        let made = Moment::from_bits(self.reckoning.made.load(Ordering::Relaxed));
        let stands = (endpoints / ENDPOINTS_PER_MS) as u128;
        if made.is_some_and(|made| made <= now && now.since(made).as_millis() < stands) {
            return;
        }
        let (strengths, Division { shares, panics }) = self.division();
        let is_usable = strengths.iter().any(|strength| strength.available > 0);
        self.reckoning.is_usable.store(is_usable, Ordering::Relaxed);
        self.reckoning.falls_short.store(self.cannot_take_it(&strengths), Ordering::Relaxed);
        let mut end = 0;
        for (share, place) in shares.iter().zip(&self.reckoning.ends) {
            end += share;
            place.store(end, Ordering::Relaxed);
        }
        for (panics, place) in panics.iter().zip(&self.reckoning.panics) {
            place.store(*panics, Ordering::Relaxed);
        }
        self.reckoning.made.store(now.to_bits(), Ordering::Relaxed);
        // Last: whoever wrote over what is newer says so thereby, and it is reckoned again.
        self.reckoning.changes.store(changes, Ordering::Relaxed);
    }
}
