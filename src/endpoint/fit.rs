//! Whether an endpoint fits one more attempt.

use super::{Care, Endpoint};

/// Whether an endpoint fits one more attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is well and has room.
    Ready,
    /// It is well and has as much in flight as it may have.
    Full,
    /// It is not well; a single attempt may try it now and then.
    Out,
}

impl Endpoint {
    /// Whether it fits one more attempt.
    pub fn fit(&self, care: &Care) -> Fit {
        if !self.is_available() {
            Fit::Out
        } else if self.memory.in_flight() >= care.in_flight_max {
            Fit::Full
        } else {
            Fit::Ready
        }
    }
}
