//! What is known of one service, from what was read.

use super::*;
use crate::provider::{Provider, Weight};
use crate::registry::format::rule::{Effect, Rule};
use crate::registry::format::{Reason, kinds};

fn known() -> Known {
    Known::new(kinds::named("go-micro").unwrap(), "greeter".parse().unwrap(), "/chroot")
}

fn stat(mzxid: i64, num_children: i32) -> Stat {
    Stat {
        czxid: 1,
        mzxid,
        pzxid: mzxid,
        ctime: 1000,
        mtime: mzxid * 1000,
        version: 0,
        cversion: 0,
        aversion: 0,
        ephemeral_owner: 0,
        data_length: 0,
        num_children,
    }
}

fn data(name: &str, port: u16, mzxid: i64) -> (String, Read) {
    let data = format!(r#"{{"nodes":[{{"address":"h:{port}"}}]}}"#);
    (name.to_owned(), Read::Data(data.into_bytes(), stat(mzxid, 0)))
}

fn at(mzxid: i64) -> Option<SystemTime> {
    instant(mzxid * 1000)
}

/// The providers' folder, read whole.
fn replace(known: &mut Known, folder: &Stat, read: Vec<(String, Read)>) -> Change {
    replace_of(known, Folder::Providers, folder, read)
}

fn replace_of(known: &mut Known, of: Folder, folder: &Stat, read: Vec<(String, Read)>) -> Change {
    let names = read.iter().map(|(name, _)| name.clone()).collect();
    known.replace(of, "/f", folder, &names, read)
}

fn update(known: &mut Known, read: Vec<(String, Read)>) -> Change {
    known.update(Folder::Providers, "/f", read)
}

fn present(known: &Known) -> (Vec<Arc<Provider>>, Vec<crate::registry::Skipped>) {
    match known.view() {
        View::Present { providers, skipped } => (providers, skipped),
        View::Absent => panic!("absent"),
    }
}

fn ports(known: &Known) -> Vec<u16> {
    present(known).0.iter().map(|provider| provider.address.port()).collect()
}

#[test]
fn only_what_changed_is_a_change() {
    let mut known = known();
    let folder = stat(9, 2);
    assert_eq!(known.view(), View::Absent);
    assert!(replace(&mut known, &folder, vec![data("a", 1, 2), data("b", 2, 3)]).any);
    assert_eq!(known.revision(), Some(9));
    assert_eq!(replace(&mut known, &folder, vec![data("b", 2, 3), data("a", 1, 2)]), Change::default());
    assert_eq!(update(&mut known, vec![data("a", 1, 2)]), Change::default());
    assert_eq!(update(&mut known, vec![data("a", 5, 12)]), Change { any: true, at: at(12) });
    assert_eq!((ports(&known), known.revision()), (vec![2, 5], Some(12)));
    assert_eq!(replace(&mut known, &folder, vec![data("b", 2, 3)]), Change { any: true, at: None });
    assert_eq!(update(&mut known, vec![("b".to_owned(), Read::Missing)]), Change { any: true, at: None });
    assert_eq!(update(&mut known, vec![("b".to_owned(), Read::Missing)]), Change::default());
    assert_eq!(ports(&known), [0; 0]);
    assert!(known.set_absent(Folder::Providers).any && !known.set_absent(Folder::Providers).any);
    assert!(replace(&mut known, &folder, vec![]).any, "an empty service is not an absent one");
}

#[test]
fn an_unchanged_record_stays_the_same_value() {
    let mut known = known();
    replace(&mut known, &stat(9, 1), vec![data("a", 1, 2)]);
    let (before, _) = present(&known);
    replace(&mut known, &stat(10, 2), vec![data("a", 1, 2), data("b", 2, 10)]);
    let (after, _) = present(&known);
    assert!(Arc::ptr_eq(&before[0], &after[0]));
}

#[test]
fn what_may_not_be_read_and_what_has_children_is_no_provider() {
    let mut known = known();
    replace(&mut known, &stat(9, 1), vec![data("a", 1, 2), data("b", 2, 3)]);
    assert!(update(&mut known, vec![("a".to_owned(), Read::Denied)]).any);
    assert!(update(&mut known, vec![("b".to_owned(), Read::Data(Vec::new(), stat(3, 1)))]).any);
    let (providers, skipped) = present(&known);
    assert_eq!(providers, []);
    assert_eq!((skipped.len(), skipped[0].reason), (1, Reason::Denied));
    assert_eq!(skipped[0].record, "/chroot/f/a");
    update(&mut known, vec![data("a", 1, 2), data("b", 2, 3)]);
    assert_eq!(ports(&known), [1, 2]);
}

/// Names are the records, `host:port`; rules are named after the weight they give to all.
#[derive(Debug)]
struct Names;

impl Format for Names {
    fn name(&self) -> &'static str {
        "names"
    }

    fn prefix(&self) -> &'static str {
        "/"
    }

    fn folder(&self, service: &ServiceName) -> String {
        format!("{service}/providers")
    }

    fn rules_folder(&self, service: &ServiceName) -> Option<String> {
        Some(format!("{service}/rules"))
    }

    fn reads_data(&self) -> bool {
        false
    }

    fn decode(&self, entry: Entry<'_>) -> Decoded {
        assert_eq!(entry.data, b"", "what is not read is empty");
        match entry.folder {
            Folder::Providers => {
                let provider = Provider::new(entry.name, entry.name.parse().unwrap());
                Decoded { providers: vec![provider], ..Decoded::default() }
            }
            Folder::Rules => {
                let effect = Effect::Weight(Weight::from_hundredths(entry.name.parse().unwrap()));
                let rule = Rule { targets: Vec::new(), effect };
                Decoded { rules: vec![rule], ..Decoded::default() }
            }
        }
    }
}

