//! What several sources say together.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clock::Moment;
use crate::provider::Weight;
use crate::registry::Skipped;
use crate::registry::format::Reason;

/// A source as a test makes it up.
#[derive(Clone, Debug)]
struct Made {
    role: Option<Role>,
    view: Option<View>,
    freshness: Freshness,
    is_awaited: bool,
}

impl Made {
    fn new(role: Role, view: Option<View>) -> Self {
        let freshness = match &view {
            None => Freshness::Pending,
            Some(View::Absent) => Freshness::Absent,
            Some(View::Present { .. }) => Freshness::Live,
        };
        Self { role: Some(role), view, freshness, is_awaited: false }
    }

    fn awaited(role: Role) -> Self {
        Self { is_awaited: true, ..Self::new(role, None) }
    }

    fn stale(self, millis: u64) -> Self {
        Self { freshness: stale(millis), ..self }
    }

    fn word(&self) -> Word<'_> {
        Word {
            role: self.role,
            view: self.view.as_ref(),
            freshness: &self.freshness,
            is_awaited: self.is_awaited,
        }
    }
}

fn stale(millis: u64) -> Freshness {
    Freshness::Stale { since: Moment::from_millis(millis), cause: "it is gone".into() }
}

fn provider(id: &str, port: u16) -> Arc<Provider> {
    Arc::new(Provider::new(id, format!("10.0.0.1:{port}").parse().unwrap()))
}

fn present(id: &str, ports: &[u16]) -> Option<View> {
    let providers = ports.iter().map(|port| provider(id, *port)).collect();
    Some(View::Present { providers, skipped: Vec::new() })
}

fn merged(made: &[Made]) -> (Choice, View) {
    let words: Vec<Word<'_>> = made.iter().map(Made::word).collect();
    let choice = choose(&words);
    let view = join(&words, &choice);
    (choice, view)
}

fn named(view: &View) -> Vec<(String, u16)> {
    match view {
        View::Present { providers, .. } => {
            providers.iter().map(|provider| (provider.id.to_string(), provider.address.port())).collect()
        }
        View::Absent => Vec::new(),
    }
}

fn set(numbers: &[usize]) -> SourceSet {
    numbers.iter().copied().collect()
}

#[test]
fn the_first_of_two_tells_of_an_address_that_both_name() {
    let made = [
        Made::new(Role::Use, present("a", &[1, 2, 2])),
        Made::new(Role::Shadow, present("s", &[7])),
        Made::new(Role::Use, present("b", &[2, 3])),
    ];
    let (choice, view) = merged(&made);
    let all: Vec<_> = [("a", 1), ("a", 2), ("a", 2), ("b", 3)].map(|(id, port)| (id.to_owned(), port)).into();
    assert_eq!(named(&view), all);
    assert_eq!(
        (choice.presence, choice.from, choice.freshness),
        (Presence::Present, set(&[0, 2]), Freshness::Live)
    );
}

#[test]
fn a_fallback_is_used_while_nobody_else_names_a_provider() {
    let fallbacks = [
        Made::new(Role::Fallback, present("f", &[])),
        Made::new(Role::Fallback, present("g", &[4])),
        Made::new(Role::Fallback, present("h", &[5])),
    ];
    for (first, used) in [
        (Made::new(Role::Use, present("a", &[1])), set(&[0])),
        (Made::new(Role::Use, present("a", &[1])).stale(5), set(&[0])),
        (Made::new(Role::Use, present("a", &[])), set(&[0, 2])),
        (Made::new(Role::Use, Some(View::Absent)), set(&[2])),
        (Made::new(Role::Use, Some(View::Absent)).stale(5), set(&[2])),
        (Made::new(Role::Use, None), set(&[2])),
        (Made::awaited(Role::Use), set(&[])),
    ] {
        let made = [std::slice::from_ref(&first), &fallbacks[..]].concat();
        let (choice, _) = merged(&made);
        assert_eq!(choice.from, used, "{first:?}");
    }
    let awaited = [Made::new(Role::Use, Some(View::Absent)), Made::awaited(Role::Fallback)];
    assert_eq!(merged(&awaited).0, Choice::UNKNOWN, "it may know one");
}

#[test]
fn a_service_is_as_fresh_as_the_freshest_that_names_its_providers() {
    let use_of = |view| Made::new(Role::Use, view);
    let disk = Freshness::FromDisk { since: Moment::START, age: Duration::from_secs(9) };
    let from_disk = Made { freshness: disk.clone(), ..use_of(present("d", &[9])) };
    for (made, presence, freshness) in [
        (
            vec![use_of(present("a", &[1])), use_of(present("b", &[2])).stale(5)],
            Presence::Present,
            Freshness::Live,
        ),
        (vec![use_of(present("a", &[1])).stale(5), use_of(None)], Presence::Present, stale(5)),
        (
            vec![use_of(present("a", &[1])).stale(5), use_of(present("b", &[2])).stale(7)],
            Presence::Present,
            stale(7),
        ),
        (vec![use_of(present("a", &[])), use_of(present("b", &[2])).stale(5)], Presence::Present, stale(5)),
        (vec![from_disk.clone(), use_of(None)], Presence::Present, disk),
        (vec![from_disk, use_of(present("b", &[2])).stale(5)], Presence::Present, stale(5)),
        (vec![use_of(Some(View::Absent)), use_of(Some(View::Absent))], Presence::Absent, Freshness::Absent),
        (vec![use_of(Some(View::Absent)), use_of(None)], Presence::Unknown, Freshness::Pending),
        (vec![use_of(Some(View::Absent)), use_of(present("b", &[]))], Presence::Present, Freshness::Live),
        (vec![use_of(present("b", &[])), Made::awaited(Role::Use)], Presence::Unknown, Freshness::Pending),
        (vec![use_of(Some(View::Absent)).stale(5)], Presence::Absent, stale(5)),
        (vec![Made::new(Role::Shadow, present("s", &[1]))], Presence::Unknown, Freshness::Pending),
        (vec![], Presence::Unknown, Freshness::Pending),
    ] {
        let (choice, _) = merged(&made);
        assert_eq!((choice.presence, choice.freshness), (presence, freshness), "{made:?}");
    }
}

