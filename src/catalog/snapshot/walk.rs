//! The order in which all endpoints are looked at, when proposals did not lead to one.

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

/// Visits every index once, from a random one on in random strides: neighbours go out together, and a walk in order would
/// send all their traffic to the first one behind them.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    len: usize,
    stride: usize,
    next: usize,
    left: usize,
}

impl Walk {
    /// A walk over the indices below `len`, which is more than 0; the same luck gives the same walk.
    pub(super) fn new(len: usize, luck: u64) -> Self {
        let rng = &mut SmallRng::seed_from_u64(luck);
        let stride = loop {
            let stride = rng.random_range(1..=len);
            if gcd(stride, len) == 1 {
                break stride;
            }
        };
        Self { len, stride, next: rng.random_range(0..len), left: len }
    }
}

impl Iterator for Walk {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let index = self.next;
        self.next = (index + self.stride) % self.len;
        Some(index)
    }
}

const fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
