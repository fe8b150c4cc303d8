//! The policy `least-request`: of two endpoints drawn by weight, the one with less in flight for its weight.

use super::two_choices::TwoChoices;
use super::{Ask, Balancer, Position};
use crate::endpoint::Endpoint;

/// Of two endpoints drawn by weight, the one with less in flight for its weight; the one drawn first when that is the same.
///
/// What is compared is what is in flight, not what would be with one more: while little is in flight the latter would give
/// everything to the heavier one of each two, and a light endpoint, or one that warms up, would get nothing at all.
#[derive(Debug)]
pub struct LeastRequest {
    choices: TwoChoices,
}

impl LeastRequest {
    /// The picker for these endpoints, of which there is at least one.
    pub fn new(endpoints: &[Endpoint]) -> Self {
        Self { choices: TwoChoices::new(endpoints) }
    }
}

impl Balancer for LeastRequest {
    fn propose(&self, ask: &mut Ask<'_>, turn: usize) -> usize {
        self.choices.choose(ask, turn, |_, load| load)
    }

    fn position(&self) -> Option<Position> {
        None
    }
}