#[test]
fn differences_are_told_by_address_and_bounded() {
    let used = present("a", &[1, 2, 3]).unwrap();
    let mut other = Provider::clone(&provider("b", 2));
    other.version = "v2".into();
    other.weight = Weight::ZERO;
    other.record = "elsewhere".into();
    let providers = vec![Arc::new(other), provider("b", 3), provider("b", 4)];
    let found = compare(&used, &View::Present { providers, skipped: Vec::new() });
    let address = |port: u16| format!("10.0.0.1:{port}").parse::<Address>().unwrap();
    assert_eq!(
        found,
        Differences {
            count: 3,
            only_used: vec![address(1)],
            only_shadow: vec![address(4)],
            different: vec![(address(2), vec!["weight", "version"])],
        }
    );
    assert_eq!(compare(&used, &used), Differences::default());
    let many = present("c", &(1..=250).collect::<Vec<_>>()).unwrap();
    let found = compare(&many, &View::Absent);
    assert_eq!((found.count, found.only_used.len()), (250, DIFFERENCES_MAX));
    let found = compare(&View::Absent, &many);
    assert_eq!((found.count, found.only_shadow.len()), (250, DIFFERENCES_MAX));
}

fn views() -> impl Strategy<Value = Option<View>> {
    let entry = (1_u16..8, "[a-c]");
    let list = prop::collection::vec(entry, 0..6);
    prop_oneof![
        Just(None),
        Just(Some(View::Absent)),
        (list, 0..3_usize).prop_map(|(list, skipped)| {
            let providers = list.into_iter().map(|(port, id)| provider(&id, port)).collect();
            let record = |number| Skipped {
                record: format!("r{number}"),
                reason: Reason::Malformed,
                detail: String::new(),
            };
            Some(View::Present { providers, skipped: (0..skipped).map(record).collect() })
        }),
    ]
}

fn made() -> impl Strategy<Value = Made> {
    let role = prop_oneof![
        3 => Just(Some(Role::Use)),
        2 => Just(Some(Role::Fallback)),
        1 => Just(Some(Role::Shadow)),
        1 => Just(None),
    ];
    (role, views(), any::<bool>(), any::<bool>()).prop_map(|(role, view, is_stale, waits)| {
        let made = Made { role, ..Made::new(Role::Use, view) };
        match made.view {
            None => Made { is_awaited: waits, ..made },
            Some(_) if is_stale => made.stale(5),
            Some(_) => made,
        }
    })
}

proptest! {
    #[test]
    fn one_source_says_what_it_says(view in views(), is_stale: bool) {
        let mut one = Made::new(Role::Use, view.clone());
        if is_stale && view.is_some() {
            one = one.stale(5);
        }
        let (choice, joined) = merged(std::slice::from_ref(&one));
        prop_assert_eq!(choice.freshness, one.freshness);
        match view {
            None => prop_assert_eq!(choice.presence, Presence::Unknown),
            Some(view) => prop_assert_eq!(joined, view),
        }
    }

    #[test]
    fn any_sources_together(made in prop::collection::vec(made(), 0..6)) {
        let (choice, joined) = merged(&made);
        let words: Vec<Word<'_>> = made.iter().map(Made::word).collect();
        let names = |number: &usize| !words[*number].providers().is_empty();
        let of = |role: Role| (0..words.len()).filter(|number| words[*number].is(role)).collect::<Vec<_>>();
        let using: Vec<usize> = of(Role::Use).into_iter().filter(names).collect();
        let fallback = of(Role::Fallback).into_iter().find(|number| names(number));
        let awaited = of(Role::Use).iter().any(|number| words[*number].is_awaited);
        // Who may name providers: all that are used, or else one fallback; never a shadow or one that is not asked.
        let expected: Vec<usize> = match (using.as_slice(), fallback) {
            ([], Some(_)) if awaited => Vec::new(),
            ([], Some(fallback)) => vec![fallback],
            (using, _) => using.to_vec(),
        };
        // Each address is told of by the first of them that names it, with all its records and in their order.
        let mut all = Vec::new();
        for (place, number) in expected.iter().enumerate() {
            let earlier = |provider: &Provider| {
                expected[..place].iter().flat_map(|number| words[*number].providers())
                    .any(|other| other.address == provider.address)
            };
            all.extend(words[*number].providers().iter().filter(|provider| !earlier(provider)).cloned());
        }
        let found = match &joined {
            View::Present { providers, .. } => providers.clone(),
            View::Absent => Vec::new(),
        };
        prop_assert_eq!(found, all);
        // What somebody who counts knows is never said to be unknown or absent, and the other way round.
        prop_assert_eq!(choice.presence == Presence::Unknown, choice.freshness == Freshness::Pending);
        prop_assert!(expected.is_empty() || choice.presence == Presence::Present);
        let could = |role: Option<Role>| matches!(role, Some(Role::Use | Role::Fallback));
        if choice.presence == Presence::Absent {
            prop_assert!(words.iter().all(|word| !could(word.role) || word.view == Some(&View::Absent)));
        }
        prop_assert!(choice.from.numbers().all(|number| could(words[number].role)));
    }
}
