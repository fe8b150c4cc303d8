//! A balancer: the picker built for one snapshot, which proposes one endpoint after the other.

mod alias;
mod ask;
mod bound;
mod choice;
pub mod kinds;
pub mod least_request;
pub mod maglev;
mod notes;
pub mod peak_ewma;
pub mod random;
pub mod rng;
pub mod round_robin;
mod two_choices;
mod wish;

#[cfg(test)]
mod properties;

use std::fmt;

pub use ask::{Ask, Detour};
pub use choice::{Choice, LoadBound, LoadBoundError};
pub use kinds::{Policy, PolicyError};
pub use notes::{Notes, Step};
pub use wish::{Named, Wish};

use crate::endpoint::Endpoint;
use crate::provider::Address;

/// What proposes an endpoint of one snapshot for each attempt.
///
/// Knows weights, and may look at how endpoints are; but whoever asks judges that, and asks again when one cannot be used.
/// Shared by all workers, never locked, allocates nothing.
pub trait Balancer: Send + Sync + fmt::Debug {
    /// The next candidate: an index below the number of endpoints the balancer was built for. `turn` counts the
    /// proposals of one pick, from 0.
    fn propose(&self, ask: &mut Ask<'_>, turn: usize) -> usize;

    /// Where the policy stands in its order; `None` when it keeps none.
    fn position(&self) -> Option<Position>;

    /// The ticket that its order hands out next; `None` when it keeps none.
    fn ticket(&self) -> Option<u64> {
        None
    }

    /// Lets its order go on with this ticket, where it keeps one.
    fn go_on(&self, _ticket: u64) {}
}

/// Where a policy stands in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The address whose turn is next.
    pub next: Address,
    /// Which of its turns in a cycle that is, from 0.
    pub turn: u64,
    /// How many turns it has in a cycle, at least 1.
    pub turns: u64,
}

/// The weights to balance by, in hundredths: those announced, or equal ones when no endpoint is to get traffic.
///
/// A weight of 0 asks for no traffic, but a provider without traffic is better than no provider.
fn weights(endpoints: &[Endpoint]) -> Vec<u32> {
    let weights: Vec<u32> = endpoints.iter().map(|endpoint| endpoint.weight.hundredths()).collect();
    if weights.iter().all(|weight| *weight == 0) { vec![1; weights.len()] } else { weights }
}
