//! What the catalog tells an operator: plain values, made when asked for.

mod registries;
mod shadow;
mod tiers;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

pub use registries::{HeardStatus, RegistryStatus};
pub use shadow::ShadowStatus;
pub use tiers::TierStatus;

use super::service::Service;
use super::sources::Followed;
use super::subscription::Freshness;
use crate::balance::LoadBound;
use crate::clock::Moment;
use crate::endpoint::{Care, Checking, EjectionState, Endpoint, ReachState, Said};
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
    /// The endpoints, in order of address.
    pub endpoints: Vec<EndpointStatus>,
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

/// One endpoint.
#[derive(Clone, Debug, Serialize)]
pub struct EndpointStatus {
    /// The registry's name for it.
    pub id: String,
    /// Where it listens.
    pub address: String,
    /// The registries that name it, where several are followed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub registries: Vec<String>,
    /// `available`, `unwell`, `unreachable`, `ejected`, `limbo` or `ghost`.
    pub state: &'static str,
    /// Why it is in that state, unless it is available.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Where its record lies, where the registry tells.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub record: String,
    /// How long that record stays once whoever wrote it has died: `kept`, `lasting` or `leased`.
    pub tenure: &'static str,
    /// Failures to connect in a row, while unreachable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_failures: Option<u32>,
    /// Ejections, as far as not forgotten, while ejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ejections: Option<u32>,
    /// Time until a request or a probe may try it again, while unreachable or ejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_ms: Option<u64>,
    /// How long ago it answered last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_ms_ago: Option<u64>,
    /// What was learnt of how long it keeps idle connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<IdleStatus>,
    /// What checks find, where it is checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckStatus>,
    /// While it is not listed any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limbo: Option<LimboStatus>,
    /// Its share of traffic at present; 1 is usual.
    pub weight: f64,
    /// Where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// How near it is, where there are several tiers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// Its version; empty when it announces none.
    pub version: String,
    /// What is spoken with it.
    pub protocol: &'static str,
    /// Whether that is spoken over TLS.
    pub tls: bool,
    /// What else it announces.
    pub metadata: BTreeMap<String, String>,
    /// How long an answer is expected to take; none before the first attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// Attempts in flight.
    pub in_flight: u32,
    /// How many may be in flight.
    pub in_flight_max: u32,
    /// How many should be in flight at most so far, while it is new or just back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramp: Option<u32>,
    /// Attempts since it was first announced.
    pub attempts: u64,
    /// Attempts that failed since then.
    pub failures: u64,
}

/// What was learnt of how long an endpoint keeps idle connections.
#[derive(Clone, Debug, Serialize)]
pub struct IdleStatus {
    /// How long we let them idle at most, with a margin.
    pub limit_ms: u64,
    /// What taught it.
    pub why: &'static str,
}

/// What checks find of an endpoint.
#[derive(Clone, Debug, Serialize)]
pub struct CheckStatus {
    /// How the last one ended: `well` or `failed`.
    pub result: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long ago it was.
    pub ms_ago: u64,
    /// Checks in a row that ended so.
    pub in_a_row: u32,
    /// How long it has been unwell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unwell_for_ms: Option<u64>,
}

impl From<Checking> for CheckStatus {
    fn from(checking: Checking) -> Self {
        Self {
            result: if checking.cause.is_none() { "well" } else { "failed" },
            reason: checking.cause.map(Into::into),
            ms_ago: millis(checking.last),
            in_a_row: checking.in_a_row,
            unwell_for_ms: checking.unwell.map(millis),
        }
    }
}

