//! An endpoint: a provider as this proxy knows it, with the memory that survives every change of the registry.

mod load;
mod reach;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

pub use load::LoadGuard;
pub use reach::{Reach, ReachState};

use crate::provider::{Address, Provider};

/// A provider as this proxy knows it: what was announced, and what was experienced.
///
/// Immutable and cheap to clone. When a record changes, a new endpoint with the same [`Memory`] takes its place.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The provider as announced last.
    pub provider: Arc<Provider>,
    /// What this proxy experienced with it; shared by every snapshot the provider is in.
    pub memory: Arc<Memory>,
}

impl Endpoint {
    /// Whether picking this endpoint is sound: reachable as far as is known.
    pub fn is_available(&self) -> bool {
        self.memory.reach.is_available()
    }
}

/// What this proxy experienced with the provider at one address. Lives as long as the provider is announced.
#[derive(Debug)]
pub struct Memory {
    /// A number of its own within this process; connection pools are keyed by it.
    pub number: u64,
    /// The address it is about.
    pub address: Address,
    /// Attempts in flight. Written by the workers at pick and at the end of each body, read by balancers and admin.
    in_flight: CachePadded<load::InFlight>,
    /// Whether connections succeed. Written by workers after each attempt, read at each pick.
    pub reach: CachePadded<Reach>,
    /// Attempts begun. Written by the workers, read by metrics and admin.
    attempts: CachePadded<AtomicU64>,
    /// Attempts that failed on the way to or at the provider. Written by the workers, read by metrics and admin.
    failures: AtomicU64,
    /// Set once by the catalog when the provider is withdrawn; pools of a retired endpoint are dropped by workers.
    retired: AtomicBool,
}

impl Memory {
    /// A memory of nothing yet. `number` is unique within the process: the catalog counts.
    pub fn new(number: u64, address: Address) -> Self {
        Self {
            number,
            address,
            in_flight: CachePadded::default(),
            reach: CachePadded::default(),
            attempts: CachePadded::default(),
            failures: AtomicU64::new(0),
            retired: AtomicBool::new(false),
        }
    }

    /// Begins an attempt: counts it, and holds it in flight until the guard is dropped.
    pub fn begin(self: &Arc<Self>) -> LoadGuard {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        LoadGuard::new(Arc::clone(self))
    }

    /// Counts an attempt that failed.
    pub fn count_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Attempts in flight now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.count()
    }

    /// Attempts begun since the provider was first announced.
    pub fn attempts(&self) -> u64 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// Attempts that failed since the provider was first announced.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Marks the provider as withdrawn: what runs may finish, nothing new begins, pools let go.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Whether the provider was withdrawn.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_in_flight_until_the_guard_goes() {
        let memory = Arc::new(Memory::new(1, "10.0.0.1:80".parse().unwrap()));
        let first = memory.begin();
        let second = memory.begin();
        assert_eq!((memory.in_flight(), memory.attempts()), (2, 2));
        drop(first);
        drop(second);
        assert_eq!((memory.in_flight(), memory.attempts()), (0, 2));
    }
}
