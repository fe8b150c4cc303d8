//! What happened lately, as operators may ask for it.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State as From};
use axum::http::StatusCode;
use serde::Deserialize;

use super::State;
use super::answer::Refusal;
use crate::catalog::Happened;

/// Events shown where no number is asked for.
const EVENTS_SHOWN: usize = 100;

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
