//! Operators: what they may ask of a running proxy, over HTTP on a port of its own.

mod answer;
mod drain;
mod events;
mod explain;
mod guard;
mod live;
mod page;
mod ready;
mod registry;
mod scrape;
mod server;
mod services;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use tokio_util::sync::CancellationToken;

pub use ready::Readiness;
pub use server::serve;

use crate::announce::{Announcements, Target};
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::proxy::explain::Explainer;
use crate::telemetry::history::History;
use crate::telemetry::log;
use crate::telemetry::metrics::Metrics;

/// Where operators ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The address to bind; port 0 takes a free one.
    pub address: SocketAddr,
    /// Names other than `localhost` under which this port is asked. Every IP address is answered anyway.
    pub hosts: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { address: SocketAddr::from(([127, 0, 0, 1], 4141)), hosts: Vec::new() }
    }
}

/// What answers are made from. Cheap to clone.
#[derive(Clone, Debug)]
pub struct State {
    /// What is known now.
    pub catalog: Arc<Catalog>,
    /// What was counted.
    pub metrics: Arc<Metrics>,
    /// How requests to each service went lately.
    pub history: Arc<History>,
    /// Whether requests are welcome.
    pub readiness: Arc<Readiness>,
    /// The configuration in force, as a file would say it and without secrets. Replaced at each reload.
    pub config_text: Arc<ArcSwap<String>>,
    /// What changes the level of the log, where there is one.
    pub log: Option<log::Control>,
    /// The clock that the catalog goes by.
    pub clock: Clock,
    /// What is announced.
    pub announcements: Arc<Announcements>,
    /// Where it is announced what a program asks for, or why nothing can be.
    pub target: Result<Target, Arc<str>>,
    /// Begins the end of the process.
    pub leave: CancellationToken,
    /// What explains where requests go.
    pub explainer: Explainer,
}

/// Everything that can be asked, as `GET /` and the answer to an unknown path list it.
const PATHS: [&str; 18] = [
    "GET /",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
    "GET /services",
    "GET /services/{name}",
    "GET /explain?method={method}&url={url}&header={name:value}",
    "GET /explain/{request id}",
    "GET /history?service={name}",
    "GET /live",
    "GET /announcements",
    "GET /registry?service={name}",
    "POST /registry",
    "DELETE /registry",
    "GET /events",
    "GET /config",
    "PUT /log-level",
    "POST /drain",
];

/// Whose pages may take in what is answered here.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// What answers operators.
pub fn router(settings: &Settings, state: State) -> Router {
    let readers = live::Readers::default();
    let router = page::routes(Router::new())
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready::readyz))
        .route("/metrics", get(scrape::metrics))
        .route("/services", get(services::services))
        .route("/services/{*name}", get(services::service))
        .route("/history", get(services::history))
        .route("/live", get(move |state, request| live::live(state, readers, request)))
        .route("/explain", get(explain::explain))
        .route("/explain/{*id}", get(explain::past))
        .route("/announcements", get(registry::announcements))
        .route(
            "/registry",
            get(registry::list)
                .post(registry::register)
                .delete(registry::deregister)
                .layer(DefaultBodyLimit::max(registry::BODY_BYTES_MAX)),
        )
        .route("/events", get(events::events))
        .route("/config", get(answer::config))
        .route("/log-level", put(answer::set_log_level))
        .route("/drain", post(drain::drain))
        .fallback(answer::unknown_path)
        .method_not_allowed_fallback(answer::unknown_method)
        .with_state(state);
    guarded(router.layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).layer(from_fn(in_time)), &settings.hosts)
}

/// A router that answers programs and people of this machine, and no page of a stranger in their browser: asked by IP
/// address, as localhost, or by one of these names.
pub fn guarded(router: Router, names: &[String]) -> Router {
    let guard = guard::Guard::new(names);
    router
        .layer(from_fn(move |request, next| guard::check(guard.clone(), request, next)))
        .layer(map_response(with_safe_headers))
}

/// The largest body that is read where nothing else is said.
const BODY_BYTES_MAX: usize = 4 * 1024;
/// How long a request may take, its body included: more than all that is waited for here.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Gives up what takes too long, such as a body that comes byte by byte.
async fn in_time(request: Request, next: Next) -> Response {
    let late = || {
        let error = format!("the request took more than {} seconds", REQUEST_TIMEOUT.as_secs());
        answer::Refusal::new(StatusCode::REQUEST_TIMEOUT, error, "send it at once").into_response()
    };
    tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await.unwrap_or_else(|_| late())
}

/// Nothing is kept by a browser, guessed at, or shown inside another page.
async fn with_safe_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(page::POLICY));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    response
}

#[cfg(test)]
mod tests;
