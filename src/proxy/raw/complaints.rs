//! Complaints: why raw connections fail, told at a bounded rate.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::account::Account;
use crate::provider::ServiceName;
use crate::proxy::error::{ProxyError, with_causes};

/// The least time between two complaints of a worker about one service: whoever fails to connect comes again soon.
const PAUSE: Duration = Duration::from_secs(10);

/// Tells why connections fail; that of the first to each service, and how many there were, every so often.
#[derive(Debug, Default)]
pub struct Complaints {
    /// Only services that have a raw listener are ever in it.
    of: RefCell<BTreeMap<ServiceName, Told>>,
}

/// What was told of a service.
#[derive(Debug)]
struct Told {
    last: Instant,
    /// Those that were not told of since then.
    untold: u64,
}

impl Complaints {
    /// Tells of a connection that failed, if nothing was told of its service lately.
    pub(super) fn tell(&self, account: &Account, error: &ProxyError) {
        let service = account.service();
        if let Some(times) = self.due(service, Instant::now()) {
            let (reason, cause) = (error.reason(), with_causes(error));
            tracing::warn!(%service, reason, %cause, times, "a raw connection could not be passed on");
        }
    }

    /// Counts one; how many were not told of, if it is time.
    fn due(&self, service: &ServiceName, now: Instant) -> Option<u64> {
        let mut of = self.of.borrow_mut();
        let Some(told) = of.get_mut(service) else {
            of.insert(service.clone(), Told { last: now, untold: 0 });
            return Some(1);
        };
        told.untold += 1;
        if now - told.last < PAUSE {
            return None;
        }
        told.last = now;
        Some(std::mem::take(&mut told.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_failures_make_few_lines_and_those_of_one_service_hide_no_others() {
        let (complaints, begun) = (Complaints::default(), Instant::now());
        let (service, other) = ("redis".parse().unwrap(), "mysql".parse().unwrap());
        assert_eq!(complaints.due(&service, begun), Some(1));
        for _ in 0..100 {
            assert_eq!(complaints.due(&service, begun + PAUSE / 2), None);
        }
        assert_eq!(complaints.due(&other, begun + PAUSE / 2), Some(1));
        assert_eq!(complaints.due(&service, begun + PAUSE), Some(101));
        assert_eq!(complaints.due(&service, begun + PAUSE), None);
        assert_eq!(complaints.due(&other, begun + PAUSE), None);
    }
}
