//! Files as they look: enough to see that one of them changed, and that nobody writes them at this moment.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long files have to stay as they are to count as written; who renews several writes them one after the other.
const QUIET: Duration = Duration::from_millis(100);
/// How often is looked whether they do.
const LOOKS_MAX: usize = 20;

/// A file of the configuration as it reads, and the files that it names as they look.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Looks {
    text: Option<Vec<u8>>,
    /// `None` of a file that is not there.
    files: BTreeMap<PathBuf, Option<Look>>,
}

/// How a file looks: another one in its place, and other content in the same one, look otherwise. Of a link it is the file
/// that it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    inode: (u64, u64),
    size: u64,
    /// When it was written, and when anything of it was changed: to the nanosecond.
    written: (i64, i64),
    changed: (i64, i64),
}

impl Look {
    fn at(path: &Path) -> Option<Self> {
        let file = std::fs::metadata(path).ok()?;
        Some(Self {
            inode: (file.dev(), file.ino()),
            size: file.size(),
            written: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }
}

impl Looks {
    pub(super) fn at(file: &Path, named: &BTreeSet<PathBuf>) -> Self {
        let look = |path: &PathBuf| (path.clone(), Look::at(path));
        Self { text: std::fs::read(file).ok(), files: named.iter().map(look).collect() }
    }

    /// Whether the files that are named look otherwise than they did.
    pub(super) fn has_other_files(&self, before: &Self) -> bool {
        self.files != before.files
    }

    /// How they look once they stay as they are for a moment; for two seconds at most they do not.
    pub(super) async fn settled(mut self, file: &Path, named: &BTreeSet<PathBuf>) -> Self {
        for _ in 0..LOOKS_MAX {
            tokio::time::sleep(QUIET).await;
            let now = Self::at(file, named);
            if now == self {
                break;
            }
            self = now;
        }
        self
    }

    /// Whether all of these were looked at.
    pub(super) fn knows(&self, named: &BTreeSet<PathBuf>) -> bool {
        named.iter().all(|path| self.files.contains_key(path))
    }

    /// The same of these files. One that was not looked at looks as it does now.
    pub(super) fn among(mut self, named: &BTreeSet<PathBuf>) -> Self {
        let look = |path: &PathBuf| (path.clone(), self.files.remove(path).unwrap_or_else(|| Look::at(path)));
        self.files = named.iter().map(look).collect();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_replaces_a_file_or_is_written_into_it_looks_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a"), folder.path().join("b"));
        let named = BTreeSet::from([path.clone()]);
        let look = || Looks::at(Path::new("/nowhere"), &named);
        let missing = look();
        std::fs::write(&path, "one").unwrap();
        let first = look();
        assert!(first.has_other_files(&missing) && first == look());
        // Another file of the same size and age takes its place.
        std::fs::write(&other, "two").unwrap();
        let age = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::fs::File::options().write(true).open(&other).unwrap().set_modified(age).unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert!(look().has_other_files(&first));
        // A link that leads elsewhere.
        std::fs::write(&other, "two").unwrap();
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        let linked = look();
        std::fs::write(&other, "three").unwrap();
        assert!(look().has_other_files(&linked));
    }

    #[test]
    fn what_is_looked_at_is_what_is_named_last() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::write(&one, "one").unwrap();
        std::fs::write(&other, "other").unwrap();
        let before = Looks::at(&one, &BTreeSet::from([one.clone()]));
        let both = BTreeSet::from([one.clone(), other]);
        let seen = Looks::at(&one, &BTreeSet::from([one.clone()])).among(&both);
        assert_eq!(seen, Looks::at(&one, &both));
        assert_eq!(seen.among(&BTreeSet::from([one])), before);
    }
}
