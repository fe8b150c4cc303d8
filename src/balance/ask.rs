//! An ask: what one pick is told, so that choosing needs neither a clock nor luck of its own.

use rand::rngs::SmallRng;

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
    /// The luck of the worker.
    pub rng: &'a mut SmallRng,
}

impl<'a> Ask<'a> {
    /// A first attempt, like any other.
    pub const fn new(now: Moment, rng: &'a mut SmallRng) -> Self {
        Self { now, tried: &[], key: None, rng }
    }
}
