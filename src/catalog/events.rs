//! What happened to endpoints lately, with its cause, for an operator: who came and went, and who went out or came back.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::endpoint::{Endpoint, Turn};
use crate::provider::ServiceName;

/// Events kept of who came and went, and as many of who went out or came back; older ones are forgotten. Apart from each
/// other, since what fails again and again is to push nothing else out.
const KEPT_MAX: usize = 1000;

/// The last events of each sort, the newest last.
#[derive(Debug)]
pub(super) struct Events {
    /// Tells these numbers from those of another process.
    run: Uuid,
    membership: VecDeque<Event>,
    turns: VecDeque<Event>,
    last: u64,
    /// The number of the last one that is not kept any more.
    forgotten: u64,
}

impl Default for Events {
    fn default() -> Self {
        let (membership, turns) = (VecDeque::new(), VecDeque::new());
        Self { run: Uuid::new_v4(), membership, turns, last: 0, forgotten: 0 }
    }
}

/// Events, and what it takes to ask for those that follow without losing or repeating one.
#[derive(Clone, Debug, Serialize)]
pub struct Happened {
    /// The process that counts them: another one begins anew with 1.
    pub run: String,
    /// The number of the last event there was, of whichever service; 0 before the first.
    pub last: u64,
    /// The number of the last event that is not kept any more; 0 while all are.
    pub forgotten: u64,
    /// Those asked for, the newest first.
    pub events: Vec<Event>,
}

/// What happened to a provider.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Counts up from 1, without gaps.
    pub number: u64,
    /// When it happened, in milliseconds since 1970.
    #[serde(rename = "at_ms", serialize_with = "in_millis")]
    pub at: SystemTime,
    /// The service.
    pub service: String,
    /// Where the provider listens.
    pub address: String,
    /// The registry's name for it.
    pub id: String,
    /// What happened.
    pub event: What,
    /// Why, in a sentence; empty where the registry's word is all there is to say.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub cause: Cow<'static, str>,
}

/// What happened to a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It is listed for the first time.
    Added,
    /// Its record says something else.
    Changed,
    /// Another record announces its address: a process started anew there.
    Replaced,
    /// It was withdrawn, and is not used any more.
    Withdrawn,
    /// It is not listed any more, but used while it answers.
    Kept,
    /// It is listed again.
    Returned,
    /// It is not used any more, after it was kept for a while.
    Dropped,
    /// Its record is a ghost's: nobody, or somebody else, is behind it.
    Ghost,
    /// What was thought a ghost answers.
    Revived,
    /// A ghost's record was deleted in its registry, by this proxy.
    Reaped,
    /// Connections to it fail, and it is left alone for a while.
    Unreachable,
    /// It fails, or failed the request that tried it again, and is left alone for a while.
    Ejected,
    /// It asked for less, and comes after all others for a while.
    Aside,
    /// Its checks fail, and it is left out.
    Unwell,
    /// Its checks pass again.
    Well,
    /// It is in use again.
    Back,
}

impl From<Turn> for What {
    fn from(turn: Turn) -> Self {
        match turn {
            Turn::Unreachable => Self::Unreachable,
            Turn::Ejected => Self::Ejected,
            Turn::Aside => Self::Aside,
            Turn::Unwell => Self::Unwell,
            Turn::Well => Self::Well,
            Turn::Back => Self::Back,
        }
    }
}

impl What {
    /// Whether it says who belongs to a service; else how one fares that does.
    const fn is_of_membership(self) -> bool {
        match self {
            Self::Added
            | Self::Changed
            | Self::Replaced
            | Self::Withdrawn
            | Self::Kept
            | Self::Returned
            | Self::Dropped
            | Self::Ghost
            | Self::Revived
            | Self::Reaped => true,
            Self::Unreachable | Self::Ejected | Self::Aside | Self::Unwell | Self::Well | Self::Back => false,
        }
    }
}

