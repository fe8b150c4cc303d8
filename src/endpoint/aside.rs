//! Aside: one that asked for less is passed over for a while, where another endpoint is ready.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Moment;

/// How long it is passed over at least, and when it does not say how long.
const LEAST: Duration = Duration::from_secs(1);

/// Whether an endpoint asked to be left alone for a while: by 429, or by `Retry-After`.
///
/// That is no judgement of it, and no more than a preference: it is in use, and where all ask for less each gets what it got
/// before.
#[derive(Debug, Default)]
pub(super) struct Aside {
    /// The bits of the moment until which it asked; 0 when it never did. Written by workers, read at each pick.
    until: AtomicU64,
}

impl Aside {
    /// Whether it is to be passed over.
    pub(super) fn holds(&self, now: Moment) -> bool {
        self.until.load(Ordering::Relaxed) > now.to_bits()
    }

    /// For how long yet.
    pub(super) fn left(&self, now: Moment) -> Duration {
        Moment::from_bits(self.until.load(Ordering::Relaxed)).map_or(Duration::ZERO, |until| until.since(now))
    }

    /// Notes that it asked for that long, if it says how long, and gets so much at most. True when it is passed over only by
    /// that.
    pub(super) fn ask(&self, pause: Option<Duration>, longest: Duration, now: Moment) -> bool {
        let until = now.after(pause.unwrap_or_default().max(LEAST).min(longest));
        self.until.fetch_max(until.to_bits(), Ordering::Relaxed) <= now.to_bits()
    }

    /// Forgets it: another process is there.
    pub(super) fn end(&self) {
        self.until.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_as_long_as_was_asked_within_a_bound() {
        let at = Moment::from_millis;
        let (aside, second, minute) = (Aside::default(), Duration::from_secs(1), Duration::from_mins(1));
        assert!(!aside.holds(at(0)) && aside.left(at(0)).is_zero());
        for (pause, longest, now, until) in [
            (None, minute, 0, 1000),
            (Some(Duration::ZERO), minute, 10, 1010),
            (Some(2 * second), minute, 100, 2100),
            (Some(second), minute, 200, 2100),
            (Some(60 * minute), minute, 300, 60_300),
        ] {
            assert_eq!(aside.ask(pause, longest, at(now)), now == 0, "{pause:?}");
            assert!(aside.holds(at(until - 1)) && !aside.holds(at(until)), "{pause:?}");
            assert_eq!(aside.left(at(now)), Duration::from_millis(until - now));
        }
        aside.end();
        assert!(!aside.holds(at(300)));
    }
}
