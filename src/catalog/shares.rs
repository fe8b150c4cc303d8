//! Shares: how much of the traffic each tier gets, by how much of it is available.

use super::layout::TIERS_MAX;

/// All the traffic: shares are parts of it.
pub const WHOLE: u32 = 1 << 30;

/// What a tier can take: sums of the weights of its endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strength {
    /// Of all of them.
    pub all: u64,
    /// Of those that are available.
    pub available: u64,
    /// Of those, and of those that are not well and yet within reach.
    pub reachable: u64,
}

/// How the traffic is divided among tiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Division {
    /// The share of each.
    pub shares: [u32; TIERS_MAX],
    /// Whether so few of it are available, and so little elsewhere, that its others are picked as well.
    pub panics: [bool; TIERS_MAX],
}

/// Divides the traffic among these tiers, nearest first: at least one, and at most [`TIERS_MAX`].
///
/// A tier of which `spill_below` percent are available takes all that comes to it, and one with less takes in proportion;
/// what is missing goes on to the next (Envoy's overprovisioning). When all of them together cannot take the whole, they
/// take it in proportion, and a tier of which less than `panic_below` percent are available counts all that is within
/// reach. When nothing is, the nearest gets everything.
pub fn divide(tiers: &[Strength], spill_below: u8, panic_below: u8) -> Division {
    let mut division = Division { shares: [0; TIERS_MAX], panics: [false; TIERS_MAX] };
    let mut health = [0; TIERS_MAX];
    for (health, tier) in health.iter_mut().zip(tiers) {
        *health = ability(tier.available, tier.all, spill_below);
    }
    if sum(&health) < u64::from(WHOLE) {
        for (number, tier) in tiers.iter().enumerate() {
            let needed = u128::from(tier.all) * u128::from(panic_below);
            if u128::from(tier.available) * 100 < needed {
                division.panics[number] = true;
                health[number] = ability(tier.reachable, tier.all, spill_below);
            }
        }
    }
    let total = sum(&health).min(u64::from(WHOLE));
    if total == 0 {
        let nearest = tiers.iter().position(|tier| tier.all > 0).unwrap_or(0);
        division.shares[nearest] = WHOLE;
        return division;
    }
    let mut left = WHOLE;
    for (share, health) in division.shares.iter_mut().zip(&health) {
        let part = u64::from(*health) * u64::from(WHOLE) / total;
        *share = u32::try_from(part).unwrap_or(WHOLE).min(left);
        left -= *share;
    }
    // What rounding left over.
    if let Some(nearest) = division.shares.iter_mut().find(|share| **share > 0) {
        *nearest += left;
    }
    division
}

/// The part of the whole that a tier can take.
fn ability(available: u64, all: u64, spill_below: u8) -> u32 {
    let enough = u128::from(all) * u128::from(spill_below.max(1));
    if enough == 0 {
        return 0;
    }
    let part = u128::from(available) * 100 * u128::from(WHOLE) / enough;
    // However little is available, it can take something.
    u32::try_from(part).unwrap_or(WHOLE).clamp(u32::from(available > 0), WHOLE)
}

