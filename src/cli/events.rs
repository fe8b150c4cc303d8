//! `wayside events`: what happened to providers lately, and what happens from now on.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use anstream::AutoStream;
use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;

use super::admin::{Admin, AskError, Which};
use super::color::{BAD, Color, FAIR, GOOD};
use super::seen::{Detail, Happened, read};
use super::table::Line;
use super::{FAILED, USAGE, complain, told};

/// Events shown where no number is asked for.
const SHOWN: usize = 20;
/// How often it is asked for more: what happened in the last half second before the proxy ended is lost with it.
const EVERY: Duration = Duration::from_millis(500);

const CODES: &str = "\
Of each event: when (UTC), service, address, what happened, and why. Each is told once and none is left out, also when the proxy is \
started anew or cannot be asked for a while; what was lost all the same is said on standard error.

Exit codes: 0 done, or whoever read it is gone; 1 nothing is known of the service; 2 the proxy cannot be asked at the beginning, or \
the command line is wrong.";

/// Tell what happened to providers lately, oldest first: who came, changed, went, and why
#[derive(Clone, Debug, Args)]
#[command(after_long_help = CODES)]
pub(super) struct Events {
    #[command(flatten)]
    which: Which,
    /// Go on with what happens from now on, until interrupted
    #[arg(long, short)]
    follow: bool,
    /// Only of this service
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Tell at most so many of those that are over [default: 20]
    #[arg(long, short = 'n', value_name = "N")]
    limit: Option<usize>,
    /// Tell each as JSON, in a line of its own
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    color: Color,
}

impl Events {
    pub(super) fn run(&self, variable: &dyn Fn(&str) -> Option<String>) -> ExitCode {
        let limit = self.limit.unwrap_or(SHOWN);
        let asked = self.which.find(variable).and_then(|admin| {
            let happened = self.ask(&admin, 0, limit)?;
            Ok((admin, happened))
        });
        let (admin, happened) = match asked {
            Ok(asked) => asked,
            Err(error) => {
                error.tell();
                return ExitCode::from(USAGE);
            }
        };
        let mut out = self.color.stdout();
        if happened.events.is_empty()
            && let Some(service) = &self.service
            && let Err(error @ AskError::Refused { .. }) = admin.get(&Detail::path(service))
        {
            let code = error.tell();
            if !self.follow {
                return code;
            }
        }
        let told = self.tell(&mut out, &happened).and_then(|()| match self.follow {
            true => self.follow(&admin, happened, &mut out),
            false => Ok(()),
        });
        match told {
            // Whoever read it is gone: that is their choice.
            Ok(()) => ExitCode::SUCCESS,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(error) => {
                complain(format!("wayside: events cannot be written: {error}"));
                ExitCode::from(FAILED)
            }
        }
    }

    fn ask(&self, admin: &Admin, after: u64, limit: usize) -> Result<Happened, AskError> {
        let service = self
            .service
            .as_ref()
            .map(|name| format!("&service={}", utf8_percent_encode(name, NON_ALPHANUMERIC)));
        let path = format!("/events?after={after}&limit={limit}{}", service.unwrap_or_default());
        read(&admin.get(&path)?).map_err(|error| admin.broken(&path, error))
    }

    /// Tells them, which came with the newest first.
    fn tell(&self, out: &mut AutoStream<io::Stdout>, happened: &Happened) -> io::Result<()> {
        for event in happened.events.iter().rev() {
            let line = if self.json { event.to_string() } else { line(event).styled() };
            writeln!(out, "{line}")?;
        }
        // Whoever follows through a pipe sees each at once.
        out.flush()
    }

