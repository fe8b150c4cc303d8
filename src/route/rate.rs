//! A rate: how many requests of a route may pass in a time, over all workers of this process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;

/// How many requests may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests, at least 1.
    pub requests: u32,
    /// The time that they are for, above zero.
    pub per: Duration,
    /// Requests that may pass at once after a quiet time, at least 1.
    pub burst: u32,
}

/// A limit, and how far it is used up: a bucket from which each request takes a token.
///
/// Kept as the one number of the generic cell rate algorithm (ITU-T I.371): when the bucket will be full again.
#[derive(Debug)]
pub struct Rate {
    /// The limit.
    pub limit: RateLimit,
    /// When the bucket is full again, in nanoseconds. Written and read by the workers at each request.
    full: CachePadded<AtomicU64>,
}

impl Rate {
    /// A full bucket.
    pub fn new(limit: RateLimit) -> Self {
        Self { limit, full: CachePadded::default() }
    }

    /// Takes a token, at a time since the process began to count.
    ///
    /// # Errors
    /// When there is none: how long until there is one.
    pub fn take(&self, now: Duration) -> Result<(), Duration> {
        let now = nanos(now);
        // How long a token takes to come.
        let token = (nanos(self.limit.per) / u64::from(self.limit.requests.max(1))).max(1);
        let bucket = token.saturating_mul(u64::from(self.limit.burst.max(1)));
        let mut full = self.full.load(Ordering::Relaxed);
        loop {
            let later = full.max(now).saturating_add(token);
            let wait = (later - now).saturating_sub(bucket);
            if wait > 0 {
                return Err(Duration::from_nanos(wait));
            }
            match self.full.compare_exchange_weak(full, later, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => full = other,
            }
        }
    }

    /// Goes on where another stands, if that had the same limit: a reload gives nobody a full bucket.
    pub fn go_on(&self, other: &Self) {
        if self.limit == other.limit {
            self.full.store(other.full.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

impl PartialEq for Rate {
    /// Whether both say the same, however far they are used up.
    fn eq(&self, other: &Self) -> bool {
        self.limit == other.limit
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rate(requests: u32, per: Duration, burst: u32) -> Rate {
        Rate::new(RateLimit { requests, per, burst })
    }

    #[test]
    fn a_burst_passes_and_then_one_after_the_other() {
        let rate = rate(10, SECOND, 3);
        let start = Duration::from_secs(5);
        assert!((0..3).all(|_| rate.take(start).is_ok()));
        assert_eq!(rate.take(start), Err(Duration::from_millis(100)));
        assert_eq!(rate.take(start + Duration::from_millis(40)), Err(Duration::from_millis(60)));
        assert_eq!(rate.take(start + Duration::from_millis(100)), Ok(()));
        assert_eq!(rate.take(start + Duration::from_millis(100)), Err(Duration::from_millis(100)));
        let quiet = start + Duration::from_hours(1);
        assert_eq!(
            (0..5).filter(|_| rate.take(quiet).is_ok()).count(),
            3,
            "tokens are not saved up beyond the burst"
        );
        assert!(rate.take(start).is_err(), "a clock that steps back gives nothing away");
    }

    #[test]
    fn several_threads_share_one_bucket() {
        let (rate, passed) = (rate(1, Duration::from_hours(1), 100), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let taken = (0..1000).filter(|_| rate.take(SECOND).is_ok()).count();
                    passed.fetch_add(u32::try_from(taken).unwrap(), Ordering::Relaxed);
                });
            }
        });
        assert_eq!(passed.load(Ordering::Relaxed), 100);
    }

    #[test]
    fn a_reload_goes_on_where_it_stood_unless_the_limit_changed() {
        let (old, same, other) = (rate(1, SECOND, 1), rate(1, SECOND, 1), rate(2, SECOND, 1));
        old.take(SECOND).unwrap();
        same.go_on(&old);
        other.go_on(&old);
        assert!(same.take(SECOND).is_err() && other.take(SECOND).is_ok());
    }

    proptest! {
        #[test]
        fn no_more_pass_than_burst_and_rate_allow(
            requests in 1..1_000_000_u32,
            per_ms in 1..86_400_000_u64,
            burst in 1..1_000_000_u32,
            steps in prop::collection::vec(0..5_000_000_u64, 1..200),
        ) {
            let per = Duration::from_millis(per_ms);
            let rate = rate(requests, per, burst);
            let (mut now, mut passed) = (Duration::ZERO, 0_u64);
            for step in steps {
                now += Duration::from_micros(step);
                passed += u64::from(rate.take(now).is_ok());
            }
            let earned = now.as_secs_f64() / per.as_secs_f64() * f64::from(requests);
            prop_assert!(passed as f64 <= f64::from(burst) + earned * 1.001 + 1.0);
        }
    }
}
