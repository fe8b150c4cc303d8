//! Why each provider of a service can be picked or not, from what is known of it and the picks that were made.

use std::collections::HashMap;
use std::sync::Arc;

use super::document::{CandidateDocument, LeftOutDocument, TierDocument};
use crate::balance::Step;
use crate::catalog::snapshot::TierView;
use crate::catalog::status::{EndpointStatus, ServiceStatus};
use crate::catalog::{Claim, Snapshot};
use crate::clock::Moment;
use crate::endpoint::{Care, Endpoint, Fit};
use crate::provider::Provider;
use crate::proxy::telling::Made;

/// The endpoints of a service themselves, and how they are treated.
type Members = (Arc<[Endpoint]>, Arc<Care>);

/// The tiers of a snapshot, nearest first.
pub(super) fn tiers(snapshot: &Snapshot) -> Vec<TierDocument> {
    let tier = |tier: TierView<'_>| TierDocument {
        endpoints: tier.endpoints.len(),
        available: tier.endpoints.iter().filter(|endpoint| endpoint.is_available()).count(),
        share: tier.part(),
        panic: tier.panics,
        name: tier.name,
    };
    snapshot.tiers().map(tier).collect()
}

/// Everybody in a snapshot, which has copies of the members, and what keeps each from being picked.
pub(super) fn candidates(
    snapshot: &Snapshot,
    members: Option<&Members>,
    picks: &[Made],
    now: Moment,
) -> Vec<CandidateDocument> {
    let live: HashMap<u64, &Endpoint> = members
        .into_iter()
        .flat_map(|(endpoints, _)| endpoints.iter().map(|endpoint| (endpoint.memory.number, endpoint)))
        .collect();
    let care = &snapshot.care;
    let fallen_to = picks.last().and_then(|made| {
        made.notes.steps.iter().rev().find_map(|step| match step {
            Step::Tier(number) => Some(*number),
            Step::Turn(_) | Step::Compared(_) | Step::Proposed(..) | Step::Wished | Step::Searched => None,
        })
    });
    let asks_for_traffic = snapshot.endpoints.iter().any(|endpoint| endpoint.weight.hundredths() > 0);
    let candidate = |endpoint: &Endpoint, tier: Option<(usize, &str)>| {
        let endpoint = live.get(&endpoint.memory.number).copied().unwrap_or(endpoint);
        let status = EndpointStatus::of(endpoint, care, now);
        let is_elsewhere = tier.zip(fallen_to).is_some_and(|((number, _), fallen_to)| number != fallen_to);
        let why_not = reason(endpoint, &status, care, now).or_else(|| {
            if endpoint.weight.hundredths() == 0 && asks_for_traffic {
                Some("its weight is 0: it asks for no traffic".to_owned())
            } else if endpoint.is_spare() {
                Some("it is listed no more, and used only while no other one is available".to_owned())
            } else {
                is_elsewhere.then(|| "the draw fell to another tier".to_owned())
            }
        });
        CandidateDocument {
            address: status.address,
            id: status.id,
            picked: false,
            tier: tier.map(|(_, name)| name.to_owned()),
            weight: status.weight,
            state: status.state.to_owned(),
            in_flight: status.in_flight,
            in_flight_max: status.in_flight_max,
            latency_ms: status.latency_ms,
            why_not,
        }
    };
    let mut candidates = Vec::new();
    for (number, tier) in snapshot.tiers().enumerate() {
        let of_tier = tier.endpoints.iter().map(|endpoint| candidate(endpoint, Some((number, &tier.name))));
        candidates.extend(of_tier);
    }
    candidates.extend(snapshot.spares.iter().map(|spare| candidate(spare, None)));
    candidates
}

/// What of its own keeps an endpoint from being picked.
fn reason(endpoint: &Endpoint, status: &EndpointStatus, care: &Care, now: Moment) -> Option<String> {
    match endpoint.fit(care, now) {
        Fit::Ready => None,
        Fit::Out => Some(status.why.clone().unwrap_or_else(|| format!("it is {}", status.state))),
        Fit::Full => Some(format!("it has {} in flight, as many as it may", status.in_flight)),
        Fit::Deferred => Some(match endpoint.memory.ramp().filter(|_| care.slow_start) {
            Some(ramp) if endpoint.memory.awaited() >= ramp => {
                format!(
                    "it is new or just back, and gets {ramp} at a time so far: the next, if another is ready"
                )
            }
            Some(_) | None => "it asked for less: the next, if another is ready".to_owned(),
        }),
    }
}

/// The endpoints of a service that a claim leaves out.
pub(super) fn left_out(
    snapshot: &Snapshot,
    members: Option<&Members>,
    claim: &Claim,
) -> Vec<LeftOutDocument> {
    let known: std::collections::HashSet<u64> =
        snapshot.all().map(|endpoint| endpoint.memory.number).collect();
    let all = members.into_iter().flat_map(|(endpoints, _)| endpoints.iter());
    let missing = all.filter(|endpoint| !known.contains(&endpoint.memory.number));
    let left_out = |endpoint: &Endpoint| LeftOutDocument {
        name: endpoint.memory.address.to_string(),
        why: unwanted(&endpoint.provider, claim),
    };
    missing.map(left_out).collect()
}

fn unwanted(provider: &Provider, claim: &Claim) -> String {
    let subset = &claim.subset;
    if let Some(version) = subset.version.as_ref().filter(|version| **version != provider.version) {
        return format!("its version is {:?}, and not {version:?}", provider.version);
    }
    let mut others = subset.metadata.iter().filter(|(key, value)| provider.metadata.get(*key) != Some(value));
    if let Some((key, value)) = others.next() {
        return match provider.metadata.get(key) {
            Some(other) => format!("its {key} is {other:?}, and not {value:?}"),
            None => format!("it announces no {key}, which is to be {value:?}"),
        };
    }
    if !subset.raw && !provider.protocol.is_http() {
        return format!("it speaks {}, and requests cannot be sent there", provider.protocol.as_str());
    }
    "it came or went just now".to_owned()
}

/// The records of a service that are no provider.
pub(super) fn skipped(service: &ServiceStatus) -> impl Iterator<Item = LeftOutDocument> {
    service.skipped.iter().map(|skipped| LeftOutDocument {
        name: skipped.record.clone(),
        why: format!("{}: {}", skipped.reason, skipped.detail),
    })
}
