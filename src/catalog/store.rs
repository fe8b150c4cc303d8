//! The store: the last known providers of each registry on disk, for a start while it does not answer.
//!
//! It is read once, before anything is followed. What it says of a service is used when the service is first subscribed to
//! and its registry is not known to answer, and only until the registry speaks. It is written a while after a change,
//! so that a burst is written once, and at the end.

mod document;
mod file;
#[cfg(fuzzing)]
pub mod fuzzed;
pub(super) mod handover;
mod sealed;
mod stored;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use self::document::{Kept, Services};
use self::file::StoreFile;
use super::heard::Heard;
use super::subscription::{Freshness, RegistryState};
use super::{Catalog, State};
use crate::clock::Moment;
use crate::drain::Drain;
use crate::provider::ServiceName;

/// How long after a change it is written down.
const DELAY: Duration = Duration::from_secs(1);
/// How long after one writing another begins, at the least: under steady change a file is written six times a minute.
const PAUSE: Duration = Duration::from_secs(10);
/// How long a service is kept that nobody subscribes to.
const KEEP: Duration = Duration::from_hours(7 * 24);

/// What is kept of one source, behind the catalog's lock.
#[derive(Debug)]
pub(super) struct Shelf {
    file: StoreFile,
    services: Services,
    /// Whether the file does not say what is known.
    is_due: bool,
}

impl Shelf {
    /// Takes over what was heard of a service that is followed.
    fn update(&mut self, name: &ServiceName, heard: &Heard, now: Moment, wall: SystemTime) {
        let age = match &heard.freshness {
            Freshness::Live | Freshness::Absent => Duration::ZERO,
            Freshness::Stale { since, .. } => now.since(*since),
            // What the shelf says already.
            Freshness::FromDisk { .. } | Freshness::Pending => return,
        };
        if heard.providers().is_empty() {
            self.services.remove(name);
        } else {
            let seen = wall.checked_sub(age).unwrap_or(wall);
            self.services.insert(name.clone(), Kept { providers: heard.providers().to_vec(), seen });
        }
    }

    /// Lets go of services that were not followed for long, and of the oldest that are too many. What is followed stays however
    /// old it is: while its registry does not answer, there is nothing else.
    fn prune(&mut self, is_followed: impl Fn(&ServiceName) -> bool, services_max: usize, now: SystemTime) {
        let age = |kept: &Kept| now.duration_since(kept.seen).unwrap_or_default();
        self.services.retain(|name, kept| is_followed(name) || age(kept) < KEEP);
        let excess = self.services.len().saturating_sub(services_max);
        if excess > 0 {
            let mut by_age: Vec<(bool, SystemTime, ServiceName)> = self
                .services
                .iter()
                .map(|(name, kept)| (is_followed(name), kept.seen, name.clone()))
                .collect();
            by_age.sort();
            for (_, _, name) in by_age.into_iter().take(excess) {
                self.services.remove(&name);
            }
        }
    }
}

impl Catalog {
    /// Reads what was kept in a folder by an earlier process, and keeps what is known there from now on. To be called before
    /// anything is declared or followed; reads files.
    pub fn open_store(&self, folder: &Path) {
        let load = |followed: &super::sources::Followed| {
            let registry = &followed.source.registry;
            let file = StoreFile::new(folder, &followed.source.name, registry.kind(), registry.location());
            Shelf { services: file.load(), file, is_due: false }
        };
        let shelves: Vec<Shelf> = self.sources.iter().map(load).collect();
        let services: usize = shelves.iter().map(|shelf| shelf.services.len()).sum();
        if services > 0 {
            tracing::info!(folder = %folder.display(), services, "last known providers are at hand");
        }
        self.state.lock().shelves = shelves;
    }

    /// Notes that a source said something new, to be written down.
    pub(super) fn note_change(&self, state: &mut State, number: usize) {
        if let Some(shelf) = state.shelves.get_mut(number) {
            shelf.is_due = true;
            self.store_due.notify_one();
        }
    }

