//! A snapshot: what a request picks from, immutable and replaced whole.

mod shadow;
mod walk;
mod wishes;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::SmallRng;
use thiserror::Error;

use super::subscription::Claim;
use crate::balance::{Ask, Balancer};
use crate::clock::Moment;
use crate::endpoint::{Care, Endpoint, Fit};
pub use shadow::{Shadow, ShadowTally};
use walk::Walk;
use wishes::Places;

/// Proposals asked for before all endpoints are looked at. Enough that with half of them out, one pick in 2^32 looks.
const PROPOSALS_MAX: usize = 32;

/// Endpoints passed over at one pick because they are new: when as many are, most are, and looking for others is in vain.
const RAMPING_MAX: usize = 8;

/// What a snapshot is made of: a service as it is known now.
#[derive(Clone, Debug)]
pub struct Members {
    /// All its endpoints, in order of address, each address once.
    pub endpoints: Arc<[Endpoint]>,
    /// Whether the registry said that it knows no such service.
    pub absent: bool,
    /// How the endpoints are treated.
    pub care: Arc<Care>,
}

impl Members {
    /// These endpoints, treated as is usual.
    pub fn of(endpoints: Arc<[Endpoint]>) -> Self {
        Self { endpoints, absent: false, care: Arc::default() }
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
    /// Whether no endpoint asks for traffic, so that weights do not tell them apart.
    weightless: bool,
    /// What proposes endpoints; none when there are none.
    balancer: Option<Arc<dyn Balancer>>,
    /// Where each endpoint is, for wishes.
    places: Places,
    /// The policy it is compared with, if there is one.
    shadow: Option<Arc<Shadow>>,
    /// When it was made.
    made: Moment,
    /// The bits of the moment of the first pick; 0 before. Written by whichever worker is first, taken by the catalog.
    first_pick: AtomicU64,
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
            weightless: true,
            balancer: None,
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
        let balancer = if same_endpoints(&endpoints, &previous.endpoints) {
            previous.balancer.clone()
        } else {
            (!endpoints.is_empty()).then(|| claim.choice.build(&endpoints, previous.balancer.as_deref(), rng))
        };
        let weightless = endpoints.iter().all(|endpoint| endpoint.weight.hundredths() == 0);
        let (made, first_pick) = (now, AtomicU64::new(0));
        Self {
            places: Places::after(&previous.places, &endpoints),
            shadow: Shadow::follow(claim.choice, &endpoints, previous.shadow.as_ref(), rng),
            endpoints,
            spares,
            known: members.endpoints.len(),
            out_of_reach: claim.subset.out_of_reach(&members.endpoints),
            listed: true,
            absent: members.absent,
            care: Arc::clone(&members.care),
            weightless,
            balancer,
            made,
            first_pick,
        }
    }

    /// The endpoint for one attempt.
    ///
    /// An endpoint that is available, has room, and was not tried, as the balancer proposes; on a first attempt one that is
    /// out and whose turn it is to be tried again. If none is available, an available spare; if there is none either, one that was not tried,
    /// whatever its state: a provider that may answer is better than none. If all were tried, an available one once more: the cause may lie with a connection.
    /// An endpoint of weight 0 is picked only when all have weight 0, or when the request wishes for it. Never allocates,
    /// but at the first wish for a token.
    ///
    /// # Errors
    /// When there is no endpoint, or all were tried and none is available, or all that are have no room.
    pub fn pick(&self, ask: &mut Ask<'_>) -> Result<&Endpoint, NoEndpoint> {
        let Some(balancer) = &self.balancer else { return Err(self.nothing()) };
        if self.first_pick.load(Ordering::Relaxed) == 0 {
            self.first_pick.store(ask.now.to_bits(), Ordering::Relaxed);
        }
        if let Some(granted) = ask.wish.and_then(|wish| self.grant(wish, ask)) {
            return granted;
        }
        let picked = self.propose(&**balancer, ask)?;
        if let Some(shadow) = &self.shadow {
            shadow.compare(ask, &self.care, picked);
        }
        Ok(picked)
    }

    fn propose(&self, balancer: &dyn Balancer, ask: &mut Ask<'_>) -> Result<&Endpoint, NoEndpoint> {
        // The first that would do if no other did.
        let (mut ramping, mut passed) = (None, 0);
        for turn in 0..PROPOSALS_MAX {
            let endpoint = &self.endpoints[balancer.propose(ask, turn)];
            match endpoint.fit(&self.care) {
                Fit::Ready if !was_tried(endpoint, ask.tried) => return Ok(endpoint),
                Fit::Ramping if !was_tried(endpoint, ask.tried) => {
                    ramping.get_or_insert(endpoint);
                    passed += 1;
                    if passed == RAMPING_MAX {
                        break;
                    }
                }
                Fit::Out if ask.tried.is_empty() && endpoint.memory.try_claim(ask.now) => {
                    return Ok(endpoint);
                }
                Fit::Ready | Fit::Ramping | Fit::Full | Fit::Out => {}
            }
        }
        ramping.map_or_else(|| self.search(ask, &|endpoint| self.wants(endpoint)), Ok)
    }

    /// What became of the comparison with another policy, if there is one.
    pub fn shadow(&self) -> Option<&Shadow> {
        self.shadow.as_deref()
    }

    /// Whether an endpoint asks for traffic. Of spares none is asked.
    fn wants(&self, endpoint: &Endpoint) -> bool {
        self.weightless
            || endpoint.weight.hundredths() > 0
            || (!self.spares.is_empty() && endpoint.is_spare())
    }

    /// Looks at all endpoints that are wanted, when proposals did not lead to one.
    #[cold]
    fn search(&self, ask: &mut Ask<'_>, wanted: &dyn Fn(&Endpoint) -> bool) -> Result<&Endpoint, NoEndpoint> {
        let tried = ask.tried;
        let walk = Walk::new(self.endpoints.len(), ask.rng);
        let first = |fits: &dyn Fn(&Endpoint) -> bool| {
            let endpoints = walk.clone().map(|index| &self.endpoints[index]).chain(&*self.spares);
            endpoints.filter(|endpoint| wanted(endpoint)).find(|endpoint| fits(endpoint))
        };
        let fit = |endpoint: &Endpoint, fit: Fit| endpoint.fit(&self.care) == fit;
        for wanted in [Fit::Ready, Fit::Ramping] {
            if let Some(endpoint) = first(&|endpoint| fit(endpoint, wanted) && !was_tried(endpoint, tried)) {
                return Ok(endpoint);
            }
        }
        if first(&|endpoint| fit(endpoint, Fit::Full)).is_some() {
            return Err(NoEndpoint::Full);
        }
        first(&|endpoint| !was_tried(endpoint, tried))
            .or_else(|| first(&Endpoint::is_available))
            .ok_or(NoEndpoint::AllTried)
    }

    /// Whether a snapshot of these would say the same.
    pub fn says(&self, members: &Members, claim: &Claim) -> bool {
        let (endpoints, spares) = apart(claim.subset.select(&members.endpoints));
        self.listed
            && self.known == members.endpoints.len()
            && self.absent == members.absent
            && self.out_of_reach == claim.subset.out_of_reach(&members.endpoints)
            && Arc::ptr_eq(&self.care, &members.care)
            && same_endpoints(&self.endpoints, &endpoints)
            && same_endpoints(&self.spares, &spares)
    }

    /// Every endpoint in it.
    pub fn all(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().chain(&*self.spares)
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

fn was_tried(endpoint: &Endpoint, tried: &[u64]) -> bool {
    tried.contains(&endpoint.memory.number)
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
