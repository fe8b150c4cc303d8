//! Complaints: why raw connections fail, told at a bounded rate.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

use super::account::Account;
use crate::proxy::error::{ProxyError, with_causes};

/// The least time between two complaints of a worker: whoever fails to connect comes again soon.
const PAUSE: Duration = Duration::from_secs(10);

/// Tells why connections fail; that of the first, and how many there were, every so often.
#[derive(Debug, Default)]
pub struct Complaints {
    last: Cell<Option<Instant>>,
    untold: Cell<u64>,
}

impl Complaints {
    /// Tells of a connection that failed, if nothing was told lately.
    pub(super) fn tell(&self, account: &Account, error: &ProxyError) {
        if let Some(times) = self.due(Instant::now()) {
            let (service, reason, cause) = (account.service(), error.reason(), with_causes(error));
            tracing::warn!(%service, reason, %cause, times, "a raw connection could not be passed on");
        }
    }

    /// Counts one; how many were not told of, if it is time.
    fn due(&self, now: Instant) -> Option<u64> {
        let times = self.untold.get() + 1;
        if self.last.get().is_some_and(|last| now - last < PAUSE) {
            self.untold.set(times);
            return None;
        }
        self.untold.set(0);
        self.last.set(Some(now));
        Some(times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_failures_make_few_lines() {
        let (complaints, begun) = (Complaints::default(), Instant::now());
        assert_eq!(complaints.due(begun), Some(1));
        for _ in 0..100 {
            assert_eq!(complaints.due(begun + PAUSE / 2), None);
        }
        assert_eq!(complaints.due(begun + PAUSE), Some(101));
        assert_eq!(complaints.due(begun + PAUSE), None);
    }
}
