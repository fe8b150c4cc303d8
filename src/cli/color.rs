//! Colours: where they are wanted, and what each says.

use std::io::{Stdout, stdout};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use clap::Args;

/// What is well.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// What is not as it should be, and used all the same.
pub(super) const FAIR: Style = AnsiColor::Yellow.on_default();
/// What is ill.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What stands over a list.
pub(super) const TITLE: Style = Style::new().bold();

/// The flag that says whether colours are used.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Color {
    /// Use colours: auto, on terminals and where NO_COLOR is not set, always or never
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true,
        hide_default_value = true
    )]
    color: clap::ColorChoice,
}

impl Color {
    fn choice(self) -> ColorChoice {
        match self.color {
            clap::ColorChoice::Auto => ColorChoice::Auto,
            clap::ColorChoice::Always => ColorChoice::AlwaysAnsi,
            clap::ColorChoice::Never => ColorChoice::Never,
        }
    }

    /// Standard output: takes colours off where they are not wanted.
    pub(super) fn stdout(self) -> AutoStream<Stdout> {
        AutoStream::new(stdout(), self.choice())
    }

    /// Whether they are wanted on this terminal.
    pub(super) fn is_wanted(self) -> bool {
        self.stdout().current_choice() != ColorChoice::Never
    }
}

/// How the state of a registry, a list or an endpoint is shown. The word itself says it; its colour only repeats it.
pub(super) fn of_state(state: &str) -> Style {
    match state {
        "up" | "live" | "available" => GOOD,
        "limbo" | "aside" | "connecting" | "pending" | "stale" | "from disk" => FAIR,
        _ => BAD,
    }
}
