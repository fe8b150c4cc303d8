//! What the catalog tells an operator: plain values, made when asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::service::Service;
use super::subscription::{Freshness, RegistryState};
use crate::clock::Moment;
use crate::endpoint::{Endpoint, ReachState};
use crate::provider::ServiceName;
use crate::registry::Skipped;

/// Skipped records shown per service; their number is told in full.
const SKIPPED_SHOWN_MAX: usize = 100;

/// The registry as the catalog knows it.
#[derive(Clone, Debug, Serialize)]
pub struct RegistryStatus {
    /// Its kind; empty before any registry is followed.
    pub kind: &'static str,
    /// Where it is.
    pub location: String,
    /// `connecting`, `up` or `down`.
    pub state: &'static str,
    /// For how long it has been in that state.
    pub for_ms: u64,
    /// What it said of the connection, while it is up.
    pub detail: Option<String>,
    /// Why it is down.
    pub cause: Option<String>,
}

impl fmt::Display for RegistryStatus {
    /// Such as `zookeeper 127.0.0.1:2181 is down for 3s: no server answers`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = Duration::from_secs(self.for_ms / 1000);
        write!(
            f,
            "{} {} is {} for {}",
            self.kind,
            self.location,
            self.state,
            humantime::format_duration(since)
        )?;
        self.cause.as_ref().map_or(Ok(()), |cause| write!(f, ": {cause}"))
    }
}

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
    /// How long ago a list last changed what is known.
    pub changed_ms_ago: Option<u64>,
    /// How long ago a request last asked for it.
    pub used_ms_ago: u64,
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
    /// `pending`, `live`, `stale` or `absent`.
    pub state: &'static str,
    /// How long it has been stale.
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
    /// How an endpoint is chosen.
    pub policy: &'static str,
    /// Whether it stays without requests.
    pub declared: bool,
    /// Endpoints in its snapshot.
    pub endpoints: usize,
}

/// One endpoint.
#[derive(Clone, Debug, Serialize)]
pub struct EndpointStatus {
    /// The registry's name for it.
    pub id: String,
    /// Where it listens.
    pub address: String,
    /// `available` or `unreachable`.
    pub state: &'static str,
    /// Failures to connect in a row, while unreachable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_failures: Option<u32>,
    /// Time until a request may try it again, while unreachable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_ms: Option<u64>,
    /// Its share of traffic; 1 is usual.
    pub weight: f64,
    /// Where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Its version; empty when it announces none.
    pub version: String,
    /// What is spoken with it.
    pub protocol: &'static str,
    /// Whether that is spoken over TLS.
    pub tls: bool,
    /// What else it announces.
    pub metadata: BTreeMap<String, String>,
    /// Attempts in flight.
    pub in_flight: u32,
    /// Attempts since it was first announced.
    pub attempts: u64,
    /// Attempts that failed since then.
    pub failures: u64,
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

/// What is known of the registry, behind the catalog's lock.
#[derive(Debug)]
pub(super) struct RegistryFacts {
    pub(super) kind: &'static str,
    pub(super) location: String,
    pub(super) since: Moment,
    pub(super) detail: Option<String>,
    pub(super) cause: Option<String>,
}

impl RegistryFacts {
    pub(super) fn status(&self, state: RegistryState, now: Moment) -> RegistryStatus {
        RegistryStatus {
            kind: self.kind,
            location: self.location.clone(),
            state: state.as_str(),
            for_ms: millis(now.since(self.since)),
            detail: self.detail.clone(),
            cause: self.cause.clone(),
        }
    }
}

impl ServiceStatus {
    pub(super) fn of(name: &ServiceName, service: &Service, now: Moment) -> Self {
        let claims = service.claims.iter().map(|claimed| {
            let claim = claimed.subscription.claim();
            ClaimStatus {
                version: claim.subset.version.as_deref().map(str::to_owned),
                metadata: claim.subset.metadata.clone(),
                policy: claim.policy.as_str(),
                declared: claimed.declared,
                endpoints: claimed.subscription.snapshot().load().endpoints.len(),
            }
        });
        Self {
            name: name.to_string(),
            declared: service.is_declared(),
            freshness: FreshnessStatus::of(&service.freshness(), now),
            revision: service.revision,
            changed_ms_ago: service.changed.map(|changed| millis(now.since(changed))),
            used_ms_ago: millis(now.since(service.used())),
            claims: claims.collect(),
            endpoints: service.endpoints.iter().map(|endpoint| EndpointStatus::of(endpoint, now)).collect(),
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
            Freshness::Absent => ("absent", None, None),
        };
        Self { state, for_ms, cause }
    }
}

impl EndpointStatus {
    /// An endpoint, told at this moment.
    pub fn of(endpoint: &Endpoint, now: Moment) -> Self {
        let Endpoint { provider, memory } = endpoint;
        let (state, connect_failures, pause_ms) = match memory.reach.state(now) {
            ReachState::Reachable => ("available", None, None),
            ReachState::Unreachable { failures, pause } => {
                ("unreachable", Some(failures), Some(millis(pause)))
            }
        };
        Self {
            id: provider.id.to_string(),
            address: provider.address.to_string(),
            state,
            connect_failures,
            pause_ms,
            weight: f64::from(provider.weight.hundredths()) / 100.0,
            zone: provider.zone.as_deref().map(str::to_owned),
            version: provider.version.to_string(),
            protocol: provider.protocol.as_str(),
            tls: provider.secure,
            metadata: provider.metadata.clone(),
            in_flight: memory.in_flight(),
            attempts: memory.attempts(),
            failures: memory.failures(),
        }
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
