//! A refusal: it was found a moment ago that no more of some endpoints may be ejected.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Moment;

/// How long nobody looks at all of them again.
const HOLDS: Duration = Duration::from_millis(100);

/// When it was last found that no more of the endpoints of a tier may be ejected. Of each tier by itself: what holds in one
/// says nothing of another.
#[derive(Debug, Default)]
pub struct Refusal {
    /// The bits of that moment; 0 before the first. Written and read by whoever decides.
    found: AtomicU64,
}

impl Refusal {
    /// Whether that was a moment ago.
    pub(super) fn holds(&self, now: Moment) -> bool {
        let found = Moment::from_bits(self.found.load(Ordering::Relaxed));
        found.is_some_and(|found| found <= now && now.since(found) < HOLDS)
    }

    /// Notes that it was found now.
    pub(super) fn note(&self, now: Moment) {
        self.found.store(now.to_bits(), Ordering::Relaxed);
    }
}
