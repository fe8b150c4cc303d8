//! Waiting for what is to come, with a limit.

use std::time::{Duration, Instant};

/// Waits until a condition gives something, at most for `limit`.
///
/// # Panics
/// When the time is over, with `what` was waited for.
#[track_caller]
pub(crate) fn eventually<T>(
    limit: Duration,
    what: &str,
    mut condition: impl FnMut() -> Option<T>,
) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(value) = condition() {
                return value;
            }
            assert!(Instant::now() < deadline, "{caller}: not within {limit:?}: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// What a test is to hold or do: the first in an everyday run, which shares the machine with other tests, the second where
/// `WAYSIDE_TEST_LONG=1` asks for all that was promised, on a quiet machine.
pub(crate) fn either<T>(everyday: T, promised: T) -> T {
    let long = std::env::var("WAYSIDE_TEST_LONG").is_ok_and(|value| value == "1");
    if long { promised } else { everyday }
}

/// How long after its begin a condition can be noticed to hold, at most: a look costs little and the system's timers are exact.
const GLANCE: Duration = Duration::from_micros(50);

/// Looks many times a millisecond, on a thread of its own, until a condition holds; gives the instant at which it was first
/// seen to.
///
/// # Panics
/// When it does not hold within [`PATIENCE`].
pub(crate) async fn spot(
    what: &'static str,
    mut condition: impl FnMut() -> bool + Send + 'static,
) -> Instant {
    let spotted = tokio::task::spawn_blocking(move || {
        let begun = Instant::now();
        while !condition() {
            assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
            std::thread::sleep(GLANCE);
        }
        Instant::now()
    });
    spotted.await.unwrap()
}

/// How long anything on loopback may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Repeats something until it succeeds, at most for [`PATIENCE`].
///
/// # Panics
/// When the time is over, with `what` was tried.
pub(crate) async fn at_last(what: &str, mut tried: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !tried().await {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::task::yield_now().await;
    }
}

/// Waits until something that is asked gives something, at most for `limit`.
///
/// # Panics
/// When the time is over, with `what` was waited for.
pub(crate) async fn eventually_asked<T>(
    limit: Duration,
    what: &str,
    mut asked: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = asked().await {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