fn known_by_name() -> Known {
    Known::new(Arc::new(Names), "greeter".parse().unwrap(), "")
}

/// A node made at `czxid` by a session, changed since.
fn made(name: &str, czxid: i64, owner: i64) -> (String, Read) {
    let stat = Stat { czxid, ctime: czxid * 1000, ephemeral_owner: owner, ..stat(czxid + 100, 0) };
    (name.to_owned(), Read::Data(b"meaningless".to_vec(), stat))
}

#[test]
fn names_are_records_and_what_is_beside_them_tells_when_and_by_whom_they_were_made() {
    let mut known = known_by_name();
    let folder = stat(9, 2);
    let first = replace(&mut known, &folder, vec![made("h:2", 5, 7), made("h:1", 6, 0)]);
    assert_eq!(first, Change { any: true, at: at(6) });
    let (providers, _) = present(&known);
    let tenures: Vec<Tenure> = providers.iter().map(|provider| provider.tenure).collect();
    assert_eq!((ports(&known), tenures), (vec![2, 1], vec![Tenure::Leased(7), Tenure::Lasting]));
    assert_eq!(&*providers[0].record, "/f/h:2");

    let rewritten = Read::Data(b"other".to_vec(), Stat { mzxid: 300, ..stat(5, 0) });
    let Read::Data(data, stat_of) = rewritten else { unreachable!() };
    let same = Read::Data(data, Stat { czxid: 5, ..stat_of });
    assert_eq!(update(&mut known, vec![("h:2".to_owned(), same)]), Change::default(), "data says nothing");
    assert!(update(&mut known, vec![("h:2".to_owned(), Read::Denied)]).any, "the name says all there is");
    assert_eq!(ports(&known), [2, 1]);
}

#[test]
fn what_is_listed_and_not_read_is_as_it_is_known() {
    let mut known = known_by_name();
    replace(&mut known, &stat(9, 2), vec![made("h:2", 5, 7), made("h:1", 6, 0)]);
    assert!(known.knows(Folder::Providers, "h:2") && !known.knows(Folder::Rules, "h:2"));
    assert!(known.is_as_listed(Folder::Providers, &stat(9, 2)));
    assert!(!known.is_as_listed(Folder::Providers, &stat(10, 2)));
    assert!(!known.is_as_listed(Folder::Rules, &stat(9, 2)));
    let names = ["h:2", "h:3"].map(str::to_owned).into();
    let change = known.replace(Folder::Providers, "/f", &stat(10, 2), &names, vec![made("h:3", 10, 7)]);
    assert!(change.any);
    assert_eq!(ports(&known), [2, 3]);
}

#[test]
fn rules_bear_upon_providers_and_are_kept_apart_from_them() {
    let weights =
        |known: &Known| present(known).0.iter().map(|it| it.weight.hundredths()).collect::<Vec<_>>();
    let mut known = known_by_name();
    assert!(!replace_of(&mut known, Folder::Rules, &stat(3, 0), vec![]).any, "no rules are no change");
    assert!(replace_of(&mut known, Folder::Rules, &stat(4, 1), vec![made("50", 4, 0)]).any);
    assert_eq!(known.view(), View::Absent, "rules make no service");
    replace(&mut known, &stat(9, 1), vec![made("h:50", 5, 0)]);
    assert_eq!(weights(&known), [50]);
    replace(&mut known, &stat(10, 1), vec![made("h:51", 10, 0)]);
    assert_eq!((ports(&known), weights(&known)), (vec![51], vec![50]), "each folder is replaced by itself");
    assert!(known.update(Folder::Rules, "/r", vec![("50".to_owned(), Read::Missing)]).any);
    assert_eq!(weights(&known), [100]);
    replace_of(&mut known, Folder::Rules, &stat(12, 1), vec![made("20", 12, 0)]);
    assert!(known.set_absent(Folder::Rules).any && !known.set_absent(Folder::Rules).any);
    assert_eq!(weights(&known), [100]);
}

#[test]
fn rules_that_may_not_be_read_are_told_of_and_hold_up_nothing() {
    let mut known = known_by_name();
    replace_of(&mut known, Folder::Rules, &stat(4, 1), vec![made("50", 4, 0)]);
    replace(&mut known, &stat(9, 1), vec![made("h:1", 5, 0)]);
    assert!(known.set_rules_denied("/r").any && !known.set_rules_denied("/r").any);
    let (providers, skipped) = present(&known);
    assert_eq!((providers[0].weight, skipped.len()), (Weight::ONE, 1));
    assert_eq!((&*skipped[0].record, skipped[0].reason), ("/r/", Reason::Denied));
    assert!(replace_of(&mut known, Folder::Rules, &stat(4, 1), vec![made("50", 4, 0)]).any);
    assert_eq!((present(&known).0[0].weight.hundredths(), present(&known).1.len()), (50, 0));
}
