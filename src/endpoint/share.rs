//! The share of a service's endpoints that may be ejected at a time.

use super::refusal::Refusal;
use super::{Endpoint, Memory};

/// Among whom it is judged whether one more may be ejected.
#[derive(Clone, Copy, Debug)]
pub struct Peers<'a> {
    /// The endpoints of its tier, of which a share may be.
    pub tier: &'a [Endpoint],
    /// Those of all tiers, of which somebody has to be left.
    pub all: &'a [Endpoint],
    /// When it was last found that no more of its tier may be.
    pub refusal: &'a Refusal,
}

/// How many endpoints of one tier are out, while it is asked whether one more may be ejected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    /// All, the one in question among them.
    total: usize,
    /// Those ejected, without the one in question.
    ejected: usize,
    /// Those that may be used, without the one in question; where the tier has none, whether another tier has.
    in_use: usize,
}

impl Share {
    /// What is out of these, apart from the one in question, which counts even if it is not among them.
    pub(super) fn without(memory: &Memory, peers: &Peers<'_>) -> Self {
        let mut share = Self { total: 1, ..Self::default() };
        let is_other = |peer: &&Endpoint| peer.memory.number != memory.number;
        for peer in peers.tier.iter().filter(is_other) {
            share.total += 1;
            // What cannot be reached is out, but not by our choice.
            if peer.memory.is_ejected() {
                share.ejected += 1;
            } else if peer.is_available() {
                share.in_use += 1;
            }
        }
        if share.in_use == 0 {
            share.in_use = usize::from(peers.all.iter().filter(is_other).any(Endpoint::is_available));
        }
        share
    }

    /// Whether one more may be ejected: at most that many percent of all are then, or it is the only one, and somebody is
    /// left.
    pub(super) fn has_room(self, percent: u32) -> bool {
        let after = self.ejected as u64 + 1;
        let is_within = after * 100 <= u64::from(percent) * self.total as u64;
        self.in_use > 0 && (is_within || (after == 1 && percent > 0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Ejects one after the other, as long as that may be, while some cannot be reached; gives how many were.
    fn most(total: usize, unreachable: usize, percent: u32) -> usize {
        let mut ejected = 0;
        loop {
            let others = total - 1;
            let in_use = others.saturating_sub(unreachable + ejected);
            let is_one_left = unreachable + ejected < total;
            if !is_one_left || !(Share { total, ejected, in_use }).has_room(percent) {
                return ejected;
            }
            ejected += 1;
        }
    }

    #[test]
    fn never_more_than_half_and_never_the_last_one() {
        assert_eq!([1, 2, 3, 4, 5, 10, 11].map(|total| most(total, 0, 50)), [0, 1, 1, 2, 2, 5, 5]);
        assert_eq!(most(2, 1, 50), 0, "the last one that can be reached");
        assert_eq!(most(10, 8, 50), 1);
        assert_eq!(most(10, 0, 100), 9);
        assert_eq!(most(10, 0, 0), 0);
        assert_eq!(most(10, 0, 1), 1, "one may always be");
    }

    #[test]
    fn holds_at_any_size() {
        for total in 1..=1000 {
            let most = most(total, 0, 50);
            assert!(most * 2 <= total || (total < 2 && most == 0), "{most} of {total}");
            assert!(total < 2 || most >= 1, "at least one may be ejected of {total}");
            assert!(most == total / 2 || total == 1);
        }
    }

    proptest! {
        #[test]
        fn somebody_is_left_and_the_share_holds(
            total in 1_usize..=1000, unreachable in 0_usize..=1000, percent in 0_u32..=100,
        ) {
            let unreachable = unreachable.min(total);
            let most = most(total, unreachable, percent);
            prop_assert!(most == 0 || most + unreachable < total);
            prop_assert!(most <= 1 || most * 100 <= percent as usize * total);
        }

        #[test]
        fn no_number_overflows(total: usize, ejected in 0..usize::MAX / 2, in_use: usize, percent in 0_u32..=100) {
            let total = total / 1024;
            Share { total, ejected: ejected / 1024, in_use }.has_room(percent);
        }
    }
}
