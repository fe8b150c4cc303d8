//! `wayside explain`: why a request goes where it goes, or went where it went.

mod page;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::admin::{Admin, AskError, Which};
use super::{FAILED, USAGE, complain, say, told};
use crate::proxy::explain::Explanation;
use crate::proxy::{MadeDocument, MemoirDocument};

/// Tell why a request goes where it goes, or went where it went
///
/// Asks a running Wayside, which finds out by what serves requests, without sending any or changing anything. What it tells of a
/// request that is over can be kept in a file (--json), and each choice in it made again, by the balancer itself (--replay).
/// Exits with 0 when the request has somewhere to go, or the choices made again are the same ones, with 2 when
/// the command line is wrong or the Wayside cannot be asked, and else with 1.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Explain {
    /// The request: its method, if it is not GET, and its URL
    #[arg(value_name = "REQUEST", num_args = 1..=2, required_unless_present_any = ["id", "replay"], conflicts_with_all = ["id", "replay"])]
    request: Vec<String>,
    /// A header of the request, as curl takes it; can be repeated
    #[arg(short = 'H', long, value_name = "NAME: VALUE", requires = "request")]
    header: Vec<String>,
    /// The address that the request comes from [default: 127.0.0.1]
    #[arg(long, value_name = "IP", requires = "request")]
    client: Option<String>,
    /// What all luck is to follow from, as an explanation tells it, to see the same again [default: drawn]
    #[arg(long, value_name = "HEX", requires = "request")]
    draw: Option<String>,
    /// A request that is over, by its X-Request-Id
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Make the choices again that --id ID --json wrote down, from this file or, as "-", from standard input; asks nobody
    #[arg(long, value_name = "FILE", conflicts_with = "id")]
    replay: Option<PathBuf>,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

/// What to type.
const EXAMPLES: &str = "\
Examples:
  wayside explain http://greeter/hello
  wayside explain 'POST http://user-service/login' -H 'x-user: ann'
  wayside explain --id 5f0c2e --json > request.json
  wayside explain --replay request.json";

/// What stands for itself in a parameter.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'/').remove(b':');

impl Explain {
    pub(super) fn run(&self, variable: &dyn Fn(&str) -> Option<String>) -> ExitCode {
        if let Some(file) = &self.replay {
            return self.replay(file);
        }
        let admin = match self.which.find(variable) {
            Ok(admin) => admin,
            Err(error) => return error.tell(),
        };
        match &self.id {
            Some(id) => self.past(&admin, id),
            None => self.present(&admin),
        }
    }

    fn present(&self, admin: &Admin) -> ExitCode {
        let words: Vec<&str> = self.request.iter().flat_map(|part| part.split_whitespace()).collect();
        let (method, url) = match words[..] {
            [url] => ("GET", url),
            [method, url] => (method, url),
            _ => {
                complain("wayside: a request is a method and a URL, such as 'GET http://greeter/hello'");
                return ExitCode::from(USAGE);
            }
        };
        // A name alone is meant as a service's.
        let is_url = url.contains("://") || url.starts_with('/') || method == "CONNECT";
        let url = if is_url { url.to_owned() } else { format!("http://{url}") };
        let headers = self.header.iter().map(|header| ("header", header.as_str()));
        let client = self.client.iter().map(|client| ("client", client.as_str()));
        let draw = self.draw.iter().map(|draw| ("draw", draw.as_str()));
        let all =
            [("method", method), ("url", url.as_str())].into_iter().chain(headers).chain(client).chain(draw);
        let parameters: Vec<String> = all.map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let told: Explanation = match self.ask(admin, &format!("/explain?{}", parameters.join("&"))) {
            Ok(told) => told,
            Err(code) => return code,
        };
        if !self.json {
            say(page::present(&told).trim_end());
        }
        ExitCode::from(if told.picked.is_some() { 0 } else { FAILED })
    }

