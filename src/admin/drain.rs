//! `POST /drain`: the end begins, as when the process is told to stop by TERM.

use axum::Json;
use axum::extract::State as From;
use axum::http::StatusCode;
use serde::Serialize;

use super::State;

/// What `POST /drain` answers.
#[derive(Debug, Serialize)]
pub(super) struct Draining {
    draining: bool,
}

pub(super) async fn drain(From(state): From<State>) -> (StatusCode, Json<Draining>) {
    tracing::info!("told to stop by POST /drain");
    state.leave.cancel();
    (StatusCode::ACCEPTED, Json(Draining { draining: true }))
}
