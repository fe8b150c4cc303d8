//! Merging: which sources are used for a service, what they say together, and what a shadow says otherwise.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::source::{Role, SourceSet};
use super::subscription::Freshness;
use crate::provider::{Address, Provider};
use crate::registry::View;

/// What one source says of a service.
#[derive(Clone, Copy, Debug)]
pub struct Word<'a> {
    /// What it is good for here; `None` where the source is not asked for this service.
    pub role: Option<Role>,
    /// Its last list; `None` before the first.
    pub view: Option<&'a View>,
    /// How far that can be trusted.
    pub freshness: &'a Freshness,
    /// Whether it did not speak yet, but is to be waited for.
    pub is_awaited: bool,
}

/// Which sources are used for a service, and what that makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What is known of the service.
    pub presence: Presence,
    /// Those whose records are used.
    pub from: SourceSet,
    /// How far it all can be trusted.
    pub freshness: Freshness,
}

/// What is known of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Nothing yet.
    Unknown,
    /// Every source that could be used says that it knows no such service.
    Absent,
    /// It exists, with or without providers.
    Present,
}

impl Choice {
    /// Nothing is known.
    pub const UNKNOWN: Self =
        Self { presence: Presence::Unknown, from: SourceSet::NONE, freshness: Freshness::Pending };
}

impl Word<'_> {
    /// The word of a source that is not asked.
    pub const NOT_ASKED: Self =
        Self { role: None, view: None, freshness: &Freshness::Pending, is_awaited: false };

    fn providers(&self) -> &[Arc<Provider>] {
        match self.view {
            Some(View::Present { providers, .. }) => providers,
            Some(View::Absent) | None => &[],
        }
    }

    const fn is_present(&self) -> bool {
        matches!(self.view, Some(View::Present { .. }))
    }

    fn is(&self, role: Role) -> bool {
        self.role == Some(role)
    }
}

