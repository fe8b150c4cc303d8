//! A snapshot: what a request picks from, immutable and replaced whole.

mod pick;
pub mod scene;
mod shadow;
mod tiers;
mod walk;
mod wishes;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::SmallRng;
use thiserror::Error;

use super::layout::Layout;
use super::shares::WHOLE;
use super::subscription::Claim;
use crate::clock::Moment;
use crate::endpoint::{Care, Endpoint, Memory, Peers};
use crate::provider::Protocol;
pub use shadow::{Shadow, ShadowTally};
use tiers::{Tier, Tiers};
use wishes::Places;

/// What a snapshot is made of: a service as it is known now.
#[derive(Clone, Debug)]
pub struct Members {
    /// All its endpoints, in order of address, each address once.
    pub endpoints: Arc<[Endpoint]>,
    /// Whether the registry said that it knows no such service.
    pub absent: bool,
    /// How the endpoints are treated.
    pub care: Arc<Care>,
    /// How they are laid out in tiers.
    pub layout: Arc<Layout>,
}

impl Members {
    /// These endpoints, treated as is usual.
    pub fn of(endpoints: Arc<[Endpoint]>) -> Self {
        Self { endpoints, absent: false, care: Arc::default(), layout: Arc::default() }
    }

    /// How they are treated by those who have this claim. What is passed on raw tells nothing of what its endpoint bears, and a bound
    /// that follows that would stay where it begins, far below what may be in flight.
    fn care_for(&self, claim: &Claim) -> Arc<Care> {
        if claim.subset.raw && self.care.adaptive.is_some() {
            Arc::new(Care { adaptive: None, ..Care::clone(&self.care) })
        } else {
            Arc::clone(&self.care)
        }
    }
}

/// What the requests of one subscription pick from.
#[derive(Debug)]
pub struct Snapshot {
    /// The endpoints that are picked, in order of address, each address once.
    pub endpoints: Arc<[Endpoint]>,
    /// Those that are picked only when none of the others is available, in order of address.
    pub spares: Arc<[Endpoint]>,
    /// Providers of the service, before the subset was taken.
    pub known: usize,
    /// Providers of the subset that are left out since HTTP cannot reach them.
    pub out_of_reach: usize,
    /// Whether the service was ever listed, as present or absent.
    pub listed: bool,
    /// Whether the registry said that it knows no such service.
    pub absent: bool,
    /// How they are treated.
    pub care: Arc<Care>,
    /// Whether any of them is spoken to over HTTP/2.
    pub speaks_http2: bool,
    /// The endpoints again, by how near they are, with what proposes them.
    tiers: Tiers,
    /// Where each endpoint is, for wishes.
    places: Places,
    /// The policy it is compared with, if there is one.
    shadow: Option<Arc<Shadow>>,
    /// When it was made.
    made: Moment,
    /// The bits of the moment of the first pick; 0 before. Written by whichever worker is first, taken by the catalog.
    first_pick: AtomicU64,
}

/// One tier of a snapshot, for an operator.
#[derive(Debug)]
pub struct TierView<'a> {
    /// What its endpoints have in common.
    pub name: String,
    /// In order of address.
    pub endpoints: &'a [Endpoint],
    /// The part of the traffic that it can take at present, of `shares::WHOLE`.
    pub share: u32,
    /// Whether too few of it are available.
    pub panics: bool,
    /// Whether there is no other.
    pub is_alone: bool,
}

impl TierView<'_> {
    /// The part of the traffic that it can take at present, from 0 to 1, to four places.
    pub fn part(&self) -> f64 {
        (f64::from(self.share) / f64::from(WHOLE) * 1e4).round() / 1e4
    }
}

/// Why nothing could be picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoEndpoint {
    /// The service was not listed yet.
    #[error("the service was not listed yet")]
    NotListed,
    /// The registry knows no such service.
    #[error("the registry knows no such service")]
    Absent,
    /// The service has no provider, or none in the subset.
    #[error("the service has no provider that matches")]
    Empty,
    /// All providers of the service, or of the subset, speak protocols other than HTTP.
    #[error("the service has no provider that HTTP can reach")]
    OutOfReach,
    /// Every endpoint that is well has as much in flight as it may have.
    #[error("every provider has as much in flight as it may have")]
    Full,
    /// Every endpoint was tried already, and none of them can be reached at present.
    #[error("every provider was tried, and none can be reached")]
    AllTried,
    /// The request wants endpoints that are not there.
    #[error("the service has no provider that the request wants")]
    Unknown,
}

impl Snapshot {
    /// The snapshot of a service that was not listed yet.
    pub fn not_listed() -> Self {
        Self {
            endpoints: Arc::new([]),
            spares: Arc::new([]),
            known: 0,
            out_of_reach: 0,
            listed: false,
            absent: false,
            care: Arc::default(),
            speaks_http2: false,
            tiers: Tiers::none(),
            places: Places::default(),
            shadow: None,
            made: Moment::START,
            first_pick: AtomicU64::new(Moment::START.to_bits()),
        }
    }

