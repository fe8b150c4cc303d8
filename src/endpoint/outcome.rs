//! The outcome of an attempt, as far as its endpoint is concerned.

use std::time::Duration;

use crate::clock::Moment;

/// How an attempt went. What the caller did wrong, and what this proxy could not do, is no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered, and did what it is there for, or told the caller what he did wrong.
    Success,
    /// It answered that it failed.
    Failure,
    /// It answered that it failed, and from when on it may not: 503 with `Retry-After`.
    Overloaded {
        /// How long it asks to be left alone.
        pause: Duration,
    },
    /// It answered that this caller wants too much of it: 429, with its `Retry-After`.
    Busy {
        /// How long it asks to be left alone, if it says so.
        pause: Option<Duration>,
    },
    /// It did not answer in time.
    Late,
    /// It broke off before an answer, or what it said is no answer.
    Broken,
    /// No connection came about.
    Unreachable,
}

impl Outcome {
    /// Whether it counts as a failure; `None` where it counts as neither.
    pub const fn failed(self) -> Option<bool> {
        match self {
            Self::Success => Some(false),
            Self::Busy { .. } => None,
            Self::Failure | Self::Overloaded { .. } | Self::Late | Self::Broken | Self::Unreachable => {
                Some(true)
            }
        }
    }

    /// How long it asks to be left alone, if it asks for that: `None` within when it does not say how long.
    pub(super) const fn asked(self) -> Option<Option<Duration>> {
        match self {
            Self::Busy { pause } => Some(pause),
            Self::Overloaded { pause } => Some(Some(pause)),
            Self::Success | Self::Failure | Self::Late | Self::Broken | Self::Unreachable => None,
        }
    }
}

/// When an attempt ended, and what else judging it takes.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// The present.
    pub now: Moment,
    /// When it began. That may be longer ago than it took: the status of a stream comes at its end.
    pub begun: Moment,
    /// From the start of the attempt to the head of the answer, or to the failure.
    pub took: Duration,
    /// From 0 to 1: varies pauses.
    pub luck: f64,
}

impl Ending {
    /// An ending at this moment, after no time and without luck either way.
    pub const fn at(now: Moment) -> Self {
        Self { now, begun: now, took: Duration::ZERO, luck: 0.5 }
    }
}
