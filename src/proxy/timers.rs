//! Timers that are used again, by one request after another: moving one on costs less than making one.

use std::cell::RefCell;
use std::pin::Pin;

use tokio::time::{Instant, Sleep, sleep_until};

/// Timers that are kept: as many as requests may begin before the first of them is answered, and more only in a burst.
const KEPT_MAX: usize = 64;

/// The timers of one worker that nobody uses.
#[derive(Debug, Default)]
pub struct Timers(RefCell<Vec<Pin<Box<Sleep>>>>);

impl Timers {
    /// A timer that runs out at a deadline; give it back with [`Timers::keep`].
    pub fn take(&self, deadline: Instant) -> Pin<Box<Sleep>> {
        match self.0.borrow_mut().pop() {
            Some(mut timer) => {
                timer.as_mut().reset(deadline);
                timer
            }
            None => Box::pin(sleep_until(deadline)),
        }
    }

    /// Keeps a timer for another request. It is not cancelled: it may wake whoever had it once for nothing.
    pub fn keep(&self, timer: Pin<Box<Sleep>>) {
        let mut kept = self.0.borrow_mut();
        if kept.len() < KEPT_MAX {
            kept.push(timer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_was_used_runs_out_at_its_new_deadline() {
        let (timers, begun) = (Timers::default(), Instant::now());
        for seconds in [5, 1, 3, 9] {
            let mut timer = timers.take(Instant::now() + Duration::from_secs(seconds));
            timer.as_mut().await;
            timers.keep(timer);
            assert_eq!(timers.0.borrow().len(), 1);
        }
        assert_eq!(begun.elapsed(), Duration::from_secs(18));
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_kept_than_are_of_use() {
        let timers = Timers::default();
        let taken: Vec<_> = (0..2 * KEPT_MAX).map(|_| timers.take(Instant::now())).collect();
        taken.into_iter().for_each(|timer| timers.keep(timer));
        assert_eq!(timers.0.borrow().len(), KEPT_MAX);
    }
}
