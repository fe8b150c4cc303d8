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
    /// Whether the folder is there.
    present: bool,
    records: Records<Mark>,
    /// The greatest zxid seen.
    revision: i64,
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
    pub(super) fn new(format: Arc<dyn Format>, service: ServiceName, chroot: &str) -> Self {
        let chroot = chroot.to_owned();
        Self { format, service, chroot, present: false, records: Records::default(), revision: 0 }
    }

    /// There is no such folder.
    pub(super) fn set_absent(&mut self) -> Change {
        let any = std::mem::take(&mut self.present);
        self.records.clear();
        Change { any, at: None }
    }

    /// The folder, read whole: what was not read is not there.
    pub(super) fn replace(&mut self, folder: &str, stat: &Stat, read: Vec<(String, Read)>) -> Change {
        let appeared = !std::mem::replace(&mut self.present, true);
        self.revision = self.revision.max(stat.pzxid);
        let names: BTreeSet<&str> = read.iter().map(|(name, _)| name.as_str()).collect();
        let gone = self.records.retain(|name| names.contains(name));
        let change = Change { any: appeared || gone > 0, at: None };
        change.and(self.update(folder, read))
    }

    /// Some children, read again.
    pub(super) fn update(&mut self, folder: &str, read: Vec<(String, Read)>) -> Change {
        read.into_iter()
            .fold(Change::default(), |change, (name, read)| change.and(self.apply(folder, name, read)))
    }

    fn apply(&mut self, folder: &str, name: String, read: Read) -> Change {
        let (mark, at, tenure) = match &read {
            Read::Missing => return Change { any: self.records.remove(&name), at: None },
            Read::Denied => (Mark::Denied, None, Tenure::Lasting),
            Read::Data(_, stat) => {
                self.revision = self.revision.max(stat.mzxid).max(stat.pzxid);
                let leaf = Mark::Leaf { mzxid: stat.mzxid, czxid: stat.czxid };
                let mark = if stat.num_children > 0 { Mark::Folder } else { leaf };
                (mark, time(stat.mtime), tenure(stat))
            }
        };
        if self.records.has(&name, &mark) {
            return Change::default();
        }
        let path = format!("{}{}", self.chroot, join(folder, &name));
        let decoded = self.decode(&name, mark, &read);
        self.records.put(name, mark, &path, tenure, decoded);
        Change { any: true, at }
    }

    fn decode(&self, name: &str, mark: Mark, read: &Read) -> Decoded {
        match (mark, read) {
            (Mark::Leaf { .. }, Read::Data(data, _)) => {
                let (service, folder) = (&self.service, Folder::Providers);
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

    /// Whether the folder is there.
    pub(super) const fn is_present(&self) -> bool {
        self.present
    }

    /// The list: providers the longest unchanged first, so that of two records with one address the newer one comes last.
    pub(super) fn view(&self) -> View {
        if !self.present {
            return View::Absent;
        }
        self.records.view()
    }
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
    fn and(self, other: Self) -> Self {
        Self { any: self.any || other.any, at: self.at.max(other.at) }
    }
}

/// A time of ZooKeeper's: milliseconds since 1970.
fn time(millis: i64) -> Option<SystemTime> {
    let millis = u64::try_from(millis).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;
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
        time(mzxid * 1000)
    }

    fn ports(known: &Known) -> Vec<u16> {
        match known.view() {
            View::Present { providers, .. } => {
                providers.iter().map(|provider| provider.address.port()).collect()
            }
            View::Absent => panic!("absent"),
        }
    }

    #[test]
    fn only_what_changed_is_a_change() {
        let mut known = known();
        let folder = stat(9, 2);
        assert_eq!(known.view(), View::Absent);
        assert!(known.replace("/f", &folder, vec![data("a", 1, 2), data("b", 2, 3)]).any);
        assert_eq!(known.revision(), Some(9));
        assert_eq!(known.replace("/f", &folder, vec![data("b", 2, 3), data("a", 1, 2)]), Change::default());
        assert_eq!(known.update("/f", vec![data("a", 1, 2)]), Change::default());
        assert_eq!(known.update("/f", vec![data("a", 5, 12)]), Change { any: true, at: at(12) });
        assert_eq!((ports(&known), known.revision()), (vec![2, 5], Some(12)));
        assert_eq!(known.replace("/f", &folder, vec![data("b", 2, 3)]), Change { any: true, at: None });
        assert_eq!(known.update("/f", vec![("b".to_owned(), Read::Missing)]), Change { any: true, at: None });
        assert_eq!(known.update("/f", vec![("b".to_owned(), Read::Missing)]), Change::default());
        assert_eq!(ports(&known), [0; 0]);
        assert!(known.set_absent().any && !known.set_absent().any);
        assert!(known.replace("/f", &folder, vec![]).any, "an empty service is not an absent one");
    }

    #[test]
    fn an_unchanged_record_stays_the_same_value() {
        let mut known = known();
        known.replace("/f", &stat(9, 1), vec![data("a", 1, 2)]);
        let View::Present { providers: before, .. } = known.view() else { panic!("absent") };
        known.replace("/f", &stat(10, 2), vec![data("a", 1, 2), data("b", 2, 10)]);
        let View::Present { providers: after, .. } = known.view() else { panic!("absent") };
        assert!(Arc::ptr_eq(&before[0], &after[0]));
    }

    #[test]
    fn what_may_not_be_read_and_what_has_children_is_no_provider() {
        let mut known = known();
        known.replace("/f", &stat(9, 1), vec![data("a", 1, 2), data("b", 2, 3)]);
        assert!(known.update("/f", vec![("a".to_owned(), Read::Denied)]).any);
        assert!(known.update("/f", vec![("b".to_owned(), Read::Data(Vec::new(), stat(3, 1)))]).any);
        let View::Present { providers, skipped } = known.view() else { panic!("absent") };
        assert_eq!(providers, []);
        assert_eq!((skipped.len(), skipped[0].reason), (1, Reason::Denied));
        assert_eq!(skipped[0].record, "/chroot/f/a");
        known.update("/f", vec![data("a", 1, 2), data("b", 2, 3)]);
        assert_eq!(ports(&known), [1, 2]);
    }
}
