//! The list that DNS answers make: which records are providers, with which weight, and why the others are none.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::settings::Settings;
use crate::provider::{Provider, Weight};
use crate::registry::format::Reason;
use crate::registry::{Skipped, View};

/// The greatest weight that a record may have for its share to be taken as it is; if one has more, all are scaled down.
const SHARE_MAX: u32 = Weight::MAX.hundredths() / 100;

/// An SRV record, and what became of its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) port: u16,
    /// The host, as it is asked for.
    pub(super) name: String,
    pub(super) addresses: Addresses,
}

/// The addresses of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Addresses {
    /// It has these.
    Known(Vec<IpAddr>),
    /// The servers know of none.
    None,
    /// The servers did not say, and did not before.
    Unknown(String),
}

/// The list of a service that has SRV records. Only the targets of the best priority that has an address are used, the lowest
/// number being the best (RFC 2782); an outage of all of them is for whoever writes the records to tell.
///
/// # Errors
/// When no target has an address, and the servers did not say of each that it has none.
pub(super) fn of_targets(
    settings: &Settings,
    question: &str,
    mut targets: Vec<Target>,
) -> Result<View, String> {
    // The order of an answer changes from one to the next.
    targets.sort_by(|a, b| {
        (a.priority, &a.name, a.port, a.weight).cmp(&(b.priority, &b.name, b.port, b.weight))
    });
    // A record that is none must not keep those of the next priority out.
    let is_one = |target: &&Target| {
        target.port != 0 && target.name != "." && matches!(target.addresses, Addresses::Known(_))
    };
    let best = targets.iter().find(is_one).map(|target| target.priority);
    let used = |target: &&Target| Some(target.priority) == best && is_one(target);
    let heaviest = targets.iter().filter(used).map(|target| target.weight).max().unwrap_or_default();
    let (mut providers, mut skipped) = (Vec::new(), Vec::new());
    let mut unknown = None;
    for target in &targets {
        let Target { priority, weight, port, name, addresses } = target;
        let record = format!("{question} SRV {priority} {weight} {port} {name}");
        let mut skip = |reason, detail| skipped.push(Skipped { record: record.clone(), reason, detail });
        match addresses {
            // A target "." says that the service is decidedly not available there.
            _ if name.is_empty() || name == "." => {
                skip(Reason::Disabled, "the record says that there is no such service".to_owned());
            }
            _ if *port == 0 => skip(Reason::Address, format!("{name} is announced with the port 0")),
            Addresses::Known(_) if !used(&target) => {
                skip(Reason::Filtered, format!("a better priority than {priority} exists"));
            }
            Addresses::Known(ips) => {
                let weight = share(*weight, heaviest, ips.len());
                let host = name.trim_end_matches('.');
                providers.extend(ips.iter().map(|ip| {
                    let mut provider = provider(settings, &record, (*ip, *port).into());
                    provider.weight = weight;
                    provider.metadata.insert("target".to_owned(), host.to_owned());
                    Arc::new(provider)
                }));
            }
            Addresses::None => skip(Reason::Address, format!("{name} has no address")),
            Addresses::Unknown(cause) => {
                skip(Reason::Address, format!("the addresses of {name} are not known: {cause}"));
                unknown.get_or_insert_with(|| format!("no target has a known address; {name}: {cause}"));
            }
        }
    }
    match unknown {
        Some(cause) if providers.is_empty() => Err(cause),
        Some(_) | None => Ok(View::Present { providers, skipped }),
    }
}

/// The list of a service of which only addresses are asked for.
pub(super) fn of_addresses(settings: &Settings, question: &str, port: u16, mut ips: Vec<IpAddr>) -> View {
    ips.sort_unstable();
    ips.dedup();
    let provider = |ip: IpAddr| Arc::new(provider(settings, question, (ip, port).into()));
    View::Present { providers: ips.into_iter().map(provider).collect(), skipped: Vec::new() }
}

fn provider(settings: &Settings, record: &str, at: SocketAddr) -> Provider {
    Provider {
        record: record.into(),
        protocol: settings.protocol,
        secure: settings.secure,
        ..Provider::new(at.to_string(), at.into())
    }
}

