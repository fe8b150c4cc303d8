//! Whose turn it is: a cycle of turns in which everyone keeps close to the share of its weight at any time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Turns per endpoint that a cycle of unequal weights has at most; with 32 the rounding of an average weight is 1.6 %.
const TURNS_PER_ENDPOINT_MAX: u64 = 32;
/// A cycle may always be this long: any two weights up to 40.95 : 0.01 are exact, at 16 KiB.
const SHORT_CYCLE: u64 = 4096;
/// The longest cycle, as long as there are fewer endpoints than that: 1 MiB.
const LONG_CYCLE: u64 = 262_144;

/// A cycle of turns.
///
/// Shares are exact when the weights, divided by their greatest common divisor, add up to no more than the longest cycle
/// for so many endpoints: `32 * n`, at least 4,096 and at most 262,144. Otherwise weights are rounded to that many turns
/// by largest remainder, each getting at least one, so that a share is off by at most one turn of the cycle, which these
/// least turns may lengthen by at most `n`.
///
/// At every point of the cycle each endpoint has had its share of the turns so far, less or more by less than one.
#[derive(Debug)]
pub(super) enum Schedule {
    /// All weights are equal: the order of the endpoints itself.
    Equal(u32),
    /// The turns of one cycle, as indices of endpoints.
    Turns(Box<[u32]>),
}

impl Schedule {
    /// The schedule for these weights, of which at least one is not 0; one of weight 0 gets no turn.
    pub(super) fn new(weights: &[u32]) -> Self {
        let count = u32::try_from(weights.len()).unwrap_or(u32::MAX);
        if weights.windows(2).all(|pair| pair[0] == pair[1]) {
            return Self::Equal(count);
        }
        Self::Turns(cycle(&turns_each(weights)))
    }

    /// Turns in a cycle, at least 1.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Equal(count) => u64::from(*count),
            Self::Turns(turns) => turns.len() as u64,
        }
    }

    /// The index of the endpoint whose turn it is.
    pub(super) fn turn(&self, ticket: u64) -> usize {
        match self {
            Self::Equal(_) => self.index(ticket),
            Self::Turns(turns) => turns[self.index(ticket)] as usize,
        }
    }

    /// Where in its cycle a ticket is.
    #[expect(clippy::cast_possible_truncation, reason = "the remainder is below the length of a slice")]
    fn index(&self, ticket: u64) -> usize {
        (ticket % self.len()) as usize
    }

    /// Which of the turns of its endpoint in a cycle a ticket is for, and how many those are.
    pub(super) fn place(&self, ticket: u64) -> (u64, u64) {
        match self {
            Self::Equal(_) => (0, 1),
            Self::Turns(turns) => {
                let endpoint = turns[self.index(ticket)];
                let count = |turns: &[u32]| turns.iter().filter(|turn| **turn == endpoint).count() as u64;
                (count(&turns[..self.index(ticket)]), count(turns))
            }
        }
    }

    /// A ticket for a turn of this endpoint at a part of all its turns in a cycle, from 0 to 1; `None` when it has none.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to the length of a cycle"
    )]
    pub(super) fn turn_of(&self, endpoint: usize, part: f64) -> Option<u64> {
        match self {
            Self::Equal(count) => (endpoint < *count as usize).then_some(endpoint as u64),
            Self::Turns(turns) => {
                let mut its = (0..).zip(turns).filter(|(_, turn)| **turn as usize == endpoint);
                let count = its.clone().count();
                let nth = (part.clamp(0.0, 1.0) * count as f64) as usize;
                its.nth(nth.min(count.checked_sub(1)?)).map(|(ticket, _)| ticket)
            }
        }
    }
}

/// How many turns of a cycle each gets.
fn turns_each(weights: &[u32]) -> Vec<u64> {
    let divisor = weights.iter().copied().fold(0, gcd).max(1);
    let weights: Vec<u64> = weights.iter().map(|weight| u64::from(weight / divisor)).collect();
    let total: u64 = weights.iter().sum();
    let count = weights.iter().filter(|weight| **weight > 0).count() as u64;
    let longest = (count * TURNS_PER_ENDPOINT_MAX).clamp(SHORT_CYCLE, LONG_CYCLE);
    if total <= longest {
        return weights;
    }
    let mut turns: Vec<u64> =
        weights.iter().map(|weight| (weight * longest / total).max(u64::from(*weight > 0))).collect();
    let left = longest.saturating_sub(turns.iter().sum());
    // Whoever gets its one turn by grace has no part in what is left.
    let mut by_remainder: Vec<usize> =
        (0..weights.len()).filter(|index| weights[*index] * longest >= total).collect();
    by_remainder.sort_by_key(|index| Reverse(weights[*index] * longest % total));
    for index in by_remainder.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
        turns[index] += 1;
    }
    turns
}

