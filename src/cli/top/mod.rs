//! `wayside top`: what goes through a running proxy, live in a terminal, or measured once.

mod look;
mod screen;
mod state;
mod terminal;

use std::io::{self, IsTerminal as _, Write as _};
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use crossterm::event::{Event, EventStream, KeyEventKind};
use futures_util::StreamExt as _;
use thiserror::Error;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use super::admin::{Admin, AskError, Which};
use super::color::Color;
use super::{FAILED, USAGE, complain, say, told};
use look::{Look, Measured};
use screen::Screen;
use state::{Sort, State, Step};
use terminal::Terminal;

/// How far apart looks are at least that rates are made of: workers tell what they counted once a second, so that of a shorter
/// time nothing would be seen, or that of a whole second. Each look costs the proxy the making of all that it tells, too.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

const KEYS: &str = "\
Keys: arrows, page up and down, home and end choose; enter opens the providers of a service, esc goes back; s sorts by the next \
column, r the other way round; / filters by name; q quits.

Of each service: how fresh its list is, how many of its providers are used, requests in a second, the share of those that failed \
(an answer of 5xx, or one that Wayside had to make), and about the time within which half and 99 of 100 of them ended. Of each \
provider: attempts in a second, the share that failed, and the latency that is expected of it.

Exit codes: 0 done; 1 the terminal cannot be used; 2 the proxy cannot be asked at the beginning, or the command line is wrong.";

/// Show what goes through, live: services by rate, failures and latency, and their providers
#[derive(Clone, Debug, Args)]
#[command(after_long_help = KEYS)]
pub(super) struct Top {
    #[command(flatten)]
    which: Which,
    /// How long to measure before the next look, at least 1s
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = interval)]
    interval: Duration,
    /// Order services by this
    #[arg(long, value_name = "COLUMN", value_enum, default_value = "rate")]
    sort: Sort,
    /// Measure once, print it, and end: for scripts, and where there is no terminal
    #[arg(long)]
    once: bool,
    /// Measure once, and tell it as JSON: rates of a second, shares of 1, times in seconds
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    color: Color,
}

/// Why there is nothing to be seen.
#[derive(Debug, Error)]
enum TopError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("the terminal cannot be used")]
    Terminal(#[from] io::Error),
}

fn interval(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(interval) if interval < INTERVAL_MIN => Err("it is at least 1s".to_owned()),
        Ok(interval) => Ok(interval),
        Err(error) => Err(format!("{error}; write it as 1500ms, 2s or 1m")),
    }
}

impl Top {
    pub(super) fn run(&self, variable: &dyn Fn(&str) -> Option<String>) -> ExitCode {
        if !self.once && !self.json && !io::stdout().is_terminal() {
            complain("wayside: there is no terminal to draw on; measure once with --once, or with --json");
            return ExitCode::from(USAGE);
        }
        let seen = self.which.find(variable).map_err(TopError::from).and_then(|admin| {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            match self.once || self.json {
                true => runtime.block_on(self.once(&admin)),
                false => runtime.block_on(self.live(&admin)),
            }
        });
        match seen {
            Ok(()) => ExitCode::SUCCESS,
            Err(TopError::Ask(error)) => {
                error.tell();
                ExitCode::from(USAGE)
            }
            Err(error @ TopError::Terminal(_)) => {
                complain(format!("wayside: {}; measure once with --once", told(&error)));
                ExitCode::from(FAILED)
            }
        }
    }

    /// Measures once, and prints it.
    async fn once(&self, admin: &Admin) -> Result<(), TopError> {
        let before = Look::take(admin, None).await?;
        tokio::time::sleep(self.interval).await;
        let measured = Measured::between(&before, &Look::take(admin, None).await?);
        if self.json {
            say(serde_json::to_string_pretty(&measured).expect("texts and numbers are JSON"));
            return Ok(());
        }
        let lines =
            Screen { measured: &measured, admin: admin.authority(), interval: self.interval, trouble: None }
                .whole(&State::new(self.sort), super::width());
        let text: String = lines.iter().map(|line| line.styled() + "\n").collect();
        // A closed pipe is the reader's choice.
        let _ = self.color.stdout().write_all(text.as_bytes());
        Ok(())
    }

    /// Draws until told to end.
    async fn live(&self, admin: &Admin) -> Result<(), TopError> {
        // Before anything is drawn, so that it is told as by any other command when nobody answers.
        let mut before = Look::take(admin, None).await?;
        let mut now = before.clone();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        // Not by a key, which comes as such, but by whoever sends it: the terminal is given back then, too.
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminal = Terminal::take(self.color.is_wanted())?;
        let mut keys = EventStream::new();
        let mut state = State::new(self.sort);
        let mut trouble = None;
        let mut looking: Pin<Box<dyn Future<Output = Result<Look, AskError>>>> =
            Box::pin(look(admin, None, INTERVAL_MIN));
        loop {
            let measured = Measured::between(&before, &now);
            let screen = Screen {
                measured: &measured,
                admin: admin.authority(),
                interval: self.interval,
                trouble: trouble.as_deref(),
            };
            let (width, height) = terminal.size();
            terminal.draw(&screen.lines(&mut state, width, height))?;
            tokio::select! {
                event = keys.next() => match event {
                    Some(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => match state.press(key, &measured) {
                        Step::Draw => {}
                        Step::Look => looking = Box::pin(look(admin, state.open.clone(), Duration::ZERO)),
                        Step::Quit => return Ok(()),
                    },
                    Some(Ok(Event::Resize(width, height))) => terminal.resized(width, height)?,
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error.into()),
                    None => return Ok(()),
                },
                looked = &mut looking => {
                    match looked {
                        Ok(look) => {
                            let last = std::mem::replace(&mut now, look);
                            // One that came before its time, since a service was opened, is nothing to measure against.
                            if now.at.duration_since(last.at) >= INTERVAL_MIN {
                                before = last;
                            }
                            trouble = None;
                        }
                        Err(error) => trouble = Some(told(&error)),
                    }
                    looking = Box::pin(look(admin, state.open.clone(), self.interval));
                }
                _ = terminate.recv() => return Ok(()),
                _ = hang_up.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
            }
        }
    }
}

/// Looks after a while.
async fn look(admin: &Admin, opened: Option<String>, after: Duration) -> Result<Look, AskError> {
    tokio::time::sleep(after).await;
    Look::take(admin, opened).await
}

#[cfg(test)]
mod tests;
