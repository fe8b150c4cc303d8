//! `wayside check`: everything that is wrong with a configuration, without running it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::flags::Flags;
use super::{FAILED, USAGE, complain, say, told};
use crate::config::{self, Config, ConfigError};
use crate::proxy::ListenerSettings;

/// Tell everything that is wrong with a configuration file, with line and cure
///
/// The environment is taken into account as `wayside run` would. Exits with 0 when the file is good, 1 when something in it is
/// wrong, and 2 when it cannot be read.
#[derive(Clone, Debug, Args)]
pub(super) struct Check {
    /// The file [env: WAYSIDE_CONFIG]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Show the configuration in force: defaults and environment included, without secrets
    #[arg(long)]
    show: bool,
}

impl Check {
    pub(super) fn run(&self, variable: &dyn Fn(&str) -> Option<String>) -> ExitCode {
        let flags = Flags::default();
        let Some(file) = self.file.clone().or_else(|| flags.file(variable)) else {
            complain("wayside: there is no file to check; give one: wayside check wayside.toml");
            return ExitCode::from(USAGE);
        };
        match config::load(Some(&file), &flags.overrides(variable)) {
            Ok(config) if self.show => say(config.to_toml().trim_end()),
            Ok(config) => say(format!("{} is good: {}", file.display(), summary(&config))),
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
            complain(mistakes.to_string());
            let count = mistakes.list().len();
            complain(if count == 1 { "1 mistake".to_owned() } else { format!("{count} mistakes") });
            ExitCode::from(FAILED)
        }
    }
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
    format!(
        "listens on {}, {routes}, {} followed from the start",
        listeners.join(", "),
        config.declared.len()
    )
}
