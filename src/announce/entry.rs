//! One announcement as this process knows it: what is wished for, whether the app is well, and where it is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rand::RngExt as _;
use tokio::time::Instant;
use uuid::Uuid;

use super::gate::Gate;
use super::{Target, Wish};
use crate::check::CheckKind;
use crate::clock::Moment;
use crate::provider::{Address, Provider, ServiceName};
use crate::registry::announcer::Announcement;

/// The longest time between two checks of an app that was never well: it is starting.
const STARTING: Duration = Duration::from_secs(1);
/// How often an address is found anew where the app itself is not asked.
const FIND_AGAIN: Duration = Duration::from_secs(30);

/// Who wants it announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The configuration.
    Configuration,
    /// A program, by a request.
    Request,
}

/// One announcement.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) origin: Origin,
    pub(super) wish: Wish,
    pub(super) id: Arc<str>,
    /// When it was first wished for.
    pub(super) since: SystemTime,
    pub(super) gate: Gate,
    /// Where the app is; `None` before that was looked for.
    pub(super) address: Option<Result<Address, String>>,
    /// When it is withdrawn unless it is asked for again.
    pub(super) expires: Option<Instant>,
    /// When it is looked after next; `None` while it is.
    pub(super) due: Option<Instant>,
    /// Counts its changes, from a random number on: what was found out about an earlier one says nothing of this one.
    pub(super) edition: u64,
    /// How it stood when that was looked at last, and since when.
    pub(super) state: (&'static str, Moment),
}

/// What looking after an announcement found out.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) key: Arc<str>,
    pub(super) edition: u64,
    pub(super) address: Result<Address, String>,
    /// Whether the app is well; `None` when there was no address to ask at.
    pub(super) passed: Option<Result<(), String>>,
}

impl Entry {
    pub(super) fn new(origin: Origin, wish: Wish, id: Arc<str>, now: Instant, moment: Moment) -> Self {
        Self {
            origin,
            gate: Gate::new(wish.check.rise, wish.check.fall),
            due: Some(now + wish.start_delay),
            id,
            since: SystemTime::now(),
            address: None,
            expires: None,
            // Another one than that of an announcement under this name before: it may be asked about at this moment.
            edition: rand::rng().random(),
            state: ("waiting", moment),
            wish,
        }
    }

    /// Takes over another wish. An app that moved has to show anew that it is well.
    pub(super) fn change(&mut self, wish: Wish, now: Instant) {
        if wish == self.wish {
            return;
        }
        if wish.address == self.wish.address {
            self.gate.adopt(wish.check.rise, wish.check.fall);
        } else {
            self.gate = Gate::new(wish.check.rise, wish.check.fall);
            self.address = None;
        }
        self.wish = wish;
        self.edition = self.edition.wrapping_add(1);
        self.due = Some(now);
    }

    /// Takes over what was found out; true when that opened or closed the gate.
    pub(super) fn take(&mut self, found: Found, now: Instant) -> bool {
        if found.edition != self.edition {
            return false;
        }
        // What is known is better than nothing, as when the registry's name cannot be resolved for a while.
        if found.address.is_ok() || !matches!(self.address, Some(Ok(_))) {
            self.address = Some(found.address);
        }
        let turned = found.passed.is_some_and(|passed| self.gate.note(passed));
        self.due = Some(now + self.pause());
        turned
    }

    /// Its name among all.
    pub(super) fn key(&self) -> Arc<str> {
        key(&self.wish.service, &self.id, &self.wish.target)
    }

    fn pause(&self) -> Duration {
        let check = &self.wish.check;
        let starting = !self.gate.was_open() || !matches!(self.address, Some(Ok(_)));
        let interval = match &check.kind {
            _ if starting => check.interval.min(STARTING),
            CheckKind::None => FIND_AGAIN,
            CheckKind::Tcp | CheckKind::Http { .. } | CheckKind::Grpc { .. } | CheckKind::GoMicro => {
                check.interval
            }
        };
        interval.mul_f64(rand::rng().random_range(0.8..1.2))
    }

    /// What is announced of it now; `None` while it is not to be.
    pub(super) fn announcement(&self) -> Option<Announcement> {
        let Some(Ok(address)) = &self.address else { return None };
        if !self.gate.is_open() {
            return None;
        }
        let wish = &self.wish;
        let provider = Provider {
            weight: wish.weight,
            zone: wish.zone.clone(),
            version: Arc::clone(&wish.version),
            protocol: wish.protocol,
            secure: wish.secure,
            metadata: wish.metadata.clone(),
            ..Provider::new(Arc::clone(&self.id), address.clone())
        };
        Some(Announcement {
            service: wish.service.clone(),
            provider,
            service_metadata: wish.service_metadata.clone(),
            endpoints: wish.endpoints.clone(),
            ttl: wish.ttl,
            since: self.since,
        })
    }
}

/// The name of an announcement among all.
pub(super) fn key(service: &ServiceName, id: &str, target: &Target) -> Arc<str> {
    key_of(service.as_str(), id, &target.name)
}

pub(super) fn key_of(service: &str, id: &str, target: &str) -> Arc<str> {
    match target {
        "" => format!("{service}/{id}").into(),
        target => format!("{service}/{id}@{target}").into(),
    }
}

/// An id as Go Micro makes them.
pub(super) fn made_up(service: &ServiceName) -> Arc<str> {
    format!("{service}-{}", Uuid::new_v4()).into()
}

/// The id that a wish without one had before: that of the same service at the same address, or else of the same service, unless
/// that is another's of these wishes, which stays where it is.
pub(super) fn id_of_nameless(
    before: &BTreeMap<Arc<str>, Entry>,
    wish: &Wish,
    wishes: &[Wish],
) -> Option<Arc<str>> {
    let is_alike = |entry: &Wish, wish: &Wish| {
        entry.id.is_none()
            && wish.id.is_none()
            && entry.service == wish.service
            && entry.target == wish.target
    };
    let is_same = |entry: &Wish, wish: &Wish| is_alike(entry, wish) && entry.address == wish.address;
    let stays = |entry: &Wish| wishes.iter().any(|other| is_same(entry, other));
    let same = before.values().find(|entry| is_same(&entry.wish, wish));
    let moved = || before.values().find(|entry| is_alike(&entry.wish, wish) && !stays(&entry.wish));
    same.or_else(moved).map(|entry| Arc::clone(&entry.id))
}
