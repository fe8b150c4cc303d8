//! What the catalog tells an operator: plain values, made when asked for.

mod endpoint;
mod failure;
mod registries;
mod selection;
mod shadow;
mod summary;
mod tiers;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

pub use endpoint::{CheckStatus, EndpointStatus, IdleStatus, LatelyStatus, LimboStatus};
pub use failure::FailureStatus;
pub use registries::{HeardStatus, RegistryStatus};
pub use selection::{Order, Selection};
pub use shadow::ShadowStatus;
pub use summary::{Outline, SummaryStatus};
pub use tiers::TierStatus;

use super::service::Service;
use super::sources::Followed;
use super::subscription::Freshness;
use crate::balance::LoadBound;
use crate::clock::Moment;
use crate::endpoint::Endpoint;
use crate::provider::ServiceName;
use crate::registry::Skipped;

/// Skipped records shown per service; their number is told in full.
const SKIPPED_SHOWN_MAX: usize = 100;

/// One service.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// Whether it stays without requests.
    pub declared: bool,
    /// How far the rest can be trusted.
    pub freshness: FreshnessStatus,
    /// The registry's version of the last list, where it has one.
    pub revision: Option<i64>,
    /// How long ago what is known last changed.
    pub changed_ms_ago: Option<u64>,
    /// How long ago the registry last listed it.
    pub listed_ms_ago: Option<u64>,
    /// How long ago a request last asked for it.
    pub used_ms_ago: u64,
    /// What each registry says of it, where several are followed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub registries: Vec<HeardStatus>,
    /// Who subscribed.
    pub claims: Vec<ClaimStatus>,
    /// How many endpoints there are.
    pub endpoints_count: usize,
    /// How many of them are in each state.
    pub states: BTreeMap<&'static str, usize>,
    /// How many of them were asked for.
    pub endpoints_found: usize,
    /// Those that were asked for, in the order that was; all in order of address, where nothing was said.
    pub endpoints: Vec<EndpointStatus>,
    /// The latest requests that failed, the newest first.
    pub failures: Vec<FailureStatus>,
    /// Records that are no provider.
    pub skipped_count: usize,
    /// The first hundred of them.
    pub skipped: Vec<SkippedStatus>,
}

/// How far what is known can be trusted.
#[derive(Clone, Debug, Serialize)]
pub struct FreshnessStatus {
    /// `pending`, `live`, `stale`, `from disk` or `absent`.
    pub state: &'static str,
    /// How long ago it was last vouched for, while it is stale or from disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
    /// Why it is stale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// One subscription.
#[derive(Clone, Debug, Serialize)]
pub struct ClaimStatus {
    /// The version it is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The metadata it is bound to.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Whether it is that of raw connections, which go to endpoints whatever they speak.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub raw: bool,
    /// How an endpoint is chosen.
    pub policy: &'static str,
    /// How many times the average one may have in flight before `maglev` passes its keys on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_bound: Option<f64>,
    /// The policy that this one is compared with, and how its choices differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<ShadowStatus>,
    /// Whether it stays without requests.
    pub declared: bool,
    /// Endpoints in its snapshot.
    pub endpoints: usize,
    /// How near they are, nearest first.
    pub tiers: Vec<TierStatus>,
}

/// One record that is no provider.
#[derive(Clone, Debug, Serialize)]
pub struct SkippedStatus {
    /// Where it lies.
    pub record: String,
    /// One short word for the cause.
    pub reason: &'static str,
    /// The cause in full.
    pub detail: String,
}

impl ServiceStatus {
    pub(super) fn of(
        name: &ServiceName,
        service: &Service,
        sources: &[Followed],
        selection: &Selection,
        now: Moment,
    ) -> Self {
        let naming = registries::naming(service, sources);
        let tiers = tiers::by_endpoint(service);
        let endpoint = |endpoint: &Endpoint| {
            let registries = naming.get(&endpoint.provider.address).cloned().unwrap_or_default();
            let tier = tiers.get(&endpoint.memory.number).cloned();
            EndpointStatus { registries, tier, ..EndpointStatus::of(endpoint, &service.care, now) }
        };
        let (endpoints_found, selected) = selection.of(&service.endpoints, now);
        let claims = service.claims.iter().map(|claimed| {
            let claim = claimed.subscription.claim();
            let snapshot = claimed.subscription.snapshot().load();
            ClaimStatus {
                version: claim.subset.version.as_deref().map(str::to_owned),
                metadata: claim.subset.metadata.clone(),
                raw: claim.subset.raw,
                policy: claim.choice.policy.as_str(),
                load_bound: claim.choice.load_bound.map(LoadBound::factor),
                shadow: snapshot.shadow().map(|shadow| ShadowStatus::of(&shadow.tally())),
                declared: claimed.declared,
                endpoints: snapshot.all().count(),
                tiers: tiers::of(&snapshot),
            }
        });
        Self {
            name: name.to_string(),
            declared: service.is_declared(),
            freshness: FreshnessStatus::of(&service.freshness(), now),
            revision: service.revision,
            changed_ms_ago: service.changed.map(|changed| millis(now.since(changed))),
            listed_ms_ago: service.listed.map(|listed| millis(now.since(listed))),
            used_ms_ago: millis(now.since(service.used())),
            registries: registries::heard(service, sources, now),
            claims: claims.collect(),
            endpoints_count: service.endpoints.len(),
            states: summary::states(&service.endpoints, now),
            endpoints_found,
            endpoints: selected.into_iter().map(endpoint).collect(),
            failures: service.failures().latest().map(FailureStatus::from).collect(),
            skipped_count: service.skipped.len(),
            skipped: service.skipped.iter().take(SKIPPED_SHOWN_MAX).map(SkippedStatus::of).collect(),
        }
    }
}

impl FreshnessStatus {
    /// How fresh it is, told at this moment.
    pub fn of(freshness: &Freshness, now: Moment) -> Self {
        let (state, for_ms, cause) = match freshness {
            Freshness::Pending => ("pending", None, None),
            Freshness::Live => ("live", None, None),
            Freshness::Stale { since, cause } => {
                ("stale", Some(millis(now.since(*since))), Some(cause.to_string()))
            }
            Freshness::FromDisk { since, age } => ("from disk", Some(millis(*age + now.since(*since))), None),
            Freshness::Absent => ("absent", None, None),
        };
        Self { state, for_ms, cause }
    }
}

impl SkippedStatus {
    fn of(skipped: &Skipped) -> Self {
        Self {
            record: skipped.record.clone(),
            reason: skipped.reason.as_str(),
            detail: skipped.detail.clone(),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
