//! Whether requests are welcome, and why not.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use axum::Json;
use axum::extract::State as From;
use axum::http::StatusCode;
use serde::Serialize;

use super::State;
use crate::catalog::{Catalog, Freshness, RegistryStatus};

/// How long a registry that answers may take to list the declared services before we are ready without.
const LISTING_PATIENCE: Duration = Duration::from_secs(10);

const STARTING: u8 = 0;
const LISTENING: u8 = 1;
const WELCOME: u8 = 2;
const LEAVING: u8 = 3;

/// Where in its life the process is. Moves forward only.
///
/// Readiness is about the start: once ready, a registry that fails does not take it back, since known providers stay in
/// use, and a registry's outage must not take every instance of every application out of rotation at once.
#[derive(Debug, Default)]
pub struct Readiness {
    /// One of the four constants above. Written by the app and by `/readyz`, read by `/readyz`.
    phase: AtomicU8,
}

impl Readiness {
    /// The listeners take connections.
    pub fn listening(&self) {
        self.advance(LISTENING);
    }

    /// The process is about to stop: whoever asks is told to send requests elsewhere.
    pub fn leaving(&self) {
        self.advance(LEAVING);
    }

    /// What keeps requests from being welcome; nothing when they are.
    pub fn why_not(&self, catalog: &Catalog) -> Vec<String> {
        let pending: Vec<String> = catalog.declared_pending().iter().map(ToString::to_string).collect();
        self.obstacles(&catalog.registries(), &pending, catalog)
    }

    /// What keeps this process from taking the place of another one: the word of a registry. What the store has stands in for that
    /// where nobody has heard it, and the other one has.
    pub fn why_not_instead(&self, catalog: &Catalog) -> Vec<String> {
        let silent = silent(&catalog.registries());
        if silent.is_empty() { self.why_not(catalog) } else { silent }
    }

    fn advance(&self, phase: u8) {
        self.phase.fetch_max(phase, Ordering::Relaxed);
    }

    /// What keeps requests from being welcome; nothing when they are.
    fn obstacles(&self, registries: &[RegistryStatus], pending: &[String], catalog: &Catalog) -> Vec<String> {
        match self.phase.load(Ordering::Relaxed) {
            STARTING => vec!["the listeners are not bound yet".to_owned()],
            LEAVING => vec!["this proxy is stopping".to_owned()],
            WELCOME => Vec::new(),
            _ => {
                let obstacles = first_obstacles(registries, pending, catalog);
                if obstacles.is_empty() {
                    self.advance(WELCOME);
                }
                obstacles
            }
        }
    }
}

fn first_obstacles(registries: &[RegistryStatus], pending: &[String], catalog: &Catalog) -> Vec<String> {
    let used = || registries.iter().filter(|registry| registry.is_used());
    let is_up = |registry: &RegistryStatus| registry.state == "up";
    let mut obstacles = silent(registries);
    if !obstacles.is_empty() && catalog.known().iter().any(|known| known.freshness != Freshness::Pending) {
        obstacles.clear();
    }
    // Whoever waits for several waits for the last of those that answer.
    let waited = used().filter(|registry| is_up(registry)).map(|registry| registry.for_ms).min();
    let waited_long = waited.is_some_and(|ms| Duration::from_millis(ms) >= LISTING_PATIENCE);
    if !pending.is_empty() && !waited_long {
        obstacles.push(format!("the first list is awaited of {}", pending.join(", ")));
    }
    obstacles
}

/// That no registry answers which could be used; nothing once one does.
fn silent(registries: &[RegistryStatus]) -> Vec<String> {
    let used = || registries.iter().filter(|registry| registry.is_used());
    if used().any(|registry| registry.state == "up") {
        return Vec::new();
    }
    let told = |RegistryStatus { kind, location, cause, .. }: &RegistryStatus| {
        let cause = cause.as_deref().unwrap_or("it was not reached yet");
        format!("the {kind} registry at {location} does not answer: {cause}")
    };
    used().map(told).collect()
}

/// What `/readyz` answers.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    ready: bool,
    /// Why not.
    why: Vec<String>,
    registries: Vec<RegistryStatus>,
    /// Declared services without a first list.
    pending: Vec<String>,
}

pub(super) async fn readyz(From(state): From<State>) -> (StatusCode, Json<Answer>) {
    let registries = state.catalog.registries();
    let pending: Vec<String> = state.catalog.declared_pending().iter().map(ToString::to_string).collect();
    let why = state.readiness.obstacles(&registries, &pending, &state.catalog);
    let ready = why.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Answer { ready, why, registries, pending }))
}
