//! What the endpoints of one service have in common: a count of changes, so that whoever reckons with how many of them
//! are available need not look at all of them each time.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

/// What the endpoints of one service have in common.
#[derive(Debug, Default)]
pub struct Group {
    /// Counts the times that one of them became available or ceased to be. Written by whoever notes that, read at each pick.
    changes: CachePadded<AtomicU64>,
}

impl Group {
    /// How often one of them became available or ceased to be. What was reckoned at another number is out of date.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    pub(super) fn change(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }
}
