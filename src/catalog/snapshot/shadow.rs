//! The shadow of a policy: another one that is asked at the same first attempts, and compared, while nothing is sent where it says.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use rand::rngs::SmallRng;

use super::pick::PROPOSALS_MAX;
use super::same_endpoints;
use crate::balance::{Ask, Balancer, Choice, Policy};
use crate::endpoint::{Care, Endpoint, Fit};
use crate::provider::Address;

/// Another policy for the same endpoints, and how its choices differ from those made.
///
/// Costs a second proposal and a few atomics at each first attempt, and nothing where no shadow is wanted.
#[derive(Debug)]
pub struct Shadow {
    /// The policy by which is chosen.
    made: Policy,
    /// The one that is compared.
    policy: Policy,
    endpoints: Arc<[Endpoint]>,
    balancer: Option<Arc<dyn Balancer>>,
    /// How often each endpoint would have been chosen. Written by workers, read by metrics and admin; they go on in the next
    /// snapshot.
    chosen: Box<[Arc<AtomicU64>]>,
    counts: Arc<Counts>,
}

/// What is counted as long as the claim lasts. Written by workers at first attempts, read by metrics and admin.
#[derive(Debug, Default)]
struct Counts {
    same: CachePadded<AtomicU64>,
    different: AtomicU64,
    /// Sums over the choices made, and over those of the shadow: attempts in flight, and expected latency in microseconds.
    in_flight: [AtomicU64; 2],
    latency_us: [AtomicU64; 2],
}

/// How the choices of a shadow differ from those made, as told to operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowTally {
    /// The policy by which is chosen.
    pub made: Policy,
    /// The policy that is compared.
    pub policy: Policy,
    /// Choices that were the same.
    pub same: u64,
    /// Choices that were not.
    pub different: u64,
    /// The sum of the attempts in flight at the endpoints chosen, before the attempt: those made, those of the shadow.
    pub in_flight: [u64; 2],
    /// The sum of the latency expected of the endpoints chosen, in microseconds: those made, those of the shadow.
    pub latency_us: [u64; 2],
    /// How often the shadow would have chosen each endpoint, in order of address.
    pub chosen: Vec<(Address, u64)>,
}

impl Shadow {
    /// The shadow that a choice wants for these endpoints; counts go on, and so does an order.
    pub(super) fn follow(
        choice: Choice,
        endpoints: &Arc<[Endpoint]>,
        previous: Option<&Arc<Self>>,
        rng: &mut SmallRng,
    ) -> Option<Arc<Self>> {
        let policy = choice.shadow?;
        if let Some(previous) = previous.filter(|previous| same_endpoints(endpoints, &previous.endpoints)) {
            return Some(Arc::clone(previous));
        }
        let known: HashMap<u64, &Arc<AtomicU64>> = previous
            .iter()
            .flat_map(|previous| previous.endpoints.iter().zip(&previous.chosen))
            .map(|(endpoint, count)| (endpoint.memory.number, count))
            .collect();
        let count = |endpoint: &Endpoint| known.get(&endpoint.memory.number).copied().cloned();
        let before = previous.and_then(|previous| previous.balancer.as_deref());
        let shadow = Choice { policy, shadow: None, ..choice };
        Some(Arc::new(Self {
            made: choice.policy,
            policy,
            endpoints: Arc::clone(endpoints),
            balancer: (!endpoints.is_empty()).then(|| shadow.build(endpoints, before, rng)),
            chosen: endpoints.iter().map(|endpoint| count(endpoint).unwrap_or_default()).collect(),
            counts: previous.map(|previous| Arc::clone(&previous.counts)).unwrap_or_default(),
        }))
    }

    /// Compares a choice made with the one that the shadow makes of the same ask. Choices for want of anything better, and
    /// those of further attempts, are not compared.
    pub(super) fn compare(&self, ask: &mut Ask<'_>, care: &Care, made: &Endpoint) {
        if !ask.tried.is_empty() || made.fit(care, ask.now) != Fit::Ready {
            return;
        }
        let Some(index) = self.choose(ask, care) else { return };
        let chosen = &self.endpoints[index];
        self.chosen[index].fetch_add(1, Ordering::Relaxed);
        let is_same = chosen.memory.number == made.memory.number;
        let counts = &self.counts;
        let count: &AtomicU64 = if is_same { &counts.same } else { &counts.different };
        count.fetch_add(1, Ordering::Relaxed);
        for (place, endpoint) in [made, chosen].into_iter().enumerate() {
            let expected = endpoint.memory.latency.expected(ask.now).as_micros();
            let micros = u64::try_from(expected).unwrap_or(u64::MAX);
            counts.latency_us[place].fetch_add(micros, Ordering::Relaxed);
            counts.in_flight[place].fetch_add(endpoint.memory.in_flight().into(), Ordering::Relaxed);
        }
    }

    fn choose(&self, ask: &mut Ask<'_>, care: &Care) -> Option<usize> {
        let balancer = self.balancer.as_deref()?;
        let now = ask.now;
        let mut proposals = (0..PROPOSALS_MAX).map(|turn| balancer.propose(ask, turn));
        proposals.find(|index| self.endpoints[*index].fit(care, now) == Fit::Ready)
    }

