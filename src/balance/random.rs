//! The policy `random`: by chance, in proportion to weight, at the same cost for any number of endpoints.

use rand::Rng as _;

use super::{Ask, Balancer, Position, weights};
use crate::endpoint::Endpoint;

/// By chance, in proportion to weight: Walker's alias method with whole numbers, at one random number per pick.
///
/// The total weight is laid out over columns of equal height, one per endpoint; each column belongs to its endpoint up to
/// a level and to one other endpoint above it. A pick is a column and a height. The shares laid out are exact; what 32
/// random bits each for column and height cost in evenness is under one part in `2^32` per endpoint.
#[derive(Debug)]
pub struct Random {
    /// The number of endpoints.
    len: u32,
    /// The columns; empty when all weights are equal, since then a column is enough.
    columns: Box<[Column]>,
    /// The height of all columns.
    height: u32,
}

/// Eight bytes, so that one cache line holds eight.
#[derive(Clone, Copy, Debug)]
struct Column {
    /// Below this height the column belongs to its own endpoint; never above the height of all.
    level: u32,
    /// Whose it is above.
    other: u32,
}

impl Random {
    /// The picker for these endpoints, of which there is at least one.
    pub fn new(endpoints: &[Endpoint]) -> Self {
        Self::from_weights(&weights(endpoints))
    }

    fn from_weights(weights: &[u32]) -> Self {
        let len = u32::try_from(weights.len()).unwrap_or(u32::MAX);
        if weights.windows(2).all(|pair| pair[0] == pair[1]) {
            return Self { len, columns: Box::default(), height: 1 };
        }
        let weights = fitting(weights);
        let height: u64 = weights.iter().sum();
        let mut levels: Vec<u64> = weights.iter().map(|weight| weight * u64::from(len)).collect();
        let mut others: Vec<u32> = (0..len).collect();
        let (mut low, mut high): (Vec<u32>, Vec<u32>) =
            (0..len).partition(|index| levels[*index as usize] < height);
        // A column that is too low is filled up from one that is too high, which may thereby become too low itself.
        while let (Some(small), Some(&large)) = (low.pop(), high.last()) {
            others[small as usize] = large;
            levels[large as usize] -= height - levels[small as usize];
            if levels[large as usize] < height {
                high.pop();
                low.push(large);
            }
        }
        let fit = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let column = |(level, other): (u64, u32)| Column { level: fit(level.min(height)), other };
        Self { len, columns: levels.into_iter().zip(others).map(column).collect(), height: fit(height) }
    }
}

/// The weights, halved as often as it takes for their sum to fit 32 bits, which it does up to 42,949 of the greatest; a
/// positive one stays positive.
fn fitting(weights: &[u32]) -> Vec<u64> {
    let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    let excess = (u64::BITS - total.leading_zeros()).saturating_sub(u32::BITS);
    // Once more than needed, for what staying positive adds.
    let halvings = if excess == 0 { 0 } else { excess + 1 };
    weights.iter().map(|weight| u64::from((weight >> halvings).max(u32::from(*weight > 0)))).collect()
}

impl Balancer for Random {
    fn propose(&self, ask: &mut Ask<'_>, _turn: usize) -> usize {
        let bits = ask.rng.next_u64();
        let index = below(self.len, bits >> 32);
        match self.columns.get(index as usize) {
            Some(column) if below(self.height, bits & u64::from(u32::MAX)) >= column.level => {
                column.other as usize
            }
            Some(_) | None => index as usize,
        }
    }

    fn position(&self) -> Option<Position> {
        None
    }
}

/// A number below a bound out of 32 random bits, whose product with it has the number in its upper half (Lemire, "Fast random integer generation in an interval", 2019).
const fn below(bound: u32, bits: u64) -> u32 {
    ((bits * bound as u64) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::balance::rng;
    use crate::clock::Moment;

    /// The share of each endpoint, in units of `1 / (height * len)`, read off the columns.
    fn shares(random: &Random) -> Vec<u64> {
        let mut shares = vec![0; random.len as usize];
        for (index, column) in random.columns.iter().enumerate() {
            shares[index] += u64::from(column.level);
            shares[column.other as usize] += u64::from(random.height - column.level);
        }
        shares
    }

    #[test]
    fn a_sum_that_does_not_fit_is_halved() {
        let mut weights = vec![100_000_u32; 50_000];
        weights[7] = 50_000;
        weights[9] = 1;
        let random = Random::from_weights(&weights);
        let shares = shares(&random);
        assert_eq!(shares[7] * 2, shares[8]);
        assert!(shares[9] > 0);
        assert_eq!(
            u64::from(random.height),
            weights.iter().map(|weight| u64::from((weight / 4).max(1))).sum::<u64>()
        );
    }

    proptest! {
        #[test]
        fn shares_are_exactly_the_weights(weights in prop::collection::vec(0_u32..=100_000, 2..300)) {
            prop_assume!(weights.iter().any(|weight| *weight != weights[0]));
            let expected: Vec<u64> =
                weights.iter().map(|weight| u64::from(*weight) * weights.len() as u64).collect();
            prop_assert_eq!(shares(&Random::from_weights(&weights)), expected);
        }

        #[test]
        fn proposals_are_in_range_and_never_of_weight_zero(
            weights in prop::collection::vec(0_u32..=3, 1..50), seed: u64,
        ) {
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            let random = Random::from_weights(&weights);
            let mut rng = rng::for_worker(seed, 0);
            for _ in 0..100 {
                prop_assert!(weights[random.propose(&mut Ask::new(Moment::START, &mut rng), 0)] > 0);
            }
        }
    }

    /// Pearson's statistic of so many picks against the weights.
    fn chi_square(weights: &[u32], picks: u32, seed: u64) -> f64 {
        let random = Random::from_weights(weights);
        let mut rng = rng::for_worker(seed, 0);
        let mut counts = vec![0_u32; weights.len()];
        for _ in 0..picks {
            counts[random.propose(&mut Ask::new(Moment::START, &mut rng), 0)] += 1;
        }
        let total: u32 = weights.iter().sum();
        let term = |(count, weight): (&u32, &u32)| {
            let expected = f64::from(picks) * f64::from(*weight) / f64::from(total);
            (f64::from(*count) - expected).powi(2) / expected
        };
        counts.iter().zip(weights).map(term).sum()
    }

    #[test]
    fn passes_chi_square_at_99_9_percent() {
        // Critical values for 6 degrees of freedom (table of the chi-square distribution).
        for seed in 0..5 {
            assert!(chi_square(&[1; 7], 70_000, seed) < 22.46, "equal, seed {seed}");
            assert!(chi_square(&[1, 2, 3, 4, 5, 6, 700], 70_000, seed) < 22.46, "unequal, seed {seed}");
        }
    }
}
