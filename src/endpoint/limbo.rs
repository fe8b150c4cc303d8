//! Limbo: an endpoint that its registry lists no more, and that is used on as long as it answers.

use crate::clock::Moment;

/// Why an endpoint is still known though its registry lists it no more, and how long that may last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limbo {
    /// Why its going is no proof of its end.
    pub cause: Cause,
    /// Since when.
    pub since: Moment,
    /// When it is dropped at the latest; `None` while nobody else is there, or its going is not confirmed.
    pub until: Option<Moment>,
    /// Whether it is picked only when no other endpoint is available.
    pub is_spare: bool,
    /// Whether its going still has to be confirmed by asking a second time.
    pub is_unconfirmed: bool,
    /// The attempts that were not answered when it came here: with the next one it is dropped.
    pub failures: u64,
}

/// Why the going of a record is no proof of its provider's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The record went with the session or lease of its owner, which may have been lost by accident.
    Session,
    /// It went together with most others.
    Mass,
    /// It went while the registry was not heard, so that nobody knows how.
    Doubt,
    /// It was the last one: somebody who may answer is better than nobody.
    Last,
}

impl Cause {
    /// One word for metrics and events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Mass => "mass",
            Self::Doubt => "doubt",
            Self::Last => "last",
        }
    }

    /// What an operator is told.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Session => "its record went with its owner's session, which may have been lost by accident",
            Self::Mass => "its record went together with most others, as when a registry is wiped",
            Self::Doubt => "its record went while the registry was not heard",
            Self::Last => "its record was the last one, and somebody who may answer is better than nobody",
        }
    }
}
