//! Back-off: how long to wait before a registry that failed is tried again, longer each time.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

/// The pause before a registry that failed once is tried again; doubles with each failure, and is varied from nothing up
/// to its length, so that a fleet does not come back at once.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The same for one that worked until then: what is known is served meanwhile, and a fleet whose sessions all ended at one
/// time comes back over a second instead of all at once.
const FIRST_PAUSE_OF_A_FLEET: Duration = Duration::from_secs(1);
/// The longest pause; and how long a connection must have lasted for pauses to begin short again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long to wait before something that failed is tried again.
#[derive(Debug)]
pub struct Backoff {
    pauses: ExponentialBackoff,
    /// Since when it works; `None` before it did, and once it failed.
    works: Option<Instant>,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { pauses: pauses(FIRST_PAUSE), works: None }
    }
}

impl Backoff {
    /// It works, if it did not already.
    pub fn works(&mut self) {
        self.works.get_or_insert_with(Instant::now);
    }

    /// It failed: how long to wait. `chance`, from 0 to 1, varies that from nothing up to its length.
    pub fn failed(&mut self, chance: f64) -> Duration {
        if self.works.take().is_some_and(|since| since.elapsed() >= LONGEST_PAUSE) {
            self.pauses = pauses(FIRST_PAUSE_OF_A_FLEET);
        }
        self.pauses.next().unwrap_or(LONGEST_PAUSE).mul_f64(chance)
    }
}

fn pauses(first: Duration) -> ExponentialBackoff {
    ExponentialBuilder::new().with_min_delay(first).with_max_delay(LONGEST_PAUSE).without_max_times().build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_a_bound_and_begin_short_after_it_worked_for_long() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..8).map(|_| backoff.failed(1.0).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(backoff.failed(0.5), LONGEST_PAUSE / 2);
        backoff.works();
        tokio::time::advance(LONGEST_PAUSE - Duration::from_millis(1)).await;
        assert_eq!(backoff.failed(1.0), LONGEST_PAUSE, "it worked for too short a time");
        backoff.works();
        tokio::time::advance(LONGEST_PAUSE).await;
        backoff.works();
        assert_eq!(backoff.failed(1.0), FIRST_PAUSE_OF_A_FLEET);
    }
}
