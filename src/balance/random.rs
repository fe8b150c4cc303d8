//! The policy `random`: by chance, in proportion to weight, at the same cost for any number of endpoints.

use super::alias::Alias;
use super::{Ask, Balancer, Position, weights};
use crate::endpoint::Endpoint;

/// By chance, in proportion to weight.
#[derive(Debug)]
pub struct Random {
    alias: Alias,
}

impl Random {
    /// The picker for these endpoints, of which there is at least one.
    pub fn new(endpoints: &[Endpoint]) -> Self {
        Self { alias: Alias::new(&weights(endpoints)) }
    }
}

impl Balancer for Random {
    fn propose(&self, ask: &mut Ask<'_>, _turn: usize) -> usize {
        self.alias.draw(ask.rng)
    }

    fn position(&self) -> Option<Position> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::rng;
    use crate::clock::Moment;

    /// Pearson's statistic of so many picks against the weights.
    fn chi_square(weights: &[u32], picks: u32, seed: u64) -> f64 {
        let random = Random { alias: Alias::new(weights) };
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
