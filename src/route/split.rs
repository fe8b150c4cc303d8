//! A split: requests of one route shared out between subsets or services by weight, as for a canary.

use std::sync::Arc;

use twox_hash::XxHash3_64;

use crate::catalog::Claim;

/// How the requests of a route are shared out.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    parts: Vec<Arc<Part>>,
    total: f64,
}

/// One part of a split.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Its name in metrics and in the access log: `greeter`, or `greeter[version=2,stage=canary]`.
    pub name: Box<str>,
    /// Where its requests go.
    pub claim: Claim,
    /// Where they go while nothing is available there: the first of these of which something is.
    pub failover: Arc<[Claim]>,
    /// Its weight, at least 0; what counts is its share of the sum.
    pub weight: f64,
    /// What it is told apart by, whatever its weight and its place.
    hash: u64,
}

impl Part {
    /// A part by its claim and weight, with nobody to take its place.
    pub fn new(claim: Claim, weight: f64) -> Self {
        let version = claim.subset.version.iter().map(|version| format!("version={version}"));
        let metadata = claim.subset.metadata.iter().map(|(key, value)| format!("{key}={value}"));
        let wanted: Vec<String> = version.chain(metadata).collect();
        let service = &claim.service;
        let name =
            if wanted.is_empty() { service.to_string() } else { format!("{service}[{}]", wanted.join(",")) };
        let hash = XxHash3_64::oneshot(name.as_bytes());
        Self { hash, name: name.into(), claim, failover: Arc::default(), weight }
    }

    /// The same with these to take its place.
    #[must_use]
    pub fn with_failover(self, failover: impl Into<Arc<[Claim]>>) -> Self {
        Self { failover: failover.into(), ..self }
    }

    /// A number that stands for it in cookies.
    pub const fn mark(&self) -> u32 {
        (self.hash >> 32) as u32
    }
}

impl Split {
    /// A split into these parts; `None` unless at least one has a weight above 0.
    pub fn new(parts: Vec<Part>) -> Option<Self> {
        let total = parts.iter().map(|part| part.weight).sum();
        (total > 0.0).then(|| Self { parts: parts.into_iter().map(Arc::new).collect(), total })
    }

    /// The parts, in their order.
    pub fn parts(&self) -> &[Arc<Part>] {
        &self.parts
    }

    /// The part of a request without a key: by chance; `luck` is from 0 up to but not including 1.
    pub fn by_luck(&self, luck: f64) -> &Arc<Part> {
        let mut left = luck * self.total;
        let weighty = || self.parts.iter().filter(|part| part.weight > 0.0);
        let found = weighty().find(|part| {
            left -= part.weight;
            left < 0.0
        });
        // What rounding leaves over is the last one's.
        found.or_else(|| weighty().next_back()).expect("one part has a weight")
    }

    /// The part of a request with this key, always the same one.
    ///
    /// Each part draws a number from key and name, and the one that comes first by its weight has it (weighted rendezvous
    /// hashing): where one weight changes, keys move only from or to that part, and no more of them than have to.
    pub fn by_key(&self, key: u64) -> &Arc<Part> {
        let weighty = self.parts.iter().filter(|part| part.weight > 0.0);
        let first = weighty.min_by(|one, other| one.arrival(key).total_cmp(&other.arrival(key)));
        first.expect("one part has a weight")
    }

    /// The part that a cookie names, while it has a weight.
    pub fn marked(&self, mark: u32) -> Option<&Arc<Part>> {
        self.parts.iter().find(|part| part.mark() == mark && part.weight > 0.0)
    }
}

