//! The last changes of membership, with their cause, for an operator.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::Catalog;
use crate::endpoint::Endpoint;
use crate::provider::ServiceName;

/// Events kept; older ones are forgotten.
const KEPT_MAX: usize = 1000;

/// The last events, the newest last.
#[derive(Debug)]
pub(super) struct Events {
    /// Tells these numbers from those of another process.
    run: Uuid,
    kept: VecDeque<Event>,
    last: u64,
}

impl Default for Events {
    fn default() -> Self {
        Self { run: Uuid::new_v4(), kept: VecDeque::new(), last: 0 }
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

/// One change of who belongs to a service.
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
    pub cause: &'static str,
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
}

impl Events {
    /// Adds what happened to an endpoint.
    pub(super) fn add(
        &mut self,
        service: &ServiceName,
        endpoint: &Endpoint,
        event: What,
        cause: &'static str,
    ) {
        self.last += 1;
        if self.kept.len() == KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(Event {
            number: self.last,
            at: SystemTime::now(),
            service: service.to_string(),
            address: endpoint.provider.address.to_string(),
            id: endpoint.provider.id.to_string(),
            event,
            cause,
        });
    }

    /// The newest events, at most `limit`, the newest first, of one service or of all.
    pub(super) fn newest(&self, service: Option<&str>, limit: usize) -> Vec<Event> {
        self.after(0, service, limit).events
    }

    /// The same of those with a higher number.
    pub(super) fn after(&self, number: u64, service: Option<&str>, limit: usize) -> Happened {
        let new = self.kept.iter().rev().take_while(|event| event.number > number);
        let wanted = |event: &&Event| service.is_none_or(|service| event.service == service);
        Happened {
            run: self.run.to_string(),
            last: self.last,
            forgotten: self.last - self.kept.len() as u64,
            events: new.filter(wanted).take(limit).cloned().collect(),
        }
    }
}

impl Catalog {
    /// The last changes of who belongs to which service, the newest first, at most `limit`; of one service, or of all.
    pub fn events(&self, service: Option<&str>, limit: usize) -> Vec<Event> {
        self.state.lock().events.newest(service, limit)
    }

    /// The same of those with a higher number, and what it takes to follow them.
    pub fn events_after(&self, number: u64, service: Option<&str>, limit: usize) -> Happened {
        self.state.lock().events.after(number, service, limit)
    }
}

fn in_millis<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
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
    }
}
