//! Answers to operators: JSON for programs, with the cause and the cure where something is refused.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection, StringRejection};
use axum::extract::{Path, Query, State as From};
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::{PATHS, State};
use crate::catalog::status::{EndpointStatus, FreshnessStatus};
use crate::catalog::{Freshness, Happened, RegistryStatus, ServiceStatus, ShadowTally};
use crate::clock::Moment;
use crate::provider::Protocol;
use crate::telemetry::log::{Loudness, LoudnessError};
use crate::telemetry::metrics::{
    CONTENT_TYPE as METRICS_TYPE, EndpointSample, OPEN_CONTENT_TYPE as OPEN_METRICS_TYPE, ServiceSample,
    ShadowSample,
};

/// Events shown where no number is asked for.
const EVENTS_SHOWN: usize = 100;

/// A request that is not answered: why, and what to ask instead.
#[derive(Debug, Serialize)]
pub(super) struct Refusal {
    #[serde(skip)]
    status: StatusCode,
    error: String,
    cure: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    known: Vec<String>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { status, error: error.into(), cure: cure.into(), known: Vec::new() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self)).into_response()
    }
}

/// What `/services` answers.
#[derive(Debug, Serialize)]
pub(super) struct Overview {
    registries: Vec<RegistryStatus>,
    services: Vec<Summary>,
}

/// A service in one line.
#[derive(Debug, Serialize)]
struct Summary {
    name: String,
    declared: bool,
    freshness: FreshnessStatus,
    endpoints: usize,
    available: usize,
    in_flight: u64,
    attempts: u64,
    failures: u64,
    skipped: usize,
}

/// Whether anything is sent there: requests, or bytes that are passed on raw.
fn is_used(endpoint: &EndpointStatus, is_raw: bool) -> bool {
    matches!(endpoint.state, "available" | "limbo") && (is_raw || endpoint.protocol != Protocol::Tcp.as_str())
}

impl Summary {
    fn of(service: ServiceStatus) -> Self {
        let sum = |count: fn(&EndpointStatus) -> u64| service.endpoints.iter().map(count).sum();
        let is_raw = service.claims.iter().any(|claim| claim.raw);
        Self {
            declared: service.declared,
            endpoints: service.endpoints.len(),
            available: service.endpoints.iter().filter(|endpoint| is_used(endpoint, is_raw)).count(),
            in_flight: sum(|endpoint| endpoint.in_flight.into()),
            attempts: sum(|endpoint| endpoint.attempts),
            failures: sum(|endpoint| endpoint.failures),
            skipped: service.skipped_count,
            freshness: service.freshness,
            name: service.name,
        }
    }
}

pub(super) async fn services(From(state): From<State>) -> Json<Overview> {
    Json(Overview {
        registries: state.catalog.registries(),
        services: state.catalog.services().into_iter().map(Summary::of).collect(),
    })
}

pub(super) async fn service(
    From(state): From<State>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<ServiceStatus>, Refusal> {
    let Path(name) = name.map_err(|error| {
        let cure = "write the name percent-encoded UTF-8, as in /services/web%2Fusers";
        Refusal::new(error.status(), error.body_text(), cure)
    })?;
    state.catalog.service(&name).map(Json).ok_or_else(|| {
        let cure = "names are exact, case included; a service is known from its first request on, or when it is declared";
        let known = state.catalog.known().into_iter().map(|known| known.service.to_string()).collect();
        let error = format!("no service {name:?} is followed");
        Refusal { known, ..Refusal::new(StatusCode::NOT_FOUND, error, cure) }
    })
}

/// What may be asked of events.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Only of this service.
    service: Option<String>,
    /// At most so many.
    limit: Option<usize>,
    /// Only those with a higher number.
    #[serde(default)]
    after: u64,
}

pub(super) async fn events(
    From(state): From<State>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Happened>, Refusal> {
    let Query(wanted) = wanted.map_err(|error| {
        let cure = "ask /events, or /events?service=greeter&limit=100";
        Refusal::new(StatusCode::BAD_REQUEST, error.body_text(), cure)
    })?;
    let limit = wanted.limit.unwrap_or(EVENTS_SHOWN);
    Ok(Json(state.catalog.events_after(wanted.after, wanted.service.as_deref(), limit)))
}

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

pub(super) async fn config(From(state): From<State>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], state.config_text.load().as_str().to_owned())
}

/// What `PUT /log-level` answers.
#[derive(Debug, Serialize)]
pub(super) struct LevelSet {
    level: String,
}

pub(super) async fn set_log_level(
    From(state): From<State>,
    word: Result<String, StringRejection>,
) -> Result<Json<LevelSet>, Refusal> {
    let cure = "send the word as the body: curl -X PUT -d debug http://127.0.0.1:4141/log-level; \
                modules may have their own: info,wayside::catalog=debug";
    let word = word.map_err(|error| Refusal::new(error.status(), error.body_text(), cure))?;
    let level: Loudness = word
        .trim()
        .parse()
        .map_err(|error: LoudnessError| Refusal::new(StatusCode::BAD_REQUEST, error.to_string(), cure))?;
    let control = state.log.ok_or_else(|| {
        let cure = "the program that runs this proxy as a library has a log of its own: change it there";
        Refusal::new(StatusCode::NOT_FOUND, "this proxy does not own the log", cure)
    })?;
    control.set(&level);
    tracing::info!(%level, "the level of the log was changed");
    Ok(Json(LevelSet { level: level.to_string() }))
}

pub(super) async fn unknown_path(uri: Uri) -> Refusal {
    let error = format!("there is nothing at {:?}", uri.path());
    Refusal::new(StatusCode::NOT_FOUND, error, format!("ask one of: {}", PATHS.join(", ")))
}

pub(super) async fn unknown_method(method: Method, uri: Uri) -> Refusal {
    let error = format!("{:?} does not take {method}", uri.path());
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, error, format!("ask one of: {}", PATHS.join(", ")))
}
