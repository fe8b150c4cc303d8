//! A snapshot: what a request picks from, immutable and replaced whole.

mod walk;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::SmallRng;
use thiserror::Error;

use crate::balance::{Balancer, Policy};
use crate::clock::Moment;
use crate::endpoint::Endpoint;
use walk::Walk;

/// Proposals asked for before all endpoints are looked at. Enough that with half of them out, one pick in 2^32 looks.
const PROPOSALS_MAX: usize = 32;

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
    /// Whether no endpoint asks for traffic, so that weights do not tell them apart.
    weightless: bool,
    /// What proposes endpoints; none when there are none.
    balancer: Option<Arc<dyn Balancer>>,
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
    /// Every endpoint was tried already, and none of them can be reached at present.
    #[error("every provider was tried, and none can be reached")]
    AllTried,
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
            weightless: true,
            balancer: None,
            made: Moment::START,
            first_pick: AtomicU64::new(Moment::START.to_bits()),
        }
    }

    /// The snapshot of a listed service: `endpoints` are those of the subset, in order of address, of `known` ones in all.
    ///
    /// An order of the policy goes on where it stood in `previous`. When there are only spares, they are picked like any.
    pub fn new(
        endpoints: Arc<[Endpoint]>,
        known: usize,
        absent: bool,
        policy: Policy,
        previous: &Self,
        now: Moment,
        rng: &mut SmallRng,
    ) -> Self {
        let (endpoints, spares) = apart(endpoints);
        let balancer = if same_endpoints(&endpoints, &previous.endpoints) {
            previous.balancer.clone()
        } else {
            (!endpoints.is_empty()).then(|| policy.build(&endpoints, previous.balancer.as_deref(), rng))
        };
        let weightless = endpoints.iter().all(|endpoint| endpoint.weight.hundredths() == 0);
        let (made, first_pick) = (now, AtomicU64::new(0));
        Self {
            endpoints,
            spares,
            known,
            out_of_reach: 0,
            listed: true,
            absent,
            weightless,
            balancer,
            made,
            first_pick,
        }
    }

    /// This snapshot, where so many providers of the subset are left out since HTTP cannot reach them.
    #[must_use]
    pub fn without(self, out_of_reach: usize) -> Self {
        Self { out_of_reach, ..self }
    }

    /// The endpoint for one attempt. `tried` are the numbers of the memories of endpoints that this request tried already.
    ///
    /// An available endpoint that was not tried, as the balancer proposes; on a first attempt an unreachable one whose turn
    /// it is to be tried again. If none is available, an available spare; if there is none either, one that was not tried,
    /// whatever its state: a provider that may answer is better than none. If all were tried, an available one once more: the cause may lie with a connection.
    /// An endpoint of weight 0 is picked only when all have weight 0. Never allocates.
    ///
    /// # Errors
    /// When there is no endpoint, or all were tried and none is available.
    pub fn pick(&self, now: Moment, tried: &[u64], rng: &mut SmallRng) -> Result<&Endpoint, NoEndpoint> {
        let Some(balancer) = &self.balancer else { return Err(self.nothing()) };
        if self.first_pick.load(Ordering::Relaxed) == 0 {
            self.first_pick.store(now.to_bits(), Ordering::Relaxed);
        }
        for _ in 0..PROPOSALS_MAX {
            let endpoint = &self.endpoints[balancer.propose(rng)];
            if endpoint.is_available() {
                if !was_tried(endpoint, tried) {
                    return Ok(endpoint);
                }
            } else if tried.is_empty()
                && endpoint.memory.ghost().is_none()
                && endpoint.memory.reach.try_claim(now)
            {
                return Ok(endpoint);
            }
        }
        self.search(tried, rng)
    }

    /// Looks at all endpoints, when proposals did not lead to one.
    #[cold]
    fn search(&self, tried: &[u64], rng: &mut SmallRng) -> Result<&Endpoint, NoEndpoint> {
        let wanted = |endpoint: &&Endpoint| self.weightless || endpoint.weight.hundredths() > 0;
        let walk = Walk::new(self.endpoints.len(), rng);
        let first = |fits: &dyn Fn(&Endpoint) -> bool| {
            let endpoints = walk.clone().map(|index| &self.endpoints[index]).filter(wanted);
            endpoints.chain(&*self.spares).find(|endpoint| fits(endpoint))
        };
        first(&|endpoint| endpoint.is_available() && !was_tried(endpoint, tried))
            .or_else(|| first(&|endpoint| !was_tried(endpoint, tried)))
            .or_else(|| first(&Endpoint::is_available))
            .ok_or(NoEndpoint::AllTried)
    }

    /// Whether a snapshot of these would say the same.
    pub fn says(&self, endpoints: &Arc<[Endpoint]>, known: usize, absent: bool) -> bool {
        let (endpoints, spares) = apart(Arc::clone(endpoints));
        self.listed
            && self.known == known
            && self.absent == absent
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
