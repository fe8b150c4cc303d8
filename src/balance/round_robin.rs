//! The policy `round-robin`: one after the other, by weight, exactly fair over all workers together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use rand::RngExt as _;
use rand::rngs::SmallRng;

use super::{Ask, Balancer, Position, weights};
use crate::endpoint::Endpoint;

mod schedule;

use schedule::Schedule;

/// One after the other: every pick, of whichever worker, draws the next ticket, and the ticket says whose turn it is.
///
/// With equal weights the turns follow the order of addresses. With unequal ones they follow a `schedule` in which
/// everyone is at any time less than one turn away from its share. A candidate that cannot be used costs its ticket and
/// nothing else: whoever asks draws the next one, so the share of an endpoint that is out is spread over all others and
/// does not fall to its successor.
#[derive(Debug)]
pub struct RoundRobin {
    /// The next ticket. Drawn by all workers at each pick, read by the catalog when a successor is built.
    next: CachePadded<AtomicU64>,
    /// Whose turn it is, ticket by ticket.
    schedule: Schedule,
    /// The endpoints that turns are indices of.
    endpoints: Arc<[Endpoint]>,
}

impl RoundRobin {
    /// The picker for these endpoints, of which there is at least one, in order of address.
    ///
    /// The first turn falls to whoever's turn was next in `previous`. When that one is gone, or there is no `previous`, a random one
    /// begins: a fleet of sidecars learns of a change at the same moment, and must neither call on the same host at once
    /// nor give the turns of one that left to its neighbour.
    pub fn new(endpoints: &Arc<[Endpoint]>, previous: Option<&dyn Balancer>, rng: &mut SmallRng) -> Self {
        let schedule = Schedule::new(&weights(endpoints));
        let next = previous.and_then(Balancer::position).and_then(|position| {
            let place = endpoints.binary_search_by(|endpoint| endpoint.provider.address.cmp(&position.next));
            // With other weights it has more turns or fewer; of those at the same part of the cycle any one is as good.
            let part = (position.turn as f64 + rng.random::<f64>()) / position.turns as f64;
            schedule.turn_of(place.ok()?, part)
        });
        let next = next.unwrap_or_else(|| rng.random_range(0..schedule.len()));
        Self { next: CachePadded::new(AtomicU64::new(next)), schedule, endpoints: Arc::clone(endpoints) }
    }
}

impl Balancer for RoundRobin {
    fn propose(&self, ask: &mut Ask<'_>, _turn: usize) -> usize {
        let draw = || self.next.fetch_add(1, Ordering::Relaxed);
        let ticket = match &mut ask.notes {
            None => draw(),
            Some(notes) => notes.ticket(draw),
        };
        self.schedule.turn(ticket)
    }

    fn position(&self) -> Option<Position> {
        let ticket = self.next.load(Ordering::Relaxed);
        let next = self.endpoints[self.schedule.turn(ticket)].provider.address.clone();
        let (turn, turns) = self.schedule.place(ticket);
        Some(Position { next, turn, turns })
    }

    fn ticket(&self) -> Option<u64> {
        Some(self.next.load(Ordering::Relaxed))
    }

