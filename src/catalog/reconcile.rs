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

/// Which of two records with one address goes first, whatever order the registry lists them in: the one of the greater
/// version, where numbers count as numbers (Go Micro 1.11 to 1.18 made the time of start the version), then of the greater id.
fn precedence(a: &Provider, b: &Provider) -> Ordering {
    natural(&b.version, &a.version).then_with(|| b.id.cmp(&a.id))
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
