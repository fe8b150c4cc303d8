//! What is known of one service: its records as read last, and the list they make.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use zookeeper_client::Stat;

use super::read::{Read, join};
use crate::provider::{ServiceName, Tenure};
use crate::registry::View;
use crate::registry::format::{Decoded, Entry, Folder, Format};
use crate::registry::records::{Records, denied};

/// What is known of one service.
#[derive(Debug)]
pub(super) struct Known {
    format: Arc<dyn Format>,
    service: ServiceName,
    /// The chroot, so that an operator is told the whole path of a record.
    chroot: String,
    /// The folders, providers' and rules', as they were when they were listed last; `None` while one is not there.
    folders: [Option<State>; 2],
    /// By [`key`].
    records: Records<Mark>,
    /// The greatest zxid seen.
    revision: i64,
}

/// What tells one state of a folder from another, as far as the names in it go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    czxid: i64,
    pzxid: i64,
    cversion: i32,
    num_children: i32,
}

/// What tells one state of a node from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    /// It may not be read.
    Denied,
    /// It has children, so it is no record.
    Folder,
    /// The last change of what is read of it, and its creation.
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
    pub(super) fn new(format: Arc<dyn Format>, service: ServiceName, chroot: &str) -> Self {
        let (folders, records) = ([None; 2], Records::default());
        Self { format, service, chroot: chroot.to_owned(), folders, records, revision: 0 }
    }

    /// There is no such folder.
    pub(super) fn set_absent(&mut self, folder: Folder) -> Change {
        let was = self.folders[index(folder)].take().is_some();
        let gone = self.retain(folder, |_| false);
        Change { any: gone || (was && folder == Folder::Providers), at: None }
    }

    /// The rules may not be read: the providers are taken as they announce themselves, and an operator is told.
    pub(super) fn set_rules_denied(&mut self, path: &str) -> Change {
        self.folders[index(Folder::Rules)] = None;
        let gone = self.retain(Folder::Rules, |name| name.is_empty());
        let change = Change { any: gone, at: None };
        change.and(self.apply(Folder::Rules, path, String::new(), Read::Denied))
    }

    /// A folder, listed whole: what is not among the names is not there. Those read are as they were read, the others as they
    /// are known.
    pub(super) fn replace(
        &mut self,
        folder: Folder,
        path: &str,
        stat: &Stat,
        names: &BTreeSet<String>,
        read: Vec<(String, Read)>,
    ) -> Change {
        let appeared = self.folders[index(folder)].replace(State::of(stat)).is_none();
        self.revision = self.revision.max(stat.pzxid);
        let gone = self.retain(folder, |name| names.contains(name));
        let change = Change { any: gone || (appeared && folder == Folder::Providers), at: None };
        change.and(self.update(folder, path, read))
    }

    /// Some children, read again.
    pub(super) fn update(&mut self, folder: Folder, path: &str, read: Vec<(String, Read)>) -> Change {
        read.into_iter()
            .fold(Change::default(), |change, (name, read)| change.and(self.apply(folder, path, name, read)))
    }

    /// Takes out the records of a folder that are not wanted; true when there were any.
    fn retain(&mut self, folder: Folder, mut wanted: impl FnMut(&str) -> bool) -> bool {
        let wanted = |key: &str| {
            let (of, name) = of_key(key);
            of != folder || wanted(name)
        };
        self.records.retain(wanted) > 0
    }

    fn apply(&mut self, folder: Folder, path: &str, name: String, read: Read) -> Change {
        let key = key(folder, &name);
        let (mark, at, tenure) = match &read {
            Read::Missing => return Change { any: self.records.remove(&key), at: None },
            Read::Denied => (Mark::Denied, None, Tenure::Lasting),
            Read::Data(_, stat) => {
                self.revision = self.revision.max(stat.mzxid).max(stat.pzxid);
                let (mzxid, time) =
                    if self.reads_data() { (stat.mzxid, stat.mtime) } else { (stat.czxid, stat.ctime) };
                let leaf = Mark::Leaf { mzxid, czxid: stat.czxid };
                let mark = if stat.num_children > 0 { Mark::Folder } else { leaf };
                (mark, instant(time), tenure(stat))
            }
        };
        if self.records.has(&key, &mark) {
            return Change::default();
        }
        let path = format!("{}{}", self.chroot, join(path, &name));
        let decoded = self.decode(folder, &name, mark, &read);
        self.records.put(key, mark, &path, tenure, decoded);
        Change { any: true, at }
    }

    fn decode(&self, folder: Folder, name: &str, mark: Mark, read: &Read) -> Decoded {
        let service = &self.service;
        match (mark, read) {
            // Who may list a folder knows the names, and these are all there is to know.
            (Mark::Leaf { .. } | Mark::Denied, _) if !self.reads_data() && !name.is_empty() => {
                self.format.decode(Entry { service, folder, name, data: b"" })
            }
            (Mark::Leaf { .. }, Read::Data(data, _)) => {
                self.format.decode(Entry { service, folder, name, data })
            }
            (Mark::Denied, _) => {
                denied("ZooKeeper does not let this proxy read it; give auth, or READ to everybody")
            }
            (Mark::Folder | Mark::Leaf { .. }, _) => Decoded::default(),
        }
    }

    /// The greatest zxid seen, if any.
    pub(super) fn revision(&self) -> Option<i64> {
        (self.revision > 0).then_some(self.revision)
    }

    /// Whether a folder is there.
    pub(super) const fn is_present(&self, folder: Folder) -> bool {
        self.folders[index(folder)].is_some()
    }

    /// Whether a folder has the very names it had when it was listed last.
    pub(super) fn is_as_listed(&self, folder: Folder, stat: &Stat) -> bool {
        self.folders[index(folder)] == Some(State::of(stat))
    }

    /// Whether a record of that name is known.
    pub(super) fn knows(&self, folder: Folder, name: &str) -> bool {
        self.records.contains(&key(folder, name))
    }

    /// Whether what records hold matters, beside their names.
    pub(super) fn reads_data(&self) -> bool {
        self.format.reads_data()
    }

    /// The list: providers the longest unchanged first, so that of two records with one address the newer one comes last.
    pub(super) fn view(&self) -> View {
        if !self.is_present(Folder::Providers) {
            return View::Absent;
        }
        self.records.view()
    }
}

