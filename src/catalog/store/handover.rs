//! Handover: what was experienced with endpoints, left to the next process for a short while.
//!
//! The file lies beside those of the store. It is read once, before anything is followed, and only while it is young. What
//! it says of an endpoint is taken over when that is first known here, if it is still announced with the same id. It is
//! written at the end, when the traffic has ended, and now and then before, so that a crash loses little.

mod document;
mod memory;

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::file::{put_aside, read, replace};
use crate::catalog::Catalog;
use crate::catalog::service::Service;
use crate::clock::Moment;
use crate::drain::Drain;
use crate::endpoint::Endpoint;
use crate::provider::ServiceName;
use document::{BYTES_MAX, Endpoints, Legacy};

/// What the file is called.
const NAME: &str = "endpoints.handover";
/// The shortest time between two writings.
const PAUSE_MIN: Duration = Duration::from_secs(5);

/// Where experience is handed over, and what an earlier process left. Lives behind the catalog's lock.
#[derive(Debug)]
pub(in crate::catalog) struct Handover {
    /// `None` where it is handed over to a process that asks for it, and not in a file.
    folder: Option<PathBuf>,
    /// How long what was written is good.
    limit: Duration,
    /// What was left and is not taken over yet.
    left: BTreeMap<ServiceName, Inheritance>,
}

/// What an earlier process left of one service.
#[derive(Debug)]
pub(in crate::catalog) struct Inheritance {
    endpoints: Endpoints,
    /// When it was read, and how old it was then.
    read: Moment,
    age: Duration,
    limit: Duration,
}

impl Handover {
    /// What was left of a service; once.
    pub(in crate::catalog) fn take(&mut self, service: &ServiceName) -> Option<Inheritance> {
        self.left.remove(service)
    }
}

impl Service {
    /// Lets a new endpoint know what an earlier process knew of it.
    pub(in crate::catalog) fn inherit(&mut self, added: &[Endpoint], now: Moment) {
        let Some(inheritance) = &mut self.inheritance else { return };
        let elapsed = inheritance.age + now.since(inheritance.read);
        if elapsed > inheritance.limit {
            self.inheritance = None;
            return;
        }
        for endpoint in added {
            let known = inheritance.endpoints.remove(&endpoint.memory.address);
            // Another id is another process.
            if let Some((_, remembered)) = known.filter(|(id, _)| **id == *endpoint.provider.id) {
                endpoint.memory.recall(&remembered, elapsed, &self.care, now);
            }
        }
    }
}

impl Catalog {
    /// Reads what an earlier process left in a folder not longer ago than `limit`, and leaves what is experienced there from
    /// now on. To be called before anything is declared or followed; reads a file.
    pub fn open_handover(&self, folder: &Path, limit: Duration) {
        let now = self.clock.now();
        let left = inherited(&folder.join(NAME), limit, now);
        let endpoints: usize = left.values().map(|inheritance| inheritance.endpoints.len()).sum();
        if endpoints > 0 {
            tracing::info!(endpoints, "what the process before knew of endpoints is at hand");
        }
        let folder = Some(folder.to_owned());
        self.state.lock().handover = Some(Handover { folder, limit, left });
    }

    /// Takes what the process says whose place this one takes, in place of what lies in a file, and gives the services it knew. To
    /// be called where [`Catalog::open_handover`] may be, after it.
    pub fn inherit(&self, text: &[u8], limit: Duration) -> Vec<ServiceName> {
        let Legacy { written, services } = match document::decode(text) {
            Ok(legacy) => legacy,
            Err(error) => {
                tracing::warn!(%error, "what the process before knew of endpoints is not used");
                return Vec::new();
            }
        };
        let names = services.keys().cloned().collect();
        if let Some(age) = age(written, SystemTime::now(), limit) {
            let read = self.clock.now();
            let left = |(name, endpoints)| (name, Inheritance { endpoints, read, age, limit });
            let left = services.into_iter().map(left).collect();
            let mut state = self.state.lock();
            let folder = state.handover.take().and_then(|handover| handover.folder);
            state.handover = Some(Handover { folder, limit, left });
        }
        names
    }

    /// What is known of all endpoints now, for a process that takes the place of this one.
    pub fn legacy(&self) -> String {
        document::encode(&self.experienced())
    }

