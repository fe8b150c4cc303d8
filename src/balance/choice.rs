//! The choice of a claim: which policy, and what goes with it.

use super::Policy;

/// How one of several endpoints is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Choice {
    /// By which policy.
    pub policy: Policy,
}

impl From<Policy> for Choice {
    fn from(policy: Policy) -> Self {
        Self { policy }
    }
}
