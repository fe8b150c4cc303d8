//! The standing of an endpoint: all that is asked of it at a pick, side by side since it is read together.

use super::Reach;
use super::ceiling::Ceiling;
use super::ejection::Ejection;
use super::ramp::Ramp;
use crate::clock::Moment;

/// All that is asked of an endpoint at a pick, but for what is in flight. Written rarely.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Whether connections succeed.
    pub(super) reach: Reach,
    /// Whether attempts fail.
    pub(super) ejection: Ejection,
    /// How much it should get while it is new.
    pub(super) ramp: Ramp,
    /// How much it bears, where that is found out.
    pub(super) ceiling: Ceiling,
}

impl Standing {
    /// Whether nothing speaks against an attempt.
    pub(super) fn is_good(&self) -> bool {
        self.reach.is_available() && !self.ejection.is_out()
    }

    /// Whether it is out, and for no reason whose pause is not over.
    pub(super) fn is_due(&self, now: Moment) -> bool {
        let (reach, ejection) = (&self.reach, &self.ejection);
        !self.is_good()
            && (reach.is_available() || reach.is_due(now))
            && (!ejection.is_out() || ejection.is_due(now))
    }
}
