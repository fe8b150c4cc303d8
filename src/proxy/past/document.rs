//! What is remembered of a request, as JSON.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{Attempted, Ending, Memoir};
use crate::proxy::telling::MadeDocument;

/// What is remembered of one request, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemoirDocument {
    /// Its id.
    pub id: String,
    /// Why it is remembered: `sampled`, `failed`, `slow` or `retried`.
    pub remembered: String,
    /// When it began, in milliseconds since 1970.
    pub at_ms: u64,
    /// The method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The path, without the query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What led to the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// The route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The part of the route's split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// The status it was answered with.
    pub status: u16,
    /// What went wrong, if this proxy knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long it took, its answer's body included.
    pub took_ms: f64,
    /// Its attempts.
    pub attempts: Vec<AttemptDocument>,
    /// Choices that led to no attempt, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without_attempt: Vec<MadeDocument>,
}

/// One attempt, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptDocument {
    /// Its number, from 1.
    pub number: u8,
    /// Where it went.
    pub endpoint: String,
    /// The service that is of.
    pub service: String,
    /// When it began, from the beginning of the request.
    pub begun_ms: f64,
    /// How long it took until the head of its answer, or until it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<f64>,
    /// How it ended: `answered`, `failed`, `given up` or `unknown`.
    pub outcome: String,
    /// The status of its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How its endpoint was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<MadeDocument>,
    /// Why nothing is known of that, where it is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

impl From<&Memoir> for MemoirDocument {
    fn from(memoir: &Memoir) -> Self {
        let since_1970 = memoir.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let asked = memoir.asked.as_ref();
        let is_used = |place: usize| memoir.attempts.iter().any(|attempt| attempt.pick == Some(place));
        let unused = memoir.picks.iter().enumerate().filter(|(place, _)| !is_used(*place));
        Self {
            id: String::from_utf8_lossy(memoir.id.as_bytes()).into_owned(),
            remembered: memoir.why.to_owned(),
            at_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
            method: asked.map(|asked| asked.method.to_string()),
            host: asked.and_then(|asked| asked.host.as_deref().map(str::to_owned)),
            path: asked.map(|asked| asked.path.to_string()),
            via: memoir.via.map(str::to_owned),
            route: memoir.route.as_deref().map(str::to_owned),
            service: memoir.service.as_ref().map(ToString::to_string),
            part: memoir.part.as_deref().map(str::to_owned),
            status: memoir.status,
            reason: memoir.reason.map(str::to_owned),
            took_ms: millis(memoir.took),
            attempts: memoir.attempts.iter().map(|attempt| AttemptDocument::of(attempt, memoir)).collect(),
            without_attempt: unused.map(|(_, made)| MadeDocument::of(made, true)).collect(),
        }
    }
}

impl AttemptDocument {
    fn of(attempt: &Attempted, memoir: &Memoir) -> Self {
        let (outcome, status, reason) = match attempt.ending {
            Ending::Answered(status) => ("answered", Some(status), None),
            Ending::Failed(reason) => ("failed", None, Some(reason)),
            Ending::GivenUp => ("given up", None, None),
            Ending::Unknown => ("unknown", None, None),
        };
        let choice = attempt.pick.and_then(|place| memoir.picks.get(place));
        // It went where the one before had gone; what went elsewhere was chosen before anything was noted, as a hedge may be.
        let is_again = memoir.attempts.iter().any(|before| {
            Some(before.number) == attempt.number.checked_sub(1) && before.address == attempt.address
        });
        let unknown = match (choice, is_again) {
            (Some(_), _) => None,
            (None, true) => Some(SAME_AGAIN),
            (None, false) => Some(NOT_SAMPLED),
        };
        Self {
            number: attempt.number,
            endpoint: attempt.address.to_string(),
            service: attempt.service.to_string(),
            begun_ms: millis(attempt.begun),
            took_ms: attempt.took.map(millis),
            outcome: outcome.to_owned(),
            status,
            reason: reason.map(str::to_owned),
            choice: choice.map(|made| MadeDocument::of(made, true)),
            unknown: unknown.map(str::to_owned),
        }
    }
}

/// Why nothing is known of the choice of an attempt that began before anything had gone wrong.
const NOT_SAMPLED: &str = "it was not in the sample, and only turned out to be worth remembering later: raise \
                           explain.sample_percent to keep the choices of more requests";

/// Why there was no choice for a further attempt.
const SAME_AGAIN: &str =
    "there was none: the attempt before had met a connection that was stale, and was made again";

/// Milliseconds, to the microsecond.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
