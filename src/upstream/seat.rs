//! The seat of a connection among those of its pool: counted from before it is made until it has ended or was given up.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use super::wire::Signs;
use crate::clock::Clock;
use crate::endpoint::Memory;
use crate::telemetry::metrics::Metrics;

/// A seat that counts among those taken until it is left.
#[derive(Debug)]
pub(super) struct Seat {
    taken: Rc<Cell<usize>>,
    is_left: Cell<bool>,
}

impl Seat {
    pub(super) fn take(taken: &Rc<Cell<usize>>) -> Rc<Self> {
        taken.set(taken.get() + 1);
        Rc::new(Self { taken: Rc::clone(taken), is_left: Cell::new(false) })
    }

    /// Gives it up ahead of the end of its connection, which is certain to come.
    pub(super) fn leave(&self) {
        if !self.is_left.replace(true) {
            self.taken.set(self.taken.get().saturating_sub(1));
        }
    }
}

/// A connection that exists; dropped when it has ended.
pub(super) struct Alive {
    pub(super) seat: Rc<Seat>,
    /// What was heard on it.
    pub(super) signs: Arc<Signs>,
    memory: Arc<Memory>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Alive {
    pub(super) fn new(seat: Rc<Seat>, memory: &Arc<Memory>, clock: Clock, metrics: &Arc<Metrics>) -> Self {
        metrics.proxy.upstream_connections_open.inc();
        let (memory, metrics) = (Arc::clone(memory), Arc::clone(metrics));
        Self { seat, signs: Arc::default(), memory, clock, metrics }
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.seat.leave();
        self.metrics.proxy.upstream_connections_open.dec();
        if let Some(since) = self.signs.kept_since() {
            // It was the provider's wish, not ours.
            let now = self.clock.now();
            self.memory.idling().closed(now.since(since), now);
        }
    }
}