    /// What came of it so far.
    pub fn tally(&self) -> ShadowTally {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.counts;
        let chosen = self.endpoints.iter().zip(&self.chosen);
        ShadowTally {
            made: self.made,
            policy: self.policy,
            same: read(&counts.same),
            different: read(&counts.different),
            in_flight: counts.in_flight.each_ref().map(read),
            latency_us: counts.latency_us.each_ref().map(read),
            chosen: chosen
                .map(|(endpoint, count)| (endpoint.provider.address.clone(), read(count)))
                .collect(),
        }
    }
}

impl ShadowTally {
    /// What is the mean over all choices of a sum over them; 0 before the first.
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, which takes centuries")]
    pub fn mean(&self, sum: u64) -> f64 {
        sum as f64 / (self.same + self.different).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::snapshot::tests::{NOW, claim, rng, snapshot};
    use crate::catalog::snapshot::{Members, Snapshot};
    use crate::endpoint::{Ending, Outcome, Said};

    /// A snapshot of round robin that is compared with another policy.
    fn shadowed(weights: &[u32], policy: Policy) -> (Snapshot, crate::catalog::Claim) {
        let mut claim = claim(Policy::RoundRobin);
        claim.choice.shadow = Some(policy);
        let endpoints = snapshot(weights, Policy::RoundRobin).endpoints;
        (Snapshot::new(&Members::of(endpoints), &claim, &Snapshot::not_listed(), NOW, &mut rng()), claim)
    }

    fn picks(snapshot: &Snapshot, count: usize) {
        let mut rng = rng();
        for _ in 0..count {
            snapshot.pick(&mut Ask::new(NOW, &mut rng)).unwrap();
        }
    }

    #[test]
    fn says_what_another_policy_would_have_done() {
        let (snapshot, _) = shadowed(&[100; 2], Policy::LeastRequest);
        let busy = &snapshot.endpoints[0].memory;
        let _guards: Vec<_> = (0..4).map(|_| busy.begin()).collect();
        let slow = Ending { took: std::time::Duration::from_millis(90), ..Ending::at(NOW) };
        busy.note(Outcome::Success, Said::Nothing, slow, &Care::default());
        picks(&snapshot, 10);
        let tally = snapshot.shadow().unwrap().tally();
        assert_eq!((tally.made, tally.policy), (Policy::RoundRobin, Policy::LeastRequest));
        assert_eq!((tally.same, tally.different), (5, 5));
        assert_eq!((tally.in_flight, tally.latency_us), ([20, 0], [600_000, 300_000]));
        assert_eq!(tally.chosen.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [0, 10]);
        assert!((tally.mean(tally.in_flight[0]) - 2.0).abs() < 1e-9);
        assert_eq!(snapshot.endpoints[1].memory.attempts(), 0, "nothing is sent");
    }

    #[test]
    fn whom_it_would_choose_is_not_on_trial() {
        let (snapshot, _) = shadowed(&[100; 2], Policy::PeakEwma);
        let later = NOW.after(std::time::Duration::from_secs(60));
        let failed = &snapshot.endpoints[0].memory;
        failed.note(Outcome::Failure, Said::Nothing, Ending::at(NOW), &Care::default());
        let _load: Vec<_> = (0..8).map(|_| snapshot.endpoints[1].memory.begin()).collect();
        let mut rng = rng();
        let mut ask = Ask::new(later, &mut rng);
        let shadow = snapshot.shadow().unwrap();
        shadow.compare(&mut ask, &snapshot.care, &snapshot.endpoints[1]);
        assert_eq!(shadow.tally().chosen[0].1, 1);
        assert!(failed.latency.expected_ms(later) < 13.0, "nobody asks it");
        while snapshot.pick(&mut ask).unwrap().memory.number != 0 {}
        assert!(failed.latency.expected_ms(later) >= 5000.0, "now somebody does");
    }

    #[test]
    fn counts_go_on_when_endpoints_come_and_go() {
        let (before, claim) = shadowed(&[100; 3], Policy::RoundRobin);
        picks(&before, 6);
        let left: Arc<[Endpoint]> = before.endpoints.iter().skip(1).cloned().collect();
        let after = Snapshot::new(&Members::of(left), &claim, &before, NOW, &mut rng());
        picks(&after, 2);
        // Whoever still picks from the old one is counted as well.
        picks(&before, 3);
        let tally = after.shadow().unwrap().tally();
        assert_eq!(tally.same + tally.different, 11);
        assert_eq!(tally.chosen.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [4, 4]);
        let nobody = Snapshot::new(&Members::of(Arc::new([])), &claim, &after, NOW, &mut rng());
        let tally = nobody.shadow().unwrap().tally();
        assert_eq!((tally.same + tally.different, tally.chosen.len()), (11, 0));
    }

    #[test]
    fn further_attempts_and_picks_for_want_of_anything_better_are_not_compared() {
        let (snapshot, _) = shadowed(&[100; 2], Policy::Random);
        let mut rng = rng();
        snapshot.pick(&mut Ask { tried: &[0], ..Ask::new(NOW, &mut rng) }).unwrap();
        snapshot.endpoints.iter().for_each(|endpoint| {
            endpoint.memory.note(Outcome::Unreachable, Said::Nothing, Ending::at(NOW), &Care::default());
        });
        picks(&snapshot, 3);
        let tally = snapshot.shadow().unwrap().tally();
        assert_eq!((tally.same, tally.different), (0, 0));
        assert!(super::super::tests::snapshot(&[100; 2], Policy::Random).shadow().is_none());
    }
}
