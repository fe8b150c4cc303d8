//! What is known of one service: its records as read last, and the list they make.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use zookeeper_client::Stat;

use super::read::{Read, join};
use crate::provider::Provider;
use crate::registry::format::{Entry, Format, Reason};
use crate::registry::{Skipped, View};

/// What is known of one service.
#[derive(Debug)]
pub(super) struct Known {
    format: &'static dyn Format,
    /// The chroot, so that an operator is told the whole path of a record.
    chroot: String,
    /// Whether the folder is there.
    present: bool,
    records: BTreeMap<String, Record>,
    /// The greatest zxid seen.
    revision: i64,
}

/// A child of the service's folder.
#[derive(Debug)]
struct Record {
    mark: Mark,
    providers: Box<[Arc<Provider>]>,
    skipped: Box<[Skipped]>,
}

/// What tells one state of a node from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    /// It may not be read.
    Denied,
    /// It has children, so it is no record.
    Folder,
    /// Its last change, and its creation.
    Leaf { mzxid: i64, czxid: i64 },
}

/// What a reading changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// Whether anything is different.
    pub(super) any: bool,
    /// When the latest of it was written, by ZooKeeper's clock; unknown for what went away.
    pub(super) at: Option<SystemTime>,
}

impl Known {
    /// Nothing is known yet.
    pub(super) fn new(format: &'static dyn Format, chroot: &str) -> Self {
        let chroot = chroot.to_owned();
        Self { format, chroot, present: false, records: BTreeMap::new(), revision: 0 }
    }

    /// There is no such folder.
    pub(super) fn set_absent(&mut self) -> Change {
        let any = self.present;
        self.present = false;
        self.records.clear();
        Change { any, at: None }
    }

    /// The folder, read whole: what was not read is not there.
    pub(super) fn replace(&mut self, folder: &str, stat: &Stat, read: Vec<(String, Read)>) -> Change {
        let gone = self.records.len();
        let mut before = std::mem::take(&mut self.records);
        let mut change = Change { any: !self.present, at: None };
        self.present = true;
        self.revision = self.revision.max(stat.pzxid);
        let mut kept = 0;
        for (name, read) in read {
            if let Some((name, record)) = before.remove_entry(&name) {
                self.records.insert(name, record);
                kept += 1;
            }
            change = change.and(self.apply(folder, name, read));
        }
        change.and(Change { any: kept < gone, at: None })
    }

    /// Some children, read again.
    pub(super) fn update(&mut self, folder: &str, read: Vec<(String, Read)>) -> Change {
        read.into_iter()
            .fold(Change::default(), |change, (name, read)| change.and(self.apply(folder, name, read)))
    }

    fn apply(&mut self, folder: &str, name: String, read: Read) -> Change {
        let (mark, at) = match &read {
            Read::Missing => return Change { any: self.records.remove(&name).is_some(), at: None },
            Read::Denied => (Mark::Denied, None),
            Read::Data(_, stat) => {
                self.revision = self.revision.max(stat.mzxid).max(stat.pzxid);
                let leaf = Mark::Leaf { mzxid: stat.mzxid, czxid: stat.czxid };
                (if stat.num_children > 0 { Mark::Folder } else { leaf }, time(stat.mtime))
            }
        };
        if self.records.get(&name).is_some_and(|record| record.mark == mark) {
            return Change::default();
        }
        let record = self.record(folder, &name, mark, &read);
        self.records.insert(name, record);
        Change { any: true, at }
    }

    fn record(&self, folder: &str, name: &str, mark: Mark, read: &Read) -> Record {
        let path = || format!("{}{}", self.chroot, join(folder, name));
        match (mark, read) {
            (Mark::Leaf { .. }, Read::Data(data, _)) => {
                let decoded = self.format.decode(Entry { name, data });
                let skipped = decoded.unusable.into_iter().map(|unusable| Skipped {
                    record: path(),
                    reason: unusable.reason,
                    detail: unusable.detail,
                });
                let skipped = skipped.collect();
                Record { mark, providers: decoded.providers.into_iter().map(Arc::new).collect(), skipped }
            }
            (Mark::Denied, _) => {
                let detail =
                    "ZooKeeper does not let this proxy read it; give auth, or READ to everybody".to_owned();
                let skipped = [Skipped { record: path(), reason: Reason::Denied, detail }].into();
                Record { mark, providers: [].into(), skipped }
            }
            (Mark::Folder | Mark::Leaf { .. }, _) => {
                Record { mark, providers: [].into(), skipped: [].into() }
            }
        }
    }

    /// The greatest zxid seen, if any.
    pub(super) fn revision(&self) -> Option<i64> {
        (self.revision > 0).then_some(self.revision)
    }

    /// Whether the folder is there.
    pub(super) const fn is_present(&self) -> bool {
        self.present
    }

    /// The list: providers the longest unchanged first, so that of two records with one address the newer one comes last.
    pub(super) fn view(&self) -> View {
        if !self.present {
            return View::Absent;
        }
        let mut records: Vec<&Record> = self.records.values().collect();
        records.sort_by_key(|record| record.mark);
        let providers = records.iter().flat_map(|record| record.providers.iter().cloned()).collect();
        let skipped = self.records.values().flat_map(|record| record.skipped.iter().cloned()).collect();
        View::Present { providers, skipped }
    }
}

impl Change {
    /// Both changes.
    fn and(self, other: Self) -> Self {
        Self { any: self.any || other.any, at: self.at.max(other.at) }
    }
}

/// A time of ZooKeeper's: milliseconds since 1970.
fn time(millis: i64) -> Option<SystemTime> {
    let millis = u64::try_from(millis).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}