/// The weight of one address of a target, which share what the target has. All being 0 means that nothing is chosen by
/// weight; one that is 0 beside others has the least there is, "a very small chance of being selected" (RFC 2782).
fn share(weight: u16, heaviest: u16, addresses: usize) -> Weight {
    let whole = match (u32::from(weight), u32::from(heaviest)) {
        (_, 0) => Weight::ONE.hundredths(),
        (weight, heaviest) if heaviest > SHARE_MAX => weight * SHARE_MAX / heaviest * 100,
        (weight, _) => weight * 100,
    };
    let part = whole / u32::try_from(addresses.max(1)).unwrap_or(u32::MAX);
    Weight::from_hundredths(part.max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target(priority: u16, weight: u16, name: &str, addresses: Addresses) -> Target {
        Target { priority, weight, port: 80, name: name.to_owned(), addresses }
    }

    fn known(last: &[u8]) -> Addresses {
        Addresses::Known(last.iter().map(|last| IpAddr::from([10, 0, 0, *last])).collect())
    }

    /// Ids and weights of the providers, and why the others are none.
    type Listed = (Vec<(String, u32)>, Vec<Reason>);

    fn list(targets: &[Target]) -> Result<Listed, String> {
        let settings = "//".parse().unwrap();
        let View::Present { providers, skipped } = of_targets(&settings, "q", targets.to_vec())? else {
            panic!("absent")
        };
        let said = |p: &Arc<Provider>| (p.id.to_string(), p.weight.hundredths());
        Ok((
            providers.iter().map(said).collect(),
            skipped.into_iter().map(|skipped| skipped.reason).collect(),
        ))
    }

    fn ids(expected: &[(&str, u32)]) -> Vec<(String, u32)> {
        expected.iter().map(|(id, weight)| ((*id).to_owned(), *weight)).collect()
    }

    #[test]
    fn the_best_priority_that_has_an_address_is_used() {
        let (best, second) = (target(1, 5, "a.", known(&[1])), target(2, 5, "b.", known(&[2])));
        let third = target(3, 5, "c.", known(&[3]));
        assert_eq!(
            list(&[third.clone(), second.clone(), best.clone()]),
            Ok((ids(&[("10.0.0.1:80", 500)]), vec![Reason::Filtered; 2]))
        );
        let portless = Target { port: 0, ..target(0, 9, "p.", known(&[9])) };
        assert_eq!(
            list(&[portless, best]),
            Ok((ids(&[("10.0.0.1:80", 500)]), vec![Reason::Address])),
            "it is no record"
        );
        let gone = target(1, 5, "a.", Addresses::None);
        let (providers, skipped) = list(&[gone, second, third]).unwrap();
        assert_eq!(
            (providers, skipped),
            (ids(&[("10.0.0.2:80", 500)]), vec![Reason::Address, Reason::Filtered])
        );
    }

    #[test]
    fn the_order_of_an_answer_says_nothing() {
        let (a, b) = (target(1, 5, "a.", known(&[2])), target(1, 5, "b.", known(&[1])));
        assert_eq!(list(&[a.clone(), b.clone()]), list(&[b, a]));
        let settings = "//?port=80".parse().unwrap();
        let list = |last: &[u8]| match known(last) {
            Addresses::Known(ips) => of_addresses(&settings, "q", 80, ips),
            Addresses::None | Addresses::Unknown(_) => panic!("known"),
        };
        assert_eq!(list(&[1, 2]), list(&[2, 1, 2]));
    }

    #[test]
    fn weights_are_shares() {
        let weights = |weights: &[u16]| {
            let targets: Vec<Target> = (1..)
                .zip(weights)
                .map(|(n, weight)| target(1, *weight, &format!("t{n}."), known(&[n])))
                .collect();
            list(&targets).unwrap().0.into_iter().map(|(_, weight)| weight).collect::<Vec<_>>()
        };
        assert_eq!(weights(&[0, 0]), [100, 100]);
        assert_eq!(weights(&[10, 20, 0]), [1000, 2000, 1]);
        assert_eq!(weights(&[65_535, 32_768, 1]), [100_000, 50_000, 1]);
        let shared = [target(1, 3, "a.", known(&[1, 2])), target(1, 3, "b.", known(&[3]))];
        let expected = [("10.0.0.1:80", 150), ("10.0.0.2:80", 150), ("10.0.0.3:80", 300)];
        assert_eq!(list(&shared).unwrap().0, ids(&expected));
    }

    #[test]
    fn what_servers_did_not_say_is_not_none() {
        let unknown = target(1, 1, "a.", Addresses::Unknown("silence".to_owned()));
        assert!(list(std::slice::from_ref(&unknown)).unwrap_err().contains("a.: silence"));
        assert_eq!(list(&[unknown, target(1, 1, "b.", known(&[1]))]).unwrap().1, [Reason::Address]);
        assert_eq!(list(&[target(1, 1, "a.", Addresses::None)]), Ok((vec![], vec![Reason::Address])));
        assert_eq!(list(&[target(0, 0, ".", Addresses::None)]), Ok((vec![], vec![Reason::Disabled])));
        let portless = Target { port: 0, ..target(1, 1, "a.", known(&[1])) };
        assert_eq!(list(&[portless]), Ok((vec![], vec![Reason::Address])));
        assert_eq!(list(&[]), Ok((vec![], vec![])));
    }

    proptest! {
        #[test]
        fn every_record_is_a_provider_or_told_why_not(
            targets in prop::collection::vec((0_u16..3, any::<u16>(), 0_u16..2, "[a-c]?\\.", 0_u8..4), 0..12)
        ) {
            let targets: Vec<Target> = targets.into_iter().map(|(priority, weight, port, name, kind)| {
                let addresses = match kind {
                    0 => Addresses::None,
                    1 => Addresses::Unknown("x".to_owned()),
                    kind => known(&[kind]),
                };
                Target { priority, weight, port, name, addresses }
            }).collect();
            if let Ok((providers, skipped)) = list(&targets) {
                prop_assert_eq!(providers.len() + skipped.len(), targets.len());
                prop_assert!(providers.iter().all(|(_, weight)| *weight > 0));
            }
        }
    }
}
