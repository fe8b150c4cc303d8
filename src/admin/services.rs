//! What is known of services, as operators may ask for it: all in short, one in full or in part.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State as From};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::State;
use super::answer::Refusal;
use crate::catalog::status::Order;
use crate::catalog::{RegistryStatus, Selection, ServiceStatus, SummaryStatus};
use crate::telemetry::history::{Present, STEP, Step, together};

/// Points of a history that are told where no number is asked for.
const POINTS: usize = 60;

/// What `/services` answers.
#[derive(Debug, Serialize)]
pub(super) struct Overview {
    pub(super) registries: Vec<RegistryStatus>,
    pub(super) proxy: Load,
    /// The number of the newest event.
    pub(super) event: u64,
    pub(super) services: Vec<Row>,
}

/// What passes through this proxy at present.
#[derive(Debug, Serialize)]
pub(super) struct Load {
    connections_open: i64,
    requests_in_flight: i64,
    upstream_connections_open: i64,
}

/// A service in one line.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    #[serde(flatten)]
    pub(super) summary: SummaryStatus,
    /// How requests go at present; none where there were none in the last minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    traffic: Option<Traffic>,
}

/// How requests to a service go at present, over the last minute.
#[derive(Debug, Serialize)]
struct Traffic {
    /// Requests a second.
    rate: f64,
    /// The part that fails, from 0 to 1.
    failed_share: f64,
    p50_ms: f64,
    p99_ms: f64,
}

impl Traffic {
    fn of(present: &Present) -> Self {
        Self {
            rate: rounded(present.rate),
            failed_share: (present.failed_share * 1e4).round() / 1e4,
            p50_ms: rounded(present.p50_ms.into()),
            p99_ms: rounded(present.p99_ms.into()),
        }
    }
}

/// To hundredths.
fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

impl Overview {
    pub(super) fn of(state: &State) -> Self {
        let proxy = &state.metrics.proxy;
        let row = |summary: SummaryStatus| {
            let traffic = state.history.present(&summary.name).as_ref().map(Traffic::of);
            Row { summary, traffic }
        };
        Self {
            registries: state.catalog.registries(),
            proxy: Load {
                connections_open: proxy.connections_open.get(),
                requests_in_flight: proxy.requests_in_flight.get(),
                upstream_connections_open: proxy.upstream_connections_open.get(),
            },
            event: state.catalog.last_event(),
            services: state.catalog.summaries().into_iter().map(row).collect(),
        }
    }
}

pub(super) async fn services(From(state): From<State>) -> Json<Overview> {
    Json(Overview::of(&state))
}

/// Which endpoints of a service may be asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// Only those that have this in what tells them apart.
    find: Option<String>,
    /// In this order.
    order: Option<String>,
    /// Not so many at the start.
    offset: Option<usize>,
    /// At most so many.
    limit: Option<usize>,
}

impl Part {
    fn selection(self) -> Result<Selection, Refusal> {
        let order = self.order.map_or(Ok(Order::Address), |word| {
            let known = || Order::ALL.iter().map(|order| order.as_str().to_owned());
            Order::ALL.into_iter().find(|order| order.as_str() == word).ok_or_else(|| {
                let error = format!("endpoints have no order {word:?}");
                Refusal::new(StatusCode::BAD_REQUEST, error, PART_CURE).knowing(known().collect())
            })
        })?;
        Ok(Selection {
            find: self.find.unwrap_or_default().trim().to_lowercase(),
            order,
            offset: self.offset.unwrap_or(0),
            limit: self.limit.unwrap_or(usize::MAX),
        })
    }
}

const PART_CURE: &str =
    "ask /services/greeter, or /services/greeter?find=10.0.0&order=trouble&offset=0&limit=100";

pub(super) async fn service(
    From(state): From<State>,
    name: Result<Path<String>, PathRejection>,
    part: Result<Query<Part>, QueryRejection>,
) -> Result<Json<ServiceStatus>, Refusal> {
    let Path(name) = name.map_err(|error| {
        let cure = "write the name percent-encoded UTF-8, as in /services/web%2Fusers";
        Refusal::new(error.status(), error.body_text(), cure)
    })?;
    let Query(part) =
        part.map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.body_text(), PART_CURE))?;
    let selection = part.selection()?;
    state.catalog.service_in_part(&name, &selection).map(Json).ok_or_else(|| unknown(&state, &name))
}

fn unknown(state: &State, name: &str) -> Refusal {
    let cure = "names are exact, case included; a service is known from its first request on, or when it is declared";
    let known = state.catalog.known().into_iter().map(|known| known.service.to_string()).collect();
    Refusal::new(StatusCode::NOT_FOUND, format!("no service {name:?} is followed"), cure).knowing(known)
}

/// What `/history` answers.
#[derive(Debug, Serialize)]
pub(super) struct Courses {
    /// The length of time that a point stands for.
    step_ms: u128,
    /// Of each service that had requests, points of which the latest is the last.
    services: BTreeMap<String, Course>,
}

/// How requests to a service went.
#[derive(Debug, Serialize)]
struct Course {
    /// Requests a second.
    rate: Vec<f64>,
    /// The part that failed, from 0 to 1; none where there was no request, as below.
    failed_share: Vec<Option<f64>>,
    p50_ms: Vec<Option<f64>>,
    p99_ms: Vec<Option<f64>>,
}

impl Course {
    fn of(points: &[Step], seconds: f64) -> Self {
        let each = |number: &dyn Fn(&Step) -> f64| -> Vec<Option<f64>> {
            points.iter().map(|step| (step.requests > 0).then(|| number(step))).collect()
        };
        Self {
            rate: points.iter().map(|step| rounded(f64::from(step.requests) / seconds)).collect(),
            failed_share: each(&|step| {
                let share = f64::from(step.failed) / f64::from(step.requests.max(1));
                (share * 1e4).round() / 1e4
            }),
            p50_ms: each(&|step| rounded(step.p50_ms.into())),
            p99_ms: each(&|step| rounded(step.p99_ms.into())),
        }
    }
}

pub(super) async fn history(
    From(state): From<State>,
    asked: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Json<Courses>, Refusal> {
    let cure = "ask /history, or /history?service=greeter&service=users&points=60";
    let refused = |error: String| Refusal::new(StatusCode::BAD_REQUEST, error, cure);
    let Query(asked) = asked.map_err(|error| refused(error.body_text()))?;
    let (mut names, mut points) = (Vec::new(), POINTS);
    for (key, value) in asked {
        match key.as_str() {
            "service" => names.push(value),
            "points" => {
                points = value.parse().map_err(|_| refused(format!("{value:?} is no number of points")))?
            }
            _ => return Err(refused(format!("a history has no {key:?}"))),
        }
    }
    if names.is_empty() {
        names = state.catalog.known().into_iter().map(|known| known.service.to_string()).collect();
    }
    let step = STEP * u32::try_from(together(points)).unwrap_or(u32::MAX);
    let course = |name: String| {
        let points = state.history.points(&name, points)?;
        Some((name, Course::of(&points, step.as_secs_f64())))
    };
    Ok(Json(Courses { step_ms: step.as_millis(), services: names.into_iter().filter_map(course).collect() }))
}
