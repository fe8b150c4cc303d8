//! `wayside completions`: what lets a shell complete commands and flags.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::{Shell, generate};

use super::Arguments;

/// Where each shell looks for it.
const PLACES: &str = "\
Put it where your shell looks for such files:
  bash        wayside completions bash >~/.local/share/bash-completion/completions/wayside
  zsh         wayside completions zsh >_wayside, into a folder of $fpath
  fish        wayside completions fish >~/.config/fish/completions/wayside.fish
  elvish      wayside completions elvish >~/.config/elvish/lib/wayside.elv, and `use wayside` in rc.elv
  powershell  wayside completions powershell >wayside.ps1, and `. wayside.ps1` in $PROFILE";

/// Print what lets a shell complete commands and flags
#[derive(Clone, Debug, Args)]
#[command(after_long_help = PLACES)]
pub(super) struct Completions {
    /// For this shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> ExitCode {
        let mut script = Vec::new();
        generate(self.shell, &mut Arguments::command(), "wayside", &mut script);
        // A closed pipe is the reader's choice.
        let _ = std::io::stdout().write_all(&script);
        ExitCode::SUCCESS
    }
}
