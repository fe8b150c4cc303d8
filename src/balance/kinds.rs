//! The table of all policies: a policy is the choice, by name, that builds a balancer.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rand::rngs::SmallRng;
use thiserror::Error;

use super::least_request::LeastRequest;
use super::maglev::Maglev;
use super::peak_ewma::PeakEwma;
use super::random::Random;
use super::round_robin::RoundRobin;
use super::{Balancer, Choice};
use crate::endpoint::Endpoint;

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Policy {
    /// One after the other, by weight, exactly fair over all workers together.
    #[default]
    RoundRobin,
    /// By chance, in proportion to weight.
    Random,
    /// Of two drawn by weight, the one with less in flight.
    LeastRequest,
    /// Of two drawn by weight, the one whose latency times load is less.
    PeakEwma,
    /// By the key of the request: the same key to the same endpoint.
    Maglev,
}

/// A text that names no policy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("there is no policy {0:?}; write {list}", list = Policy::names())]
pub struct PolicyError(String);

impl Policy {
    /// All there are.
    pub const ALL: [Self; 5] =
        [Self::RoundRobin, Self::Random, Self::LeastRequest, Self::PeakEwma, Self::Maglev];

    /// The word for it in configuration, logs and admin answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::Random => "random",
            Self::LeastRequest => "least-request",
            Self::PeakEwma => "peak-ewma",
            Self::Maglev => "maglev",
        }
    }

    /// Whether it heeds the key of a request.
    pub const fn uses_key(self) -> bool {
        match self {
            Self::Maglev => true,
            Self::RoundRobin | Self::Random | Self::LeastRequest | Self::PeakEwma => false,
        }
    }

    fn names() -> String {
        Self::ALL.map(|policy| format!("{:?}", policy.as_str())).join(" or ")
    }
}

impl Choice {
    /// The balancer for these endpoints, of which there is at least one, in order of address.
    ///
    /// An order goes on where `previous` stood; without one it begins at a random place, which `rng` decides.
    pub fn build(
        self,
        endpoints: &Arc<[Endpoint]>,
        previous: Option<&dyn Balancer>,
        rng: &mut SmallRng,
    ) -> Arc<dyn Balancer> {
        match self.policy {
            Policy::RoundRobin => Arc::new(RoundRobin::new(endpoints, previous, rng)),
            Policy::Random => Arc::new(Random::new(endpoints)),
            Policy::LeastRequest => Arc::new(LeastRequest::new(endpoints)),
            Policy::PeakEwma => Arc::new(PeakEwma::new(endpoints)),
            Policy::Maglev => Arc::new(Maglev::new(endpoints, self.load_bound)),
        }
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
            r#"there is no policy "roundrobin"; write "round-robin" or "random" or "least-request" or "peak-ewma" or "maglev""#
        );
    }
}
