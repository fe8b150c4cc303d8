//! The last changes of membership, with their cause, for an operator.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

use crate::endpoint::Endpoint;
use crate::provider::ServiceName;

/// Events kept; older ones are forgotten.
const KEPT_MAX: usize = 1000;

/// The last events, the newest last.
#[derive(Debug, Default)]
pub(super) struct Events {
    kept: VecDeque<Event>,
    last: u64,
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
        let wanted = |event: &&Event| service.is_none_or(|service| event.service == service);
        self.kept.iter().rev().filter(wanted).take(limit).cloned().collect()
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
    }
}
