//! The choice of a claim: which policy, and what goes with it.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::Policy;

/// How one of several endpoints is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Choice {
    /// By which policy.
    pub policy: Policy,
    /// By which policy it is compared with; that one is asked as well, and nothing is sent where it says.
    pub shadow: Option<Policy>,
    /// How much more than the average one endpoint may have in flight before `maglev` passes its keys on.
    pub load_bound: Option<LoadBound>,
}

impl From<Policy> for Choice {
    fn from(policy: Policy) -> Self {
        Self { policy, ..Self::default() }
    }
}

/// How many times the average of all endpoints one may have in flight, in hundredths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoadBound(u16);

/// Why a number or text is not a [`LoadBound`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("it is not from 1.01 to 100")]
pub struct LoadBoundError;

impl LoadBound {
    /// The bound of so many hundredths of the average: more than 100, since with 100 nobody could be above the average at
    /// all, and at most 10,000.
    pub const fn from_hundredths(hundredths: u16) -> Option<Self> {
        if hundredths > 100 && hundredths <= 10_000 { Some(Self(hundredths)) } else { None }
    }

    /// The bound as a factor, from 1.01 to 100.
    pub fn factor(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

impl FromStr for LoadBound {
    type Err = LoadBoundError;

    /// Rounds to hundredths.
    fn from_str(text: &str) -> Result<Self, LoadBoundError> {
        let hundredths = text.trim().parse::<f64>().map_err(|_| LoadBoundError)? * 100.0;
        if !(0.0..=10_000.0).contains(&hundredths) {
            return Err(LoadBoundError);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 10,000 after the check above"
        )]
        let hundredths = hundredths.round() as u16;
        Self::from_hundredths(hundredths).ok_or(LoadBoundError)
    }
}

impl fmt::Display for LoadBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.factor())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_above_the_average() {
        assert_eq!("1.25".parse(), Ok(LoadBound(125)));
        assert_eq!("2".parse::<LoadBound>().unwrap().to_string(), "2");
        for text in ["1", "0.5", "-3", "101", "NaN", "inf", "much", "1.004"] {
            assert!(text.parse::<LoadBound>().is_err(), "{text}");
        }
    }
}
