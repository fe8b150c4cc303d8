//! How long the latest requests took to be answered: enough to tell a percentile, cheap enough to ask at each request.

use std::time::Duration;

/// Parts of each doubling of time: a percentile is told at most an eighth too high.
const PARTS: u32 = 8;
/// Up to 4 hours in microseconds; what takes longer counts as that.
const BUCKETS: usize = 256;
/// With so many, all count half: what is told is of the latest thousand or so.
const MOST: u32 = 1024;
/// How many come before a percentile is looked up anew.
const FRESH: u32 = 16;

/// How long the latest requests took, as one worker saw them.
#[derive(Debug)]
pub struct Recent {
    buckets: [u16; BUCKETS],
    total: u32,
    /// The percentile asked for last, what it was, and how many came since.
    last: Option<(u8, Duration)>,
    since: u32,
}

impl Default for Recent {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], total: 0, last: None, since: 0 }
    }
}

impl Recent {
    /// Notes how long one took.
    pub fn note(&mut self, took: Duration) {
        self.buckets[bucket(took)] += 1;
        (self.total, self.since) = (self.total + 1, self.since + 1);
        if self.total >= MOST {
            for count in &mut self.buckets {
                *count /= 2;
            }
            self.total = self.buckets.iter().map(|count| u32::from(*count)).sum();
        }
    }

    /// The time within which so many percent were answered; `None` before there are enough to tell.
    pub fn percentile(&mut self, percent: u8) -> Option<Duration> {
        let slower = u32::from(100_u8.saturating_sub(percent)).max(1);
        if self.total < 100_u32.div_ceil(slower) {
            return None;
        }
        if let Some((known, time)) = self.last
            && known == percent
            && self.since < FRESH
        {
            return Some(time);
        }
        let wanted = (self.total * (100 - slower)).div_ceil(100);
        let mut sum = 0;
        let at = self.buckets.iter().position(|count| {
            sum += u32::from(*count);
            sum >= wanted
        });
        let time = upper(at?);
        (self.last, self.since) = (Some((percent, time)), 0);
        Some(time)
    }
}

/// The bucket of a time: eight to each doubling, as in an HDR histogram.
fn bucket(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let Some(doubling) = micros.checked_ilog2().and_then(|log| log.checked_sub(PARTS.ilog2())) else {
        return usize::try_from(micros).unwrap_or_default();
    };
    let part = (micros >> doubling) as usize;
    (doubling as usize * PARTS as usize + part).min(BUCKETS - 1)
}

/// The time that all of a bucket stay under.
fn upper(bucket: usize) -> Duration {
    let (next, parts) = (bucket as u64 + 1, u64::from(PARTS));
    if next <= parts * 2 {
        return Duration::from_micros(next);
    }
    let (doubling, part) = (next / parts - 1, next % parts + parts);
    Duration::from_micros(part << doubling)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn nothing_is_told_of_too_few() {
        let mut recent = Recent::default();
        for _ in 0..19 {
            recent.note(millis(1));
            assert_eq!(recent.percentile(95), None);
        }
        recent.note(millis(1));
        assert!(recent.percentile(95).is_some() && recent.percentile(99).is_none());
    }

    #[test]
    fn what_is_told_is_of_the_latest() {
        let mut recent = Recent::default();
        for _ in 0..5000 {
            recent.note(millis(5));
        }
        let before = recent.percentile(95).unwrap();
        assert!((millis(5)..millis(6)).contains(&before), "{before:?}");
        for _ in 0..5000 {
            recent.note(millis(100));
        }
        assert!(recent.percentile(50).unwrap() > millis(99));
    }

    proptest! {
        #[test]
        fn a_percentile_is_at_most_an_eighth_too_high(mut micros in proptest::collection::vec(0_u64..10_000_000, 100..900)) {
            let mut recent = Recent::default();
            for took in &micros {
                recent.note(Duration::from_micros(*took));
            }
            micros.sort_unstable();
            for percent in [50, 90, 95, 99] {
                let exact = micros[(micros.len() * usize::from(percent)).div_ceil(100) - 1];
                let told = recent.percentile(percent).unwrap().as_micros() as u64;
                prop_assert!(told > exact && told <= exact + exact / 8 + 1, "{told} for {exact}");
            }
        }

        #[test]
        fn any_time_has_its_bucket(micros in any::<u64>()) {
            prop_assert!(bucket(Duration::from_micros(micros)) < BUCKETS);
        }
    }
}
