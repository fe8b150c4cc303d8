//! `wayside config`: what is in force and where it comes from, and what there could be.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::check::refused;
use super::flags::Flags;
use super::say;
use crate::config;

/// Show the configuration in force with where each value comes from, every key there is, or a schema for editors
#[derive(Clone, Debug, Args)]
pub(super) struct ConfigCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    Show(Box<Show>),
    /// Print every key with its default and what it is for, as a configuration file that changes nothing
    Reference,
    /// Print the JSON Schema of configuration files (draft 2020-12), by which editors complete and check them
    Schema,
}

/// Show what `wayside run` would have in force with the same flags, environment and file, and where each value comes from
///
/// Secrets are not shown. Exits with 0, with 1 when something is wrong, and with 2 when the file cannot be read or the command
/// line is wrong.
#[derive(Clone, Debug, Args)]
struct Show {
    /// The file, as with --config [env: WAYSIDE_CONFIG]
    #[arg(value_name = "FILE", conflicts_with = "config")]
    file: Option<PathBuf>,
    /// Leave out what is at its default
    #[arg(long)]
    changed: bool,
    /// Print JSON: a list of objects with key, value, secret, default and origin
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags,
}

impl ConfigCommand {
    pub(super) fn run(&self, variable: &dyn Fn(&str) -> Option<String>) -> ExitCode {
        match &self.what {
            What::Show(show) => return show.run(variable),
            What::Reference => say(config::REFERENCE.trim_end()),
            What::Schema => say(format!("{:#}", config::schema())),
        }
        ExitCode::SUCCESS
    }
}

impl Show {
    fn run(&self, variable: &dyn Fn(&str) -> Option<String>) -> ExitCode {
        let file = self.file.clone().or_else(|| self.flags.file(variable));
        let config = match config::load(file.as_deref(), &self.flags.overrides(variable)) {
            Ok(config) => config,
            Err(error) => return refused(&error),
        };
        match (self.json, self.changed) {
            (true, changed) => say(format!("{:#}", config.annotated_json(changed))),
            (false, true) => say(config.annotated_changes().trim()),
            (false, false) => say(config.annotated(&[]).trim()),
        }
        ExitCode::SUCCESS
    }
}
