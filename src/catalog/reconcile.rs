//! Reconciling: the providers a registry lists now, against the endpoints known so far.

use std::sync::Arc;

use crate::endpoint::{Endpoint, Group, Memory};
use crate::provider::Provider;
use crate::registry::Skipped;
use crate::registry::format::Reason;

/// What a new list makes of the endpoints known so far.
#[derive(Debug, Default)]
pub struct Reconciled {
    /// The endpoints that are listed now, in order of address, each address once.
    pub endpoints: Vec<Endpoint>,
    /// Those whose address is new.
    pub added: Vec<Endpoint>,
    /// Those whose address is not listed: gone with this list, or before it.
    pub unlisted: Vec<Endpoint>,
    /// Those that had not been listed for a while and are again.
    pub returned: Vec<Endpoint>,
    /// Those whose address stayed and whose announcement changed.
    pub changed: Vec<Endpoint>,
    /// Those of `changed` whose record bears another id: a process has started anew at a known address.
    pub restarted: Vec<Endpoint>,
    /// Records that announce an address another record announces too, and gave way to it.
    pub duplicates: Vec<Skipped>,
}

/// Reconciles the endpoints known so far, in order of address, with the providers listed now. `number` gives the numbers
/// of new memories, which are of this group.
///
/// An address that stays keeps its memory, whatever its record says. One that returns after it was gone begins anew: the
/// process behind it is another one. An endpoint whose record is the same value keeps that value itself, so that equal
/// lists are recognised by pointer. Of several records with one address the last one listed wins: it is the newest.
pub fn reconcile(
    known: &[Endpoint],
    mut providers: Vec<Arc<Provider>>,
    group: &Arc<Group>,
    mut number: impl FnMut() -> u64,
) -> Reconciled {
    let mut result = Reconciled { endpoints: Vec::with_capacity(providers.len()), ..Reconciled::default() };
    // Sorting keeps the order of equals, so that the newest record of an address comes first.
    providers.reverse();
    // One that requests can be sent to comes before: a Dubbo provider may speak Triple and its own protocol at one port.
    let http = |provider: &Provider| provider.protocol.is_http();
    providers.sort_by(|a, b| a.address.cmp(&b.address).then_with(|| http(b).cmp(&http(a))));
    providers.dedup_by(|later, winner| {
        let duplicate = later.address == winner.address;
        if duplicate {
            result.duplicates.push(duplicate_of(winner, later));
        }
        duplicate
    });
    let mut known = known.iter().peekable();
    for provider in providers {
        while let Some(gone) = known.next_if(|known| known.memory.address < provider.address) {
            result.unlisted.push(gone.clone());
        }
        let before = known.next_if(|known| known.memory.address == provider.address);
        let endpoint = match before {
            Some(same) if *same.provider == *provider => Endpoint { limbo: None, ..same.clone() },
            Some(before) => {
                let endpoint = Endpoint::new(provider, Arc::clone(&before.memory));
                result.changed.push(endpoint.clone());
                if before.provider.id != endpoint.provider.id {
                    result.restarted.push(endpoint.clone());
                }
                endpoint
            }
            None => {
                let memory = Memory::among(Arc::clone(group), number(), provider.address.clone());
                let endpoint = Endpoint::new(provider, Arc::new(memory));
                result.added.push(endpoint.clone());
                endpoint
            }
        };
        if before.is_some_and(|before| before.limbo.is_some()) {
            result.returned.push(endpoint.clone());
        }
        result.endpoints.push(endpoint);
    }
    result.unlisted.extend(known.cloned());
    result
}

