//! The one task of announcing: it looks after each app, hands over what is to be announced, and ends when all is withdrawn.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::time::Instant;

use super::ask::ask;
use super::desk::Desk;
use super::entry::{Entry, Found};
use super::status::Status;
use super::{Announcements, Book, Ending};
use crate::provider::ServiceName;
use crate::registry::announcer::Standing;

type Checking = Pin<Box<dyn Future<Output = Found> + Send>>;
type Working = Pin<Box<dyn Future<Output = bool> + Send>>;

impl Announcements {
    /// Announces until everything is withdrawn at the end.
    pub async fn run(self: Arc<Self>) {
        let mut checks = FuturesUnordered::<Checking>::new();
        let mut desks = FuturesUnordered::<Working>::new();
        loop {
            let next = {
                let mut book = self.book.lock();
                if book.ending.is_some() {
                    break;
                }
                let now = Instant::now();
                book.expire(now);
                for desk in book.furnish() {
                    desks.push(Box::pin(desk.run(Arc::clone(&self))));
                }
                checks.extend(book.due(now));
                book.publish();
                self.refresh(&mut book);
                book.next(now)
            };
            tokio::select! {
                () = self.changed.notified() => {}
                Some(found) = checks.next() => self.judge(found),
                Some(_) = desks.next() => {}
                () = sleep_until(next) => {}
            }
        }
        drop(checks);
        if self.book.lock().ending == Some(Ending::Leave) {
            desks.clear();
        }
        self.book.lock().desks.iter().for_each(|desk| desk.close());
        let mut is_withdrawn = true;
        while let Some(withdrawn) = desks.next().await {
            is_withdrawn &= withdrawn;
        }
        let mut book = self.book.lock();
        book.entries.clear();
        self.refresh(&mut book);
        drop(book);
        self.ended.send_replace(Some(is_withdrawn));
    }

    fn judge(&self, found: Found) {
        let mut book = self.book.lock();
        let Some(entry) = book.entries.get_mut(&found.key) else { return };
        if matches!(found.passed, Some(Err(_))) {
            self.metrics.announce.checks_failed_total.inc();
        }
        let (was_well, was_lost) = (entry.gate.was_open(), matches!(entry.address, Some(Err(_))));
        if !entry.take(found, Instant::now()) {
            if let Some(Err(cause)) = &entry.address
                && !was_lost
            {
                tracing::warn!(service = %entry.wish.service, id = &*entry.id, cause, "has no address to announce");
            }
            return;
        }
        let (service, id) = (&entry.wish.service, &*entry.id);
        match entry.gate.last() {
            Some(Err(cause)) => tracing::warn!(%service, id, cause, "the app is not well, and is withdrawn"),
            Some(Ok(())) | None if was_well => tracing::info!(%service, id, "the app is well again"),
            Some(Ok(())) | None => tracing::debug!(%service, id, "the app is well"),
        }
    }

    /// Notes since when things stand as they do, and counts what is announced.
    fn refresh(&self, book: &mut Book) {
        let now = self.clock.now();
        let mut announced = BTreeMap::<ServiceName, i64>::new();
        let desks = &book.desks;
        for (key, entry) in &mut book.entries {
            let desk = desks.iter().find(|desk| desk.target == entry.wish.target);
            let state = Status::word(entry, desk);
            if state != entry.state.0 {
                entry.state = (state, now);
            }
            let count = announced.entry(entry.wish.service.clone()).or_default();
            if matches!(desk.and_then(|desk| desk.standing(key)), Some(Standing::Announced { .. })) {
                *count += 1;
            }
        }
        self.metrics.announce.set_announced(&announced);
    }
}

impl Book {
    /// Takes out what was not asked for again in its time.
    fn expire(&mut self, now: Instant) {
        let is_over = |entry: &Entry| entry.expires.is_some_and(|at| at <= now);
        for (_, entry) in self.entries.extract_if(.., |_, entry| is_over(entry)) {
            tracing::info!(service = %entry.wish.service, id = &*entry.id, "was not registered again within its ttl");
        }
    }

    /// Makes a desk for each target that has none yet; gives the new ones.
    fn furnish(&mut self) -> Vec<Arc<Desk>> {
        let mut new = Vec::new();
        for entry in self.entries.values() {
            if !self.desks.iter().any(|desk| desk.target == entry.wish.target) {
                let desk = Arc::new(Desk::new(entry.wish.target.clone()));
                self.desks.push(Arc::clone(&desk));
                new.push(desk);
            }
        }
        new
    }

    /// What is to be looked after now.
    fn due(&mut self, now: Instant) -> Vec<Checking> {
        let due = self.entries.iter_mut().filter(|(_, entry)| entry.due.is_some_and(|at| at <= now));
        let begin = |(key, entry): (&Arc<str>, &mut Entry)| {
            entry.due = None;
            look_after(Arc::clone(key), entry)
        };
        due.map(begin).collect()
    }

    /// Hands over what is to be announced now.
    fn publish(&self) {
        for desk in &self.desks {
            let here = self.entries.iter().filter(|(_, entry)| entry.wish.target == desk.target);
            let wanted = here.filter_map(|(key, entry)| Some((Arc::clone(key), entry.announcement()?)));
            desk.want(wanted.collect());
        }
    }

    /// When something is due next.
    fn next(&self, now: Instant) -> Option<Instant> {
        let due = self.entries.values().flat_map(|entry| [entry.due, entry.expires]);
        due.flatten().min().map(|at| at.max(now))
    }
}

/// Finds the app's address, and asks it there. While that cannot be found, it is asked where it was found last, as which it is announced.
fn look_after(key: Arc<str>, entry: &Entry) -> Checking {
    let (edition, wish) = (entry.edition, entry.wish.clone());
    let known = entry.address.clone().and_then(Result::ok);
    Box::pin(async move {
        let server = wish.target.announcer.server();
        let address = wish.address.find(server.as_ref()).await;
        let passed = match address.as_ref().ok().or(known.as_ref()) {
            Some(address) => {
                // A client library that panics must not end the announcing of everything.
                let asked = AssertUnwindSafe(ask(&wish.check, &wish.service, address)).catch_unwind().await;
                Some(asked.unwrap_or_else(|_| Err("the check panicked; please report this".to_owned())))
            }
            None => None,
        };
        Found { key, edition, address, passed }
    })
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
