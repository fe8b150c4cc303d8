//! The policy `random`: by chance, in proportion to weight, at the same cost for any number of endpoints.

use rand::RngExt as _;
use rand::rngs::SmallRng;

use super::{Balancer, Position, weights};
use crate::endpoint::Endpoint;

/// By chance, in proportion to weight: Walker's alias method, with whole numbers so that shares are exact.
///
/// The total weight is laid out over columns of equal height, one per endpoint; each column belongs to its endpoint up to
/// a level and to one other endpoint above it. A pick is a column and a height.
#[derive(Debug)]
pub struct Random {
    /// The number of endpoints.
    len: usize,
    /// The columns; empty when all weights are equal, since then a column is enough.
    columns: Box<[Column]>,
    /// The height of all columns.
    height: u64,
}

#[derive(Clone, Copy, Debug)]
struct Column {
    /// Below this height the column belongs to its own endpoint.
    level: u64,
    /// Whose it is above.
    other: usize,
}

impl Random {
    /// The picker for these endpoints, of which there is at least one.
    pub fn new(endpoints: &[Endpoint]) -> Self {
        Self::from_weights(&weights(endpoints))
    }

    fn from_weights(weights: &[u32]) -> Self {
        let len = weights.len();
        if weights.windows(2).all(|pair| pair[0] == pair[1]) {
            return Self { len, columns: Box::default(), height: 1 };
        }
        let height: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let mut columns: Box<[Column]> = weights
            .iter()
            .enumerate()
            .map(|(index, weight)| Column { level: u64::from(*weight) * len as u64, other: index })
            .collect();
        let (mut low, mut high): (Vec<usize>, Vec<usize>) =
            (0..len).partition(|index| columns[*index].level < height);
        // A column that is too low is filled up from one that is too high, which may thereby become too low itself.
        while let (Some(small), Some(&large)) = (low.pop(), high.last()) {
            columns[small].other = large;
            columns[large].level -= height - columns[small].level;
            if columns[large].level < height {
                high.pop();
                low.push(large);
            }
        }
        Self { len, columns, height }
    }
}

impl Balancer for Random {
    fn propose(&self, rng: &mut SmallRng) -> usize {
        let index = rng.random_range(0..self.len);
        match self.columns.get(index) {
            None => index,
            Some(column) if rng.random_range(0..self.height) < column.level => index,
            Some(column) => column.other,
        }
    }

    fn position(&self) -> Option<Position> {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::balance::rng;

    /// The share of each endpoint, in units of `1 / (height * len)`, read off the columns.
    fn shares(random: &Random) -> Vec<u64> {
        let mut shares = vec![0; random.len];
        for (index, column) in random.columns.iter().enumerate() {
            shares[index] += column.level.min(random.height);
            shares[column.other] += random.height - column.level.min(random.height);
        }
        shares
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
                prop_assert!(weights[random.propose(&mut rng)] > 0);
            }
        }
    }

    /// Pearson's statistic of so many picks against the weights.
    fn chi_square(weights: &[u32], picks: u32, seed: u64) -> f64 {
        let random = Random::from_weights(weights);
        let mut rng = rng::for_worker(seed, 0);
        let mut counts = vec![0_u32; weights.len()];
        for _ in 0..picks {
            counts[random.propose(&mut rng)] += 1;
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