fn sum(health: &[u32]) -> u64 {
    health.iter().map(|health| u64::from(*health)).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn strength(all: u64, available: u64, reachable: u64) -> Strength {
        let available = available.min(all);
        Strength { all, available, reachable: reachable.clamp(available, all) }
    }

    /// The shares in percent, rounded.
    fn percent(tiers: &[(u64, u64)], panic_below: u8) -> Vec<u32> {
        let tiers: Vec<_> = tiers.iter().map(|(all, available)| strength(*all, *available, 0)).collect();
        let division = divide(&tiers, 70, panic_below);
        let shares = &division.shares[..tiers.len()];
        shares
            .iter()
            .map(|share| (u64::from(*share) * 100 + u64::from(WHOLE) / 2) / u64::from(WHOLE))
            .map(|share| share as u32)
            .collect()
    }

    #[test]
    fn what_the_near_cannot_take_goes_on() {
        assert_eq!(percent(&[(10, 10), (10, 10)], 50), [100, 0]);
        assert_eq!(percent(&[(10, 7), (10, 10)], 50), [100, 0]);
        assert_eq!(percent(&[(10, 5), (10, 10)], 50), [71, 29]);
        assert_eq!(percent(&[(10, 1), (10, 10)], 50), [14, 86]);
        assert_eq!(percent(&[(10, 0), (10, 10)], 50), [0, 100]);
        assert_eq!(percent(&[(10, 3), (10, 2), (10, 9)], 50), [43, 29, 29]);
        assert_eq!(percent(&[(10, 2), (10, 2)], 50), [50, 50], "all together cannot take it");
        assert_eq!(percent(&[(10, 0), (10, 0)], 50), [100, 0], "nobody can");
        assert_eq!(percent(&[(0, 0), (10, 0)], 50), [0, 100], "nobody is there to try");
        assert_eq!(percent(&[(1, 1)], 50), [100]);
        assert_eq!(percent(&[(1, 0)], 50), [100]);
    }

    #[test]
    fn panic_is_where_no_other_tier_can_take_it() {
        let panics =
            |tiers: &[Strength], panic_below| divide(tiers, 70, panic_below).panics[..tiers.len()].to_vec();
        assert_eq!(panics(&[strength(10, 5, 10)], 50), [false]);
        assert_eq!(panics(&[strength(10, 4, 10)], 50), [true]);
        assert_eq!(panics(&[strength(10, 4, 10)], 0), [false], "it is turned off");
        assert_eq!(panics(&[strength(10, 1, 10), strength(10, 10, 10)], 50), [false, false]);
        assert_eq!(panics(&[strength(10, 2, 2), strength(10, 2, 10)], 50), [true, true]);
        let dead_and_ejected = [strength(10, 1, 1), strength(10, 1, 10)];
        let shares = divide(&dead_and_ejected, 70, 50).shares;
        assert!(shares[1] > shares[0] * 5, "those within reach can take it: {shares:?}");
    }

    fn tiers() -> impl Strategy<Value = Vec<Strength>> {
        let tier = (0_u64..=1000, 0_u64..=1000, 0_u64..=1000);
        prop::collection::vec(
            tier.prop_map(|(all, available, reachable)| strength(all, available, reachable)),
            1..=TIERS_MAX,
        )
    }

    proptest! {
        #[test]
        fn shares_are_the_whole_and_nobody_gets_what_he_cannot_take(
            tiers in tiers(), spill_below in 1_u8..=100, panic_below in 0_u8..=100,
        ) {
            let Division { shares, panics } = divide(&tiers, spill_below, panic_below);
            prop_assert_eq!(shares.iter().sum::<u32>(), WHOLE);
            let is_any = |of: fn(&Strength) -> u64| tiers.iter().any(|tier| of(tier) > 0);
            for (number, share) in shares.iter().enumerate().filter(|(_, share)| **share > 0) {
                let tier = tiers[number];
                let can = if panics[number] { tier.reachable } else { tier.available };
                prop_assert!(can > 0 || !is_any(|tier| tier.available), "tier {} gets {} of {:?}", number, share, tiers);
                prop_assert!(tier.all > 0 || !is_any(|tier| tier.all));
            }
            prop_assert!(panics.iter().zip(&tiers).all(|(panics, tier)| !panics || tier.available < tier.all));
        }

        #[test]
        fn more_available_never_means_less_traffic(
            tiers in tiers(), number: prop::sample::Index, more in 1_u64..100, spill_below in 1_u8..=100,
        ) {
            let number = number.index(tiers.len());
            let mut better = tiers.clone();
            better[number].available = (better[number].available + more).min(better[number].all);
            let before = divide(&tiers, spill_below, 0).shares;
            let after = divide(&better, spill_below, 0).shares;
            // What rounding leaves over is less than one for each tier.
            prop_assert!(after[number] + 16 >= before[number], "{:?} {:?}", before, after);
        }

        #[test]
        fn one_tier_of_any_size_gets_everything(all in 0_u64..=1000, available in 0_u64..=1000, panic_below in 0_u8..=70) {
            let tier = strength(all, available, 0);
            let Division { shares, panics } = divide(&[tier], 70, panic_below);
            prop_assert_eq!(shares[0], WHOLE);
            prop_assert_eq!(panics[0], tier.available * 100 < all * u64::from(panic_below));
        }
    }

    #[test]
    fn great_weights_do_not_overflow() {
        let tier = |available| Strength { all: u64::MAX, available, reachable: available };
        let shares = divide(&[tier(u64::MAX / 2), tier(u64::MAX)], 100, 50).shares;
        assert!(shares[0].abs_diff(WHOLE / 2) < 2 && shares[0] + shares[1] == WHOLE, "{shares:?}");
        assert_eq!(divide(&[tier(1), tier(u64::MAX)], 100, 50).shares[0], 1, "hardly anything");
    }
}
