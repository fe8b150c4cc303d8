//! Answers to operators: JSON for programs, with the cause and the cure where something is refused.

use axum::Json;
use axum::extract::State as From;
use axum::extract::rejection::StringRejection;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::{PATHS, State};
use crate::telemetry::log::{Loudness, LoudnessError};

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

    /// The same, with what could be asked for instead.
    pub(super) fn knowing(self, known: Vec<String>) -> Self {
        Self { known, ..self }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self)).into_response()
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
    // Not as `level`: a line in JSON has that already, and readers take the last of two.
    tracing::info!(to = %level, "the level of the log was changed");
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