    /// Leaves what is experienced to the next process: now and then until the drain begins, and once more then.
    pub fn keep_handover(self: &Arc<Self>, drain: Drain) -> impl Future<Output = ()> + use<> {
        let catalog = Arc::clone(self);
        async move {
            let in_file = |handover: &Handover| handover.folder.is_some().then_some(handover.limit);
            let limit = catalog.state.lock().handover.as_ref().and_then(in_file);
            let Some(limit) = limit else { return };
            let mut is_well = true;
            let mut told = None;
            while !drain.has_begun() {
                tokio::select! {
                    // Young enough at any moment to be of use to a process that starts soon after.
                    () = tokio::time::sleep((limit / 2).max(PAUSE_MIN)) => {}
                    () = drain.begun() => break,
                }
                let used = catalog.last_used();
                if used != told {
                    told = used;
                    is_well = catalog.hand_over(&drain, is_well).await;
                }
            }
            catalog.hand_over(&drain, is_well).await;
        }
    }

    /// When a request last asked for anything.
    fn last_used(&self) -> Option<Moment> {
        self.state.lock().services.values().map(Service::used).max()
    }

    /// Writes down what is known of all endpoints. Gives whether that went well, given whether it did before.
    async fn hand_over(&self, drain: &Drain, was_well: bool) -> bool {
        let folder = self.state.lock().handover.as_ref().and_then(|handover| handover.folder.clone());
        let Some(folder) = folder else { return was_well };
        let legacy = self.experienced();
        let path = folder.join(NAME);
        let to = path.clone();
        let write = move || replace(&folder, &to, &document::encode(&legacy));
        let Some(written) = drain.run_aside("handover", write).await else { return was_well };
        let metrics = &self.metrics.catalog;
        match written {
            Ok(()) => metrics.store_writes_total.inc(),
            Err(error) => {
                metrics.store_failures_total.inc();
                if was_well {
                    let file = path.display();
                    tracing::warn!(%file, %error, "what is known of endpoints cannot be left to the next process");
                }
                return false;
            }
        }
        true
    }

    fn experienced(&self) -> Legacy {
        let (now, written) = (self.clock.now(), SystemTime::now());
        let state = self.state.lock();
        let known = |endpoint: &Endpoint| {
            let remembered = endpoint.memory.remember(now);
            (endpoint.memory.address.clone(), (Box::from(&*endpoint.provider.id), remembered))
        };
        let of = |(name, service): (&ServiceName, &Service)| {
            (name.clone(), service.endpoints.iter().map(known).collect())
        };
        let services = state.services.iter().filter(|(_, service)| !service.endpoints.is_empty()).map(of);
        Legacy { written, services: services.collect() }
    }
}

/// What an earlier process left, if that is of use now. A file that is no good is told of and put aside.
fn inherited(path: &Path, limit: Duration, now: Moment) -> BTreeMap<ServiceName, Inheritance> {
    let file = path.display();
    let text = match read(path, BYTES_MAX) {
        Ok(text) => text,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(%file, %error, "what the process before knew cannot be read; starting without it");
            }
            return BTreeMap::new();
        }
    };
    let Legacy { written, services } = match document::decode(&text) {
        Ok(legacy) => legacy,
        Err(error) => {
            let aside = put_aside(path);
            let aside = aside.as_deref().map(Path::display).map(tracing::field::display);
            tracing::warn!(%file, %error, aside, "what the process before knew is not used");
            return BTreeMap::new();
        }
    };
    let Some(age) = age(written, SystemTime::now(), limit) else { return BTreeMap::new() };
    let left = |(name, endpoints)| (name, Inheritance { endpoints, read: now, age, limit });
    services.into_iter().map(left).collect()
}

/// How long ago something was written, unless that is longer than `limit`. The clock may have been set meanwhile: by a little,
/// and what seems to come later was written just now; by more, and nobody can tell.
fn age(written: SystemTime, now: SystemTime, limit: Duration) -> Option<Duration> {
    match now.duration_since(written) {
        Ok(age) => (age <= limit).then_some(age),
        Err(ahead) => (ahead.duration() <= limit).then_some(Duration::ZERO),
    }
}

/// Reads a text as what was left, and what is under its seal as well; what was read can be written and read again.
#[cfg(fuzzing)]
pub(super) fn fuzzed(text: &[u8]) {
    let _ = document::decode(text);
    let Ok(body) = std::str::from_utf8(text) else { return };
    if let Ok(legacy) = document::decode(document::sealed(body).as_bytes()) {
        let again = document::decode(document::encode(&legacy).as_bytes());
        assert!(again.is_ok(), "{again:?} of {legacy:?}");
    }
}

#[cfg(test)]
mod tests;
