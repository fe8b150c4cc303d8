//! A snapshot: what a request picks from, immutable and replaced whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::endpoint::Memory;
    use crate::provider::{Address, Provider, Weight};

    const NOW: Moment = Moment::START;

    fn snapshot(weights: &[u32], policy: Policy) -> Snapshot {
        let endpoint = |(index, weight): (usize, &u32)| {
            let address: Address = format!("10.0.0.1:{}", index + 1).parse().unwrap();
            let mut provider = Provider::new(format!("p{index}"), address.clone());
            provider.weight = Weight::from_hundredths(*weight);
            Endpoint::new(Arc::new(provider), Arc::new(Memory::new(index as u64, address)))
        };
        let endpoints: Arc<[Endpoint]> = weights.iter().enumerate().map(endpoint).collect();
        let known = endpoints.len();
        Snapshot::new(endpoints, known, false, policy, &Snapshot::not_listed(), NOW, &mut rng())
    }

    fn rng() -> SmallRng {
        crate::balance::rng::for_worker(1, 1)
    }

    /// How often each endpoint is picked on first attempts.
    fn counts(snapshot: &Snapshot, picks: usize) -> Vec<usize> {
        let mut rng = rng();
        let mut counts = vec![0; snapshot.endpoints.len()];
        for _ in 0..picks {
            counts[usize::try_from(snapshot.pick(NOW, &[], &mut rng).unwrap().memory.number).unwrap()] += 1;
        }
        counts
    }

    fn fail(snapshot: &Snapshot, index: usize) {
        snapshot.endpoints[index].memory.reach.fail(NOW, 0.5);
    }

    #[test]
    fn says_why_there_is_nothing() {
        let nothing = |snapshot: Snapshot| snapshot.pick(NOW, &[], &mut rng()).unwrap_err();
        let empty = |absent| {
            let before = Snapshot::not_listed();
            Snapshot::new(Arc::new([]), 0, absent, Policy::Random, &before, NOW, &mut rng())
        };
        assert_eq!(nothing(Snapshot::not_listed()), NoEndpoint::NotListed);
        assert_eq!(nothing(empty(true)), NoEndpoint::Absent);
        assert_eq!(nothing(empty(false)), NoEndpoint::Empty);
        assert_eq!(nothing(empty(false).without(2)), NoEndpoint::OutOfReach);
    }

    #[test]
    fn the_share_of_one_that_is_out_falls_to_all_others_alike() {
        let snapshot = snapshot(&[100; 5], Policy::RoundRobin);
        fail(&snapshot, 2);
        assert_eq!(counts(&snapshot, 4000), [1000, 1000, 0, 1000, 1000]);
    }

    #[test]
    fn even_when_neighbours_are_out_together() {
        let snapshot = snapshot(&[100; 200], Policy::RoundRobin);
        (20..200).for_each(|index| fail(&snapshot, index));
        let counts = counts(&snapshot, 20_000);
        assert_eq!(counts[20..].iter().sum::<usize>(), 0);
        // Those behind the gap may get some more, but not the whole share of those in it.
        assert!(counts[..20].iter().all(|count| (700..1400).contains(count)), "{:?}", &counts[..20]);
    }

    #[test]
    fn what_was_tried_is_not_picked_again_while_there_is_another() {
        for policy in Policy::ALL {
            let snapshot = snapshot(&[100; 3], policy);
            let mut rng = rng();
            for _ in 0..100 {
                assert_eq!(snapshot.pick(NOW, &[0, 2], &mut rng).unwrap().memory.number, 1);
            }
            fail(&snapshot, 1);
            assert_eq!(snapshot.pick(NOW, &[0, 2], &mut rng).unwrap().memory.number, 1, "it may answer");
            let again = snapshot.pick(NOW, &[0, 1, 2], &mut rng).unwrap().memory.number;
            assert_ne!(again, 1, "all were tried: an available one again");
            fail(&snapshot, 0);
            fail(&snapshot, 2);
            assert_eq!(snapshot.pick(NOW, &[0, 1, 2], &mut rng).unwrap_err(), NoEndpoint::AllTried);
        }
    }

    #[test]
    fn weight_zero_is_picked_only_when_there_is_nothing_else() {
        for policy in Policy::ALL {
            let some = snapshot(&[0, 100, 0], policy);
            assert_eq!(counts(&some, 300), [0, 300, 0]);
            fail(&some, 1);
            assert_eq!(counts(&some, 300), [0, 300, 0], "out, but the only one that wants traffic");
            let none = snapshot(&[0, 0, 0], policy);
            assert!(counts(&none, 300).iter().all(|count| *count > 60));
        }
    }

    #[test]
    fn one_request_at_a_time_tries_one_that_is_out() {
        let snapshot = snapshot(&[100; 2], Policy::RoundRobin);
        fail(&snapshot, 0);
        let later = NOW.after(Duration::from_secs(2));
        let mut rng = rng();
        let mut picks = |tried: &[u64], count: usize| -> Vec<u64> {
            (0..count).map(|_| snapshot.pick(later, tried, &mut rng).unwrap().memory.number).collect()
        };
        assert!(picks(&[7], 10).iter().all(|number| *number == 1), "a second attempt is no trial");
        let trials = picks(&[], 10);
        assert_eq!(trials.iter().filter(|number| **number == 0).count(), 1, "{trials:?}");
        snapshot.endpoints[0].memory.reach.succeed();
        assert_eq!(picks(&[], 10).iter().filter(|number| **number == 0).count(), 5);
    }

    #[test]
    fn an_unchanged_list_keeps_the_balancer() {
        let before = snapshot(&[100; 3], Policy::RoundRobin);
        assert!(before.says(&before.endpoints, 3, false) && !before.says(&before.endpoints, 4, false));
        let endpoints = Arc::clone(&before.endpoints);
        let after = Snapshot::new(endpoints, 4, false, Policy::RoundRobin, &before, NOW, &mut rng());
        assert!(Arc::ptr_eq(before.balancer.as_ref().unwrap(), after.balancer.as_ref().unwrap()));
    }

    proptest! {
        #[test]
        fn something_is_picked_while_something_exists(
            weights in prop::collection::vec(0_u32..3, 1..20),
            out in prop::collection::btree_set(0_usize..20, 0..20),
            tried in prop::collection::vec(0_u64..20, 0..4),
            random: bool,
        ) {
            let policy = if random { Policy::Random } else { Policy::RoundRobin };
            let snapshot = snapshot(&weights, policy);
            for index in out.iter().filter(|index| **index < weights.len()) {
                fail(&snapshot, *index);
            }
            let wanted: Vec<&Endpoint> = {
                let weightless = weights.iter().all(|weight| *weight == 0);
                let wanted = |endpoint: &&Endpoint| weightless || endpoint.weight > Weight::ZERO;
                snapshot.endpoints.iter().filter(wanted).collect()
            };
            let fresh = |endpoint: &&Endpoint| !tried.contains(&endpoint.memory.number);
            match snapshot.pick(NOW, &tried, &mut rng()) {
                Ok(endpoint) => {
                    prop_assert!(wanted.iter().any(|wanted| wanted.memory.number == endpoint.memory.number));
                    let best = wanted.iter().any(|wanted| fresh(wanted) && wanted.is_available());
                    prop_assert!(!best || (fresh(&endpoint) && endpoint.is_available()));
                    prop_assert!(fresh(&endpoint) || !wanted.iter().any(&fresh));
                }
                Err(error) => {
                    prop_assert_eq!(error, NoEndpoint::AllTried);
                    prop_assert!(wanted.iter().all(|wanted| !fresh(wanted) && !wanted.is_available()));
                }
            }
        }
    }
}