    /// The snapshot that a claim has of a listed service.
    ///
    /// An order of the policy goes on where it stood in `previous`. When there are only spares, they are picked like any.
    pub fn new(members: &Members, claim: &Claim, previous: &Self, now: Moment, rng: &mut SmallRng) -> Self {
        let (endpoints, spares) = apart(claim.subset.select(&members.endpoints));
        let tiers = Tiers::new(&endpoints, &members.layout, claim, &previous.tiers, rng);
        let nearest = tiers.list.first().map_or(&endpoints, |tier| &tier.endpoints);
        let (made, first_pick) = (now, AtomicU64::new(0));
        let speaks_http2 = |endpoint: &Endpoint| endpoint.provider.protocol == Protocol::H2c;
        Self {
            speaks_http2: endpoints.iter().chain(&*spares).any(speaks_http2),
            places: Places::after(&previous.places, &endpoints),
            shadow: Shadow::follow(claim.choice, nearest, previous.shadow.as_ref(), rng),
            endpoints,
            spares,
            known: members.endpoints.len(),
            out_of_reach: claim.subset.out_of_reach(&members.endpoints),
            listed: true,
            absent: members.absent,
            care: members.care_for(claim),
            tiers,
            made,
            first_pick,
        }
    }

    /// Whether a snapshot of these would say the same.
    pub fn says(&self, members: &Members, claim: &Claim) -> bool {
        let (endpoints, spares) = apart(claim.subset.select(&members.endpoints));
        self.listed
            && self.known == members.endpoints.len()
            && self.absent == members.absent
            && self.out_of_reach == claim.subset.out_of_reach(&members.endpoints)
            && self.care == members.care_for(claim)
            && Arc::ptr_eq(&self.tiers.layout, &members.layout)
            && same_endpoints(&self.endpoints, &endpoints)
            && same_endpoints(&self.spares, &spares)
    }

    /// Every endpoint in it.
    pub fn all(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().chain(&*self.spares)
    }

    /// Among whom an endpoint is judged that fails: those of the tier that has this memory in it; all if none has.
    pub fn peers(&self, memory: &Memory) -> Peers<'_> {
        let has_it = |tier: &&Tier| tier.endpoints.iter().any(|it| it.memory.number == memory.number);
        let tier = match &*self.tiers.list {
            [alone] => Some(alone),
            several => several.iter().find(has_it),
        };
        let (of_tier, refusal) =
            tier.map_or((&self.endpoints, &self.tiers.refusal), |tier| (&tier.endpoints, &tier.refusal));
        Peers { tier: of_tier, all: &self.endpoints, refusal }
    }

    /// Its tiers as they are at present, nearest first.
    pub fn tiers(&self) -> impl Iterator<Item = TierView<'_>> {
        let (_, division) = self.tiers.division();
        self.tiers.list.iter().enumerate().map(move |(number, tier)| TierView {
            name: self.tiers.layout.name(tier.place),
            endpoints: &tier.endpoints,
            share: division.shares[number],
            panics: division.panics[number],
            is_alone: self.tiers.list.len() == 1,
        })
    }

    /// What became of the comparison with another policy, if there is one.
    pub fn shadow(&self) -> Option<&Shadow> {
        self.shadow.as_deref()
    }

    /// How long after its making it was first picked from; told once, and not while it was not.
    pub fn take_first_pick(&self) -> Option<Duration> {
        let picked = Moment::from_bits(self.first_pick.load(Ordering::Relaxed))?;
        let told = Moment::START.to_bits();
        (self.first_pick.swap(told, Ordering::Relaxed) != told).then(|| picked.since(self.made))
    }

    const fn nothing(&self) -> NoEndpoint {
        match (self.listed, self.absent, self.out_of_reach) {
            (false, _, _) => NoEndpoint::NotListed,
            (true, true, _) => NoEndpoint::Absent,
            (true, false, 0) => NoEndpoint::Empty,
            (true, false, _) => NoEndpoint::OutOfReach,
        }
    }
}

/// The endpoints to pick from and the spares; when there are only spares, they are picked from.
fn apart(endpoints: Arc<[Endpoint]>) -> (Arc<[Endpoint]>, Arc<[Endpoint]>) {
    let spares = endpoints.iter().filter(|endpoint| endpoint.is_spare()).count();
    if spares == 0 || spares == endpoints.len() {
        return (endpoints, Arc::new([]));
    }
    let (spares, picked): (Vec<_>, Vec<_>) = endpoints.iter().cloned().partition(Endpoint::is_spare);
    (picked.into(), spares.into())
}

fn same_endpoints(a: &[Endpoint], b: &[Endpoint]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_same(b))
}

#[cfg(test)]
mod tests;
