//! A rule: what one entry of a service says of the others, such as a weight for one of them.

use std::sync::Arc;

use super::{Reason, Unusable};
use crate::provider::{Address, Host, Provider, Weight};

/// What one entry of a service says of the providers that others announce.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The providers it is for; all of these must match, so that none means all providers.
    pub targets: Vec<Target>,
    /// What it does to them.
    pub effect: Effect,
}

/// What a provider must be for a rule to be for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// On this machine, at any port.
    Host(Host),
    /// At this address.
    Address(Address),
    /// At this port, on any machine.
    Port(u16),
    /// Of this version.
    Version(String),
    /// Announced by the entry of this name.
    Entry(String),
    /// With this value of a metadata key.
    Metadata(String, String),
}

/// What a rule does to a provider.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effect {
    /// Its weight is this one, in place of what it announces.
    Weight(Weight),
    /// Its weight is multiplied; a finite number, 0 or more.
    Scale(f64),
    /// It is out of service, or back in it.
    Disabled(bool),
}

impl Rule {
    /// Whether the rule is for this provider, announced by the entry of this name.
    pub fn is_for(&self, entry: &str, provider: &Provider) -> bool {
        self.targets.iter().all(|target| match target {
            Target::Host(host) => host == provider.address.host(),
            Target::Address(address) => *address == provider.address,
            Target::Port(port) => *port == provider.address.port(),
            Target::Version(version) => **version == *provider.version,
            Target::Entry(name) => name == entry,
            Target::Metadata(key, value) => provider.metadata.get(key) == Some(value),
        })
    }
}

/// A provider as the rules leave it, in their order, or why it is of no use by them.
///
/// # Errors
/// When a rule puts it out of service.
pub fn applied(rules: &[Rule], entry: &str, provider: &Arc<Provider>) -> Result<Arc<Provider>, Unusable> {
    let mut weight = provider.weight;
    let mut disabled = false;
    for rule in rules.iter().filter(|rule| rule.is_for(entry, provider)) {
        match rule.effect {
            Effect::Weight(other) => weight = other,
            Effect::Scale(factor) => weight = scaled(weight, factor),
            Effect::Disabled(other) => disabled = other,
        }
    }
    if disabled {
        let detail = format!("{} is put out of service by a rule beside it", provider.address);
        return Err(Unusable::new(Reason::Disabled, detail));
    }
    if weight == provider.weight {
        return Ok(Arc::clone(provider));
    }
    Ok(Arc::new(Provider { weight, ..Provider::clone(provider) }))
}

/// A weight times a factor, at most the greatest there is; what is no sound factor changes nothing.
fn scaled(weight: Weight, factor: f64) -> Weight {
    if !factor.is_finite() {
        return weight;
    }
    let most = f64::from(Weight::MAX.hundredths()) / 100.0;
    let product = f64::from(weight.hundredths()) / 100.0 * factor;
    Weight::try_from(product.min(most)).unwrap_or(weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider() -> Arc<Provider> {
        let mut provider = Provider::new("p", "10.0.0.5:80".parse().unwrap());
        provider.metadata.insert("shard".to_owned(), "3".to_owned());
        provider.version = "v1".into();
        Arc::new(provider)
    }

    fn rule(targets: &[Target], effect: Effect) -> Rule {
        Rule { targets: targets.to_vec(), effect }
    }

    #[test]
    fn a_rule_is_for_all_that_match_all_it_names() {
        let matching = [
            Target::Host(provider().address.host().clone()),
            Target::Address("10.0.0.5:80".parse().unwrap()),
            Target::Port(80),
            Target::Version("v1".to_owned()),
            Target::Entry("e".to_owned()),
            Target::Metadata("shard".to_owned(), "3".to_owned()),
        ];
        assert!(rule(&matching, Effect::Disabled(true)).is_for("e", &provider()));
        assert!(rule(&[], Effect::Disabled(true)).is_for("other", &provider()));
        for other in [
            Target::Host(Host::Name("ten".into())),
            Target::Address("10.0.0.5:81".parse().unwrap()),
            Target::Port(81),
            Target::Version("v2".to_owned()),
            Target::Entry("f".to_owned()),
            Target::Metadata("zone".to_owned(), "3".to_owned()),
        ] {
            assert!(!rule(&[other], Effect::Disabled(true)).is_for("e", &provider()));
        }
    }

    #[test]
    fn rules_work_in_their_order() {
        let weight = |rules: &[Rule]| applied(rules, "e", &provider()).map(|p| p.weight.hundredths());
        let two = rule(&[], Effect::Weight(Weight::from_hundredths(200)));
        let half = rule(&[], Effect::Scale(0.5));
        assert_eq!(weight(&[]), Ok(100));
        assert_eq!(weight(&[half.clone(), half.clone()]), Ok(25));
        assert_eq!(weight(&[half, two.clone()]), Ok(200));
        assert_eq!(weight(&[two, rule(&[], Effect::Scale(0.0))]), Ok(0));
        assert_eq!(weight(&[rule(&[], Effect::Scale(1e9))]), Ok(Weight::MAX.hundredths()));
        assert_eq!(weight(&[rule(&[], Effect::Scale(f64::NAN))]), Ok(100));
        let (out, back) = (rule(&[], Effect::Disabled(true)), rule(&[], Effect::Disabled(false)));
        assert_eq!(weight(&[out.clone(), back]), Ok(100));
        assert_eq!(weight(&[out]).unwrap_err().reason, Reason::Disabled);
    }

    #[test]
    fn a_provider_without_rules_stays_the_same_value() {
        let provider = provider();
        assert!(Arc::ptr_eq(&applied(&[], "e", &provider).unwrap(), &provider));
    }
}