    fn past(&self, admin: &Admin, id: &str) -> ExitCode {
        let told: MemoirDocument = match self.ask(admin, &format!("/explain/{}", encoded(id))) {
            Ok(told) => told,
            Err(code) => return code,
        };
        if !self.json {
            say(page::past(&told).trim_end());
        }
        ExitCode::SUCCESS
    }

    /// What the admin server answers; shown as it is where JSON is wanted.
    fn ask<T: DeserializeOwned>(&self, admin: &Admin, path: &str) -> Result<T, ExitCode> {
        let answer = admin.get(path).map_err(|error: AskError| error.tell())?;
        let unreadable = |error: serde_json::Error| {
            complain(format!("wayside: what was answered cannot be read: {error}"));
            complain("the Wayside that was asked may be of another version: use the `wayside` that it is");
            ExitCode::from(FAILED)
        };
        let told = serde_json::from_slice(&answer).map_err(unreadable)?;
        if self.json {
            say_json(&serde_json::from_slice::<Value>(&answer).map_err(unreadable)?);
        }
        Ok(told)
    }

    fn replay(&self, file: &Path) -> ExitCode {
        let name = file.display();
        let text = if file == Path::new("-") {
            std::io::read_to_string(std::io::stdin())
        } else {
            std::fs::read_to_string(file)
        };
        let text = match text {
            Ok(text) => text,
            Err(error) => {
                complain(format!("wayside: cannot read {name}: {}", told(&error)));
                return ExitCode::from(USAGE);
            }
        };
        let told: MemoirDocument = match serde_json::from_str(&text) {
            Ok(told) => told,
            Err(error) => {
                complain(format!("wayside: {name} does not say what is remembered of a request: {error}"));
                complain("write it by: wayside explain --id ID --json > request.json");
                return ExitCode::from(FAILED);
            }
        };
        let replayed = Replayed::of(&told);
        if self.json {
            say_json(&replayed);
        } else {
            say(page::replayed(&replayed).trim_end());
        }
        let is_same = !replayed.choices.is_empty() && replayed.choices.iter().all(|choice| choice.same);
        ExitCode::from(if is_same { 0 } else { FAILED })
    }
}

/// The choices of a request, made again.
#[derive(Debug, Serialize)]
struct Replayed {
    id: String,
    choices: Vec<ReplayedChoice>,
    /// Attempts whose choice cannot be made again, each with why.
    unknown: Vec<(u8, String)>,
}

/// One choice, made again.
#[derive(Debug, Serialize)]
struct ReplayedChoice {
    /// The attempt that it was for, if it was for one.
    attempt: Option<u8>,
    /// Where it led then; or why nowhere.
    then: String,
    /// Where it leads now.
    now: String,
    same: bool,
    course: Vec<String>,
}

impl Replayed {
    fn of(told: &MemoirDocument) -> Self {
        let mut replayed = Self { id: told.id.clone(), choices: Vec::new(), unknown: Vec::new() };
        for made in &told.without_attempt {
            replayed.add(None, made);
        }
        for attempt in &told.attempts {
            match &attempt.choice {
                Some(made) => replayed.add(Some(attempt.number), made),
                None => replayed.unknown.push((attempt.number, attempt.unknown.clone().unwrap_or_default())),
            }
        }
        replayed
    }

    fn add(&mut self, attempt: Option<u8>, made: &MadeDocument) {
        let led =
            |made: &MadeDocument| made.picked.clone().or_else(|| made.nothing.clone()).unwrap_or_default();
        match made.replay() {
            Ok((again, same)) => self.choices.push(ReplayedChoice {
                attempt,
                then: led(made),
                now: led(&again),
                same,
                course: again.course,
            }),
            Err(error) => self.unknown.push((attempt.unwrap_or(0), told(&error))),
        }
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

fn say_json(value: &impl Serialize) {
    say(serde_json::to_string_pretty(value).unwrap_or_default());
}
