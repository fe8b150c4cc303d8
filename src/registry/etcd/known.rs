//! What is known of one service: its records as listed or heard last, and the list they make.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::list::Listed;
use crate::provider::{ServiceName, Tenure};
use crate::registry::View;
use crate::registry::format::{Entry, Folder, Format};
use crate::registry::records::Records;

/// One record, as etcd has it.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    /// The lease it ends with, or 0.
    pub(super) lease: i64,
    /// The revision of its last change.
    pub(super) revision: i64,
}

/// What a watch told of.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A record was written.
    Put(Record),
    /// A record was deleted, or ended with its lease.
    Delete {
        /// Its key.
        key: Vec<u8>,
        /// The revision since which it is gone.
        revision: i64,
    },
}

/// What is known of one service.
#[derive(Debug)]
pub(super) struct Known {
    format: Arc<dyn Format>,
    service: ServiceName,
    /// What the keys of each folder begin with.
    folders: Vec<(Folder, String)>,
    /// Each with the revision of its last change.
    records: Records<i64>,
    /// The revision as of which all this is known.
    revision: i64,
    /// What went away since an audit began, and at which revision.
    gone: Option<BTreeMap<String, i64>>,
}

impl Known {
    /// Nothing is known yet.
    pub(super) fn new(format: Arc<dyn Format>, service: ServiceName, folders: Vec<(Folder, String)>) -> Self {
        Self { format, service, folders, records: Records::default(), revision: 0, gone: None }
    }

    /// What the keys of each folder begin with.
    pub(super) fn folders(&self) -> &[(Folder, String)] {
        &self.folders
    }

    /// An audit begins: what goes away from now on is remembered until its list is compared.
    pub(super) fn begin_audit(&mut self) {
        self.gone = Some(BTreeMap::new());
    }

    /// Takes over what a list has that no event told of. What was heard of changes behind its revision stands. True when
    /// there was something.
    pub(super) fn compare(&mut self, listed: &Listed) -> bool {
        let gone = self.gone.take().unwrap_or_default();
        let mut news = false;
        let mut names = BTreeSet::new();
        for (folder, record) in &listed.records {
            let Some(name) = self.name(*folder, &record.key) else { continue };
            if gone.get(&name).is_none_or(|at| *at <= listed.revision) {
                news |= self.put(*folder, name.clone(), record);
            }
            names.insert(name);
        }
        let lost: Vec<String> = (self.records.marks())
            .filter(|(name, mark)| **mark <= listed.revision && !names.contains(*name))
            .map(|(name, _)| name.to_owned())
            .collect();
        for name in lost {
            news |= self.records.remove(&name);
        }
        self.revision = self.revision.max(listed.revision);
        news
    }

    /// Takes over an event. True when it is news.
    pub(super) fn hear(&mut self, folder: Folder, event: &Event) -> bool {
        let (Event::Put(Record { key, revision, .. }) | Event::Delete { key, revision }) = event;
        self.revision = self.revision.max(*revision);
        let Some(name) = self.name(folder, key) else { return false };
        match event {
            Event::Put(record) => self.put(folder, name, record),
            Event::Delete { revision, .. } => {
                if let Some(gone) = &mut self.gone {
                    gone.insert(name.clone(), *revision);
                }
                let known = self.records.mark(&name).is_some_and(|mark| mark < revision);
                known && self.records.remove(&name)
            }
        }
    }

    /// All changes up to this revision were heard.
    pub(super) fn reach(&mut self, revision: i64) {
        self.revision = self.revision.max(revision);
    }

    fn put(&mut self, folder: Folder, name: String, record: &Record) -> bool {
        if self.records.mark(&name).is_some_and(|known| *known >= record.revision) {
            return false;
        }
        let key = String::from_utf8_lossy(&record.key);
        let tenure = match record.lease {
            0 => Tenure::Lasting,
            lease => Tenure::Leased(lease.cast_unsigned()),
        };
        let within = name.rsplit('/').next().unwrap_or_default();
        let service = &self.service;
        let decoded = self.format.decode(Entry { service, folder, name: within, data: &record.value });
        self.records.put(name, record.revision, &key, tenure, decoded);
        true
    }

    /// The name of an entry among the records, or `None` when it is not of this service but of one whose name goes on.
    fn name(&self, folder: Folder, key: &[u8]) -> Option<String> {
        let (_, prefix) = self.folders.iter().find(|(known, _)| *known == folder)?;
        let name = key.strip_prefix(prefix.as_bytes())?;
        if name.is_empty() || name.contains(&b'/') {
            return None;
        }
        let name = String::from_utf8_lossy(name);
        Some(match folder {
            Folder::Providers => name.into_owned(),
            // No provider's name has a slash.
            Folder::Rules => format!("rules/{name}"),
        })
    }