impl Part {
    /// When it arrives in the race for a key: exponentially distributed, at the rate of its weight.
    fn arrival(&self, key: u64) -> f64 {
        let mut both = [0; 16];
        both[..8].copy_from_slice(&key.to_le_bytes());
        both[8..].copy_from_slice(&self.hash.to_le_bytes());
        let draw = XxHash3_64::oneshot(&both) >> 11;
        // Above 0 and up to 1: 53 bits are what a float can tell apart.
        let even = (draw + 1) as f64 / (1_u64 << 53) as f64;
        -even.ln() / self.weight
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::balance::Choice;

    const KEYS: u64 = 20_000;

    fn split(weights: &[(&str, f64)]) -> Split {
        let part = |(service, weight): &(&str, f64)| {
            Part::new(Claim::on(service.parse().unwrap(), Choice::default()), *weight)
        };
        Split::new(weights.iter().map(part).collect()).unwrap()
    }

    fn keys() -> impl Iterator<Item = u64> {
        (0..KEYS).map(|number| XxHash3_64::oneshot(&number.to_le_bytes()))
    }

    /// The share of keys that change sides from one split to another.
    fn moved(from: &Split, to: &Split) -> f64 {
        let moved = keys().filter(|key| from.by_key(*key).name != to.by_key(*key).name).count();
        moved as f64 / KEYS as f64
    }

    #[test]
    fn each_part_gets_its_share_by_key_and_by_luck() {
        let split = split(&[("a", 90.0), ("b", 0.0), ("c", 9.5), ("d", 0.5)]);
        for (name, share) in [("a", 0.9), ("b", 0.0), ("c", 0.095), ("d", 0.005)] {
            let by_key = keys().filter(|key| *split.by_key(*key).name == *name).count();
            let by_luck =
                (0..KEYS).filter(|at| *split.by_luck(*at as f64 / KEYS as f64).name == *name).count();
            for count in [by_key, by_luck] {
                let got = count as f64 / KEYS as f64;
                assert!((got - share).abs() < 0.01 && (share > 0.0 || count == 0), "{name}: {got}");
            }
        }
    }

    #[test]
    fn a_changed_weight_moves_as_few_keys_as_can_be() {
        let at = |canary: f64| split(&[("a", 100.0 - canary), ("b", canary)]);
        assert!((moved(&at(5.0), &at(10.0)) - 0.05).abs() < 0.006);
        assert!((moved(&at(10.0), &at(0.0)) - 0.1).abs() < 0.01);
        // Ratios count, and order does not.
        let three = split(&[("a", 18.0), ("b", 1.0), ("c", 1.0)]);
        assert!(moved(&three, &split(&[("c", 10.0), ("a", 180.0), ("b", 10.0)])) == 0.0);
        assert!((moved(&three, &split(&[("a", 8.0), ("b", 1.0), ("c", 1.0)])) - 0.1).abs() < 0.01);
    }

    #[test]
    fn a_part_is_named_by_what_it_wants() {
        let mut claim = Claim::on("web/users".parse().unwrap(), Choice::default());
        claim.subset.version = Some("2".into());
        claim.subset.metadata.insert("stage".to_owned(), "canary".to_owned());
        let part = Part::new(claim, 1.0);
        assert_eq!(&*part.name, "web/users[version=2,stage=canary]");
        let mark = part.mark();
        let split = Split::new(vec![part]).unwrap();
        assert!(split.marked(mark).is_some() && split.marked(mark ^ 1).is_none());
    }

    #[test]
    fn without_any_weight_there_is_no_split() {
        assert!(Split::new(Vec::new()).is_none());
        assert!(
            Split::new(vec![Part::new(Claim::on("a".parse().unwrap(), Choice::default()), 0.0)]).is_none()
        );
    }

    proptest! {
        #[test]
        fn a_part_without_weight_gets_nothing(
            weights in prop::collection::vec(prop_oneof![Just(0.0), 1e-9..1e6_f64], 1..6),
            key in any::<u64>(),
            luck in 0.0..1.0_f64,
        ) {
            prop_assume!(weights.iter().any(|weight| *weight > 0.0));
            let named: Vec<(String, f64)> =
                weights.iter().enumerate().map(|(at, weight)| (format!("s{at}"), *weight)).collect();
            let named: Vec<(&str, f64)> = named.iter().map(|(name, weight)| (name.as_str(), *weight)).collect();
            let split = split(&named);
            prop_assert!(split.by_key(key).weight > 0.0);
            prop_assert!(split.by_luck(luck).weight > 0.0);
        }
    }
}
