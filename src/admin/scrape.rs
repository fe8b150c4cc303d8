//! What a scrape gets: all metrics, with what the catalog knows at this moment.

use axum::extract::State as From;
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use axum::response::IntoResponse;

use super::State;
use crate::catalog::{Freshness, ShadowTally};
use crate::clock::Moment;
use crate::telemetry::metrics::{
    CONTENT_TYPE as METRICS_TYPE, EndpointSample, OPEN_CONTENT_TYPE as OPEN_METRICS_TYPE, ServiceSample,
    ShadowSample,
};

pub(super) async fn metrics(From(state): From<State>, headers: HeaderMap) -> impl IntoResponse {
    let now = state.clock.now();
    let samples: Vec<ServiceSample> = state
        .catalog
        .known()
        .into_iter()
        .map(|known| ServiceSample {
            service: known.service,
            stale: stale_for(&known.freshness, now),
            words: known
                .words
                .into_iter()
                .map(|(registry, revision, freshness)| (registry, revision, stale_for(&freshness, now)))
                .collect(),
            changed: known.changed.map(|changed| now.since(changed)),
            endpoints: known.endpoints.iter().map(sample).collect(),
            shadows: known.shadows,
            policies: known.tallies.into_iter().map(shadow).collect(),
        })
        .collect();
    // Whoever scrapes says what it can read; what it would rather have matters to none that knows both.
    let accepts = headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    if accepts.into_iter().any(|accept| accept.contains("application/openmetrics-text")) {
        ([(CONTENT_TYPE, OPEN_METRICS_TYPE)], state.metrics.render_open(&samples))
    } else {
        ([(CONTENT_TYPE, METRICS_TYPE)], state.metrics.render(&samples))
    }
}

fn stale_for(freshness: &Freshness, now: Moment) -> std::time::Duration {
    match freshness {
        Freshness::Stale { since, .. } => now.since(*since),
        Freshness::FromDisk { since, age } => *age + now.since(*since),
        Freshness::Pending | Freshness::Live | Freshness::Absent => std::time::Duration::ZERO,
    }
}

fn shadow(tally: ShadowTally) -> ShadowSample {
    ShadowSample {
        policies: [tally.made.as_str(), tally.policy.as_str()],
        choices: [tally.same, tally.different],
        in_flight: tally.in_flight,
        latency_us: tally.latency_us,
        chosen: tally.chosen,
    }
}

fn sample(endpoint: &crate::endpoint::Endpoint) -> EndpointSample {
    let memory = &endpoint.memory;
    EndpointSample {
        address: endpoint.provider.address.clone(),
        state: endpoint.state(),
        attempts: memory.attempts(),
        failures: memory.failures(),
        in_flight: memory.in_flight(),
    }
}