impl Events {
    /// Adds what happened to an endpoint just now.
    pub(super) fn add(
        &mut self,
        service: &ServiceName,
        endpoint: &Endpoint,
        event: What,
        cause: &'static str,
    ) {
        self.add_at(service, endpoint, event, cause.into(), SystemTime::now());
    }

    /// Adds what happened to an endpoint at a time.
    pub(super) fn add_at(
        &mut self,
        service: &ServiceName,
        endpoint: &Endpoint,
        event: What,
        cause: Cow<'static, str>,
        at: SystemTime,
    ) {
        self.last += 1;
        let kept = if event.is_of_membership() { &mut self.membership } else { &mut self.turns };
        if kept.len() == KEPT_MAX {
            self.forgotten = kept.pop_front().map_or(0, |event| event.number).max(self.forgotten);
        }
        kept.push_back(Event {
            number: self.last,
            at,
            service: service.to_string(),
            address: endpoint.provider.address.to_string(),
            id: endpoint.provider.id.to_string(),
            event,
            cause,
        });
    }

    /// The number of the newest one; 0 before the first.
    pub(super) const fn last(&self) -> u64 {
        self.last
    }

    /// The newest events with a higher number, at most `limit`, the newest first, of one service or of all.
    pub(super) fn after(&self, number: u64, service: Option<&str>, limit: usize) -> Happened {
        let wanted = |event: &&Event| service.is_none_or(|service| event.service == service);
        let newest = |kept: &VecDeque<Event>| -> Vec<Event> {
            let new = kept.iter().rev().take_while(|event| event.number > number);
            new.filter(wanted).take(limit).cloned().collect()
        };
        let mut events = newest(&self.membership);
        events.append(&mut newest(&self.turns));
        events.sort_by_key(|event| std::cmp::Reverse(event.number));
        events.truncate(limit);
        Happened { run: self.run.to_string(), last: self.last, forgotten: self.forgotten, events }
    }

    #[cfg(test)]
    fn newest(&self, service: Option<&str>, limit: usize) -> Vec<Event> {
        self.after(0, service, limit).events
    }
}

pub(super) fn in_millis<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    serializer.serialize_u64(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::endpoint::Memory;
    use crate::provider::Provider;

    #[test]
    fn the_last_thousand_are_kept_the_newest_first() {
        let address: crate::provider::Address = "10.0.0.1:80".parse().unwrap();
        let provider = Arc::new(Provider::new("p", address.clone()));
        let endpoint = Endpoint::new(provider, Arc::new(Memory::new(1, address)));
        let (a, b): (ServiceName, ServiceName) = ("a".parse().unwrap(), "b".parse().unwrap());
        let mut events = Events::default();
        for number in 0..1500 {
            events.add(if number % 2 == 0 { &a } else { &b }, &endpoint, What::Added, "");
        }
        let numbers = |service, limit| -> Vec<u64> {
            events.newest(service, limit).iter().map(|event| event.number).collect()
        };
        assert_eq!(numbers(None, 3), [1500, 1499, 1498]);
        assert_eq!(numbers(Some("a"), 2), [1499, 1497]);
        assert_eq!((numbers(None, 9999).len(), numbers(None, 9999)[999]), (1000, 501));
        let after = |number| {
            let happened = events.after(number, Some("a"), 9999);
            assert_eq!(
                (happened.run, happened.last, happened.forgotten),
                (events.run.to_string(), 1500, 500)
            );
            happened.events.iter().map(|event| event.number).collect::<Vec<_>>()
        };
        assert_eq!(after(1495), [1499, 1497]);
        assert_eq!(after(1500), [0; 0]);
        assert_eq!(after(0).len(), 500);
        assert_ne!(Events::default().run, events.run);
        for _ in 0..1500 {
            events.add(&a, &endpoint, What::Unreachable, "");
        }
        let numbers = |limit| events.newest(None, limit).iter().map(|event| event.number).collect::<Vec<_>>();
        assert_eq!((numbers(9999).len(), numbers(2), numbers(1001)[1000]), (2000, vec![3000, 2999], 1500));
    }
}
