//! A sample: which of many endpoints one proxy uses, so that each has few connections and each provider its fair part of them.

use twox_hash::XxHash3_64;

use crate::endpoint::Token;

/// Whether each of these is drawn: as many as `size` of them, or all.
///
/// Drawn are those whose hash together with the identity is greatest (rendezvous hashing, as gRPC's A68 "Random
/// subsetting" has it): no two proxies draw alike, and who comes or goes concerns only the proxies that drew him, or draw
/// him now in another's place.
pub(super) fn sample(identity: u64, tokens: &[Token], size: usize) -> Vec<bool> {
    if size >= tokens.len() {
        return vec![true; tokens.len()];
    }
    let score = |token: &Token| XxHash3_64::oneshot_with_seed(identity, &token.to_bits().to_le_bytes());
    let mut ranked: Vec<(u64, usize)> = tokens.iter().map(score).zip(0..).collect();
    let (drawn, ..) = ranked.select_nth_unstable_by(size, |a, b| b.cmp(a));
    let mut is_drawn = vec![false; tokens.len()];
    drawn.iter().for_each(|(_, index)| is_drawn[*index] = true);
    is_drawn
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(hosts: impl Iterator<Item = u32>) -> Vec<Token> {
        hosts
            .map(|host| Token::of(&format!("10.0.{}.{}:80", host / 250, host % 250).parse().unwrap()))
            .collect()
    }

    /// How many of a thousand proxies use each.
    fn loads(tokens: &[Token], size: usize) -> Vec<u32> {
        let mut loads = vec![0; tokens.len()];
        for identity in 0..1000 {
            for (load, is_drawn) in loads.iter_mut().zip(sample(identity, tokens, size)) {
                *load += u32::from(is_drawn);
            }
        }
        loads
    }

    #[test]
    fn a_thousand_proxies_spread_evenly() {
        for (count, size) in [(100, 20), (300, 20), (400, 30), (21, 20)] {
            let loads = loads(&tokens(0..count), size);
            let mean = 1000.0 * f64::from(u32::try_from(size).unwrap()) / f64::from(count);
            // Binomial: five standard deviations.
            let spread = 5.0 * (mean * (1.0 - mean / 1000.0)).sqrt();
            for load in loads {
                assert!((f64::from(load) - mean).abs() < spread, "{load} of {mean} at {size} of {count}");
            }
        }
    }

    proptest! {
        #[test]
        fn exactly_as_many_as_wanted(count in 0_u32..400, size in 1_usize..50, identity: u64) {
            let drawn = sample(identity, &tokens(0..count), size);
            prop_assert_eq!(drawn.iter().filter(|is_drawn| **is_drawn).count(), size.min(count as usize));
        }

        #[test]
        fn who_goes_is_replaced_by_one(count in 2_u32..300, size in 1_usize..50, gone: prop::sample::Index, identity: u64) {
            let all = tokens(0..count);
            let gone = gone.index(all.len());
            let mut fewer = all.clone();
            fewer.remove(gone);
            let mut before = sample(identity, &all, size);
            let was_drawn = before.remove(gone);
            let after = sample(identity, &fewer, size);
            let lost = before.iter().zip(&after).filter(|(before, after)| **before && !**after).count();
            let won = before.iter().zip(&after).filter(|(before, after)| !**before && **after).count();
            prop_assert_eq!(lost, 0);
            prop_assert_eq!(won, usize::from(was_drawn && fewer.len() >= size));
        }
    }

    #[test]
    fn one_leaving_concerns_few_proxies() {
        let all = tokens(0..200);
        let mut changed = 0;
        for identity in 0..1000 {
            let mut before = sample(identity, &all, 20);
            before.remove(7);
            changed += u32::from(before != sample(identity, &tokens((0..200).filter(|host| *host != 7)), 20));
        }
        assert!((60..140).contains(&changed), "a tenth of them drew it, but {changed} changed");
    }
}