/// Which sources are used, in the order of the configuration.
///
/// All that are to be used; and where none of these names a provider, and none is awaited that might, the first fallback
/// that does. A stale list counts as much as a fresh one: not to answer is not to be empty.
pub fn choose(words: &[Word<'_>]) -> Choice {
    let of = |role: Role| words.iter().enumerate().filter(move |(_, word)| word.is(role));
    let named = |(_, word): &(usize, &Word<'_>)| !word.providers().is_empty();
    let present: SourceSet =
        of(Role::Use).filter(|(_, word)| word.is_present()).map(|(number, _)| number).collect();
    let naming: SourceSet = of(Role::Use).filter(named).map(|(number, _)| number).collect();
    if !naming.is_empty() {
        return Choice { presence: Presence::Present, from: present, freshness: freshness(words, naming) };
    }
    if of(Role::Use).any(|(_, word)| word.is_awaited) {
        return Choice::UNKNOWN;
    }
    if let Some((number, _)) = of(Role::Fallback).find(named) {
        let freshness = freshness(words, SourceSet::NONE.with(number));
        return Choice { presence: Presence::Present, from: present.with(number), freshness };
    }
    if of(Role::Fallback).any(|(_, word)| word.is_awaited) {
        return Choice::UNKNOWN;
    }
    nobody_names_one(words)
}

/// The choice where every source has spoken that will, and none names a provider.
fn nobody_names_one(words: &[Word<'_>]) -> Choice {
    let could_be_used = |word: &Word<'_>| word.is(Role::Use) || word.is(Role::Fallback);
    let numbers = |fits: &dyn Fn(&Word<'_>) -> bool| -> SourceSet {
        let fitting = words.iter().enumerate().filter(|(_, word)| could_be_used(word) && fits(word));
        fitting.map(|(number, _)| number).collect()
    };
    let (all, heard) = (numbers(&|_| true), numbers(&|word| word.view.is_some()));
    let present = numbers(&|word| word.is_present());
    let presence = if !present.is_empty() {
        Presence::Present
    } else if heard == all && !all.is_empty() {
        Presence::Absent
    } else {
        return Choice::UNKNOWN;
    };
    let vouching = if present.is_empty() { heard } else { present };
    Choice { presence, from: present, freshness: freshness(words, vouching) }
}

/// How far these can be trusted together: as far as the freshest of them.
fn freshness(words: &[Word<'_>], from: SourceSet) -> Freshness {
    let rank = |freshness: &Freshness| match freshness {
        Freshness::Live => (4, None),
        Freshness::Stale { since, .. } => (3, Some(since.to_bits())),
        Freshness::FromDisk { since, .. } => (2, Some(since.to_bits())),
        Freshness::Absent => (1, None),
        Freshness::Pending => (0, None),
    };
    let all = from.numbers().filter_map(|number| words.get(number)).map(|word| word.freshness);
    all.max_by_key(|freshness| rank(freshness)).cloned().unwrap_or(Freshness::Pending)
}

/// The list of a choice.
///
/// Where two sources name one address, the first of them in order tells of it, with all its records. The records of one
/// source stay in their order, so that the list of a source alone is its own list.
pub fn join(words: &[Word<'_>], choice: &Choice) -> View {
    if choice.presence != Presence::Present {
        return View::Absent;
    }
    let (mut providers, mut skipped) = (Vec::new(), Vec::new());
    let mut taken: HashSet<Address> = HashSet::new();
    let is_alone = choice.from.numbers().count() == 1;
    for word in choice.from.numbers().filter_map(|number| words.get(number)) {
        let Some(View::Present { providers: named, skipped: unusable }) = word.view else { continue };
        let before = providers.len();
        providers.extend(named.iter().filter(|provider| !taken.contains(&provider.address)).cloned());
        skipped.extend(unusable.iter().cloned());
        if !is_alone {
            taken.extend(providers[before..].iter().map(|provider| provider.address.clone()));
        }
    }
    View::Present { providers, skipped }
}

/// What a shadow says otherwise than those that are used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Addresses that differ.
    pub count: usize,
    /// The first of those that only the used sources name.
    pub only_used: Vec<Address>,
    /// The first of those that only the shadow names.
    pub only_shadow: Vec<Address>,
    /// The first of those of which both say something else, and what that is about.
    pub different: Vec<(Address, Vec<&'static str>)>,
}

/// Addresses of each sort that are kept; their number is told in full.
pub const DIFFERENCES_MAX: usize = 100;

/// Compares the list that is used with that of a shadow, address by address.
///
/// What no request can notice is not compared: ids, where a record lies, and how long it lasts.
pub fn compare(used: &View, shadow: &View) -> Differences {
    let (used, mut shadow) = (by_address(used), by_address(shadow));
    let mut differences = Differences::default();
    let Differences { count, only_used, only_shadow, different } = &mut differences;
    for (address, provider) in used {
        match shadow.remove(address) {
            None => note(count, only_used, || address.clone()),
            Some(other) => {
                let aspects = aspects(provider, other);
                if !aspects.is_empty() {
                    note(count, different, || (address.clone(), aspects));
                }
            }
        }
    }
    for address in shadow.into_keys() {
        note(count, only_shadow, || address.clone());
    }
    differences
}

fn note<T>(count: &mut usize, kept: &mut Vec<T>, one: impl FnOnce() -> T) {
    *count += 1;
    if kept.len() < DIFFERENCES_MAX {
        kept.push(one());
    }
}

/// The providers of a list; of two at one address the later.
fn by_address(view: &View) -> BTreeMap<&Address, &Provider> {
    match view {
        View::Present { providers, .. } => {
            providers.iter().map(|provider| (&provider.address, &**provider)).collect()
        }
        View::Absent => BTreeMap::new(),
    }
}

/// In what two providers at one address differ for a request.
fn aspects(one: &Provider, other: &Provider) -> Vec<&'static str> {
    let compared = [
        ("weight", one.weight == other.weight),
        ("warm_up", one.warm_up == other.warm_up),
        ("zone", one.zone == other.zone),
        ("version", one.version == other.version),
        ("protocol", one.protocol == other.protocol),
        ("secure", one.secure == other.secure),
        ("metadata", one.metadata == other.metadata),
    ];
    compared.into_iter().filter(|(_, is_same)| !is_same).map(|(aspect, _)| aspect).collect()
}

#[cfg(test)]
mod tests;
