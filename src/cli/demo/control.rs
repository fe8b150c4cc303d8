//! How the user of the demo tells its providers what to do: by HTTP, or by a key in the terminal.

use std::io::IsTerminal as _;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::Mutex;

use super::fleet::{Command, Fleet};

/// What can be typed in the terminal.
pub(super) const KEYS: &str = "a (add), r (remove), k (kill), v (revive), l (list) or q (quit), and Enter";

/// The fleet, shared by the terminal and the control port.
pub(super) type Shared = Arc<Mutex<Fleet>>;

/// What answers `POST /add` and the like, and `GET /` with what there is.
pub(super) fn router(fleet: Shared) -> Router {
    let router = Router::new()
        .route("/", get(list))
        .route("/{command}", post(obey))
        .fallback(async || (StatusCode::NOT_FOUND, help()))
        .method_not_allowed_fallback(async || (StatusCode::METHOD_NOT_ALLOWED, help()))
        .with_state(fleet);
    crate::admin::guarded(router, &[])
}

async fn list(State(fleet): State<Shared>) -> String {
    let list = fleet.lock().await.obey(Command::List).await;
    format!("{list}\n\n{}", help())
}

async fn obey(State(fleet): State<Shared>, Path(word): Path<String>) -> (StatusCode, String) {
    let Some(command) = Command::parse(&word) else {
        return (StatusCode::NOT_FOUND, format!("there is no {word:?}\n{}", help()));
    };
    let done = fleet.lock().await.obey(command).await;
    tracing::info!("{done}");
    (StatusCode::OK, format!("{done}\n"))
}

fn help() -> String {
    let lines = Command::ALL.iter().map(|(_, word, what)| format!("curl -X POST …/{word:<8} {what}\n"));
    lines.collect()
}

/// Obeys the keys typed in the terminal until the user quits. Never ends where there is no terminal.
pub(super) async fn terminal(fleet: Shared, say: impl Fn(String)) {
    if !may_read_terminal() {
        return std::future::pending().await;
    }
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match line.trim() {
            "" => {}
            "q" | "quit" | "exit" => return,
            word => match Command::parse(word) {
                Some(command) => say(fleet.lock().await.obey(command).await),
                None => say(format!("there is no {word:?}; type {KEYS}")),
            },
        }
    }
    std::future::pending().await
}

/// Whether what is typed can be read. A process in the background of a shell would be stopped for trying.
pub(super) fn may_read_terminal() -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    // Behind the name in parentheses: state, parent, process group, session, terminal, its foreground group.
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return true };
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    fields.len() < 6 || fields[2] == fields[5]
}
