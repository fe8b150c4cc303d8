//! The command line: what is asked for, and how it ends.

mod check;
mod config;
mod demo;
mod descriptors;
mod flags;
mod register;
mod run;

use std::error::Error;
use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The exit code when something is wrong with what was given, or something failed on the way.
const FAILED: u8 = 1;
/// The exit code when the command line cannot be understood, or a file cannot be read.
const USAGE: u8 = 2;

/// A client-side load balancer: follows a service registry, and sends each request to a provider that lives.
#[derive(Debug, Parser)]
#[command(name = "wayside", version, max_term_width = 100, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Check(check::Check),
    Config(config::ConfigCommand),
    Register(register::Register),
    Demo(demo::Demo),
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
        Command::Config(config) => config.run(variable),
        Command::Register(register) => register.run(variable),
        Command::Demo(demo) => demo.run(),
    }
}

/// Says something on standard output.
fn say(text: impl AsRef<str>) {
    // A closed pipe is the reader's choice.
    let _ = writeln!(std::io::stdout(), "{}", text.as_ref());
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
