//! Settling: the first change of a service passes at once, what follows within a fixed time is held and passes together.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::provider::ServiceName;
use crate::registry::Listing;

/// The lists that are held back. Each is a whole list, so only the last one of a service is kept.
///
/// A window opens with each change that was applied, and closes at its deadline whatever comes: one that every change
/// put off would never close under steady change.
#[derive(Debug)]
pub(super) struct Settle {
    window: Duration,
    /// The services whose window is open, and what is held back for them.
    open: HashMap<ServiceName, Option<Listing>>,
    /// When windows close: in the order they were opened, since all are of one length.
    deadlines: VecDeque<(Instant, ServiceName)>,
}

impl Settle {
    pub(super) fn new(window: Duration) -> Self {
        Self { window, open: HashMap::new(), deadlines: VecDeque::new() }
    }

    /// Keeps a list if the window of its service is open; otherwise gives it back.
    pub(super) fn hold_back(&mut self, mut listing: Listing) -> Option<Listing> {
        let Some(held) = self.open.get_mut(&listing.service) else { return Some(listing) };
        if let Some(earlier) = held.take() {
            listing.changed_at = earlier.changed_at.or(listing.changed_at);
        }
        *held = Some(listing);
        None
    }

    /// Opens the window of a service whose list was applied just now. One that is open stays so, with what it holds.
    pub(super) fn open(&mut self, service: ServiceName, now: Instant) {
        if !self.window.is_zero() && !self.open.contains_key(&service) {
            self.open.insert(service.clone(), None);
            self.deadlines.push_back((now + self.window, service));
        }
    }

    /// When the next window closes.
    pub(super) fn next(&self) -> Option<Instant> {
        self.deadlines.front().map(|(deadline, _)| *deadline)
    }

    /// Closes the windows whose time is over, and gives what was held back in them.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Listing> {
        let over = self.deadlines.partition_point(|(deadline, _)| *deadline <= now);
        let services = self.deadlines.drain(..over);
        services.filter_map(|(_, service)| self.open.remove(&service).flatten()).collect()
    }

    /// Closes all windows, and gives what was held back in them.
    pub(super) fn close(&mut self) -> Vec<Listing> {
        let services = self.deadlines.drain(..);
        services.filter_map(|(_, service)| self.open.remove(&service).flatten()).collect()
    }
}