impl State {
    const fn of(stat: &Stat) -> Self {
        let Stat { czxid, pzxid, cversion, num_children, .. } = *stat;
        Self { czxid, pzxid, cversion, num_children }
    }
}

/// The place of a folder among the two.
const fn index(folder: Folder) -> usize {
    match folder {
        Folder::Providers => 0,
        Folder::Rules => 1,
    }
}

/// The name of a record among those of both folders: no name in ZooKeeper has a slash.
fn key(folder: Folder, name: &str) -> String {
    match folder {
        Folder::Providers => name.to_owned(),
        Folder::Rules => format!("/{name}"),
    }
}

/// The folder and the name of a [`key`].
fn of_key(key: &str) -> (Folder, &str) {
    key.strip_prefix('/').map_or((Folder::Providers, key), |name| (Folder::Rules, name))
}

/// Who holds a node: the session that made it, or nobody, so that it lasts. Containers and, where extended types are on,
/// nodes with a time to live bear marks of their own in place of a session (ZooKeeper's `EphemeralType`).
const fn tenure(stat: &Stat) -> Tenure {
    let owner = stat.ephemeral_owner.cast_unsigned();
    if owner == 0 || owner == CONTAINER || owner >> 56 == EXTENDED {
        Tenure::Lasting
    } else {
        Tenure::Leased(owner)
    }
}

/// The mark of a container.
const CONTAINER: u64 = 1 << 63;
/// The first byte of the mark of a node of an extended type.
const EXTENDED: u64 = 0xff;

impl Change {
    /// Both changes.
    pub(super) fn and(self, other: Self) -> Self {
        Self { any: self.any || other.any, at: self.at.max(other.at) }
    }
}

/// A time of ZooKeeper's: milliseconds since 1970.
fn instant(millis: i64) -> Option<SystemTime> {
    let millis = u64::try_from(millis).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests;
