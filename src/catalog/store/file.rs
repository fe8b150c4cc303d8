//! A file of the store: read when the proxy starts, replaced whole while it runs.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::document::{self, BYTES_MAX, Identity, Services};

/// What a file is called until it is whole.
const UNFINISHED: &str = ".wayside-store-";
/// The age from which an unfinished file is one that nobody will finish.
const ABANDONED: Duration = Duration::from_mins(1);

/// Where the last known providers of one registry are kept.
#[derive(Clone, Debug)]
pub(super) struct StoreFile {
    folder: PathBuf,
    path: PathBuf,
    identity: Identity,
}

/// What a save did.
#[derive(Debug)]
pub(super) struct Saved {
    /// Services left out because the file would be too large.
    pub(super) left_out: usize,
}

impl StoreFile {
    /// The file of a registry: called by its name, and told from other registries of that name by what they are.
    pub(super) fn new(folder: &Path, name: &str, kind: &str, location: String) -> Self {
        let number = crc32fast::hash(format!("{kind} {location}").as_bytes());
        let path = folder.join(format!("{name}-{number:08x}.jsonl"));
        Self { folder: folder.to_owned(), path, identity: Identity { kind: kind.to_owned(), location } }
    }

    /// What was saved last; nothing where nothing was. A file that cannot be used is told of, and put aside where it can be.
    pub(super) fn load(&self) -> Services {
        self.clear_up();
        let file = self.path.display();
        let text = match read(&self.path, BYTES_MAX) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Services::new(),
            Err(error) => {
                tracing::warn!(%file, %error, "last known providers cannot be read; starting without them");
                return Services::new();
            }
        };
        match document::decode(&self.identity, &text) {
            Ok(services) => services,
            Err(error) => {
                let aside = put_aside(&self.path);
                let aside = aside.as_deref().map(Path::display).map(tracing::field::display);
                tracing::warn!(%file, %error, aside, "last known providers are not used; starting without them");
                Services::new()
            }
        }
    }

    /// Removes what processes that were killed while they wrote left behind.
    fn clear_up(&self) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let is_abandoned = |entry: &fs::DirEntry| {
            let age =
                entry.metadata().and_then(|data| data.modified()).map(|at| at.elapsed().unwrap_or_default());
            entry.file_name().to_string_lossy().starts_with(UNFINISHED)
                && age.is_ok_and(|age| age >= ABANDONED)
        };
        for entry in entries.filter(is_abandoned) {
            let _ = fs::remove_file(entry.path());
        }
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// When the folder or the disk does not allow it; what was there before is still there.
    pub(super) fn save(&self, services: &Services) -> io::Result<Saved> {
        let (text, left_out) = document::encode(&self.identity, services, SystemTime::now());
        replace(&self.folder, &self.path, &text)?;
        Ok(Saved { left_out })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// The bytes of a file, as far as a good one could have them.
pub(super) fn read(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(bytes_max as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// Renames a file that is no good, so that it is not written over before somebody has looked at it.
pub(super) fn put_aside(path: &Path) -> Option<PathBuf> {
    let aside = path.with_extension("unusable");
    fs::rename(path, &aside).ok().map(|()| aside)
}

/// Replaces a file of a folder, which is made where it is missing: written beside it, brought to the disk, then renamed, so
/// that there is always a whole one.
pub(super) fn replace(folder: &Path, path: &Path, text: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // The name too has to survive a loss of power.
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
