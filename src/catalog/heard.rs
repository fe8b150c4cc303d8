//! What one source said last of one service, and how far that can be trusted.

use std::sync::Arc;
use std::time::Duration;

use super::merge::Differences;
use super::subscription::Freshness;
use crate::clock::Moment;
use crate::provider::Provider;
use crate::registry::{Listing, View};

/// What one source said last of one service.
#[derive(Debug)]
pub(super) struct Heard {
    /// Its last list; `None` before the first.
    pub(super) view: Option<View>,
    /// How far that can be trusted; never [`Freshness::Absent`] with another view than that.
    pub(super) freshness: Freshness,
    /// Its version of that list, where it has one.
    pub(super) revision: Option<i64>,
    /// Since when it is asked.
    pub(super) asked: Moment,
    /// Of a shadow: what it says otherwise than those that are used, once both have spoken.
    pub(super) differences: Option<Differences>,
}

impl Heard {
    /// Nothing yet.
    pub(super) const fn nothing(now: Moment) -> Self {
        Self { view: None, freshness: Freshness::Pending, revision: None, asked: now, differences: None }
    }

    /// Keeps what a list says, and leaves it without. True when that is something new.
    pub(super) fn take(&mut self, listing: &mut Listing) -> bool {
        let view = std::mem::replace(&mut listing.view, View::Absent);
        self.freshness = if view == View::Absent { Freshness::Absent } else { Freshness::Live };
        self.revision = listing.revision;
        let is_new = self.view.as_ref() != Some(&view);
        self.view = Some(view);
        is_new
    }

    /// Keeps what the store has, if nothing was heard yet.
    pub(super) fn recall(&mut self, providers: Vec<Arc<Provider>>, now: Moment, age: Duration) {
        if self.view.is_none() {
            self.view = Some(View::Present { providers, skipped: Vec::new() });
            self.freshness = Freshness::FromDisk { since: now, age };
        }
    }

    /// Marks what is known as no longer fresh; what was not heard in this life stays as it is. True when it was fresh.
    pub(super) fn mark_stale(&mut self, now: Moment, cause: &Arc<str>) -> bool {
        let was_fresh = matches!(self.freshness, Freshness::Live | Freshness::Absent);
        if was_fresh {
            self.freshness = Freshness::Stale { since: now, cause: Arc::clone(cause) };
        }
        was_fresh
    }

    /// The providers it names.
    pub(super) fn providers(&self) -> &[Arc<Provider>] {
        match &self.view {
            Some(View::Present { providers, .. }) => providers,
            Some(View::Absent) | None => &[],
        }
    }
}