    /// The revision as of which all this is known.
    pub(super) const fn revision(&self) -> i64 {
        self.revision
    }

    /// Whether nobody has announced the service: etcd has no folders.
    pub(super) fn is_absent(&self) -> bool {
        !self.records.marks().any(|(name, _)| !name.contains('/'))
    }

    /// The list.
    pub(super) fn view(&self) -> View {
        if self.is_absent() { View::Absent } else { self.records.view() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::format::kinds;

    fn known() -> Known {
        let folders = vec![(Folder::Providers, "/p/greeter/".to_owned())];
        Known::new(kinds::named("go-micro").unwrap(), "greeter".parse().unwrap(), folders)
    }

    fn record(name: &str, port: u16, revision: i64) -> Record {
        let value = format!(r#"{{"nodes":[{{"address":"h:{port}"}}]}}"#).into_bytes();
        Record { key: format!("/p/greeter/{name}").into_bytes(), value, lease: 7, revision }
    }

    fn listed(revision: i64, records: &[Record]) -> Listed {
        let records = records.iter().map(|record| (Folder::Providers, record.clone())).collect();
        Listed { revision, records }
    }

    fn put(known: &mut Known, name: &str, port: u16, revision: i64) -> bool {
        known.hear(Folder::Providers, &Event::Put(record(name, port, revision)))
    }

    fn delete(known: &mut Known, name: &str, revision: i64) -> bool {
        let key = format!("/p/greeter/{name}").into_bytes();
        known.hear(Folder::Providers, &Event::Delete { key, revision })
    }

    fn ports(known: &Known) -> Vec<u16> {
        match known.view() {
            View::Present { providers, .. } => providers.iter().map(|p| p.address.port()).collect(),
            View::Absent => Vec::new(),
        }
    }

    #[test]
    fn the_newest_comes_last_and_the_last_that_goes_leaves_nothing() {
        let mut known = known();
        assert_eq!(known.view(), View::Absent);
        assert!(known.compare(&listed(9, &[record("a", 1, 5), record("b", 2, 3)])));
        assert_eq!((ports(&known), known.revision()), (vec![2, 1], 9));
        let View::Present { providers, .. } = known.view() else { panic!("absent") };
        assert_eq!((&*providers[0].record, providers[0].tenure), ("/p/greeter/b", Tenure::Leased(7)));
        assert!(put(&mut known, "b", 4, 11));
        assert!(!put(&mut known, "b", 2, 3), "what was heard late is no news");
        assert_eq!((ports(&known), known.revision()), (vec![1, 4], 11));
        assert!(delete(&mut known, "a", 12) && !delete(&mut known, "a", 12));
        assert!(delete(&mut known, "b", 13));
        assert_eq!((known.view(), known.revision()), (View::Absent, 13));
    }

    #[test]
    fn an_audit_finds_what_was_missed_and_only_that() {
        let mut known = known();
        known.compare(&listed(9, &[record("a", 1, 5), record("b", 2, 3)]));
        known.begin_audit();
        // Behind the list that was made at 20: "c" came, "b" changed and "a" went.
        assert!(put(&mut known, "c", 3, 21) && put(&mut known, "b", 5, 22) && delete(&mut known, "a", 23));
        assert!(!known.compare(&listed(20, &[record("a", 1, 5), record("b", 2, 3)])));
        assert_eq!(ports(&known), [3, 5]);
        known.begin_audit();
        // Nobody told that "d" came at 24 and "c" went at 25.
        assert!(known.compare(&listed(30, &[record("b", 5, 22), record("d", 6, 24)])));
        assert_eq!((ports(&known), known.revision()), (vec![5, 6], 30));
        known.begin_audit();
        assert!(!known.compare(&listed(31, &[record("b", 5, 22), record("d", 6, 24)])));
    }

    #[test]
    fn keys_of_a_service_whose_name_goes_on_are_not_of_this_one() {
        let mut known = known();
        assert!(!put(&mut known, "v2/a", 1, 2) && !put(&mut known, "", 1, 3));
        assert_eq!((known.view(), known.revision()), (View::Absent, 3));
    }

    #[test]
    fn rules_lie_beside_the_providers() {
        let mut known = known();
        known.folders.push((Folder::Rules, "/p/rules/".to_owned()));
        let rule = Record { key: b"/p/rules/a".to_vec(), ..record("a", 1, 5) };
        assert!(known.hear(Folder::Rules, &Event::Put(rule)));
        assert_eq!(known.view(), View::Absent, "a rule announces nobody");
        assert!(put(&mut known, "a", 1, 6));
        assert_eq!(known.records.marks().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "rules/a"]);
    }
}
