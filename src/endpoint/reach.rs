//! Whether connections to an endpoint succeed: out at the first failure to connect, then back by one request at a time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Unreachable;
use crate::clock::Moment;

/// How long an endpoint is left alone after its first failure to connect; doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest an endpoint is left alone.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The most failures that are taken over: beyond, pauses grow no longer.
const FAILURES_RECALLED: u32 = 1000;

/// Whether connections to an endpoint succeed.
///
/// A refused or timed-out connection proves that the request never arrived, and costs the caller a second attempt; so one
/// failure is enough to leave the endpoint alone for a second, doubling up to a minute, each pause varied by a quarter
/// either way so that a fleet does not return at once. After the pause a single request may try it; success ends the matter.
#[derive(Debug, Default)]
pub struct Reach {
    /// The bits of the moment at which the pause ends; 0 while reachable. Written by workers, read at each pick.
    paused_until: AtomicU64,
    /// A [`Failing`] as a number; means nothing while reachable. Written by workers, read by the catalog and admin.
    failing: AtomicU64,
}

/// What became of the attempts to connect since the last success.
#[derive(Clone, Copy, Debug)]
struct Failing {
    /// The bits of the moment of the first one, in [`Failing::SINCE_BITS`]: enough for thousands of years.
    since: u64,
    /// How many failed, up to [`Failing::COUNT_MAX`].
    count: u32,
}

impl Failing {
    const COUNT_BITS: u32 = 16;
    const COUNT_MAX: u32 = (1 << Self::COUNT_BITS) - 1;
    const SINCE_BITS: u32 = u64::BITS - Self::COUNT_BITS;

    fn from_bits(bits: u64) -> Self {
        let count = u32::try_from(bits & u64::from(Self::COUNT_MAX)).unwrap_or(Self::COUNT_MAX);
        Self { since: bits >> Self::COUNT_BITS, count }
    }

    fn to_bits(self) -> u64 {
        let since = self.since.min((1 << Self::SINCE_BITS) - 1);
        since << Self::COUNT_BITS | u64::from(self.count.min(Self::COUNT_MAX))
    }
}

/// What [`Reach`] says, for an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReachState {
    /// Connections succeed, or none was tried.
    Reachable,
    /// The last connections failed; the endpoint is left alone for the pause, then one request may try.
    Unreachable {
        /// Failures to connect in a row, at least 1.
        failures: u32,
        /// Time until a request may try; zero when one may now.
        pause: Duration,
    },
}

impl Reach {
    /// Whether any request may be sent there.
    pub fn is_available(&self) -> bool {
        self.paused_until.load(Ordering::Relaxed) == 0
    }

    /// Notes that the provider was reached.
    pub(super) fn succeed(&self) {
        if !self.is_available() {
            self.paused_until.store(0, Ordering::Relaxed);
        }
    }

    /// For how long nothing succeeded; zero while reachable.
    pub fn failing_for(&self, now: Moment) -> Duration {
        let since = Moment::from_bits(Failing::from_bits(self.failing.load(Ordering::Relaxed)).since);
        since.filter(|_| !self.is_available()).map_or(Duration::ZERO, |since| now.since(since))
    }

    /// Whether it is time to try it again.
    pub fn is_due(&self, now: Moment) -> bool {
        Moment::from_bits(self.paused_until.load(Ordering::Relaxed)).is_some_and(|until| until <= now)
    }

    /// Lets it be out until a moment, as another one is of which it is the copy.
    pub(super) fn stay_out(&self, until: Moment) {
        self.paused_until.store(until.to_bits(), Ordering::Relaxed);
    }

    /// Notes that a connection failed; `luck`, from 0 to 1, varies the pause. True when this failure put the endpoint out.
    ///
    /// Attempts that began together fail together: what fails within a pause does not lengthen it, and of those that fail
    /// at one moment, on whatever workers, one counts.
    pub(super) fn fail(&self, now: Moment, luck: f64) -> bool {
        let before = self.paused_until.load(Ordering::Relaxed);
        self.fail_after(before, now, luck)
    }

