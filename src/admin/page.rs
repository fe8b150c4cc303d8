//! The page for people: static files, compiled in, that ask for nothing but what is answered here.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

/// What the page may do: nothing but what comes from here.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of the page.
#[derive(Clone, Copy, Debug)]
pub(super) struct File {
    /// Where it is asked for.
    pub(super) path: &'static str,
    pub(super) kind: &'static str,
    text: &'static str,
}

macro_rules! script {
    ($name:literal) => {
        File {
            path: concat!("/page/", $name, ".js"),
            kind: "text/javascript",
            text: include_str!(concat!("page/", $name, ".js")),
        }
    };
}

/// All of them.
pub(super) const FILES: [File; 15] = [
    File { path: "/", kind: "text/html", text: include_str!("page/index.html") },
    File { path: "/page/style.css", kind: "text/css", text: include_str!("page/style.css") },
    script!("app"),
    script!("ask"),
    script!("chart"),
    script!("element"),
    script!("endpoints"),
    script!("events"),
    script!("explain"),
    script!("explained"),
    script!("live"),
    script!("registries"),
    script!("service"),
    script!("services"),
    script!("words"),
];

/// Adds the files of the page.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    FILES.into_iter().fold(router, |router, file| router.route(file.path, get(async move || answer(file))))
}

fn answer(File { kind, text, .. }: File) -> Response {
    ([(CONTENT_TYPE, format!("{kind}; charset=utf-8"))], text).into_response()
}
