//! Retries: what of a route's requests is sent again, how often, after which pause, and what is asked of two at once.

use std::sync::Arc;
use std::time::Duration;

use crate::catalog::Allowance;

/// What is sent again, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Attempts after the first, each on another provider, where the one before came to nothing.
    pub max: u8,
    /// Whether an idempotent request is sent again when its connection ended, or its attempt's time, before an answer.
    pub idempotent: bool,
    /// Whether all requests are idempotent, whatever their method (RFC 9110, 9.2.2).
    pub harmless: bool,
    /// Statuses of answers after which an idempotent request is sent again.
    pub statuses: Arc<[u16]>,
    /// The pause before what was answered or may have arrived is sent again; it doubles with each, and is varied from
    /// nothing up to its length.
    pub back_off: Duration,
    /// The longest such pause.
    pub back_off_max: Duration,
    /// How many of all requests of a service may be sent again.
    pub allowance: Allowance,
    /// Bytes of a body that are kept to be sent again.
    pub kept_max: usize,
    /// When a second provider is asked while the first has not answered; `None`: never.
    pub hedge: Option<Hedge>,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            max: 3,
            idempotent: true,
            harmless: false,
            statuses: Arc::new([]),
            back_off: Duration::from_millis(25),
            back_off_max: Duration::from_millis(250),
            allowance: Allowance::default(),
            kept_max: 64 * 1024,
            hedge: None,
        }
    }
}

impl Retries {
    /// The pause before the retry of this number, counted from 0; `luck` is from 0 to 1.
    pub fn pause(&self, number: u8, luck: f64) -> Duration {
        let doubled = 1_u32.checked_shl(u32::from(number)).and_then(|times| self.back_off.checked_mul(times));
        doubled.map_or(self.back_off_max, |pause| pause.min(self.back_off_max)).mul_f64(luck.clamp(0.0, 1.0))
    }
}

/// When a second provider is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hedge {
    /// After a fixed time.
    After(Duration),
    /// After the time within which so many percent of the latest requests were answered.
    Percentile(u8),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_are_varied() {
        let retries = Retries::default();
        let pauses: Vec<u128> = (0..7).map(|number| retries.pause(number, 1.0).as_millis()).collect();
        assert_eq!(pauses, [25, 50, 100, 200, 250, 250, 250]);
        assert_eq!((retries.pause(1, 0.5).as_millis(), retries.pause(u8::MAX, 1.0).as_millis()), (25, 250));
        assert!(retries.pause(0, 0.0).is_zero());
    }
}
