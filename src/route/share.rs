//! A share: the part of all requests that something happens to.

use std::fmt;

/// A share of requests, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

/// Millionths in the whole.
const WHOLE: f64 = 1e6;

impl Share {
    /// All of them.
    pub const ALL: Self = Self(1_000_000);

    /// A share in percent, from 0 to 100; what is less than a millionth counts as nothing.
    pub fn percent(percent: f64) -> Self {
        Self((percent.clamp(0.0, 100.0) * (WHOLE / 100.0)).round() as u32)
    }

    /// In percent.
    pub fn to_percent(self) -> f64 {
        f64::from(self.0) / (WHOLE / 100.0)
    }

    /// Whether a request is in it; `luck` is from 0 up to but not including 1.
    pub fn has(self, luck: f64) -> bool {
        luck * WHOLE < f64::from(self.0)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.to_percent())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_and_all_are_exact() {
        assert!(!Share::percent(0.0).has(0.0) && Share::ALL.has(1.0 - f64::EPSILON));
        assert_eq!(Share::percent(100.0), Share::ALL);
        assert_eq!((Share::percent(f64::NAN), Share::percent(-1.0)), (Share(0), Share(0)));
        assert!(Share::percent(0.1).has(0.000_999) && !Share::percent(0.1).has(0.001));
        assert_eq!(Share::percent(0.1).to_string(), "0.1%");
    }
}
