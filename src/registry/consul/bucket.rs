//! A bucket of tokens: how often something may be done, some times at once and then at a steady rate.

use std::time::Duration;

use tokio::time::Instant;

/// Tokens that come back at a steady rate, up to a most.
#[derive(Debug)]
pub(super) struct Bucket {
    /// When the bucket will be full again.
    full: Instant,
    /// How long one token takes to come back.
    each: Duration,
    /// How many there are at most.
    most: u32,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(most: u32, each: Duration, now: Instant) -> Self {
        Self { full: now, each, most }
    }

    /// Takes one token; gives when it may be used, which is now or later.
    pub(super) fn take(&mut self, now: Instant) -> Instant {
        self.full = self.full.max(now) + self.each;
        // Full at that time less what the bucket holds at most: the token taken last is there then.
        self.full.checked_sub(self.each * self.most).unwrap_or(now).max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_at_once_then_at_a_steady_rate_and_full_again_after_a_rest() {
        let (begin, each) = (Instant::now(), Duration::from_millis(200));
        let mut bucket = Bucket::new(3, each, begin);
        let waits: Vec<Duration> = (0..6).map(|_| bucket.take(begin) - begin).collect();
        assert_eq!(waits, [0, 0, 0, 200, 400, 600].map(Duration::from_millis));
        let later = begin + Duration::from_secs(10);
        let waits: Vec<Duration> = (0..4).map(|_| bucket.take(later) - later).collect();
        assert_eq!(waits, [0, 0, 0, 200].map(Duration::from_millis));
    }
}
