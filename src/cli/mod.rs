//! The command line: what is asked for, and how it ends.

mod admin;
mod amounts;
mod check;
mod color;
mod completions;
mod config;
mod demo;
mod descriptors;
mod events;
mod explain;
mod flags;
mod health;
mod man;
mod register;
mod run;
mod seen;
mod status;
mod table;
mod top;
mod version;

use std::error::Error;
use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::telemetry::build::VERSION;

/// The exit code when something is wrong with what was given, or something failed on the way.
const FAILED: u8 = 1;
/// The exit code when the command line cannot be understood, or a file cannot be read.
const USAGE: u8 = 2;

const CODES: &str = "\
Exit codes: 0 done, and all is well; 1 something is wrong with what was given, or failed on the way; 2 the command line cannot be \
understood, or what is needed to begin cannot be read or asked. `wayside COMMAND --help` says what that means for each.";

/// A client-side load balancer: follows a service registry, and sends each request to a provider that lives.
#[derive(Debug, Parser)]
#[command(after_long_help = CODES)]
#[command(name = "wayside", version = VERSION, long_version = version::LONG.as_str(), max_term_width = 100, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Check(check::Check),
    Explain(explain::Explain),
    Config(config::ConfigCommand),
    Register(register::Register),
    Demo(demo::Demo),
    Status(status::Status),
    Top(top::Top),
    Events(events::Events),
    Completions(completions::Completions),
    Man(man::Man),
    Version(version::Version),
    Health(health::Health),
}

/// Does what the arguments of this process ask for.
pub fn start() -> ExitCode {
    // What is not Unicode is kept, so that it is found wrong rather than passed over.
    start_with(std::env::args_os(), &|name| Some(std::env::var_os(name)?.to_string_lossy().into_owned()))
}

/// Does what arguments (the first is the program) and variables of the environment ask for.
fn start_with(
    arguments: impl IntoIterator<Item = OsString>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come as errors too, and end well.
            let code = if error.use_stderr() { USAGE } else { 0 };
            // Nobody is left to be told when the terminal is gone.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match arguments.command {
        Command::Run(run) => run.run(variable),
        Command::Check(check) => check.run(variable),
        Command::Explain(explain) => explain.run(variable),
        Command::Config(config) => config.run(variable),
        Command::Register(register) => register.run(variable),
        Command::Demo(demo) => demo.run(),
        Command::Status(status) => status.run(variable),
        Command::Top(top) => top.run(variable),
        Command::Events(events) => events.run(variable),
        Command::Completions(completions) => completions.run(),
        Command::Man(man) => man.run(),
        Command::Version(version) => version.run(),
        Command::Health(health) => health.run(variable),
    }
}

/// Says something on standard output.
fn say(text: impl AsRef<str>) {
    // A closed pipe is the reader's choice.
    let _ = writeln!(std::io::stdout(), "{}", text.as_ref());
}

/// How wide a line may be: as wide as the terminal, where there is one.
fn width() -> usize {
    // Whatever reads it has no edge.
    const ELSEWHERE: usize = 1000;
    let terminal = std::io::stdout().is_terminal().then(crossterm::terminal::size);
    terminal.and_then(Result::ok).map_or(ELSEWHERE, |(width, _)| usize::from(width).max(40))
}

/// Complains on standard error.
fn complain(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "{}", text.as_ref());
}

/// An error with all its causes, in one line.
fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
