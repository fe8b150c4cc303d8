//! Warm-up: a weight that grows with the time since a provider started, as Dubbo announces it.

use std::time::{Duration, SystemTime};

use super::Weight;

/// A weight that grows from its least to the announced one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmUp {
    /// When the provider started, by its own clock.
    pub since: SystemTime,
    /// How long it grows; more than zero.
    pub over: Duration,
}

impl WarmUp {
    /// The weight at a time, of a provider whose full weight is `full`: Dubbo's rule, in whole hundredths from one
    /// hundredth up. A provider that starts in the future is one that has just started. A full weight of zero stays zero.
    pub fn weight(self, full: Weight, now: SystemTime) -> Weight {
        let uptime = now.duration_since(self.since).unwrap_or_default();
        if uptime >= self.over || full == Weight::ZERO {
            return full;
        }
        let grown = uptime.as_millis() * u128::from(full.hundredths()) / self.over.as_millis().max(1);
        Weight::from_hundredths(u32::try_from(grown).unwrap_or(u32::MAX).clamp(1, full.hundredths()))
    }

    /// Whether the weight still grows.
    pub fn is_growing(self, now: SystemTime) -> bool {
        now.duration_since(self.since).unwrap_or_default() < self.over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_from_a_hundredth_to_the_announced_weight() {
        let since = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let warm_up = WarmUp { since, over: Duration::from_mins(10) };
        let at = |seconds| warm_up.weight(Weight::ONE, since + Duration::from_secs(seconds)).hundredths();
        assert_eq!([0, 3, 60, 300, 599, 600, 6000].map(at), [1, 1, 10, 50, 99, 100, 100]);
        assert_eq!(warm_up.weight(Weight::ONE, SystemTime::UNIX_EPOCH).hundredths(), 1);
        assert_eq!(warm_up.weight(Weight::ZERO, since), Weight::ZERO);
        assert!(warm_up.is_growing(since) && !warm_up.is_growing(since + warm_up.over));
    }
}
