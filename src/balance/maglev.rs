//! The policy `maglev`: the same key goes to the same endpoint, on every sidecar and whoever else comes and goes.

use twox_hash::XxHash3_64;

use super::bound::Bound;
use super::{Ask, Balancer, LoadBound, Position, weights};
use crate::endpoint::Endpoint;

use rand::Rng as _;

/// Entries of a table: a prime, the smaller of the two that the paper measures.
const ENTRIES: usize = 65_537;
/// Endpoints told apart on the way from one entry to the next that serves.
const SEEN_MAX: usize = 32;
/// Entries looked at on that way.
const STEPS_MAX: usize = 1024;
/// The seeds of the two hashes of an address. They belong to the promise: with others, keys would go elsewhere.
const SEEDS: [u64; 2] = [0, 1];

/// The same key goes to the same endpoint: a lookup table that each endpoint fills in an order of its own, which follows
/// from its address alone (Eisenbud et al., "Maglev: a fast and reliable software network load balancer", NSDI 2016).
///
/// Entries are given out exactly by weight, rounded to whole ones. When an endpoint comes or goes, its own keys move, about
/// one in `n`, and few others. A request without a key gets a random one. Where the endpoint of a key does not serve, the
/// next one in the table does, always the same.
#[derive(Debug)]
pub struct Maglev {
    /// The index of the endpoint of each entry.
    table: Box<[u16]>,
    /// How many different ones there are in it.
    members: usize,
    bound: Option<Bound>,
}

impl Maglev {
    /// The picker for these endpoints, of which there is at least one, in order of address. Those after the first 65,536 get no keys.
    pub fn new(endpoints: &[Endpoint], bound: Option<LoadBound>) -> Self {
        let quotas = quotas(&weights(&endpoints[..endpoints.len().min(usize::from(u16::MAX) + 1)]));
        let orders: Vec<Order> = endpoints.iter().take(quotas.len()).map(Order::of).collect();
        Self {
            table: table(orders, &quotas),
            members: quotas.iter().filter(|quota| **quota > 0).count(),
            bound: bound.map(|bound| Bound::new(bound, endpoints)),
        }
    }

    /// The endpoint for a place in the table, when the one that stands there does not serve: of the different ones from
    /// there on, the one after so many that are within the bound.
    fn search(&self, place: usize, turn: usize, ask: &mut Ask<'_>) -> usize {
        let room = self.bound.as_ref().map_or(0.0, |bound| {
            let room = bound.room();
            ask.notes.as_mut().map_or(room, |notes| notes.room(room))
        });
        let mut seen = [0_u16; SEEN_MAX];
        let mut known = 0;
        let mut fitting = 0;
        let mut idlest = (f64::INFINITY, 0);
        for step in 0..STEPS_MAX {
            let candidate = self.table[(place + step) % ENTRIES];
            if seen[..known].contains(&candidate) {
                continue;
            }
            seen[known] = candidate;
            known += 1;
            let notes = ask.notes.as_deref_mut();
            let used =
                self.bound.as_ref().map_or(0.0, |bound| bound.used(usize::from(candidate), room, notes));
            if used < 1.0 {
                if fitting == turn {
                    return usize::from(candidate);
                }
                fitting += 1;
            }
            if used < idlest.0 {
                idlest = (used, candidate);
            }
            if known == SEEN_MAX.min(self.members) {
                break;
            }
        }
        // There are not so many, or all have more than they should.
        usize::from(if turn == 0 { idlest.1 } else { seen[turn % known] })
    }
}

impl Balancer for Maglev {
    #[expect(clippy::cast_possible_truncation, reason = "the remainder is below the length of the table")]
    fn propose(&self, ask: &mut Ask<'_>, turn: usize) -> usize {
        let key = ask.key.unwrap_or_else(|| ask.rng.next_u64());
        let place = (key % ENTRIES as u64) as usize;
        if let Some(bound) = &self.bound {
            bound.refresh(ask.now);
        } else if turn == 0 {
            return usize::from(self.table[place]);
        }
        self.search(place, turn, ask)
    }

    fn position(&self) -> Option<Position> {
        None
    }
}

/// How many entries each gets: its share, rounded by largest remainder, and one at least.
fn quotas(weights: &[u32]) -> Vec<u64> {
    let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    let entries = ENTRIES as u64;
    let mut quotas: Vec<u64> = weights
        .iter()
        .map(|weight| (u64::from(*weight) * entries / total).max(u64::from(*weight > 0)))
        .collect();
    let mut by_remainder: Vec<usize> = (0..weights.len()).filter(|index| quotas[*index] > 0).collect();
    by_remainder.sort_by_key(|index| std::cmp::Reverse(u64::from(weights[*index]) * entries % total));
    let mut given: u64 = quotas.iter().sum();
    for index in by_remainder.into_iter().cycle() {
        if given >= entries {
            break;
        }
        quotas[index] += 1;
        given += 1;
    }
    // What those got that were to have less than one, the greatest give.
    while given > entries {
        let Some(greatest) = quotas.iter_mut().max() else { break };
        let gives = (*greatest - 1).min(given - entries).min((*greatest / 2).max(1));
        *greatest -= gives;
        given -= gives;
    }
    quotas
}

/// The order in which an endpoint takes entries.
struct Order {
    next: usize,
    skip: usize,
}

impl Order {
    #[expect(clippy::cast_possible_truncation, reason = "the remainders are below the length of the table")]
    fn of(endpoint: &Endpoint) -> Self {
        let address = endpoint.provider.address.to_string();
        let [start, skip] = SEEDS.map(|seed| XxHash3_64::oneshot_with_seed(seed, address.as_bytes()));
        Self { next: (start % ENTRIES as u64) as usize, skip: (skip % (ENTRIES as u64 - 1)) as usize + 1 }
    }
}

/// The table that these fill in turn, each as many entries as it is to have, spread over the whole time of filling.
fn table(mut orders: Vec<Order>, quotas: &[u64]) -> Box<[u16]> {
    const FREE: u32 = u32::MAX;
    let mut turns: Vec<(u64, u16)> = Vec::with_capacity(ENTRIES);
    for (index, quota) in (0..=u16::MAX).zip(quotas) {
        // The k-th of q comes at the time (k + 1/2) / q.
        turns.extend((0..*quota).map(|k| (((2 * k + 1) << 32) / (2 * quota), index)));
    }
    turns.sort_unstable();
    let mut table = vec![FREE; ENTRIES];
    for (_, index) in turns {
        let order = &mut orders[usize::from(index)];
        // A prime length makes every skip visit every entry, and there are no more turns than entries.
        while table[order.next] != FREE {
            order.next = (order.next + order.skip) % ENTRIES;
        }
        table[order.next] = u32::from(index);
    }
    table.into_iter().map(|index| u16::try_from(index).unwrap_or_default()).collect()
}
