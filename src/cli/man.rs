//! `wayside man`: the pages of the manual, made from what `--help` says.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command, CommandFactory as _};
use clap_mangen::Man as Page;

use super::{Arguments, FAILED, USAGE, complain};

const EXAMPLES: &str = "\
Read one at once, or install all of them:
  wayside man | man -l -
  wayside man run | man -l -
  wayside man --dir /usr/local/share/man/man1

Exit codes: 0 done; 1 a page could not be written; 2 there is no such command.";

/// Print a page of the manual, or write all of them into a folder
#[derive(Clone, Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Man {
    /// The page of this command, such as run [default: that of the program]
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    command: Vec<String>,
    /// Write a file for every command into this folder, which is made if it is not there
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(&self) -> ExitCode {
        let pages = pages();
        if let Some(dir) = &self.dir {
            return match write(&pages, dir) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    complain(format!(
                        "wayside: the manual cannot be written to {}: {error}; choose another folder with --dir",
                        dir.display()
                    ));
                    ExitCode::from(FAILED)
                }
            };
        }
        let name = std::iter::once("wayside").chain(self.command.iter().map(String::as_str));
        let name = name.collect::<Vec<_>>().join("-");
        match pages.iter().find(|(page, _)| *page == name) {
            Some((_, text)) => {
                // A closed pipe is the reader's choice.
                let _ = io::stdout().write_all(text);
                ExitCode::SUCCESS
            }
            None => {
                let names: Vec<_> =
                    pages.iter().filter_map(|(page, _)| page.strip_prefix("wayside-")).collect();
                let wanted = self.command.join(" ");
                complain(format!(
                    "wayside: there is no command {wanted:?}; name one of {}",
                    names.join(", ")
                ));
                ExitCode::from(USAGE)
            }
        }
    }
}

/// All there are: their names, such as `wayside-run`, and what they say.
fn pages() -> Vec<(String, Vec<u8>)> {
    // Wider than any line: what shows the page breaks lines to its own width.
    let mut whole = Arguments::command().term_width(0).disable_help_subcommand(true);
    whole.build();
    let mut pages = Vec::new();
    add(&whole, "wayside".to_owned(), &mut pages);
    pages
}

fn add(command: &Command, name: String, pages: &mut Vec<(String, Vec<u8>)>) {
    for within in command.get_subcommands().filter(|within| !within.is_hide_set()) {
        add(within, format!("{name}-{}", within.get_name()), pages);
    }
    // `wayside-run` names the page, `wayside run` the command.
    let titled = command.clone().display_name(name.clone()).long_version(env!("CARGO_PKG_VERSION"));
    let mut text = Vec::new();
    Page::new(titled)
        .source(format!("wayside {}", env!("CARGO_PKG_VERSION")))
        .manual("Wayside")
        .render(&mut text)
        .expect("a buffer takes everything");
    pages.push((name, text));
}

fn write(pages: &[(String, Vec<u8>)], dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    pages.iter().try_for_each(|(name, text)| fs::write(dir.join(format!("{name}.1")), text))
}