    fn go_on(&self, ticket: u64) {
        self.next.store(ticket, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::balance::{Choice, Policy, rng};
    use crate::clock::Moment;
    use crate::endpoint::Memory;
    use crate::provider::{Address, Provider, Weight};

    fn endpoints(hosts: &[(u8, u32)]) -> Arc<[Endpoint]> {
        let endpoint = |(host, weight): &(u8, u32)| {
            let address: Address = format!("10.0.0.{host}:80").parse().unwrap();
            let mut provider = Provider::new(address.to_string(), address.clone());
            provider.weight = Weight::from_hundredths(*weight);
            Endpoint::new(Arc::new(provider), Arc::new(Memory::new(u64::from(*host), address)))
        };
        hosts.iter().map(endpoint).collect()
    }

    fn turns(balancer: &dyn Balancer, count: usize) -> Vec<usize> {
        let mut rng = rng::for_worker(0, 0);
        (0..count).map(|_| balancer.propose(&mut Ask::new(Moment::START, &mut rng), 0)).collect()
    }

    #[test]
    fn begins_at_a_random_place() {
        let endpoints = endpoints(&[(1, 100), (2, 100), (3, 100), (4, 100)]);
        let mut begun = [false; 4];
        for seed in 0..64 {
            let balancer = RoundRobin::new(&endpoints, None, &mut rng::for_worker(seed, 0));
            begun[turns(&balancer, 1)[0]] = true;
        }
        assert_eq!(begun, [true; 4]);
    }

    #[test]
    fn goes_on_with_whoever_is_next_whoever_comes_and_goes() {
        let before = endpoints(&[(10, 100), (20, 100), (30, 100), (40, 100)]);
        let mut rng = rng::for_worker(1, 0);
        let mut next_host = |after: &[(u8, u32)], last: usize| {
            let balancer = Choice::from(Policy::RoundRobin).build(&before, None, &mut rng);
            while turns(&*balancer, 1)[0] != last {}
            let after_list = endpoints(after);
            let balancer = Choice::from(Policy::RoundRobin).build(&after_list, Some(&*balancer), &mut rng);
            after[turns(&*balancer, 1)[0]].0
        };
        let same = [(10, 100), (20, 100), (30, 100), (40, 100)];
        assert_eq!(next_host(&same, 1), 30);
        assert_eq!(next_host(&same, 3), 10);
        assert_eq!(next_host(&[(10, 100), (30, 100), (40, 100)], 1), 30, "the last one is gone");
        assert_eq!(
            next_host(&[(10, 100), (20, 100), (25, 100), (30, 100)], 1),
            30,
            "a new one stands between"
        );
        assert_eq!(next_host(&[(30, 100), (40, 100)], 1), 30, "the head of the order is gone");
        assert_eq!(next_host(&[(10, 300), (20, 100), (30, 200)], 1), 30, "weights have changed");
        assert_eq!(next_host(&[(20, 100)], 1), 20, "it is alone");
    }

    #[test]
    fn begins_anywhere_when_the_one_whose_turn_it_was_is_gone() {
        let before = endpoints(&[(10, 100), (20, 100), (30, 100), (40, 100)]);
        for after in [[(10, 100), (20, 0), (30, 100), (40, 100)], [(9, 0), (10, 100), (30, 100), (40, 100)]] {
            let after = endpoints(&after);
            let mut begun = [false; 4];
            for seed in 0..64 {
                let mut rng = rng::for_worker(seed, 0);
                let balancer = Choice::from(Policy::RoundRobin).build(&before, None, &mut rng);
                while turns(&*balancer, 1)[0] != 0 {}
                let balancer = Choice::from(Policy::RoundRobin).build(&after, Some(&*balancer), &mut rng);
                begun[turns(&*balancer, 1)[0]] = true;
            }
            assert_eq!(begun.iter().filter(|begun| **begun).count(), 3, "{begun:?}");
        }
    }

    #[test]
    fn two_threads_are_exactly_fair_together() {
        let endpoints = endpoints(&[(1, 100), (2, 100), (3, 100), (4, 100), (5, 100), (6, 100), (7, 100)]);
        let balancer = Choice::from(Policy::RoundRobin).build(&endpoints, None, &mut rng::for_worker(3, 0));
        let worker = || {
            let mut counts = [0_u32; 7];
            for turn in turns(&*balancer, 35_000) {
                counts[turn] += 1;
            }
            counts
        };
        let counts = std::thread::scope(|scope| {
            let other = scope.spawn(worker);
            let mine = worker();
            let other = other.join().unwrap();
            std::array::from_fn::<u32, 7, _>(|index| mine[index] + other[index])
        });
        assert_eq!(counts, [10_000; 7]);
    }

    proptest! {
        #[test]
        fn keeps_its_place_while_members_come_and_go(
            steps in prop::collection::vec((prop::collection::btree_set(1_u8..12, 1..8), 0_usize..30), 1..20),
        ) {
            let mut rng = rng::for_worker(9, 0);
            let mut last: Option<Arc<dyn Balancer>> = None;
            let mut next: Option<u8> = None;
            for (hosts, picks) in steps {
                let hosts: Vec<(u8, u32)> = hosts.into_iter().map(|host| (host, 100)).collect();
                let list = endpoints(&hosts);
                let balancer = Choice::from(Policy::RoundRobin).build(&list, last.as_deref(), &mut rng);
                // Where the one whose turn was next is gone, the order begins anywhere.
                next = next.filter(|next| hosts.iter().any(|(host, _)| host == next));
                for turn in turns(&*balancer, picks) {
                    prop_assert_eq!(hosts[turn].0, next.unwrap_or(hosts[turn].0));
                    next = Some(hosts[(turn + 1) % hosts.len()].0);
                }
                last = Some(balancer);
            }
        }
    }
}
