//! When an endpoint is probed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::{Rng, RngExt as _};

use crate::catalog::Known;
use crate::clock::Moment;
use crate::endpoint::{Endpoint, Ghost, Memory};
use crate::provider::Tenure;

/// How long the last sign of life of an endpoint in limbo is good.
const LIMBO: Duration = Duration::from_secs(5);
/// Between two probes of endpoints that nobody asked for, on average.
const PATROL: Duration = Duration::from_secs(5);
/// How long an endpoint must not have answered for a patrol to look at it.
const UNHEARD: Duration = Duration::from_mins(5);
/// Probes at a time.
const PROBES_MAX: usize = 64;

/// What is being probed, and what was.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// When each endpoint was last probed, by the number of its memory.
    probed: BTreeMap<u64, Moment>,
    /// Those being probed.
    running: BTreeSet<u64>,
    /// When the next patrol looks at one.
    patrol: Option<Moment>,
}

impl Schedule {
    /// The endpoints to probe now, while `running` probes are on their way.
    pub(super) fn due(
        &mut self,
        known: &[Known],
        now: Moment,
        running: usize,
        rng: &mut impl Rng,
    ) -> Vec<Endpoint> {
        let room = PROBES_MAX.saturating_sub(running);
        let endpoints = || known.iter().flat_map(|service| service.endpoints.iter());
        let numbers: BTreeSet<u64> = endpoints().map(|endpoint| endpoint.memory.number).collect();
        self.probed.retain(|number, _| numbers.contains(number));
        let mut due: Vec<Endpoint> = endpoints()
            .filter(|endpoint| {
                !self.running.contains(&endpoint.memory.number) && self.is_in_doubt(endpoint, now)
            })
            .take(room)
            .cloned()
            .collect();
        if due.len() < room && self.patrol.is_none_or(|patrol| patrol <= now) {
            self.patrol = Some(now.after(PATROL.mul_f64(rng.random_range(0.5..1.5))));
            let unheard = endpoints().filter(|endpoint| self.is_unheard(endpoint, now));
            // The one whose last probe lies back furthest; never probed ones first.
            let next = unheard.min_by_key(|endpoint| self.probed.get(&endpoint.memory.number).copied());
            due.extend(next.cloned());
        }
        for endpoint in &due {
            self.probed.insert(endpoint.memory.number, now);
            self.running.insert(endpoint.memory.number);
        }
        due
    }

    /// Notes that a probe has ended.
    pub(super) fn done(&mut self, memory: &Memory) {
        self.running.remove(&memory.number);
    }

    fn is_in_doubt(&self, endpoint: &Endpoint, now: Moment) -> bool {
        let memory = &endpoint.memory;
        match memory.ghost() {
            Some(Ghost::Silent) => memory.reach.is_due(now),
            // A connection says nothing of who it is.
            Some(Ghost::Stranger) => false,
            None => {
                endpoint.limbo.is_some() && memory.reach.is_available() && !self.was_heard(memory, now, LIMBO)
            }
        }
    }

    fn is_unheard(&self, endpoint: &Endpoint, now: Moment) -> bool {
        endpoint.provider.tenure == Tenure::Lasting
            && endpoint.is_available()
            && !self.running.contains(&endpoint.memory.number)
            && !self.was_heard(&endpoint.memory, now, UNHEARD)
    }

    /// Whether there was an answer or a probe not longer ago than this.
    fn was_heard(&self, memory: &Memory, now: Moment, within: Duration) -> bool {
        let last = memory.answered().max(self.probed.get(&memory.number).copied());
        last.is_some_and(|last| now.since(last) < within)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::SmallRng;

    use std::sync::Arc;

    use super::*;
    use crate::catalog::Freshness;
    use crate::endpoint::{Cause, Limbo};
    use crate::provider::Provider;

    fn endpoint(port: u16, tenure: Tenure) -> Endpoint {
        let address: crate::provider::Address = format!("10.0.0.1:{port}").parse().unwrap();
        let provider = Provider { tenure, ..Provider::new("p", address.clone()) };
        Endpoint::new(Arc::new(provider), Arc::new(Memory::new(port.into(), address)))
    }

    fn in_limbo(port: u16) -> Endpoint {
        let limbo = Limbo {
            cause: Cause::Session,
            since: Moment::START,
            until: None,
            is_spare: true,
            is_unconfirmed: false,
            failures: 0,
        };
        Endpoint { limbo: Some(Arc::new(limbo)), ..endpoint(port, Tenure::Leased(1)) }
    }

    fn due(schedule: &mut Schedule, endpoints: &[Endpoint], millis: u64) -> Vec<u64> {
        let service = "greeter".parse().unwrap();
        let known = Known {
            service,
            freshness: Freshness::Live,
            words: Vec::new(),
            changed: None,
            shadows: Vec::new(),
            tallies: Vec::new(),
            endpoints: endpoints.into(),
        };
        let due = schedule.due(&[known], Moment::from_millis(millis), 0, &mut SmallRng::seed_from_u64(1));
        let numbers = due.iter().map(|endpoint| endpoint.memory.number).collect();
        due.iter().for_each(|endpoint| schedule.done(&endpoint.memory));
        numbers
    }

    #[test]
    fn limbo_is_probed_unless_it_was_heard_of_lately() {
        let mut schedule = Schedule::default();
        let endpoints = [in_limbo(1), in_limbo(2), endpoint(3, Tenure::Kept)];
        endpoints[1].memory.answer(Moment::from_millis(0));
        assert_eq!(due(&mut schedule, &endpoints, 1000), [1]);
        assert_eq!(due(&mut schedule, &endpoints, 4999), [0_u64; 0]);
        assert_eq!(due(&mut schedule, &endpoints, 5001), [2]);
        assert_eq!(due(&mut schedule, &endpoints, 6000), [1]);
        endpoints[0].memory.fail_to_connect(Moment::from_millis(6000), 0.5);
        assert_eq!(due(&mut schedule, &endpoints, 20_000), [2], "one that failed is dropped, not probed");
    }

    #[test]
    fn ghosts_are_probed_when_their_pause_is_over() {
        let mut schedule = Schedule::default();
        let endpoints = [endpoint(1, Tenure::Lasting), endpoint(2, Tenure::Lasting)];
        endpoints[0].memory.haunt(Ghost::Silent, Moment::from_millis(0), 0.5);
        endpoints[1].memory.haunt(Ghost::Stranger, Moment::from_millis(0), 0.5);
        assert_eq!(due(&mut schedule, &endpoints, 900), [0_u64; 0]);
        assert_eq!(due(&mut schedule, &endpoints, 1000), [1]);
    }

    #[test]
    fn a_patrol_looks_at_one_unheard_endpoint_after_the_other() {
        let mut schedule = Schedule::default();
        let endpoints: Vec<Endpoint> = (1..4).map(|port| endpoint(port, Tenure::Lasting)).collect();
        let mut seen = Vec::new();
        for second in 0..40 {
            seen.extend(due(&mut schedule, &endpoints, second * 1000));
        }
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 3], "each once in five minutes, spread over time");
        assert_eq!(due(&mut schedule, &[endpoint(9, Tenure::Kept)], 99_000), [0_u64; 0]);
    }
}
