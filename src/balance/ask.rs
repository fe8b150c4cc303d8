//! An ask: what one pick is told, so that choosing needs neither a clock nor luck of its own.

use rand::rngs::SmallRng;

use super::{Notes, Wish};
use crate::clock::Moment;

/// What one pick is told.
#[derive(Debug)]
pub struct Ask<'a> {
    /// The present.
    pub now: Moment,
    /// The numbers of the memories of endpoints that this request tried already.
    pub tried: &'a [u64],
    /// The hash of what this request is told apart by, for policies that keep together what belongs together.
    pub key: Option<u64>,
    /// The endpoints that this request should go to, or must.
    pub wish: Option<&'a Wish>,
    /// What led away from the usual choice. Written by the pick.
    pub detour: Option<Detour>,
    /// The luck of the worker.
    pub rng: &'a mut SmallRng,
    /// What is noted of the pick, where it is to be explained.
    pub notes: Option<&'a mut Notes>,
}

impl<'a> Ask<'a> {
    /// A first attempt, like any other.
    pub const fn new(now: Moment, rng: &'a mut SmallRng) -> Self {
        Self { now, tried: &[], key: None, wish: None, detour: None, rng, notes: None }
    }
}

/// What led a pick away from the usual choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detour {
    /// It went to a tier that is not the nearest, since nearer ones could not take all.
    Spill,
    /// It fell on an endpoint that is not well, since too few are.
    Panic,
}

impl Detour {
    /// One word for it in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Spill => "spill",
            Self::Panic => "panic",
        }
    }
}
