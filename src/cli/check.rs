//! `wayside check`: everything that is wrong with a configuration, without running it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::flags::Flags;
use super::{FAILED, USAGE, complain, say, told};
use crate::config::{self, Config, ConfigError, Mistake, Mistakes, Place};
use crate::proxy::ListenerSettings;

/// Tell everything that is wrong with a configuration file, with line and cure
///
/// Files that it includes are read too, and the environment is taken into account as `wayside run` would. Exits with 0 when all is
/// good, 1 when something is wrong, and 2 when the file cannot be read or the command line is wrong.
#[derive(Clone, Debug, Args)]
pub(super) struct Check {
    /// The file [env: WAYSIDE_CONFIG]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Show the configuration in force: defaults and environment included, without secrets
    #[arg(long)]
    show: bool,
    /// Tell mistakes as JSON on standard output: a list of objects with file, line, column, key, message, cause and cure
    #[arg(long, conflicts_with = "show")]
    json: bool,
}

impl Check {
    pub(super) fn run(&self, variable: &dyn Fn(&str) -> Option<String>) -> ExitCode {
        let flags = Flags::default();
        let Some(file) = self.file.clone().or_else(|| flags.file(variable)) else {
            complain("wayside: there is no file to check; give one: wayside check wayside.toml");
            return ExitCode::from(USAGE);
        };
        match config::load(Some(&file), &flags.overrides(variable)) {
            Ok(_) if self.json => say("[]"),
            Ok(config) if self.show => say(config.to_toml().trim_end()),
            Ok(config) => say(format!("{} is good: {}", file.display(), summary(&config))),
            Err(ConfigError::Mistakes(mistakes)) if self.json => {
                say(json(&mistakes));
                return ExitCode::from(FAILED);
            }
            Err(error) => return refused(&error),
        }
        ExitCode::SUCCESS
    }
}

/// Tells why there is no configuration; the exit code for it.
pub(super) fn refused(error: &ConfigError) -> ExitCode {
    match error {
        ConfigError::Unreadable { .. } => {
            complain(format!("wayside: {}", told(error)));
            ExitCode::from(USAGE)
        }
        ConfigError::Mistakes(mistakes) => {
            complain(mistakes.annotated().trim_end());
            let count = mistakes.list().len();
            complain(if count == 1 { "1 mistake".to_owned() } else { format!("{count} mistakes") });
            ExitCode::from(FAILED)
        }
    }
}

/// Mistakes for programs.
fn json(mistakes: &Mistakes) -> String {
    let mistake = |mistake: &Mistake| {
        let (line, column) = match mistake.place {
            Place::File { line, column, .. } => (Some(line), Some(column)),
            Place::Given(_) | Place::Missing => (None, None),
        };
        let given = if let Place::Given(name) = mistake.place { Some(name) } else { None };
        let (cause, cure) = mistake.cause_and_cure();
        json!({
            "file": mistakes.file_of(mistake.place),
            "line": line,
            "column": column,
            "given_by": given,
            "key": mistake.key,
            "message": mistake.message,
            "cause": cause,
            "cure": cure,
        })
    };
    let list: serde_json::Value = mistakes.list().iter().map(mistake).collect();
    format!("{list:#}")
}

/// What a good configuration amounts to, in one line.
fn summary(config: &Config) -> String {
    let listener = |listener: &ListenerSettings| match &listener.raw {
        None => listener.address.to_string(),
        Some(service) => format!("{} (tcp, to {service})", listener.address),
    };
    let listeners: Vec<String> = config.listeners.iter().map(listener).collect();
    let routes = match config.routes.routes().len() {
        1 => "1 route".to_owned(),
        count => format!("{count} routes"),
    };
    let services = match config.followed().len() {
        0 => "no service".to_owned(),
        1 => "1 service".to_owned(),
        count => format!("{count} services"),
    };
    format!("listens on {}, {routes}, {services} followed from the start", listeners.join(", "))
}
