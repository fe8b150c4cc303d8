//! Random numbers for picking: one small generator per worker, all from one seed.

use rand::SeedableRng as _;
use rand::rngs::SmallRng;

/// The generator of one worker: the same seed and number give the same sequence, different numbers unrelated ones.
pub fn for_worker(seed: u64, worker: u64) -> SmallRng {
    SmallRng::seed_from_u64(scatter(seed ^ scatter(worker.wrapping_add(1))))
}

/// Spreads neighbouring numbers over all of 64 bits, one to one (the finisher of Steele's SplitMix64).
const fn scatter(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_and_workers_differ() {
        assert_eq!(for_worker(7, 0), for_worker(7, 0));
        assert_ne!(for_worker(7, 0), for_worker(7, 1));
        assert_ne!(for_worker(7, 0), for_worker(8, 0));
    }
}