    /// Asks again and again for what came since, until nobody reads it.
    fn follow(&self, admin: &Admin, first: Happened, out: &mut AutoStream<io::Stdout>) -> io::Result<()> {
        let mut place = Place { run: first.run, last: first.last };
        let mut is_lost = false;
        loop {
            std::thread::sleep(EVERY);
            let asked = self.ask(admin, place.last, usize::MAX).and_then(|happened| {
                if place.is_of(&happened) {
                    return Ok(happened);
                }
                // Another process counts from 1 again, of which the same question left some out.
                self.ask(admin, 0, usize::MAX)
            });
            match asked {
                Ok(happened) => {
                    if std::mem::take(&mut is_lost) {
                        complain(format!("wayside: {} answers again", admin.authority()));
                    }
                    if let Some(note) = place.advance(&happened) {
                        complain(format!("wayside: {note}"));
                    }
                    self.tell(out, &happened)?;
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_lost, true) {
                        complain(format!("wayside: {}; asking again until it answers", told(&error)));
                    }
                }
            }
        }
    }
}

/// How far a follower has come.
#[derive(Debug)]
struct Place {
    run: String,
    last: u64,
}

impl Place {
    fn is_of(&self, happened: &Happened) -> bool {
        self.run == happened.run
    }

    /// Goes on to the end of an answer; what there is to say of it, when something is missing or all began anew.
    fn advance(&mut self, happened: &Happened) -> Option<String> {
        let is_new = !self.is_of(happened);
        let known = if is_new { 0 } else { self.last };
        *self = Self { run: happened.run.clone(), last: happened.last };
        let missing = happened.forgotten.saturating_sub(known);
        let lost = format!(
            "{missing} events, of all services, came faster than they could be asked for, and are lost"
        );
        match (is_new, missing) {
            (false, 0) => None,
            (false, _) => Some(lost),
            (true, 0) => {
                Some("the proxy was started anew; what follows is all that happened since".to_owned())
            }
            (true, _) => Some(format!("the proxy was started anew; {lost}")),
        }
    }
}

/// What a line shows of an event.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Shown {
    at_ms: u64,
    service: String,
    address: String,
    event: String,
    cause: String,
}

/// One event in a line.
fn line(event: &Value) -> Line {
    let Shown { at_ms, service, address, event, cause } = Shown::deserialize(event).unwrap_or_default();
    let style = match event.as_str() {
        "added" | "returned" | "revived" | "readmitted" | "well" => GOOD,
        "changed" | "replaced" | "withdrawn" | "kept" | "reaped" => FAIR,
        _ => BAD,
    };
    let at = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(at_ms));
    let mut line = Line::plain(format!("{at}  {service}  {address}  "));
    line.push(style, event.replace('_', " "));
    if !cause.is_empty() {
        line.0.push(super::table::Piece::plain(format!(": {cause}")));
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_told_in_a_line() {
        let event = json!({"number": 7, "at_ms": 1_780_000_000_123_u64, "service": "greeter", "address": "10.0.0.1:80",
            "id": "greeter-1", "event": "dropped", "cause": "it was kept, and failed"});
        insta::assert_snapshot!(line(&event).bare(), @"2026-05-28T20:26:40Z  greeter  10.0.0.1:80  dropped: it was kept, and failed");
        // What a newer Wayside tells is shown as far as it is understood.
        assert!(line(&json!({"event": "not_yet_known"})).bare().ends_with("not yet known"));
        assert!(line(&json!(7)).bare().starts_with("1970-"));
    }

    #[test]
    fn a_follower_says_what_it_missed() {
        let mut place = Place { run: "a".to_owned(), last: 5 };
        let mut advance = |run: &str, last, forgotten| {
            let note = place.advance(&Happened { run: run.to_owned(), last, forgotten, events: Vec::new() });
            assert_eq!((place.run.as_str(), place.last), (run, last));
            note.unwrap_or_default()
        };
        assert_eq!(advance("a", 9, 5), "");
        assert!(advance("a", 2009, 1009).starts_with("1000 events"));
        assert_eq!(advance("a", 2009, 1009), "");
        assert!(advance("b", 3, 0).ends_with("all that happened since"));
        assert!(advance("c", 1003, 3).ends_with("are lost"));
    }
}
