//! A snapshot: what a request picks from, immutable and replaced whole.

use std::sync::Arc;

use rand::RngExt as _;
use rand::rngs::SmallRng;
use thiserror::Error;

use crate::balance::{Balancer, Policy};
use crate::clock::Moment;
use crate::endpoint::Endpoint;

/// Proposals asked for before all endpoints are looked at. Enough that with half of them out, one pick in 2^32 looks.
const PROPOSALS_MAX: usize = 32;

/// What the requests of one subscription pick from.
#[derive(Debug)]
pub struct Snapshot {
    /// The endpoints, in order of address, each address once.
    pub endpoints: Arc<[Endpoint]>,
    /// Providers of the service, before the subset was taken.
    pub known: usize,
    /// Whether the service was ever listed, as present or absent.
    pub listed: bool,
    /// Whether the registry said that it knows no such service.
    pub absent: bool,
    /// Whether no endpoint asks for traffic, so that weights do not tell them apart.
    weightless: bool,
    /// What proposes endpoints; none when there are none.
    balancer: Option<Arc<dyn Balancer>>,
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
    /// Every endpoint was tried already, and none of them can be reached at present.
    #[error("every provider was tried, and none can be reached")]
    AllTried,
}

impl Snapshot {
    /// The snapshot of a service that was not listed yet.
    pub fn not_listed() -> Self {
        Self {
            endpoints: Arc::new([]),
            known: 0,
            listed: false,
            absent: false,
            weightless: true,
            balancer: None,
        }
    }

    /// The snapshot of a listed service: `endpoints` are those of the subset, in order of address, of `known` ones in all.
    ///
    /// An order of the policy goes on where it stood in `previous`.
    pub fn new(
        endpoints: Arc<[Endpoint]>,
        known: usize,
        absent: bool,
        policy: Policy,
        previous: &Self,
        rng: &mut SmallRng,
    ) -> Self {
        let balancer = if same_endpoints(&endpoints, &previous.endpoints) {
            previous.balancer.clone()
        } else {
            (!endpoints.is_empty()).then(|| policy.build(&endpoints, previous.balancer.as_deref(), rng))
        };
        let weightless = endpoints.iter().all(|endpoint| endpoint.provider.weight.hundredths() == 0);
        Self { endpoints, known, listed: true, absent, weightless, balancer }
    }

    /// The endpoint for one attempt. `tried` are the numbers of the memories of endpoints that this request tried already.
    ///
    /// An available endpoint that was not tried, as the balancer proposes; on a first attempt an unreachable one whose turn
    /// it is to be tried again. If none is available, one that was not tried, whatever its state: a provider that may
    /// answer is better than none. If all were tried, an available one once more: the cause may lie with a connection.
    /// An endpoint of weight 0 is picked only when all have weight 0. Never allocates.
    ///
    /// # Errors
    /// When there is no endpoint, or all were tried and none is available.
    pub fn pick(&self, now: Moment, tried: &[u64], rng: &mut SmallRng) -> Result<&Endpoint, NoEndpoint> {
        let Some(balancer) = &self.balancer else { return Err(self.nothing()) };
        for _ in 0..PROPOSALS_MAX {
            let endpoint = &self.endpoints[balancer.propose(rng)];
            if endpoint.is_available() {
                if !was_tried(endpoint, tried) {
                    return Ok(endpoint);
                }
            } else if tried.is_empty() && endpoint.memory.reach.try_claim(now) {
                return Ok(endpoint);
            }
        }
        self.search(tried, rng)
    }

    /// Looks at all endpoints, when proposals did not lead to one.
    #[cold]
    fn search(&self, tried: &[u64], rng: &mut SmallRng) -> Result<&Endpoint, NoEndpoint> {
        let wanted = |endpoint: &&Endpoint| self.weightless || endpoint.provider.weight.hundredths() > 0;
        let walk = Walk::new(self.endpoints.len(), rng);
        let first = |fits: &dyn Fn(&Endpoint) -> bool| {
            walk.clone().map(|index| &self.endpoints[index]).filter(wanted).find(|endpoint| fits(endpoint))
        };
        first(&|endpoint| endpoint.is_available() && !was_tried(endpoint, tried))
            .or_else(|| first(&|endpoint| !was_tried(endpoint, tried)))
            .or_else(|| first(&Endpoint::is_available))
            .ok_or(NoEndpoint::AllTried)
    }

    /// Whether a snapshot of these would say the same.
    pub fn says(&self, endpoints: &[Endpoint], known: usize, absent: bool) -> bool {
        self.listed
            && self.known == known
            && self.absent == absent
            && same_endpoints(&self.endpoints, endpoints)
    }

    const fn nothing(&self) -> NoEndpoint {
        match (self.listed, self.absent) {
            (false, _) => NoEndpoint::NotListed,
            (true, true) => NoEndpoint::Absent,
            (true, false) => NoEndpoint::Empty,
        }
    }
}

fn was_tried(endpoint: &Endpoint, tried: &[u64]) -> bool {
    tried.contains(&endpoint.memory.number)
}

fn same_endpoints(a: &[Endpoint], b: &[Endpoint]) -> bool {
    let same = |(a, b): (&Endpoint, &Endpoint)| {
        Arc::ptr_eq(&a.memory, &b.memory) && Arc::ptr_eq(&a.provider, &b.provider)
    };
    a.len() == b.len() && a.iter().zip(b).all(same)
}

/// Visits every index once, from a random one on in random strides: neighbours go out together, and a walk in order would
/// send all their traffic to the first one behind them.
#[derive(Clone, Debug)]
struct Walk {
    len: usize,
    stride: usize,
    next: usize,
    left: usize,
}

impl Walk {
    fn new(len: usize, rng: &mut SmallRng) -> Self {
        let stride = loop {
            let stride = rng.random_range(1..=len);
            if gcd(stride, len) == 1 {
                break stride;
            }
        };
        Self { len, stride, next: rng.random_range(0..len), left: len }
    }
}

impl Iterator for Walk {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let index = self.next;
        self.next = (index + self.stride) % self.len;
        Some(index)
    }
}

const fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
