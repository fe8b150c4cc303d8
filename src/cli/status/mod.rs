//! `wayside status`: one look at a running proxy, with what is wrong first.

mod findings;
mod shown;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde::Serialize;

use super::admin::{Admin, AskError, Which};
use super::color::Color;
use super::seen::{Detail, Overview, Readiness, Registry, Service, read};
use super::{FAILED, USAGE, say};
use crate::telemetry::metrics::Scrape;
use findings::{Findings, worth_a_look};

/// Services of which more is asked, since something is wrong with their endpoints.
const ASKED_MAX: usize = 20;

const CODES: &str = "\
Exit codes: 0 all is well; 1 something is ill: this proxy is not ready, a registry does not answer, a list is not fresh, nobody \
provides a declared service, or a provider is left alone; 2 the proxy cannot be asked, or the command line is wrong.";

/// Show at one look what is wrong, registries and services
#[derive(Clone, Debug, Args)]
#[command(after_long_help = CODES)]
pub(super) struct Status {
    #[command(flatten)]
    which: Which,
    /// Show every service, where the first 20 are shown otherwise
    #[arg(long)]
    all: bool,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    color: Color,
}

/// What one look tells.
#[derive(Debug, Serialize)]
struct Seen {
    /// Whether nothing is ill.
    well: bool,
    proxy: Proxy,
    #[serde(flatten)]
    findings: Findings,
    registries: Vec<Registry>,
    services: Vec<Service>,
}

/// The proxy itself.
#[derive(Debug, Serialize)]
struct Proxy {
    /// Where it answers operators.
    admin: String,
    version: String,
    /// For how long it runs, where it tells.
    up_s: Option<u64>,
    ready: bool,
}

impl Status {
    pub(super) fn run(&self, variable: &dyn Fn(&str) -> Option<String>) -> ExitCode {
        let seen = match self.which.find(variable).and_then(|admin| look(&admin)) {
            Ok(seen) => seen,
            Err(error) => {
                error.tell();
                return ExitCode::from(USAGE);
            }
        };
        if self.json {
            say(serde_json::to_string_pretty(&seen).expect("texts and numbers are JSON"));
        } else {
            let shown = if self.all { usize::MAX } else { shown::SERVICES_MAX };
            let lines = shown::lines(&seen, shown, super::width());
            let text: String = lines.iter().map(|line| line.styled() + "\n").collect();
            // A closed pipe is the reader's choice.
            let _ = self.color.stdout().write_all(text.as_bytes());
        }
        if seen.well { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
    }
}

/// Asks what there is to know.
fn look(admin: &Admin) -> Result<Seen, AskError> {
    let readiness: Readiness = match admin.get("/readyz") {
        Ok(answer) => parsed(admin, "/readyz", &answer)?,
        // That it is not ready is an answer too, and says why.
        Err(AskError::Refused { error, .. }) if error.starts_with('{') => {
            parsed(admin, "/readyz", error.as_bytes())?
        }
        Err(error) => return Err(error),
    };
    let overview: Overview = parsed(admin, "/services", &admin.get("/services")?)?;
    let scrape = Scrape::parse(&String::from_utf8_lossy(&admin.get("/metrics")?));
    let mut details = BTreeMap::new();
    for service in worth_a_look(&overview).into_iter().take(ASKED_MAX) {
        let path = Detail::path(&service.name);
        match admin.get(&path) {
            Ok(answer) => {
                drop(details.insert(service.name.clone(), parsed::<Detail>(admin, &path, &answer)?))
            }
            // It may be forgotten since.
            Err(AskError::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let findings = Findings::of(&readiness, &overview, &details);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64();
    let up =
        (scrape.started > 0.0).then(|| Duration::from_secs_f64((now - scrape.started).max(0.0)).as_secs());
    Ok(Seen {
        well: findings.ill.is_empty(),
        proxy: Proxy {
            admin: admin.authority().to_owned(),
            version: scrape.version,
            up_s: up,
            ready: readiness.ready,
        },
        findings,
        registries: overview.registries,
        services: overview.services,
    })
}

fn parsed<T: serde::de::DeserializeOwned>(admin: &Admin, path: &str, answer: &[u8]) -> Result<T, AskError> {
    read(answer).map_err(|error| admin.broken(path, error))
}

#[cfg(test)]
mod tests;
