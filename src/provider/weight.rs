//! A provider's share of traffic relative to its siblings.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A share of traffic relative to the siblings of a provider, in hundredths: 100 is usual, 0 means no traffic.
///
/// Hundredths carry every scale in use: whole weights, ServerSets' fractions, and Dubbo's, whose usual weight is 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u32);

/// Why a number or text is not a [`Weight`].
#[derive(Clone, Debug, PartialEq, Error)]
#[error("a weight is a number from 0 to 1000, not {0}")]
pub struct WeightError(String);

impl Weight {
    /// No traffic.
    pub const ZERO: Self = Self(0);
    /// The usual weight.
    pub const ONE: Self = Self(100);
    /// The greatest weight: a thousand times the usual.
    pub const MAX: Self = Self(100_000);

    /// The weight of so many hundredths of the usual one, at most [`Weight::MAX`].
    pub const fn from_hundredths(hundredths: u32) -> Self {
        if hundredths > Self::MAX.0 { Self::MAX } else { Self(hundredths) }
    }

    /// This weight in hundredths of the usual one, from 0 to 100,000.
    pub const fn hundredths(self) -> u32 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::ONE
    }
}

impl TryFrom<f64> for Weight {
    type Error = WeightError;

    /// Rounds to hundredths, but never a positive weight down to none.
    fn try_from(number: f64) -> Result<Self, WeightError> {
        if !(0.0..=1000.0).contains(&number) {
            return Err(WeightError(number.to_string()));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 100,000 after the check above"
        )]
        let hundredths = (number * 100.0).round() as u32;
        Ok(Self(if number > 0.0 { hundredths.max(1) } else { 0 }))
    }
}

impl FromStr for Weight {
    type Err = WeightError;

    fn from_str(text: &str) -> Result<Self, WeightError> {
        let number = text.trim().parse::<f64>().map_err(|_| WeightError(format!("{text:?}")))?;
        Self::try_from(number)
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.0) / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_whole_and_fractional_weights() {
        assert_eq!("1".parse(), Ok(Weight::ONE));
        assert_eq!("0.5".parse(), Ok(Weight::from_hundredths(50)));
        assert_eq!("0".parse(), Ok(Weight::ZERO));
        assert_eq!("0.0001".parse(), Ok(Weight::from_hundredths(1)));
        assert_eq!("2.5".parse::<Weight>().unwrap().to_string(), "2.5");
    }

    #[test]
    fn refuses_what_is_no_share() {
        for text in ["-1", "1001", "NaN", "inf", "many", ""] {
            assert!(text.parse::<Weight>().is_err(), "{text}");
        }
    }
}
