//! The history of an endpoint: what attempts leave behind, kept apart from what a pick reads.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::ceiling::Ceiling;
use super::ejection::Past;
use super::idle::Idling;
use super::said;
use super::tally::Tally;
use super::trial::Trial;
use crate::clock::Moment;

/// One that asks for less again within this time goes on asking, which is no news.
const SAME_STORY: Duration = Duration::from_mins(1);

/// What attempts leave behind.
///
/// Apart from the [`Memory`](super::Memory) it belongs to, so that what attempts write at their end lies on no cache line that
/// a pick reads. In the order in which it is written: what each attempt writes comes before what only some do.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(super) struct History {
    /// Attempts begun. Written by the workers, read by metrics and admin.
    pub(super) attempts: AtomicU64,
    /// The bits of the moment of the last answer. Written by workers and probes, read by probes and admin.
    pub(super) answered: AtomicU64,
    /// What went well and what failed lately. Written by workers after each attempt, read by whoever notes a failure.
    pub(super) tally: Tally,
    /// How much it bears, where that is found out. Written by workers after each attempt then, and read at each pick.
    pub(super) ceiling: Ceiling,
    /// How long connections may idle. Written when a connection is new or ends, read when an idle one is used.
    pub(super) idling: Idling,
    /// How often it was ejected, and why. Written by workers when that changes.
    pub(super) past: Past,
    /// The right to try it while it is out. Written and read by workers.
    pub(super) trial: Trial,
    /// Attempts that began while there was a ramp, and have no answer yet. Written by workers, read at picks while there is one.
    pub(super) awaited: AtomicU32,
    /// Attempts that failed on the way to or at the provider. Written by the workers, read by metrics and admin.
    pub(super) failures: AtomicU64,
    /// Those of them that were not answered. Written by the workers, read by the catalog.
    pub(super) unanswered: AtomicU64,
    /// The bits of the moment at which it last asked for less. Written by workers when it does and was not aside.
    pub(super) asked: AtomicU64,
    /// How the last of them failed. Written by the workers, read by admin.
    pub(super) last: said::Last,
    /// The bits of the moment since which it is listed. Written by the catalog, read by admin.
    pub(super) listed: AtomicU64,
    /// The bits of the moment at which it last went out or came back. Written by whoever tells of that, read by admin.
    pub(super) turned: AtomicU64,
}

impl History {
    /// Notes that it asks for less, and says whether that is worth telling.
    pub(super) fn asks_anew(&self, now: Moment) -> bool {
        let before = Moment::from_bits(self.asked.swap(now.to_bits(), Ordering::Relaxed));
        before.is_none_or(|before| now.since(before) >= SAME_STORY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_goes_on_asking_is_told_of_once() {
        let history = History::default();
        let told = [0, 5_000, 50_000, 109_000, 169_000, 170_000]
            .map(|millis| history.asks_anew(Moment::from_millis(millis)));
        assert_eq!(told, [true, false, false, false, true, false]);
    }
}