/// How an endpoint that is not listed any more is used on.
#[derive(Clone, Debug, Serialize)]
pub struct LimboStatus {
    /// One word for why: `session`, `mass`, `doubt` or `last`.
    pub cause: &'static str,
    /// How long it has not been listed.
    pub for_ms: u64,
    /// How long it will be used at most; none while its going is not confirmed, or nobody else is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_ms: Option<u64>,
    /// Whether it is picked only when no other is available.
    pub spare: bool,
    /// Whether the registry is still to be asked a second time.
    pub unconfirmed: bool,
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
    pub(super) fn of(name: &ServiceName, service: &Service, sources: &[Followed], now: Moment) -> Self {
        let naming = registries::naming(service, sources);
        let tiers = tiers::by_endpoint(service);
        let endpoint = |endpoint: &Endpoint| {
            let registries = naming.get(&endpoint.provider.address).cloned().unwrap_or_default();
            let tier = tiers.get(&endpoint.memory.number).cloned();
            EndpointStatus { registries, tier, ..EndpointStatus::of(endpoint, &service.care, now) }
        };
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
            endpoints: service.endpoints.iter().map(endpoint).collect(),
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

impl EndpointStatus {
    /// An endpoint, told at this moment.
    pub fn of(endpoint: &Endpoint, care: &Care, now: Moment) -> Self {
        let Endpoint { provider, memory, weight, limbo } = endpoint;
        let (connect_failures, pause) = match memory.reach.state(now) {
            ReachState::Reachable => (None, None),
            ReachState::Unreachable { failures, pause } => (Some(failures), Some(pause)),
        };
        let ejection = memory.ejection(now);
        let pause = pause.max(ejection.map(|ejection| ejection.pause));
        let checking = memory.checked.state(now);
        Self {
            id: provider.id.to_string(),
            address: provider.address.to_string(),
            registries: Vec::new(),
            state: endpoint.state(),
            why: why(endpoint, checking.as_ref(), connect_failures, ejection),
            record: provider.record.to_string(),
            tenure: provider.tenure.as_str(),
            connect_failures,
            ejections: ejection.map(|ejection| ejection.times),
            pause_ms: pause.map(millis),
            answered_ms_ago: memory.answered().map(|answered| millis(now.since(answered))),
            idle: memory
                .idling()
                .learnt(now)
                .map(|(limit, teacher)| IdleStatus { limit_ms: millis(limit), why: teacher.as_str() }),
            check: checking.map(CheckStatus::from),
            limbo: limbo.as_deref().map(|limbo| LimboStatus {
                cause: limbo.cause.as_str(),
                for_ms: millis(now.since(limbo.since)),
                left_ms: limbo.until.map(|until| millis(until.since(now))),
                spare: limbo.is_spare,
                unconfirmed: limbo.is_unconfirmed,
            }),
            weight: f64::from(weight.hundredths()) / 100.0,
            zone: provider.zone.as_deref().map(str::to_owned),
            tier: None,
            version: provider.version.to_string(),
            protocol: provider.protocol.as_str(),
            tls: provider.secure,
            metadata: provider.metadata.clone(),
            latency_ms: (memory.attempts() > 0)
                .then(|| (f64::from(memory.latency.expected_ms(now)) * 1000.0).round() / 1000.0),
            in_flight: memory.in_flight(),
            in_flight_max: memory.in_flight_max(care),
            ramp: memory.ramp().filter(|_| care.slow_start),
            attempts: memory.attempts(),
            failures: memory.failures(),
        }
    }
}

/// Why an endpoint is not simply available, in a sentence.
fn why(
    endpoint: &Endpoint,
    checking: Option<&Checking>,
    connect_failures: Option<u32>,
    ejection: Option<EjectionState>,
) -> Option<String> {
    if let Some(ghost) = endpoint.memory.ghost() {
        return Some(ghost.as_str().to_owned());
    }
    if let Some(checking) = checking.filter(|checking| checking.unwell.is_some()) {
        return Some(match &checking.cause {
            Some(cause) => format!("its check fails: {cause}"),
            None => "its check failed, and has not passed often enough since".to_owned(),
        });
    }
    match (connect_failures, ejection, &endpoint.limbo) {
        (Some(failures), ..) => Some(format!("connections failed, {failures} in a row")),
        (None, Some(ejection), _) => Some(ejected(ejection, endpoint.memory.last_failure())),
        (None, None, Some(limbo)) => Some(limbo.cause.sentence().to_owned()),
        (None, None, None) => None,
    }
}

fn ejected(EjectionState { grounds, times, pause }: EjectionState, last: Said) -> String {
    let until = if pause.is_zero() {
        "one request at a time tries it until one succeeds".to_owned()
    } else {
        format!("out for {:.1} s more", pause.as_secs_f64())
    };
    let times = if times == 1 { "once".to_owned() } else { format!("{times} times") };
    format!("{grounds}, the last: {last}; {until}, ejected {times}")
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
