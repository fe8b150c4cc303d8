//! What was seen of an endpoint at one moment: all that a pick reads of its memory, as a value that can be written down.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ceiling::Ceiling;
use super::load::InFlight;
use super::{Care, Counts, Ghost, Group, Latency, Memory};
use crate::clock::Moment;
use crate::provider::Address;

/// All that a pick reads of an endpoint's memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Attempts in flight.
    pub in_flight: u32,
    /// How many might be in flight.
    pub in_flight_max: u32,
    /// How long an answer was expected to take, in milliseconds; `None` before the first attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_ms: Option<f32>,
    /// Whether connections succeeded.
    pub reachable: bool,
    /// Whether checks found it well.
    pub well: bool,
    /// Whether it was ejected.
    pub ejected: bool,
    /// Whether its record was a ghost's.
    pub ghost: bool,
    /// Whether it had asked for less.
    pub aside: bool,
    /// How many answers should be awaited at most, while it was new or just back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp: Option<u32>,
    /// How many were awaited of those attempts that began while it was.
    #[serde(default, skip_serializing_if = "is_none")]
    pub awaited: u32,
    /// Whether it was out, and one request might try it.
    pub due: bool,
}

impl Memory {
    /// What is to be seen of it now, where its endpoint is treated so. Changes nothing.
    pub fn seen(&self, care: &Care, now: Moment) -> Seen {
        Seen {
            in_flight: self.in_flight(),
            in_flight_max: self.in_flight_max(care),
            expected_ms: self.latency.look(now),
            reachable: self.reach.is_available(),
            well: self.checked.is_well(),
            ejected: self.ejection.is_out(),
            ghost: self.ghost().is_some(),
            aside: self.aside.holds(now),
            ramp: self.ramp(),
            awaited: self.awaited(),
            due: self.is_due(now),
        }
    }
}

impl Seen {
    /// A memory in which a pick at this moment sees the same.
    pub fn memory(&self, group: &Arc<Group>, number: u64, address: Address, now: Moment) -> Memory {
        /// Longer than any pick looks ahead.
        const LONG: Duration = Duration::from_hours(1);
        let memory = Memory {
            in_flight: InFlight::of(self.in_flight),
            latency: Latency::expecting(self.expected_ms, now),
            ..Memory::among(Arc::clone(group), number, address)
        };
        memory.ramp.recall(self.ramp);
        let until = if self.due { now } else { now.after(LONG) };
        if !self.reachable {
            memory.reach.stay_out(until);
        }
        if self.ejected {
            memory.ejection.stay_out(until);
        }
        if !self.well {
            memory.checked.note(Err("as it was seen"), Counts { rise: 1, fall: 1 }, now);
        }
        if self.ghost {
            memory.haunting.begin(Ghost::Silent);
        }
        if self.aside {
            memory.aside.ask(Some(LONG), LONG, now);
        }
        Memory {
            history: Box::new(super::History {
                ceiling: Ceiling::at(self.in_flight_max),
                awaited: AtomicU32::new(self.awaited),
                ..Default::default()
            }),
            ..memory
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_none(count: &u32) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::endpoint::{Adaptive, Ending, Endpoint, Outcome, Said};
    use crate::provider::Provider;

    /// What a pick asks of an endpoint.
    fn asked(memory: Memory, care: &Care, now: Moment) -> impl PartialEq + std::fmt::Debug {
        let provider = Arc::new(Provider::new("a", memory.address.clone()));
        let endpoint = Endpoint::new(provider, Arc::new(memory));
        let memory = &endpoint.memory;
        (
            (
                endpoint.fit(care, now),
                endpoint.is_available(),
                endpoint.is_reachable(),
                memory.has_room(care),
            ),
            (memory.in_flight(), memory.latency.expected_ms(now).to_bits(), memory.is_due(now)),
            memory.try_claim(now),
        )
    }

    proptest! {
        #[test]
        fn a_memory_made_of_what_was_seen_looks_the_same(
            steps in prop::collection::vec((0_u8..9, 1_u64..3000), 0..30),
            adaptive in any::<bool>(),
        ) {
            let address: Address = "10.0.0.1:80".parse().unwrap();
            let care = Care { adaptive: adaptive.then_some(Adaptive::USUAL), in_flight_max: 3, ..Care::default() };
            let memory = Arc::new(Memory::new(1, address.clone()));
            let (mut now, mut held) = (Moment::from_millis(5000), Vec::new());
            for (step, wait) in steps {
                let ending = Ending { took: Duration::from_millis(wait), ..Ending::at(now) };
                match step {
                    0 => held.push(memory.begin()),
                    1 => _ = held.pop(),
                    2 => _ = memory.fail_to_connect(now, 0.5),
                    3 => memory.reached(),
                    4 => _ = memory.note(Outcome::Failure, Said::Nothing, ending, &care),
                    5 => _ = memory.note(Outcome::Success, Said::Nothing, ending, &care),
                    6 => _ = memory.check(Err("no"), Counts { rise: 1, fall: 2 }, now),
                    7 => _ = memory.check(Ok(()), Counts { rise: 1, fall: 2 }, now),
                    _ => memory.begin_slowly(),
                }
                now = now.after(Duration::from_millis(wait));
            }
            let seen = memory.seen(&care, now);
            let written = serde_json::to_string(&seen).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Seen>(&written).unwrap(), &seen);
            let copy = seen.memory(&Arc::default(), 1, address, now);
            prop_assert_eq!(copy.seen(&care, now), seen);
            drop(held);
        }
    }

    #[test]
    fn what_is_asked_of_the_copy_is_answered_as_of_the_original() {
        let address: Address = "10.0.0.1:80".parse().unwrap();
        let (care, now) = (Care::default(), Moment::from_millis(10_000));
        let plain = || Memory::new(1, address.clone());
        let out = plain();
        out.fail_to_connect(now, 0.5);
        let due = plain();
        due.fail_to_connect(Moment::START, 0.5);
        let slow = plain();
        slow.begin_slowly();
        for memory in [plain(), out, due, slow] {
            let copy = memory.seen(&care, now).memory(&Arc::default(), 1, address.clone(), now);
            assert_eq!(asked(copy, &care, now), asked(memory, &care, now));
        }
    }
}
