//! The statuses of a good answer.

use std::fmt;
use std::ops::RangeInclusive;

use http::StatusCode;

/// The statuses of a good answer; 200 to 299 where nothing else is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses(Box<[RangeInclusive<u16>]>);

impl Statuses {
    /// The statuses of these ranges, of which there is one at least.
    pub fn new(ranges: impl IntoIterator<Item = RangeInclusive<u16>>) -> Self {
        Self(ranges.into_iter().collect())
    }

    /// Whether it is one of them.
    pub fn contains(&self, status: StatusCode) -> bool {
        self.0.iter().any(|range| range.contains(&status.as_u16()))
    }

    /// The ranges they are made of.
    pub const fn ranges(&self) -> &[RangeInclusive<u16>] {
        &self.0
    }
}

impl Default for Statuses {
    fn default() -> Self {
        Self::new([200..=299])
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let before = if index == 0 { "" } else { ", " };
            match (range.start(), range.end()) {
                (one, same) if one == same => write!(f, "{before}{one}")?,
                (first, last) => write!(f, "{before}{first}-{last}")?,
            }
        }
        Ok(())
    }
}
