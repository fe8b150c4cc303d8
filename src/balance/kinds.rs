//! The table of all policies: a policy is the choice, by name, that builds a balancer.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rand::rngs::SmallRng;
use thiserror::Error;

use super::Balancer;
use super::random::Random;
use super::round_robin::RoundRobin;
use crate::endpoint::Endpoint;

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Policy {
    /// One after the other, by weight, exactly fair over all workers together.
    #[default]
    RoundRobin,
    /// By chance, in proportion to weight.
    Random,
}

/// A text that names no policy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("there is no policy {0:?}; write {list}", list = Policy::names())]
pub struct PolicyError(String);

impl Policy {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::RoundRobin, Self::Random];

    /// The word for it in configuration, logs and admin answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::Random => "random",
        }
    }

    /// Whether it heeds the key of a request.
    pub fn uses_key(self) -> bool {
        self.as_str() == "maglev"
    }

    /// The balancer for these endpoints, of which there is at least one, in order of address.
    ///
    /// An order goes on where `previous` stood; without one it begins at a random place, which `rng` decides.
    pub fn build(
        self,
        endpoints: &Arc<[Endpoint]>,
        previous: Option<&dyn Balancer>,
        rng: &mut SmallRng,
    ) -> Arc<dyn Balancer> {
        match self {
            Self::RoundRobin => Arc::new(RoundRobin::new(endpoints, previous, rng)),
            Self::Random => Arc::new(Random::new(endpoints)),
        }
    }

    fn names() -> String {
        Self::ALL.map(|policy| format!("{:?}", policy.as_str())).join(" or ")
    }
}

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let known = Self::ALL.into_iter().find(|policy| policy.as_str() == text);
        known.ok_or_else(|| PolicyError(text.to_owned()))
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for policy in Policy::ALL {
            assert_eq!(policy.as_str().parse(), Ok(policy));
        }
        assert_eq!(
            "roundrobin".parse::<Policy>().unwrap_err().to_string(),
            r#"there is no policy "roundrobin"; write "round-robin" or "random""#
        );
    }
}
