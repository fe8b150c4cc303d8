//! How much an endpoint has in flight, and the guard that holds one attempt's share of it.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Memory;

/// Attempts in flight.
#[derive(Debug, Default)]
pub(super) struct InFlight(AtomicU32);

impl InFlight {
    /// So many attempts, which no guard holds.
    pub(super) fn of(count: u32) -> Self {
        Self(AtomicU32::new(count))
    }

    pub(super) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One attempt in flight: counted from its making until it is dropped, which is when the response body has ended.
#[derive(Debug)]
pub struct LoadGuard {
    memory: Arc<Memory>,
    /// Whether it is counted among those that are awaited.
    is_awaited: Cell<bool>,
}

impl LoadGuard {
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        memory.in_flight.0.fetch_add(1, Ordering::Relaxed);
        let is_awaited = memory.ramp.allowed().is_some();
        if is_awaited {
            memory.history.awaited.fetch_add(1, Ordering::Relaxed);
        }
        Self { memory, is_awaited: Cell::new(is_awaited) }
    }

    /// Notes that its answer has come, or will not: what it goes on with may last for days, and shows nothing of what its endpoint
    /// bears.
    pub fn heard(&self) {
        if self.is_awaited.take() {
            self.memory.history.awaited.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The endpoint's memory that this attempt is counted in.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }
}

impl Memory {
    /// Attempts that began while it was new or just back, and have no answer yet.
    pub fn awaited(&self) -> u32 {
        self.history.awaited.load(Ordering::Relaxed)
    }
}

impl Drop for LoadGuard {
    fn drop(&mut self) {
        self.heard();
        // In one order with what those do who line up for room: see `Line::call`.
        self.memory.in_flight.0.fetch_sub(1, Ordering::SeqCst);
        self.memory.group.make_room();
    }
}
