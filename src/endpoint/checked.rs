//! Whether checks find an endpoint well: out after several failures in a row, back after several passes, by checks alone.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Moment;

/// Checks in a row that change how an endpoint counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Passes in a row until it counts as well again.
    pub rise: u32,
    /// Failures in a row until it counts as unwell.
    pub fall: u32,
}

/// Whether checks find an endpoint well.
///
/// It counts as well from the start, so that one that nobody checks is used, and a new one serves at once. What a pick reads
/// comes first: see [`Memory`](super::Memory).
#[derive(Debug, Default)]
#[repr(C)]
pub struct Checked {
    /// The bits of the moment since which it is unwell; 0 while well. Written by whoever checks, read at each pick: it
    /// comes first, beside what else is read then.
    unwell_since: AtomicU64,
    /// The bits of the moment of the last check; 0 before the first. Written by whoever checks, read by admin, as all below.
    last: AtomicU64,
    /// Whether that failed.
    failed: AtomicBool,
    /// Checks in a row that ended as the last one did.
    in_a_row: AtomicU32,
    /// Why the last one that failed did.
    cause: Mutex<Option<Box<str>>>,
}

/// What [`Checked`] says, for an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checking {
    /// How long it has been unwell; `None` while it counts as well.
    pub unwell: Option<Duration>,
    /// How long ago it was last checked.
    pub last: Duration,
    /// Checks in a row that ended as the last one did.
    pub in_a_row: u32,
    /// Why the last one failed; `None` if it passed.
    pub cause: Option<Box<str>>,
}

impl Checked {
    /// Whether it counts as well.
    pub fn is_well(&self) -> bool {
        self.unwell_since.load(Ordering::Relaxed) == 0
    }

    /// Notes what a check found. True when it came to count as well or unwell by that. One at a time.
    pub(super) fn note(&self, result: Result<(), &str>, counts: Counts, now: Moment) -> bool {
        let failed = result.is_err();
        let is_first = self.last.swap(now.to_bits(), Ordering::Relaxed) == 0;
        let goes_on = self.failed.swap(failed, Ordering::Relaxed) == failed && !is_first;
        let before = if goes_on { self.in_a_row.load(Ordering::Relaxed) } else { 0 };
        let in_a_row = before.saturating_add(1);
        self.in_a_row.store(in_a_row, Ordering::Relaxed);
        *self.cause.lock() = result.err().map(Box::from);
        let is_news = match (self.is_well(), failed) {
            (true, true) => in_a_row >= counts.fall,
            (false, false) => in_a_row >= counts.rise,
            (true, false) | (false, true) => false,
        };
        if is_news {
            let since = if failed { now.to_bits() } else { 0 };
            self.unwell_since.store(since, Ordering::Relaxed);
        }
        is_news
    }

    /// Forgets everything. True when it counted as unwell.
    pub(super) fn forget(&self) -> bool {
        self.last.store(0, Ordering::Relaxed);
        self.in_a_row.store(0, Ordering::Relaxed);
        *self.cause.lock() = None;
        self.unwell_since.swap(0, Ordering::Relaxed) != 0
    }

    /// Takes over what another process knew, `elapsed` after that was so.
    pub(super) fn recall(&self, known: &Checking, elapsed: Duration, now: Moment) {
        let ago = |age: Duration| now.before(age.saturating_add(elapsed)).to_bits();
        self.unwell_since.store(known.unwell.map_or(0, ago), Ordering::Relaxed);
        self.last.store(ago(known.last), Ordering::Relaxed);
        self.failed.store(known.cause.is_some(), Ordering::Relaxed);
        self.in_a_row.store(known.in_a_row, Ordering::Relaxed);
        self.cause.lock().clone_from(&known.cause);
    }

    /// Whether it was ever checked.
    pub fn was_checked(&self) -> bool {
        self.last.load(Ordering::Relaxed) != 0
    }

    /// What an operator is told; `None` where it was never checked.
    pub fn state(&self, now: Moment) -> Option<Checking> {
        let since = |place: &AtomicU64| Moment::from_bits(place.load(Ordering::Relaxed));
        let last = now.since(since(&self.last)?);
        let unwell = since(&self.unwell_since).map(|since| now.since(since));
        let in_a_row = self.in_a_row.load(Ordering::Relaxed);
        Some(Checking { unwell, last, in_a_row, cause: self.cause.lock().clone() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COUNTS: Counts = Counts { rise: 2, fall: 3 };

    /// Whether it counts as well (`w`) or unwell (`u`) after each of these checks.
    fn states(checked: &Checked, checks: &str) -> String {
        let state = |check| {
            let result = if check == '+' { Ok(()) } else { Err("down") };
            let was_well = checked.is_well();
            let is_news = checked.note(result, COUNTS, Moment::START);
            assert_eq!(is_news, was_well != checked.is_well());
            if checked.is_well() { 'w' } else { 'u' }
        };
        checks.chars().map(state).collect()
    }

    #[test]
    fn several_in_a_row_are_needed_either_way() {
        let checked = Checked::default();
        assert!(checked.is_well() && !checked.was_checked());
        assert_eq!(states(&checked, "--+--+---"), "wwwwwwwwu");
        assert_eq!(states(&checked, "-+-++"), "uuuuw");
        assert_eq!(states(&checked, "--"), "ww");
        assert_eq!(states(&checked, "-"), "u");
        assert!(checked.forget() && checked.is_well() && !checked.was_checked());
        assert_eq!(states(&checked, "--"), "ww", "what was forgotten does not count");
        assert!(!checked.forget());
    }

    #[test]
    fn an_operator_is_told_since_when_and_why() {
        let at = |seconds| Moment::START.after(Duration::from_secs(seconds));
        let checked = Checked::default();
        assert_eq!(checked.state(at(0)), None);
        for second in 1..=5 {
            checked.note(Err("GET / answered 500"), COUNTS, at(second));
        }
        let state = Checking {
            unwell: Some(Duration::from_secs(4)),
            last: Duration::from_secs(2),
            in_a_row: 5,
            cause: Some("GET / answered 500".into()),
        };
        assert_eq!(checked.state(at(7)), Some(state.clone()));
        checked.note(Ok(()), COUNTS, at(7));
        let passed =
            Checking { unwell: Some(Duration::from_secs(4)), last: Duration::ZERO, in_a_row: 1, cause: None };
        assert_eq!(checked.state(at(7)), Some(passed));
    }

    proptest! {
        #[test]
        fn it_is_as_the_last_run_that_was_long_enough_says(
            checks in prop::collection::vec(any::<bool>(), 0..200),
            rise in 1..6_u32,
            fall in 1..6_u32,
        ) {
            let checked = Checked::default();
            let (mut is_well, mut run, mut last) = (true, 0, None);
            for passed in checks {
                checked.note(if passed { Ok(()) } else { Err("") }, Counts { rise, fall }, Moment::START);
                run = if last == Some(passed) { run + 1 } else { 1 };
                last = Some(passed);
                if run >= if passed { rise } else { fall } {
                    is_well = passed;
                }
                prop_assert_eq!(checked.is_well(), is_well);
            }
        }
    }
}
