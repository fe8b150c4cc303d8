//! Whether an endpoint fits one more attempt.

use super::ceiling::Bounds;
use super::{Care, Endpoint};
use crate::clock::Moment;

/// Whether an endpoint fits one more attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is well and has room.
    Ready,
    /// It is well, but asked for less, or is new or just back and has as many answers to give as it should have so far: the
    /// next, if another is ready.
    Deferred,
    /// It is well and has as much in flight as it may have.
    Full,
    /// It is not well; a single attempt may try it now and then.
    Out,
}

impl Fit {
    /// One word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Deferred => "deferred",
            Self::Full => "full",
            Self::Out => "out",
        }
    }
}

impl Endpoint {
    /// Whether it fits one more attempt.
    pub fn fit(&self, care: &Care, now: Moment) -> Fit {
        let (memory, in_flight) = (&self.memory, self.memory.in_flight());
        // Not what is in flight: what was answered and lasts, or began before, would keep it waiting until all of that has ended.
        let is_ramping =
            || care.slow_start && memory.ramp().is_some_and(|allowed| memory.awaited() >= allowed);
        if !self.is_available() {
            Fit::Out
        } else if in_flight >= memory.in_flight_max(care) {
            Fit::Full
        } else if memory.aside.holds(now) || is_ramping() {
            Fit::Deferred
        } else {
            Fit::Ready
        }
    }
}

impl super::Memory {
    /// Whether one more may be in flight there.
    pub fn has_room(&self, care: &Care) -> bool {
        self.in_flight() < self.in_flight_max(care)
    }

    /// What may be in flight there.
    pub fn in_flight_max(&self, care: &Care) -> u32 {
        match &care.adaptive {
            None => care.in_flight_max,
            Some(adaptive) => {
                let bounds = Bounds { min: adaptive.min.min(care.in_flight_max), max: care.in_flight_max };
                self.history.ceiling.limit(bounds)
            }
        }
    }
}
