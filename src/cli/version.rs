//! `wayside version`: what this program was built from.

use std::process::ExitCode;
use std::sync::LazyLock;

use clap::Args;

use super::say;
use crate::telemetry::build::BUILD;

/// What `wayside --version` says.
pub(super) static LONG: LazyLock<String> = LazyLock::new(|| BUILD.to_string());

/// Tell the version and what it was built from: commit, compiler, target, features
#[derive(Clone, Debug, Args)]
pub(super) struct Version {
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

impl Version {
    pub(super) fn run(&self) -> ExitCode {
        if self.json {
            say(serde_json::to_string_pretty(&BUILD).expect("texts and numbers are JSON"));
        } else {
            say(format!("wayside {BUILD}"));
        }
        ExitCode::SUCCESS
    }
}
