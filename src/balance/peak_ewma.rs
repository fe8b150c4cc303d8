//! The policy `peak-ewma`: of two endpoints drawn by weight, the one whose latency times load is less.

use super::two_choices::TwoChoices;
use super::{Ask, Balancer, Position};
use crate::endpoint::Endpoint;

/// Of two endpoints drawn by weight, the one for which the latency it is expected to have, times what it would have in
/// flight for its weight, is less; the one drawn first when that is the same.
#[derive(Debug)]
pub struct PeakEwma {
    choices: TwoChoices,
}

impl PeakEwma {
    /// The picker for these endpoints, of which there is at least one.
    pub fn new(endpoints: &[Endpoint]) -> Self {
        Self { choices: TwoChoices::new(endpoints) }
    }
}

impl Balancer for PeakEwma {
    fn propose(&self, ask: &mut Ask<'_>, turn: usize) -> usize {
        let now = ask.now;
        self.choices.choose(ask, turn, |memory, load| memory.latency.expected_ms(now) * (load + 1.0))
    }

    fn position(&self) -> Option<Position> {
        None
    }
}