    /// Gives a service what is kept of it by each source that did not speak of it yet and is not known to answer.
    pub(super) fn recall(state: &mut State, name: &ServiceName, now: Moment) {
        let State { services, shelves, standings, .. } = state;
        let Some(service) = services.get_mut(name) else { return };
        let kept = shelves.iter().zip(standings).zip(&mut service.heard);
        for ((shelf, standing), heard) in kept {
            if let (Some(heard), Some(kept)) = (heard, shelf.services.get(name))
                && standing.state != RegistryState::Up
            {
                let age = SystemTime::now().duration_since(kept.seen).unwrap_or_default();
                heard.recall(kept.providers.clone(), now, age);
            }
        }
    }

    /// Gives all services what is kept of them by a source that came not to answer.
    pub(super) fn recall_all(state: &mut State, now: Moment) {
        if state.shelves.iter().all(|shelf| shelf.services.is_empty()) {
            return;
        }
        let waiting = state
            .services
            .iter()
            .filter(|(_, service)| service.heard.iter().flatten().any(|it| it.view.is_none()));
        for name in waiting.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            Self::recall(state, &name, now);
        }
    }

    /// Keeps the files of the store up to date until the drain begins, and once more then.
    pub fn keep_store(self: &Arc<Self>, drain: Drain) -> impl Future<Output = ()> + use<> {
        let catalog = Arc::clone(self);
        async move {
            let mut next = Instant::now();
            let mut is_well = true;
            while !drain.has_begun() {
                tokio::select! {
                    () = catalog.store_due.notified() => {}
                    () = drain.begun() => break,
                }
                tokio::select! {
                    () = tokio::time::sleep_until(next.max(Instant::now() + DELAY)) => {}
                    () = drain.begun() => break,
                }
                is_well = catalog.write_store(&drain, is_well).await;
                next = Instant::now() + PAUSE;
            }
            catalog.all_are_due();
            catalog.write_store(&drain, is_well).await;
        }
    }

    /// Writes neither the store any more, nor what is handed over in a file: another process has taken over, and does that. It may know
    /// services by now that nobody asked this one for.
    pub fn leave_store(&self) {
        let state = &mut *self.state.lock();
        state.shelves.clear();
        state.handover = None;
    }

    /// Writes the files that do not say what is known. Gives whether all went well, given whether it did before.
    async fn write_store(&self, drain: &Drain, was_well: bool) -> bool {
        let due = self.due_files();
        if due.is_empty() {
            return was_well;
        }
        let mut is_well = true;
        for (number, file, services) in due {
            let path = file.path().to_owned();
            let saved = drain.run_aside("store", move || file.save(&services)).await;
            let metrics = &self.metrics.catalog;
            let file = path.display();
            match saved {
                Some(Ok(saved)) => {
                    metrics.store_writes_total.inc();
                    if saved.left_out > 0 {
                        tracing::warn!(%file, services = saved.left_out, "too many last known providers; some are not kept");
                    }
                }
                Some(Err(error)) => {
                    metrics.store_failures_total.inc();
                    self.due_again(number);
                    if was_well {
                        tracing::warn!(
                            %file, %error,
                            "last known providers cannot be kept; a start while the registry is down would know none"
                        );
                    }
                    is_well = false;
                }
                None => {}
            }
        }
        is_well
    }

    /// The files that do not say what is known, and what they are to say.
    fn due_files(&self) -> Vec<(usize, StoreFile, Services)> {
        let (now, wall) = (self.clock.now(), SystemTime::now());
        let state = &mut *self.state.lock();
        let mut due = Vec::new();
        for (number, shelf) in state.shelves.iter_mut().enumerate().filter(|(_, shelf)| shelf.is_due) {
            shelf.is_due = false;
            for (name, service) in &state.services {
                if let Some(heard) = &service.heard[number] {
                    shelf.update(name, heard, now, wall);
                }
            }
            let is_followed = |name: &ServiceName| state.services.contains_key(name);
            shelf.prune(is_followed, self.settings.services_max, wall);
            due.push((number, shelf.file.clone(), shelf.services.clone()));
        }
        due
    }

    /// Notes that a file could not be written, and is to be tried again.
    fn due_again(&self, number: usize) {
        self.note_change(&mut self.state.lock(), number);
    }

    /// At the end, the files say once more how long ago all was seen.
    fn all_are_due(&self) {
        for shelf in &mut self.state.lock().shelves {
            shelf.is_due |= !shelf.services.is_empty();
        }
    }
}

#[cfg(test)]
mod tests;
