//! What the endpoints of one service have in common: a count of changes, so that whoever reckons with how many of them
//! are available need not look at all of them each time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

use super::line::Line;
use super::news::{News, Untold};
use super::refusal::Refusal;
use crate::clock::Moment;
use crate::provider::ServiceName;

/// What the endpoints of one service have in common.
#[derive(Debug, Default)]
pub struct Group {
    /// Counts the times that one of them became available or ceased to be. Written by whoever notes that, read at each pick.
    changes: CachePadded<AtomicU64>,
    /// The requests that wait for one of them to have room.
    pub(super) line: Line,
    /// What happened to them that the catalog did not ask for yet.
    pub(super) untold: Untold,
    /// Their service; none where they are by themselves.
    service: Option<ServiceName>,
    /// Whether somebody decides at this moment whether one of them is ejected. Written by whoever does.
    is_deciding: AtomicBool,
}

impl Group {
    /// What the endpoints of a service will have in common.
    pub fn of(service: ServiceName) -> Self {
        Self { service: Some(service), ..Self::default() }
    }

    /// Their service, if it is known.
    pub const fn service(&self) -> Option<&ServiceName> {
        self.service.as_ref()
    }

    /// How often one of them became available or ceased to be. What was reckoned at another number is out of date.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    pub(super) fn change(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.line.call();
    }

    /// Notes that one of them may have room now, for whoever waits.
    pub fn make_room(&self) {
        self.line.call();
    }

    /// What happened to them since this was asked last, the oldest first.
    pub fn news(&self) -> Vec<News> {
        self.untold.take()
    }

    /// Decides whether one more is ejected, unless somebody else is deciding, or it was found a moment ago that none of
    /// those it is judged among may be; `None` then. So no two that are each the last but one are ejected at once, and a
    /// storm of failures looks at all endpoints only ten times a second.
    pub(super) fn decide(&self, refusal: &Refusal, now: Moment, may: impl FnOnce() -> bool) -> Option<bool> {
        if refusal.holds(now) || self.is_deciding.swap(true, Ordering::Acquire) {
            return None;
        }
        let may = may();
        if !may {
            refusal.note(now);
        }
        self.is_deciding.store(false, Ordering::Release);
        Some(may)
    }
}
