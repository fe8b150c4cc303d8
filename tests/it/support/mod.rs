//! What the tests stand on: real servers, a registry they steer, providers they script, and waiting for what is to come.

pub(crate) mod client;
pub(crate) mod provider;
pub(crate) mod proxy;
pub(crate) mod registry;
pub(crate) mod watching;
pub(crate) mod zookeeper;

use std::time::{Duration, Instant};

/// How long anything on loopback may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

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