fn duplicate_of(winner: &Provider, loser: &Provider) -> Skipped {
    Skipped {
        record: loser.id.to_string(),
        reason: Reason::Duplicate,
        detail: format!(
            "{} is announced by the newer record {:?} too, which is used instead",
            loser.address, winner.id
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::clock::Moment;
    use crate::endpoint::{Cause, Limbo};
    use crate::provider::{Protocol, Weight};

    fn provider(id: &str, port: u16, version: &str) -> Arc<Provider> {
        let mut provider = Provider::new(id, format!("10.0.0.1:{port}").parse().unwrap());
        provider.version = version.into();
        Arc::new(provider)
    }

    fn first(providers: Vec<Arc<Provider>>) -> Reconciled {
        let mut number = 0;
        reconcile(&[], providers, &Arc::default(), || {
            number += 1;
            number
        })
    }

    fn is_unchanged(result: &Reconciled) -> bool {
        result.added.is_empty() && result.unlisted.is_empty() && result.changed.is_empty()
    }

    fn ids(endpoints: &[Endpoint]) -> Vec<&str> {
        endpoints.iter().map(|endpoint| &*endpoint.provider.id).collect()
    }

    #[test]
    fn an_equal_list_changes_nothing_in_whatever_order() {
        let before = first(vec![provider("a", 1, ""), provider("b", 2, "")]);
        let after = reconcile(
            &before.endpoints,
            vec![provider("b", 2, ""), provider("a", 1, "")],
            &Arc::default(),
            || unreachable!(),
        );
        assert!(is_unchanged(&after));
        for (before, after) in before.endpoints.iter().zip(&after.endpoints) {
            assert!(Arc::ptr_eq(&before.provider, &after.provider));
            assert!(Arc::ptr_eq(&before.memory, &after.memory));
        }
    }

    #[test]
    fn memory_stays_with_the_address_while_it_is_announced() {
        let one = first(vec![provider("a", 1, ""), provider("b", 2, ""), provider("c", 3, "")]);
        let two = reconcile(
            &one.endpoints,
            vec![provider("a", 1, "v2"), provider("new-b", 2, ""), provider("d", 4, "")],
            &Arc::default(),
            || 9,
        );
        assert_eq!(ids(&two.endpoints), ["a", "new-b", "d"]);
        assert_eq!((ids(&two.added), ids(&two.unlisted), two.changed.len()), (vec!["d"], vec!["c"], 2));
        assert_eq!(ids(&two.restarted), ["new-b"]);
        assert_eq!(
            two.endpoints.iter().map(|endpoint| endpoint.memory.number).collect::<Vec<_>>(),
            [1, 2, 9]
        );
        let three = reconcile(&two.endpoints, vec![provider("c", 3, "")], &Arc::default(), || 10);
        assert_eq!(three.endpoints[0].memory.number, 10, "who returns begins anew");
        assert_eq!(three.unlisted.len(), 3);
    }

    #[test]
    fn of_two_records_with_one_address_the_newer_one_wins() {
        let result = first(vec![provider("z", 1, "9"), provider("b", 1, "1"), provider("a", 1, "1")]);
        assert_eq!(ids(&result.endpoints), ["a"]);
        let lost: Vec<&str> = result.duplicates.iter().map(|skipped| skipped.record.as_str()).collect();
        assert_eq!(lost, ["b", "z"]);
        assert_eq!(
            result.duplicates[0].detail,
            "10.0.0.1:1 is announced by the newer record \"a\" too, which is used instead"
        );
    }

    #[test]
    fn what_returns_from_limbo_keeps_its_memory() {
        let mut known = first(vec![provider("a", 1, "")]).endpoints;
        let limbo = Limbo {
            cause: Cause::Last,
            since: Moment::START,
            until: None,
            is_spare: false,
            is_unconfirmed: false,
            failures: 0,
        };
        known[0].limbo = Some(Arc::new(limbo));
        let gone = reconcile(&known, vec![], &Arc::default(), || unreachable!());
        assert!(gone.unlisted[0].limbo.is_some());
        let back = reconcile(&known, vec![provider("a", 1, "")], &Arc::default(), || unreachable!());
        assert_eq!((ids(&back.returned), back.endpoints[0].limbo.is_none()), (vec!["a"], true));
        assert!(Arc::ptr_eq(&back.endpoints[0].memory, &known[0].memory));
    }

    #[test]
    fn of_two_records_with_one_address_the_one_that_speaks_http_wins() {
        let spoken =
            |id: &str, protocol| Arc::new(Provider { protocol, ..Provider::clone(&provider(id, 1, "9")) });
        let result = first(vec![
            spoken("z-dubbo", Protocol::Tcp),
            provider("a-tri", 1, "1"),
            spoken("b-dubbo", Protocol::Tcp),
        ]);
        assert_eq!((ids(&result.endpoints), result.duplicates.len()), (vec!["a-tri"], 2));
    }

    fn lists() -> impl Strategy<Value = Vec<(u16, u32, u8)>> {
        prop::collection::vec((1_u16..12, 0_u32..3, 0_u8..3), 0..15)
    }

    proptest! {
        #[test]
        fn any_list_after_any_other(before in lists(), after in lists()) {
            let provide = |list: &[(u16, u32, u8)]| -> Vec<Arc<Provider>> {
                let one = |(port, weight, id): &(u16, u32, u8)| {
                    let mut provider = Provider::clone(&provider(&format!("id-{id}"), *port, ""));
                    provider.weight = Weight::from_hundredths(*weight);
                    Arc::new(provider)
                };
                list.iter().map(one).collect()
            };
            let one = first(provide(&before));
            let mut number = 100;
            let two = reconcile(&one.endpoints, provide(&after), &Arc::default(), || { number += 1; number });
            let old: BTreeMap<_, _> =
                one.endpoints.iter().map(|known| (known.memory.address.clone(), known.memory.number)).collect();
            let now: BTreeSet<_> = after.iter().map(|(port, ..)| *port).collect();
            let ports: Vec<u16> = two.endpoints.iter().map(|known| known.provider.address.port()).collect();
            prop_assert_eq!(ports, now.iter().copied().collect::<Vec<_>>(), "each once, in order");
            for endpoint in &two.endpoints {
                prop_assert_eq!(&endpoint.provider.address, &endpoint.memory.address);
                match old.get(&endpoint.memory.address) {
                    Some(number) => prop_assert_eq!(*number, endpoint.memory.number),
                    None => prop_assert!(endpoint.memory.number > 100),
                }
            }
            prop_assert_eq!(two.unlisted.len() + two.endpoints.len() - two.added.len(), old.len());
            prop_assert_eq!(two.duplicates.len(), after.len() - now.len());
            let again = reconcile(&two.endpoints, provide(&after), &Arc::default(), || unreachable!());
            prop_assert!(is_unchanged(&again));
        }
    }
}