    /// The same, unless the pause is another one than it was a moment ago.
    fn fail_after(&self, before: u64, now: Moment, luck: f64) -> bool {
        let is_news = before == 0;
        if before > now.to_bits() {
            return false;
        }
        let failing = if is_news {
            Failing { since: now.to_bits(), count: 0 }
        } else {
            Failing::from_bits(self.failing.load(Ordering::Relaxed))
        };
        let pause = FIRST_PAUSE.saturating_mul(1 << failing.count.min(6)).min(LONGEST_PAUSE);
        let pause = pause.mul_f64(0.75 + luck.clamp(0.0, 1.0) / 2.0).min(LONGEST_PAUSE);
        let until = now.after(pause).to_bits();
        if self.paused_until.compare_exchange(before, until, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return false;
        }
        let failing = Failing { count: failing.count.saturating_add(1), ..failing };
        self.failing.store(failing.to_bits(), Ordering::Relaxed);
        is_news
    }

    /// Takes over what another process knew, `elapsed` after that was so: what is left of the pause, then one request may try.
    pub(super) fn recall(&self, known: &Unreachable, elapsed: Duration, now: Moment) {
        let pause = known.pause.min(LONGEST_PAUSE).saturating_sub(elapsed);
        let since = now.before(known.failing.saturating_add(elapsed));
        let failing = Failing { since: since.to_bits(), count: known.failures.clamp(1, FAILURES_RECALLED) };
        self.failing.store(failing.to_bits(), Ordering::Relaxed);
        self.paused_until.store(now.after(pause).to_bits(), Ordering::Relaxed);
    }

    /// What an operator is told.
    pub fn state(&self, now: Moment) -> ReachState {
        match Moment::from_bits(self.paused_until.load(Ordering::Relaxed)) {
            None => ReachState::Reachable,
            Some(until) => ReachState::Unreachable {
                failures: Failing::from_bits(self.failing.load(Ordering::Relaxed)).count.max(1),
                pause: until.since(now),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    #[test]
    fn one_failure_is_enough_and_a_success_ends_it() {
        let reach = Reach::default();
        assert!(reach.is_available() && !reach.is_due(at(0)));
        assert!(reach.fail(at(0), 0.5));
        assert!(!reach.is_available() && !reach.is_due(at(999)) && reach.is_due(at(1000)));
        reach.succeed();
        assert!(reach.is_available());
        assert_eq!(reach.state(at(6000)), ReachState::Reachable);
        assert_eq!(reach.failing_for(at(6000)), Duration::ZERO);
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        let reach = Reach::default();
        let mut now = at(0);
        for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
            reach.fail(now, 0.5);
            let ReachState::Unreachable { pause, .. } = reach.state(now) else { panic!("reachable") };
            assert_eq!(pause, Duration::from_secs(expected));
            assert_eq!(reach.failing_for(now), now.since(at(0)));
            now = now.after(pause);
        }
    }

    #[test]
    fn failures_of_one_moment_count_once() {
        let reach = Reach::default();
        assert!(reach.fail(at(0), 0.0));
        assert!(!reach.fail(at(1), 0.0));
        assert_eq!(
            reach.state(at(0)),
            ReachState::Unreachable { failures: 1, pause: Duration::from_millis(750) }
        );
        // Two workers that saw the same before either counted.
        let reach = Reach::default();
        assert!(reach.fail_after(0, at(0), 0.5) && !reach.fail_after(0, at(0), 0.5));
        let due = at(1000).to_bits();
        assert!(!reach.fail_after(due, at(1000), 0.5) && !reach.fail_after(due, at(1000), 0.5));
        let twice = ReachState::Unreachable { failures: 2, pause: Duration::from_secs(2) };
        assert_eq!(reach.state(at(1000)), twice);
    }
}
