//! The table of all policies.

use std::str::FromStr;

/// How a provider is chosen, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Policy {
    /// One after the other, by weight.
    #[default]
    RoundRobin,
    /// At random, by weight.
    Random,
}

impl Policy {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::Random => "random",
        }
    }
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::RoundRobin, Self::Random]
            .into_iter()
            .find(|policy| policy.as_str() == text)
            .ok_or_else(|| format!("{text:?} is no policy"))
    }
}
