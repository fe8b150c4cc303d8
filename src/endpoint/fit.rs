//! Whether an endpoint fits one more attempt.

use super::ceiling::Bounds;
use super::{Care, Endpoint};

/// Whether an endpoint fits one more attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is well and has room.
    Ready,
    /// It is well, but new or just back, and has as much in flight as it should have so far: the next, if another is ready.
    Ramping,
    /// It is well and has as much in flight as it may have.
    Full,
    /// It is not well; a single attempt may try it now and then.
    Out,
}

impl Endpoint {
    /// Whether it fits one more attempt.
    pub fn fit(&self, care: &Care) -> Fit {
        let (memory, in_flight) = (&self.memory, self.memory.in_flight());
        if !self.is_available() {
            Fit::Out
        } else if in_flight >= memory.in_flight_max(care) {
            Fit::Full
        } else if care.slow_start && memory.ramp().is_some_and(|allowed| in_flight >= allowed) {
            Fit::Ramping
        } else {
            Fit::Ready
        }
    }
}

impl super::Memory {
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
