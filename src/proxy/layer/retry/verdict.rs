//! What an answer says of its provider, as far as it decides whether somebody else is asked.

use std::time::SystemTime;

use http::Response;

use crate::endpoint::Outcome;
use crate::proxy::outcome::{Judged, of_head};
use crate::proxy::reply::{Pause, Reply};

/// The status that an answer stands for.
pub(super) fn status<B>(response: &Response<B>) -> u16 {
    Reply::of(response.status(), response.headers()).status()
}

/// Whether another provider may do better: this one failed, or has too much to do.
pub(super) fn fails<B>(response: &Response<B>) -> bool {
    let judged = of_head(response.status(), response.headers(), SystemTime::now);
    matches!(judged, Judged::Now(outcome, _) if outcome != Outcome::Success)
}

/// For how long whoever answered wants to be left alone.
pub(super) fn pause<B>(response: &Response<B>) -> Option<Pause> {
    Reply::of(response.status(), response.headers()).pause(response.headers(), SystemTime::now)
}
