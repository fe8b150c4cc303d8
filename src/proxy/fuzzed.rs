//! What fuzz targets reach of this room: the headers of requests and answers as they are read and passed on.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, StatusCode};

use super::request::Exchange;
use super::traits::Traits;
use super::worker::Pseudonym;
use super::{headers, outcome, time_left};

/// The deadline that a request gives, and the one that its provider is told when so much is left.
pub fn deadlines(headers: &HeaderMap, left: Duration) -> (Option<Duration>, Option<Duration>) {
    let traits = Traits::of(headers);
    let mut told = headers.clone();
    time_left::tell(&mut told, traits, left);
    (time_left::asked(headers, traits), time_left::asked(&told, traits))
}

/// Judges an answer by its head: what it says in every way that is understood, and what it says of time.
pub fn judge(status: StatusCode, headers: &HeaderMap) {
    let _ = outcome::of_head(status, headers, || SystemTime::UNIX_EPOCH);
}

/// Whether a field goes on whatever `Connection` says of it.
pub fn is_end_to_end(name: &HeaderName) -> bool {
    headers::END_TO_END.contains(&name.as_str())
}

/// The headers of a request as its provider would see them; `None` where it is refused.
pub fn passed_on(headers: &HeaderMap) -> Option<HeaderMap> {
    let traits = Traits::of(headers);
    headers::refuse_loop(headers, traits, &Pseudonym::random(7)).ok()?;
    headers::refuse_codings(headers, traits).ok()?;
    let mut headers = headers.clone();
    headers::clean_request(&mut headers, traits, Exchange::Plain, false);
    headers::add_attempt(&mut headers, traits, 2);
    Some(headers)
}
