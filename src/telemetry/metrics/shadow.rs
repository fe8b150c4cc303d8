//! Metrics of policies that are compared with those in use, computed at a scrape.

use std::collections::BTreeMap;

use prometheus::proto::MetricFamily;

use super::sample::{Family, ServiceSample, number};
use crate::provider::Address;

/// How the choices of a shadow differ from those made, at the moment of a scrape.
#[derive(Clone, Debug, Default)]
pub struct ShadowSample {
    /// The policy by which is chosen, and the one that is compared.
    pub policies: [&'static str; 2],
    /// Choices that were the same, and those that were not.
    pub choices: [u64; 2],
    /// The sum of what was in flight at the endpoints chosen: those made, those of the shadow.
    pub in_flight: [u64; 2],
    /// The sum of the latency expected of the endpoints chosen, in microseconds: those made, those of the shadow.
    pub latency_us: [u64; 2],
    /// How often the shadow would have chosen each endpoint.
    pub chosen: Vec<(Address, u64)>,
}

/// The metrics of all shadows. Claims on one service with the same two policies are told together.
pub(super) fn families(services: &[ServiceSample]) -> impl Iterator<Item = MetricFamily> {
    let mut choices = Family::counter(
        "shadow_policy_choices_total",
        "First attempts at which the policy that is compared chose the same endpoint as the one in use, or a different one.",
    );
    let mut chosen = Family::counter(
        "shadow_policy_endpoint_choices_total",
        "First attempts that the policy that is compared would have sent to an endpoint.",
    );
    let mut in_flight = Family::counter(
        "shadow_policy_in_flight_total",
        "Attempts in flight at the endpoints chosen, added up over all choices: those made, and those of the shadow.",
    );
    let mut latency = Family::counter(
        "shadow_policy_latency_seconds_total",
        "Latency expected of the endpoints chosen, added up over all choices: those made, and those of the shadow.",
    );
    for sample in services {
        for ([policy, shadow], tally) in together(&sample.policies) {
            let of = [("service", sample.service.as_str()), ("policy", policy), ("shadow", shadow)];
            for (place, word) in ["same", "different"].into_iter().enumerate() {
                choices.add(&with(of, "choice", word), number(tally.choices[place]));
            }
            for (place, word) in ["made", "shadow"].into_iter().enumerate() {
                in_flight.add(&with(of, "of", word), number(tally.in_flight[place]));
                latency.add(&with(of, "of", word), number(tally.latency_us[place]) / 1_000_000.0);
            }
            for (address, count) in &tally.chosen {
                chosen.add(&with(of, "endpoint", &address.to_string()), number(*count));
            }
        }
    }
    [choices, chosen, in_flight, latency].into_iter().filter_map(Family::finish)
}

fn with<'l>(of: [(&'l str, &'l str); 3], label: &'l str, value: &'l str) -> [(&'l str, &'l str); 4] {
    [of[0], of[1], of[2], (label, value)]
}

fn together(samples: &[ShadowSample]) -> BTreeMap<[&'static str; 2], ShadowSample> {
    let mut sums: BTreeMap<_, ShadowSample> = BTreeMap::new();
    let add = |sum: &mut [u64; 2], more: [u64; 2]| *sum = [sum[0] + more[0], sum[1] + more[1]];
    for sample in samples {
        let sum = sums.entry(sample.policies).or_default();
        add(&mut sum.choices, sample.choices);
        add(&mut sum.in_flight, sample.in_flight);
        add(&mut sum.latency_us, sample.latency_us);
        let mut chosen: BTreeMap<Address, u64> = std::mem::take(&mut sum.chosen).into_iter().collect();
        for (address, count) in &sample.chosen {
            *chosen.entry(address.clone()).or_default() += count;
        }
        sum.chosen = chosen.into_iter().collect();
    }
    sums
}
