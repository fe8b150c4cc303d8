//! The policy `round-robin`: one after the other, by weight, exactly fair over all workers together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use rand::RngExt as _;
use rand::rngs::SmallRng;

use super::{Ask, Balancer, Position, weights};
use crate::endpoint::Endpoint;
use crate::provider::Address;

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
    /// The first ticket, and the address that balancers before this one proposed last.
    first: u64,
    before: Option<Address>,
}

impl RoundRobin {
    /// The picker for these endpoints, of which there is at least one, in order of address.
    ///
    /// The first turn falls to the successor of the endpoint that `previous` proposed last, by order of address even when
    /// that one is gone. When the one whose turn was next is gone, or there is no `previous`, a random one begins: a fleet of
    /// sidecars learns of a change at the same moment, and must not give the turns of one that left to its successor.
    pub fn new(endpoints: &Arc<[Endpoint]>, previous: Option<&dyn Balancer>, rng: &mut SmallRng) -> Self {
        let schedule = Schedule::new(&weights(endpoints));
        let position = previous.and_then(Balancer::position);
        let first = match &position {
            Some(position) if has_turns(endpoints, &position.next) => {
                successor(&schedule, endpoints, position)
            }
            Some(_) | None => rng.random_range(0..schedule.len()),
        };
        Self {
            next: CachePadded::new(AtomicU64::new(first)),
            schedule,
            endpoints: Arc::clone(endpoints),
            first,
            before: position.map(|position| position.last),
        }
    }
}

impl Balancer for RoundRobin {
    fn propose(&self, _ask: &mut Ask<'_>, _turn: usize) -> usize {
        self.schedule.turn(self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn position(&self) -> Option<Position> {
        let next = self.next.load(Ordering::Relaxed);
        let address = |ticket: u64| self.endpoints[self.schedule.turn(ticket)].provider.address.clone();
        let last = if next == self.first { self.before.clone()? } else { address(next.wrapping_sub(1)) };
        let cycle = self.schedule.len();
        #[expect(clippy::cast_precision_loss, reason = "a schedule has far fewer than 2^52 turns")]
        let phase = (next % cycle) as f64 / cycle as f64;
        Some(Position { last, next: address(next), phase })
    }
}

/// Whether this address is there and gets turns. Where all weights are 0, whoever is there does, and a random place is as good.
fn has_turns(endpoints: &[Endpoint], address: &Address) -> bool {
    let place = endpoints.binary_search_by(|endpoint| endpoint.provider.address.cmp(address));
    place.is_ok_and(|place| endpoints[place].weight.hundredths() > 0)
}

/// The ticket that follows the endpoint proposed last, or the one before its place when it is gone or gets no turns; of
/// all such, the one nearest to the same phase of the cycle.
fn successor(schedule: &Schedule, endpoints: &[Endpoint], position: &Position) -> u64 {
    let upto = endpoints.partition_point(|endpoint| endpoint.provider.address <= position.last);
    schedule.turn_after(schedule.last_with_turns(upto), position.phase)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::balance::{Choice, Policy, rng};
    use crate::clock::Moment;
    use crate::endpoint::Memory;
    use crate::provider::{Provider, Weight};

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
    fn goes_on_behind_the_last_one_whoever_comes_and_goes() {
        let before = endpoints(&[(10, 100), (20, 100), (30, 100), (40, 100)]);
        let mut rng = rng::for_worker(1, 0);
        let next_host = |after: &[(u8, u32)], last: usize, rng: &mut SmallRng| {
            let balancer = Choice::from(Policy::RoundRobin).build(&before, None, rng);
            while turns(&*balancer, 1)[0] != last {}
            let after_list = endpoints(after);
            let balancer = Choice::from(Policy::RoundRobin).build(&after_list, Some(&*balancer), rng);
            after[turns(&*balancer, 1)[0]].0
        };
        let same = [(10, 100), (20, 100), (30, 100), (40, 100)];
        assert_eq!(next_host(&same, 1, &mut rng), 30);
        assert_eq!(next_host(&same, 3, &mut rng), 10);
        assert_eq!(next_host(&[(10, 100), (30, 100), (40, 100)], 1, &mut rng), 30, "the last one is gone");
        assert_eq!(
            next_host(&[(10, 100), (20, 100), (25, 100), (30, 100)], 1, &mut rng),
            25,
            "a new one stands between"
        );
        assert_eq!(next_host(&[(20, 100)], 1, &mut rng), 20, "it is alone");
        assert_eq!(next_host(&[(30, 100), (40, 100)], 1, &mut rng), 30, "the head of the order is gone");
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
        fn stays_fair_while_members_come_and_go(
            steps in prop::collection::vec((prop::collection::btree_set(1_u8..12, 1..8), 0_usize..30), 1..20),
        ) {
            let mut rng = rng::for_worker(9, 0);
            let mut last: Option<Arc<dyn Balancer>> = None;
            let mut order: Vec<u8> = Vec::new();
            let mut next = None;
            for (hosts, picks) in steps {
                let hosts: Vec<(u8, u32)> = hosts.into_iter().map(|host| (host, 100)).collect();
                let list = endpoints(&hosts);
                let balancer = Choice::from(Policy::RoundRobin).build(&list, last.as_deref(), &mut rng);
                // Where the one whose turn was next is gone, the order begins anew.
                if next.is_some_and(|next| hosts.iter().all(|(host, _)| *host != next)) {
                    order.clear();
                }
                for turn in turns(&*balancer, picks) {
                    let host = hosts[turn].0;
                    if let Some(before) = order.last() {
                        let expected = hosts.iter().find(|(host, _)| host > before).unwrap_or(&hosts[0]);
                        prop_assert_eq!(host, expected.0, "after {}", before);
                    }
                    order.push(host);
                }
                let upcoming = balancer.position().map(|position| position.next.to_string());
                next = hosts.iter().map(|(host, _)| *host).find(|host| upcoming.as_deref() == Some(&format!("10.0.0.{host}:80")));
                last = Some(balancer);
            }
        }
    }
}
