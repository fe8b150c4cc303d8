//! `wayside health`: whether the Wayside that runs here is well, for whoever looks after it.

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use http::StatusCode;
use serde::Deserialize;

use super::admin::{Admin, AskError, Which};
use super::seen::read;
use super::{FAILED, USAGE, complain, say};

/// How long it is waited for an answer where nothing else is said: less than Docker and Kubernetes wait for the command.
const TIMEOUT: &str = "2s";
/// How often it is asked again by who waits.
const EVERY: Duration = Duration::from_millis(100);

const CODES: &str = "\
Exit codes: 0 it is; 1 it is not, or nobody answers; 2 the command line is wrong.";

/// Tell whether the Wayside that runs here is well: 0 if it is, 1 if not
///
/// It is asked by its admin address, as Docker's HEALTHCHECK, the exec probes of Kubernetes and scripts need it; no shell and no
/// other program is needed.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = CODES)]
pub(super) struct Health {
    #[command(flatten)]
    which: Which,
    /// Whether requests are welcome is asked, not only whether it goes on: it is not ready before it knows a registry, nor when it stops
    #[arg(long)]
    ready: bool,
    /// How long an answer may take [default: 2s]
    #[arg(long, value_name = "TIME", default_value = TIMEOUT, hide_default_value = true)]
    timeout: String,
    /// Ask again until it is, for so long at most, as scripts need it that have just started it
    #[arg(long, value_name = "TIME")]
    wait: Option<String>,
}

/// What `/readyz` says.
#[derive(Deserialize)]
struct Readiness {
    why: Vec<String>,
}

impl Health {
    pub(super) fn run(&self, variable: &dyn Fn(&str) -> Option<String>) -> ExitCode {
        let times = time("--timeout", &self.timeout).and_then(|limit| {
            Ok((limit, self.wait.as_deref().map(|wait| time("--wait", wait)).transpose()?))
        });
        let (limit, wait) = match times {
            Ok((limit, wait)) => (limit, wait.unwrap_or_default()),
            Err(mistake) => {
                complain(mistake);
                return ExitCode::from(USAGE);
            }
        };
        let (path, well) = if self.ready { ("/readyz", "ready") } else { ("/healthz", "well") };
        match self.which.find(variable).and_then(|admin| patiently(&admin, path, limit, wait)) {
            Ok(_) => {
                say(well);
                ExitCode::SUCCESS
            }
            Err(error) => match not_ready(&error) {
                Some(why) => {
                    complain(format!("wayside: not ready: {why}"));
                    ExitCode::from(FAILED)
                }
                None => {
                    let code = error.tell();
                    // Who asks whether it is well is told that it is not, and not that the question was wrong.
                    if matches!(error, AskError::Address { .. }) { code } else { ExitCode::from(FAILED) }
                }
            },
        }
    }
}

fn time(flag: &str, text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time > Duration::ZERO => Ok(time),
        Ok(_) | Err(_) => {
            Err(format!("wayside: {flag} is {text:?}, which is no time; write one such as {TIMEOUT}"))
        }
    }
}

/// The answer, asked for again until it is a good one or the wait is over.
fn patiently(admin: &Admin, path: &str, limit: Duration, wait: Duration) -> Result<Bytes, AskError> {
    let begun = Instant::now();
    loop {
        match admin.get_within(path, limit) {
            Err(_) if begun.elapsed() + EVERY < wait => thread::sleep(EVERY),
            answered => return answered,
        }
    }
}

/// Why it is not ready, where it says that itself.
fn not_ready(error: &AskError) -> Option<String> {
    let AskError::Refused { status: StatusCode::SERVICE_UNAVAILABLE, error, .. } = error else { return None };
    let Readiness { why } = read(error.as_bytes()).ok()?;
    Some(why.join("; "))
}
