//! Reconciling: the providers a registry lists now, against the endpoints known so far.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::endpoint::{Endpoint, Memory};
use crate::provider::Provider;
use crate::registry::Skipped;
use crate::registry::format::Reason;

/// What a new list makes of the endpoints known so far.
#[derive(Debug, Default)]
pub struct Reconciled {
    /// The endpoints now, in order of address, each address once.
    pub endpoints: Vec<Endpoint>,
    /// Those whose address is new.
    pub added: Vec<Endpoint>,
    /// Those whose address is no longer announced.
    pub retired: Vec<Endpoint>,
    /// Those whose address stayed and whose announcement changed.
    pub changed: usize,
    /// Those of `changed` whose record bears another id: a process has started anew at a known address.
    pub restarted: Vec<Endpoint>,
    /// Records that announce an address another record announces too, and gave way to it.
    pub duplicates: Vec<Skipped>,
}

impl Reconciled {
    /// Whether the list says what was known before.
    pub const fn is_unchanged(&self) -> bool {
        self.added.is_empty() && self.retired.is_empty() && self.changed == 0
    }
}

/// Reconciles the endpoints known so far, in order of address, with the providers listed now. `number` gives the numbers
/// of new memories.
///
/// An address that stays keeps its memory, whatever its record says. One that returns after it was gone begins anew: the
/// process behind it is another one. An endpoint whose record is the same value keeps that value itself, so that equal
/// lists are recognised by pointer.
pub fn reconcile(
    known: &[Endpoint],
    mut providers: Vec<Arc<Provider>>,
    mut number: impl FnMut() -> u64,
) -> Reconciled {
    let mut result = Reconciled { endpoints: Vec::with_capacity(providers.len()), ..Reconciled::default() };
    providers.sort_by(|a, b| a.address.cmp(&b.address).then_with(|| precedence(a, b)));
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
            result.retired.push(gone.clone());
        }
        let endpoint = match known.next_if(|known| known.memory.address == provider.address) {
            Some(same) if *same.provider == *provider => same.clone(),
            Some(before) => {
                let endpoint = Endpoint { provider, memory: Arc::clone(&before.memory) };
                result.changed += 1;
                if before.provider.id != endpoint.provider.id {
                    result.restarted.push(endpoint.clone());
                }
                endpoint
            }
            None => {
                let memory = Arc::new(Memory::new(number(), provider.address.clone()));
                let endpoint = Endpoint { provider, memory };
                result.added.push(endpoint.clone());
                endpoint
            }
        };
        result.endpoints.push(endpoint);
    }
    result.retired.extend(known.cloned());
    result
}

/// Which of two records with one address goes first, whatever order the registry lists them in: one that requests can be sent
/// to (a Dubbo provider may speak Triple and its own protocol at one port), then the one of the greater version, where
/// numbers count as numbers (Go Micro 1.11 to 1.18 made the time of start the version), then of the greater id.
fn precedence(a: &Provider, b: &Provider) -> Ordering {
    let http = |provider: &Provider| provider.protocol.is_http();
    http(b).cmp(&http(a)).then_with(|| natural(&b.version, &a.version)).then_with(|| b.id.cmp(&a.id))
}

/// Compares texts such that runs of digits count as numbers: `v1.9` is less than `v1.10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a_rest, mut b_rest) = (a, b);
    loop {
        let (a_part, a_tail) = part(a_rest);
        let (b_part, b_tail) = part(b_rest);
        let order = if is_digit(a_part) && is_digit(b_part) {
            let (x, y) = (a_part.trim_start_matches('0'), b_part.trim_start_matches('0'));
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        } else {
            a_part.cmp(b_part)
        };
        if order != Ordering::Equal || a_rest.is_empty() {
            return order.then_with(|| a.cmp(b));
        }
        (a_rest, b_rest) = (a_tail, b_tail);
    }
}

/// The longest run of digits or of other characters that a text begins with, and what follows.
fn part(text: &str) -> (&str, &str) {
    let digits = is_digit(text);
    let end = text.find(|character: char| character.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(end)
}

fn is_digit(text: &str) -> bool {
    text.starts_with(|character: char| character.is_ascii_digit())
}

fn duplicate_of(winner: &Provider, loser: &Provider) -> Skipped {
    Skipped {
        record: loser.id.to_string(),
        reason: Reason::Duplicate,
        detail: format!("{} is announced by {:?} too, which is used instead", loser.address, winner.id),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::provider::{Protocol, Weight};

    fn provider(id: &str, port: u16, version: &str) -> Arc<Provider> {
        let mut provider = Provider::new(id, format!("10.0.0.1:{port}").parse().unwrap());
        provider.version = version.into();
        Arc::new(provider)
    }

    fn first(providers: Vec<Arc<Provider>>) -> Reconciled {
        let mut number = 0;
        reconcile(&[], providers, || {
            number += 1;
            number
        })
    }

    fn ids(endpoints: &[Endpoint]) -> Vec<&str> {
        endpoints.iter().map(|endpoint| &*endpoint.provider.id).collect()
    }

    #[test]
    fn an_equal_list_changes_nothing_in_whatever_order() {
        let before = first(vec![provider("a", 1, ""), provider("b", 2, "")]);
        let after =
            reconcile(&before.endpoints, vec![provider("b", 2, ""), provider("a", 1, "")], || unreachable!());
        assert!(after.is_unchanged());
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
            || 9,
        );
        assert_eq!(ids(&two.endpoints), ["a", "new-b", "d"]);
        assert_eq!((ids(&two.added), ids(&two.retired), two.changed), (vec!["d"], vec!["c"], 2));
        assert_eq!(ids(&two.restarted), ["new-b"]);
        assert_eq!(
            two.endpoints.iter().map(|endpoint| endpoint.memory.number).collect::<Vec<_>>(),
            [1, 2, 9]
        );
        let three = reconcile(&two.endpoints, vec![provider("c", 3, "")], || 10);
        assert_eq!(three.endpoints[0].memory.number, 10, "who returns begins anew");
        assert_eq!(three.retired.len(), 3);
    }

    #[test]
    fn of_two_records_with_one_address_the_newer_version_then_the_greater_id_wins() {
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
            let records = [provider("x", 1, "1.9"), provider("b", 1, "1.10"), provider("c", 1, "1.10")];
            let result = first(order.map(|index| Arc::clone(&records[index])).to_vec());
            assert_eq!(ids(&result.endpoints), ["c"]);
            let mut lost: Vec<&str> =
                result.duplicates.iter().map(|skipped| skipped.record.as_str()).collect();
            lost.sort_unstable();
            assert_eq!(lost, ["b", "x"]);
            assert_eq!(
                result.duplicates[0].detail,
                "10.0.0.1:1 is announced by \"c\" too, which is used instead"
            );
        }
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

    #[test]
    fn versions_are_ordered_as_people_do() {
        let mut versions = ["latest", "v1.10", "1.2", "v1.9", "", "1.2.1", "01.2", "v1.10-rc1"];
        versions.sort_by(|a, b| natural(a, b));
        assert_eq!(versions, ["", "01.2", "1.2", "1.2.1", "latest", "v1.9", "v1.10", "v1.10-rc1"]);
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
            let two = reconcile(&one.endpoints, provide(&after), || { number += 1; number });
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
            prop_assert_eq!(two.retired.len() + two.endpoints.len() - two.added.len(), old.len());
            prop_assert_eq!(two.duplicates.len(), after.len() - now.len());
            let again = reconcile(&two.endpoints, provide(&after), || unreachable!());
            prop_assert!(again.is_unchanged() || after.len() > now.len());
        }
    }
}
