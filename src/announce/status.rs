//! How each announcement stands, and why, for operators.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::desk::Desk;
use super::entry::{Entry, Origin};
use crate::clock::Moment;
use crate::registry::announcer::Standing;

/// How one announcement stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The service.
    pub service: String,
    /// The provider's id.
    pub id: String,
    /// Where it is announced to be; `None` before that was found.
    pub address: Option<String>,
    /// Who wants it announced: `configuration` or `request`.
    pub origin: &'static str,
    /// The kind of registry it is announced in.
    pub registry: &'static str,
    /// Where that is.
    pub location: String,
    /// `announced`; `withheld`, while the app is not well or has no address; `waiting`, for its registry; or `refused`.
    pub state: &'static str,
    /// How long it has been so.
    pub for_ms: u64,
    /// Where the record lies, while it is announced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// Why it is not announced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// How the app is asked whether it is well.
    pub check: String,
    /// Whether it was well when it was asked last; `None` before.
    pub is_well: Option<bool>,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unwell: Option<String>,
    /// When it is withdrawn unless it is asked for again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<u64>,
}

impl Status {
    pub(super) fn of(entry: &Entry, desk: Option<&Arc<Desk>>, now: Moment) -> Self {
        let (state, record, cause) = stands(entry, desk);
        let last = entry.gate.last();
        let target = &entry.wish.target;
        let since = if entry.state.0 == state { entry.state.1 } else { now };
        Self {
            service: entry.wish.service.to_string(),
            id: entry.id.to_string(),
            address: entry.address.as_ref().and_then(|found| found.as_ref().ok()).map(ToString::to_string),
            origin: match entry.origin {
                Origin::Configuration => "configuration",
                Origin::Request => "request",
            },
            registry: target.announcer.kind(),
            location: target.announcer.location(),
            state,
            for_ms: millis(now.since(since)),
            record,
            cause,
            check: entry.wish.check.kind.to_string(),
            is_well: last.map(Result::is_ok),
            unwell: last.and_then(|last| last.clone().err()),
            expires_in_ms: entry.expires.map(|at| millis(at.saturating_duration_since(Instant::now()))),
        }
    }

    /// The word for how it stands.
    pub(super) fn word(entry: &Entry, desk: Option<&Arc<Desk>>) -> &'static str {
        stands(entry, desk).0
    }

    /// Whether its registry has decided on it, or cannot at present.
    pub(super) fn is_settled(&self) -> bool {
        match self.state {
            "announced" | "refused" => true,
            "withheld" => self.is_well.is_some(),
            _ => self.cause.is_some(),
        }
    }
}

/// How an announcement stands: the word, where the record lies, and why there is none.
fn stands(entry: &Entry, desk: Option<&Arc<Desk>>) -> (&'static str, Option<String>, Option<String>) {
    let withheld = |cause: &str| ("withheld", None, Some(cause.to_owned()));
    match &entry.address {
        None => return withheld("the app was not asked yet whether it is well"),
        Some(Err(cause)) => return withheld(cause),
        Some(Ok(_)) => {}
    }
    if !entry.gate.is_open() {
        let cause = entry.gate.last().and_then(|last| last.as_ref().err());
        let cause = cause.map_or("the app is well again, but not for long enough", String::as_str);
        return withheld(cause);
    }
    match desk.and_then(|desk| desk.standing(&entry.key())) {
        Some(Standing::Announced { record }) => ("announced", Some(record), None),
        Some(Standing::Refused { cause }) => ("refused", None, Some(cause)),
        None => ("waiting", None, desk.and_then(|desk| desk.down.lock().clone())),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
