//! Draws by weight: Walker's alias method with whole numbers, at one random number per draw and the same cost for any number.

use rand::Rng as _;
use rand::rngs::SmallRng;

/// How often the second of two is drawn anew when it is the first once more.
const REDRAWS_MAX: usize = 3;

/// Indices, drawn in proportion to their weight.
///
/// The total weight is laid out over columns of equal height, one per index; each column belongs to its index up to
/// a level and to one other index above it. A draw is a column and a height. The shares laid out are exact; what 32
/// random bits each for column and height cost in evenness is under one part in `2^32` per index.
#[derive(Debug)]
pub(super) struct Alias {
    /// The number of indices.
    len: u32,
    /// The columns; empty when all weights are equal, since then a column is enough.
    columns: Box<[Column]>,
    /// The height of all columns.
    height: u32,
}

/// Eight bytes, so that one cache line holds eight.
#[derive(Clone, Copy, Debug)]
struct Column {
    /// Below this height the column belongs to its own index; never above the height of all.
    level: u32,
    /// Whose it is above.
    other: u32,
}

impl Alias {
    /// Draws by these weights, of which there is at least one, and at least one that is not 0 unless all are.
    pub(super) fn new(weights: &[u32]) -> Self {
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

    /// One index.
    pub(super) fn draw(&self, rng: &mut SmallRng) -> usize {
        let bits = rng.next_u64();
        let index = below(self.len, bits >> 32);
        self.owner(index, bits & u64::from(u32::MAX)) as usize
    }

    /// Two indices that differ, unless there is only one or the second comes out as the first time and again.
    pub(super) fn draw_two(&self, rng: &mut SmallRng) -> (usize, usize) {
        if self.columns.is_empty() {
            let bits = rng.next_u64();
            let first = below(self.len, bits >> 32);
            let second = below(self.len.saturating_sub(1), bits & u64::from(u32::MAX));
            let second = if self.len > 1 { second + u32::from(second >= first) } else { first };
            return (first as usize, second as usize);
        }
        let first = self.draw(rng);
        let mut second = self.draw(rng);
        for _ in 0..REDRAWS_MAX {
            if second != first {
                break;
            }
            second = self.draw(rng);
        }
        (first, second)
    }

    fn owner(&self, index: u32, height: u64) -> u32 {
        match self.columns.get(index as usize) {
            Some(column) if below(self.height, height) >= column.level => column.other,
            Some(_) | None => index,
        }
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

/// A number below a bound out of 32 random bits, whose product with it has the number in its upper half (Lemire, "Fast
/// random integer generation in an interval", 2019).
const fn below(bound: u32, bits: u64) -> u32 {
    ((bits * bound as u64) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::balance::rng;

    /// The share of each index, in units of `1 / (height * len)`, read off the columns.
    fn shares(alias: &Alias) -> Vec<u64> {
        let mut shares = vec![0; alias.len as usize];
        for (index, column) in alias.columns.iter().enumerate() {
            shares[index] += u64::from(column.level);
            shares[column.other as usize] += u64::from(alias.height - column.level);
        }
        shares
    }

    #[test]
    fn a_sum_that_does_not_fit_is_halved() {
        let mut weights = vec![100_000_u32; 50_000];
        weights[7] = 50_000;
        weights[9] = 1;
        let alias = Alias::new(&weights);
        let shares = shares(&alias);
        assert_eq!(shares[7] * 2, shares[8]);
        assert!(shares[9] > 0);
        assert_eq!(
            u64::from(alias.height),
            weights.iter().map(|weight| u64::from((weight / 4).max(1))).sum::<u64>()
        );
    }

    #[test]
    fn two_of_equal_weight_always_differ_and_every_pair_is_as_likely() {
        let alias = Alias::new(&[100; 4]);
        let mut rng = rng::for_worker(1, 0);
        let mut counts = [[0_u32; 4]; 4];
        for _ in 0..12_000 {
            let (first, second) = alias.draw_two(&mut rng);
            counts[first][second] += 1;
        }
        for (first, seconds) in counts.iter().enumerate() {
            assert_eq!(seconds[first], 0);
            let others = seconds.iter().enumerate().filter(|(second, _)| *second != first);
            assert!(others.clone().all(|(_, count)| (850..1150).contains(count)), "{counts:?}");
        }
        assert_eq!(Alias::new(&[100]).draw_two(&mut rng), (0, 0));
    }

    #[test]
    fn two_of_unequal_weight_mostly_differ() {
        let alias = Alias::new(&[300, 100, 0]);
        let mut rng = rng::for_worker(1, 0);
        let drawn: Vec<_> = (0..10_000).map(|_| alias.draw_two(&mut rng)).collect();
        assert!(drawn.iter().all(|(first, second)| *first < 2 && *second < 2));
        // Of those that begin with the heavy one, a second one is it again four times in a row with 0.75^4.
        let same = drawn.iter().filter(|(first, second)| first == second).count();
        assert!((2100..2700).contains(&same), "{same}");
    }

    proptest! {
        #[test]
        fn shares_are_exactly_the_weights(weights in prop::collection::vec(0_u32..=100_000, 2..300)) {
            prop_assume!(weights.iter().any(|weight| *weight != weights[0]));
            let expected: Vec<u64> =
                weights.iter().map(|weight| u64::from(*weight) * weights.len() as u64).collect();
            prop_assert_eq!(shares(&Alias::new(&weights)), expected);
        }
    }
}