/// Lays out the turns: the k-th of `n` turns of an endpoint falls within the k-th of `n` equal parts of the cycle, and of
/// those that may come, the one that has to come soonest comes first (earliest deadline first, which finds an order that
/// keeps all these bounds because one exists: Baruah, Cohen, Plaxton, Varvel, "Proportionate progress", 1996).
///
/// Who may come is a heap by deadline; who may not yet stands in a list at the time from which it may, each in one only.
fn cycle(turns_each: &[u64]) -> Box<[u32]> {
    /// The end of a list.
    const END: u32 = u32::MAX;
    let length: u64 = turns_each.iter().sum();
    let mut had = vec![0_u64; turns_each.len()];
    let mut ready: BinaryHeap<Reverse<(u64, u32)>> = (0..)
        .zip(turns_each)
        .filter(|(_, turns)| **turns > 0)
        .map(|(index, turns)| Reverse((length.div_ceil(*turns), index)))
        .collect();
    let mut from = vec![END; usize::try_from(length).unwrap_or_default()];
    let mut behind = vec![END; turns_each.len()];
    let mut cycle = Vec::with_capacity(from.len());
    for now in 0..from.len() {
        let mut begins = from[now];
        while begins != END {
            let index = begins as usize;
            ready.push(Reverse((((had[index] + 1) * length).div_ceil(turns_each[index]), begins)));
            begins = behind[index];
        }
        // Of n parts that make up the whole cycle, one has begun and is not served; else the bounds could not be kept.
        let Some(Reverse((_, next))) = ready.pop() else { break };
        cycle.push(next);
        let index = next as usize;
        had[index] += 1;
        if had[index] < turns_each[index] {
            // No part but the last may begin when the cycle is over, and none before its forerunner was served and over.
            let begin = usize::try_from(had[index] * length / turns_each[index]).unwrap_or_default();
            if begin <= now {
                ready.push(Reverse((((had[index] + 1) * length).div_ceil(turns_each[index]), next)));
            } else {
                behind[index] = std::mem::replace(&mut from[begin], next);
            }
        }
    }
    cycle.into()
}

const fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn letters(weights: &[u32]) -> String {
        let schedule = Schedule::new(weights);
        (0..schedule.len())
            .map(|ticket| char::from(b'a' + u8::try_from(schedule.turn(ticket)).unwrap()))
            .collect()
    }

    #[test]
    fn equal_weights_keep_the_order() {
        assert_eq!(letters(&[100, 100, 100]), "abc");
        assert_eq!(letters(&[0, 7, 7]), "bc");
    }

    #[test]
    fn unequal_weights_are_spread() {
        assert_eq!(letters(&[500, 100, 100]), "aaabaac");
        assert_eq!(letters(&[200, 200, 200, 100]), "abcabcd");
        assert_eq!(letters(&[100, 200]), "bab");
        assert_eq!(letters(&[100, 0, 300]), "ccac");
    }

    #[test]
    fn awkward_weights_are_rounded_to_a_bounded_cycle() {
        let turns = turns_each(&[99_999, 1, 50_001]);
        assert_eq!(turns.iter().sum::<u64>(), SHORT_CYCLE);
        assert_eq!(turns[1], 1);
        let many: Vec<u32> = (0..10_000).map(|index| 1000 + index * 7).collect();
        assert!(Schedule::new(&many).len() <= LONG_CYCLE);
    }

    proptest! {
        #[test]
        fn nobody_is_ever_a_whole_turn_from_its_share(weights in prop::collection::vec(0_u32..=100_000, 2..40)) {
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            let each = if weights.windows(2).all(|pair| pair[0] == pair[1]) {
                vec![1; weights.len()]
            } else {
                turns_each(&weights)
            };
            let schedule = Schedule::new(&weights);
            let length = schedule.len();
            prop_assert_eq!(length, each.iter().sum::<u64>());
            prop_assert!(length <= SHORT_CYCLE + weights.len() as u64);
            let mut had = vec![0_u64; weights.len()];
            for ticket in 0..length {
                had[schedule.turn(ticket)] += 1;
                for (had, turns) in had.iter().zip(&each) {
                    prop_assert!((had * length).abs_diff(turns * (ticket + 1)) < length);
                }
            }
            prop_assert_eq!(had, each);
        }

        #[test]
        fn rounding_costs_less_than_one_turn(weights in prop::collection::vec(1_u32..=100_000, 2..40)) {
            let turns = turns_each(&weights);
            let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
            let length: u64 = turns.iter().sum();
            // The least turn each gets may lengthen the cycle; the rest is rounded within one turn.
            let cycle = length.min(SHORT_CYCLE);
            for (weight, turns) in weights.iter().zip(&turns) {
                let exact = u64::from(*weight) * cycle / total;
                prop_assert!(turns.abs_diff(exact) <= 1, "{} of {}", turns, exact);
            }
        }

        #[test]
        fn whoever_has_a_weight_has_a_turn(weights in prop::collection::vec(0_u32..=9, 2..12), phase in 0.0..1.0, endpoint in 0_usize..12) {
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            let schedule = Schedule::new(&weights);
            let ticket = schedule.turn_of(endpoint, phase);
            prop_assert_eq!(ticket.is_some(), endpoint < weights.len() && (weights[endpoint] > 0));
            if let Some(ticket) = ticket {
                prop_assert_eq!(schedule.turn(ticket), endpoint);
            }
        }
    }

    #[test]
    fn a_turn_is_found_again_at_the_same_part_of_all() {
        let schedule = Schedule::new(&[500, 100, 100]);
        assert_eq!(letters(&[500, 100, 100]), "aaabaac");
        for (ticket, place) in [(0, (0, 5)), (2, (2, 5)), (3, (0, 1)), (4, (3, 5)), (7 + 5, (4, 5))] {
            assert_eq!(schedule.place(ticket), place);
            let part = (place.0 as f64 + 0.5) / place.1 as f64;
            assert_eq!(schedule.turn_of(schedule.turn(ticket), part), Some(ticket % 7));
        }
        assert_eq!(schedule.turn_of(0, 1.0), Some(5));
    }
}
