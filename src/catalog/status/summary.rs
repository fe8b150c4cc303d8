//! What an operator is told of a service in one line: cheap enough for a thousand services each second.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::FreshnessStatus;
use super::endpoint::state;
use crate::catalog::Freshness;
use crate::clock::Moment;
use crate::endpoint::Endpoint;
use crate::provider::{Protocol, ServiceName};

/// A service in one line.
#[derive(Clone, Debug, Serialize)]
pub struct SummaryStatus {
    /// Its name.
    pub name: String,
    /// Whether it stays without requests.
    pub declared: bool,
    /// How far the rest can be trusted.
    pub freshness: FreshnessStatus,
    /// Its endpoints.
    pub endpoints: usize,
    /// How many of them requests go to at present.
    pub available: usize,
    /// How many are in each state, those that are simply available left out.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub trouble: BTreeMap<&'static str, usize>,
    /// Attempts in flight.
    pub in_flight: u64,
    /// Attempts at the endpoints that are there now.
    pub attempts: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// Records that are no provider.
    pub skipped: usize,
}

/// What is taken down of a service while nobody may change it; the rest is counted after that.
#[derive(Debug)]
pub struct Outline {
    pub(in crate::catalog) name: ServiceName,
    pub(in crate::catalog) declared: bool,
    pub(in crate::catalog) raw: bool,
    pub(in crate::catalog) freshness: Freshness,
    pub(in crate::catalog) endpoints: Arc<[Endpoint]>,
    pub(in crate::catalog) skipped: usize,
}

/// How many endpoints are in each state.
pub(super) fn states(endpoints: &[Endpoint], now: Moment) -> BTreeMap<&'static str, usize> {
    let mut states = BTreeMap::new();
    for endpoint in endpoints {
        *states.entry(state(endpoint, now)).or_default() += 1;
    }
    states
}

impl SummaryStatus {
    pub(in crate::catalog) fn of(service: &Outline, now: Moment) -> Self {
        let endpoints = &service.endpoints;
        let sum = |count: fn(&Endpoint) -> u64| endpoints.iter().map(count).sum();
        let mut trouble = states(endpoints, now);
        trouble.remove("available");
        Self {
            name: service.name.to_string(),
            declared: service.declared,
            freshness: FreshnessStatus::of(&service.freshness, now),
            endpoints: endpoints.len(),
            available: endpoints.iter().filter(|endpoint| is_used(endpoint, service.raw)).count(),
            trouble,
            in_flight: sum(|endpoint| endpoint.memory.in_flight().into()),
            attempts: sum(|endpoint| endpoint.memory.attempts()),
            failures: sum(|endpoint| endpoint.memory.failures()),
            skipped: service.skipped,
        }
    }
}

/// Whether anything is sent there: requests, or bytes that are passed on raw.
fn is_used(endpoint: &Endpoint, is_raw: bool) -> bool {
    matches!(endpoint.state(), "available" | "limbo")
        && (is_raw || endpoint.provider.protocol != Protocol::Tcp)
}
