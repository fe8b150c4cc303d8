//! Which endpoints of a service an operator wants to see, and in which order: ten thousand at once help nobody.

use std::cmp::Reverse;
use std::time::Duration;

use super::endpoint::state;
use crate::clock::Moment;
use crate::endpoint::Endpoint;

/// Which endpoints of a service are told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Only those that have this, in small letters, in their address, id, state, zone, version or record; all if empty.
    pub find: String,
    /// In which order.
    pub order: Order,
    /// How many of these are left out at the start.
    pub offset: usize,
    /// How many are told of then.
    pub limit: usize,
}

impl Selection {
    /// All of them, in order of address.
    pub const ALL: Self = Self { find: String::new(), order: Order::Address, offset: 0, limit: usize::MAX };
}

/// In which order endpoints are told of; those that are equal by it in order of address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// By address.
    #[default]
    Address,
    /// Those first that are not simply available, then those that failed lately.
    Trouble,
    /// Those first with the most in flight.
    InFlight,
    /// Those first that take the longest.
    Latency,
    /// Those first with the most failures.
    Failures,
    /// Those first with the most attempts.
    Attempts,
    /// Those first with the largest weight.
    Weight,
}

impl Order {
    /// All there are.
    pub const ALL: [Self; 7] = [
        Self::Address,
        Self::Trouble,
        Self::InFlight,
        Self::Latency,
        Self::Failures,
        Self::Attempts,
        Self::Weight,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Trouble => "trouble",
            Self::InFlight => "in_flight",
            Self::Latency => "latency",
            Self::Failures => "failures",
            Self::Attempts => "attempts",
            Self::Weight => "weight",
        }
    }

    /// What is compared, the larger first.
    fn rank(self, endpoint: &Endpoint, now: Moment) -> u64 {
        let memory = &endpoint.memory;
        match self {
            Self::Address => 0,
            Self::Trouble => trouble(state(endpoint, now)),
            Self::InFlight => memory.in_flight().into(),
            // Those that nothing is known of come last.
            Self::Latency if memory.attempts() == 0 => 0,
            Self::Latency => {
                let expected = Duration::try_from_secs_f32(memory.latency.expected_ms(now) / 1e3);
                u64::try_from(expected.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
            }
            Self::Failures => memory.failures(),
            Self::Attempts => memory.attempts(),
            Self::Weight => endpoint.weight.hundredths().into(),
        }
    }
}

/// How much an operator wants to know of a state.
fn trouble(state: &str) -> u64 {
    match state {
        "available" => 0,
        "limbo" => 1,
        "aside" => 2,
        "ghost" => 3,
        "unreachable" => 4,
        "unwell" => 5,
        _ => 6,
    }
}

impl Selection {
    /// How many of these endpoints are found, which come in order of address, and those of them that are told of.
    pub(super) fn of<'e>(&self, endpoints: &'e [Endpoint], now: Moment) -> (usize, Vec<&'e Endpoint>) {
        let is_found = |endpoint: &&Endpoint| self.find.is_empty() || self.finds(endpoint, now);
        let mut found: Vec<&Endpoint> = endpoints.iter().filter(is_found).collect();
        if self.order != Order::Address {
            found.sort_by_cached_key(|endpoint| Reverse(self.order.rank(endpoint, now)));
        }
        (found.len(), found.into_iter().skip(self.offset).take(self.limit).collect())
    }

    fn finds(&self, endpoint: &Endpoint, now: Moment) -> bool {
        let provider = &endpoint.provider;
        let has = |text: &str| text.to_lowercase().contains(&self.find);
        has(&provider.address.to_string())
            || [&*provider.id, state(endpoint, now), &*provider.version, &*provider.record]
                .into_iter()
                .any(has)
            || provider.zone.as_deref().is_some_and(has)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::endpoint::Memory;
    use crate::provider::Provider;

    fn endpoints() -> Vec<Endpoint> {
        let endpoint = |number: u64| {
            let address: crate::provider::Address = format!("10.0.0.{number}:80").parse().unwrap();
            let zone = Some(if number.is_multiple_of(2) { "North".into() } else { "south".into() });
            let provider = Provider { zone, ..Provider::new(format!("p-{number}"), address.clone()) };
            Endpoint::new(Arc::new(provider), Arc::new(Memory::new(number, address)))
        };
        (1..=6).map(endpoint).collect()
    }

    fn ids(selection: &Selection, endpoints: &[Endpoint]) -> (usize, String) {
        let (found, selected) = selection.of(endpoints, Moment::START);
        (found, selected.iter().map(|endpoint| &endpoint.provider.id[2..]).collect())
    }

    #[test]
    fn a_part_is_told_in_the_order_that_was_asked_for() {
        let endpoints = endpoints();
        assert_eq!(ids(&Selection::ALL, &endpoints), (6, "123456".to_owned()));
        let part = Selection { offset: 4, limit: 1, ..Selection::ALL };
        assert_eq!(ids(&part, &endpoints), (6, "5".to_owned()));
        let far = Selection { offset: 9, ..Selection::ALL };
        assert_eq!(ids(&far, &endpoints), (6, String::new()));
        endpoints[3].memory.fail_to_connect(Moment::START, 0.5);
        let guards = [endpoints[1].memory.begin(), endpoints[1].memory.begin(), endpoints[4].memory.begin()];
        let ordered = |order| ids(&Selection { order, ..Selection::ALL }, &endpoints).1;
        assert_eq!((ordered(Order::Trouble), ordered(Order::InFlight)), ("412356".into(), "251346".into()));
        assert_eq!((ordered(Order::Attempts), ordered(Order::Weight)), ("251346".into(), "123456".into()));
        drop(guards);
        for (find, ids_found) in
            [("north", "246"), ("unreach", "4"), ("0.3:", "3"), ("p-", "123456"), ("x", "")]
        {
            let found = ids(&Selection { find: find.to_owned(), ..Selection::ALL }, &endpoints);
            assert_eq!(found, (ids_found.len(), ids_found.to_owned()), "{find}");
        }
    }
}
