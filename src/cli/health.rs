//! `wayside health`: whether the Wayside that runs here is well, for whoever looks after it.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::StatusCode;
use serde::Deserialize;

use super::admin::{AskError, Which};
use super::{FAILED, USAGE, complain, say};

/// How long it is waited for an answer where nothing else is said: less than Docker and Kubernetes wait for the command.
const TIMEOUT: &str = "2s";

/// Tell whether the Wayside that runs here is well: 0 if it is, 1 if not
///
/// It is asked by its admin address, as Docker's HEALTHCHECK, the exec probes of Kubernetes and scripts need it; no shell and no
/// other program is needed.
#[derive(Clone, Debug, Args)]
pub(super) struct Health {
    #[command(flatten)]
    which: Which,
    /// Whether requests are welcome is asked, not only whether it goes on: it is not ready before it knows a registry, nor when it stops
    #[arg(long)]
    ready: bool,
    /// How long an answer may take [default: 2s]
    #[arg(long, value_name = "TIME", default_value = TIMEOUT, hide_default_value = true)]
    timeout: String,
}

/// What `/readyz` says.
#[derive(Deserialize)]
struct Readiness {
    why: Vec<String>,
}

impl Health {
    pub(super) fn run(&self, variable: &dyn Fn(&str) -> Option<String>) -> ExitCode {
        let limit = match humantime::parse_duration(&self.timeout) {
            Ok(limit) if limit > Duration::ZERO => limit,
            Ok(_) | Err(_) => {
                complain(format!(
                    "wayside: --timeout is {:?}, which is no time; write one such as 2s",
                    self.timeout
                ));
                return ExitCode::from(USAGE);
            }
        };
        let (path, well) = if self.ready { ("/readyz", "ready") } else { ("/healthz", "well") };
        match self.which.find(variable).and_then(|admin| admin.get_within(path, limit)) {
            Ok(_) => {
                say(well);
                ExitCode::SUCCESS
            }
            Err(error) => match not_ready(&error) {
                Some(why) => {
                    complain(format!("wayside: not ready: {why}"));
                    ExitCode::from(FAILED)
                }
                None => error.tell(),
            },
        }
    }
}

/// Why it is not ready, where it says that itself.
fn not_ready(error: &AskError) -> Option<String> {
    let AskError::Refused { status: StatusCode::SERVICE_UNAVAILABLE, error, .. } = error else { return None };
    let Readiness { why } = serde_json::from_str(error).ok()?;
    Some(why.join("; "))
}
