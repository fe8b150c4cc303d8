//! The alarm: rings when something may have changed at a path, as the operating system tells.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, Event, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

/// How long a file that is being written is left alone, unless it is closed before.
const WRITING: Duration = Duration::from_millis(100);
/// The link through which Kubernetes swaps a mounted folder whole.
const SWAPPED_LINK: &str = "..data";

/// Rings when something may have changed at a path.
///
/// Folders are watched, never files: a file that is replaced takes its watch with it, a folder keeps it.
#[derive(Debug)]
pub(super) struct Alarm {
    bells: Arc<Bells>,
    /// None when the operating system gives no watches; then only polling is left.
    watcher: Option<RecommendedWatcher>,
    /// The folders watched, each with the inode it had, since a folder that is replaced takes its watch with it too.
    folders: BTreeMap<PathBuf, (u64, u64)>,
    complained: bool,
}

#[derive(Debug, Default)]
struct Bells {
    /// Something is in place: read it.
    now: Notify,
    /// Something is being written.
    soon: Notify,
    /// The names and folders that matter. Written when folders are armed, read by the watching thread.
    scope: Mutex<Scope>,
}

#[derive(Debug, Default)]
struct Scope {
    /// A change of any file in it matters.
    folder: Option<PathBuf>,
    /// A change of one of these matters wherever it is seen.
    names: BTreeSet<OsString>,
}

impl Alarm {
    pub(super) fn new() -> Self {
        let bells = Arc::<Bells>::default();
        let ringing = Arc::clone(&bells);
        let watcher = notify::recommended_watcher(move |event| ringing.hear(event));
        let watcher =
            watcher.inspect_err(|error| tracing::warn!(%error, "files are only polled for changes")).ok();
        Self { bells, watcher, folders: BTreeMap::new(), complained: false }
    }

    /// Watches what has to be watched for this path now. To be called before it is read, so that no change falls between.
    /// True when all of it is watched.
    pub(super) fn arm(&mut self, path: &Path) -> bool {
        let mut scope = Scope::default();
        let mut folders = BTreeSet::new();
        // The path as written, and where it leads to.
        for path in std::iter::once(path.to_owned()).chain(std::fs::canonicalize(path).ok()) {
            scope.names.extend(path.file_name().map(OsString::from));
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            folders.insert(parent.unwrap_or(Path::new(".")).to_owned());
        }
        if path.is_dir() {
            folders.insert(path.to_owned());
            scope.folder = Some(path.to_owned());
        }
        scope.names.insert(SWAPPED_LINK.into());
        *self.bells.scope.lock().unwrap_or_else(PoisonError::into_inner) = scope;
        self.watch(&folders)
    }

    fn watch(&mut self, wanted: &BTreeSet<PathBuf>) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        for gone in self.folders.extract_if(.., |folder, _| !wanted.contains(folder)) {
            let _ = watcher.unwatch(&gone.0);
        }
        let mut complete = true;
        for folder in wanted {
            let inode = std::fs::metadata(folder).map(|at| (at.dev(), at.ino()));
            if inode.as_ref().ok() == self.folders.get(folder) && inode.is_ok() {
                continue;
            }
            if self.folders.remove(folder).is_some() {
                let _ = watcher.unwatch(folder);
            }
            match (inode, watcher.watch(folder, RecursiveMode::NonRecursive)) {
                (Ok(inode), Ok(())) => drop(self.folders.insert(folder.clone(), inode)),
                (Ok(_), Err(error)) => {
                    complete = false;
                    if !self.complained {
                        tracing::warn!(folder = %folder.display(), %error, "files are only polled for changes");
                        self.complained = true;
                    }
                }
                (Err(_), _) => complete = false,
            }
        }
        complete
    }

    /// Waits until it rings. One that is being written rings when it is closed, or after a fixed time.
    pub(super) async fn rung(&self) {
        tokio::select! {
            biased;
            () = self.bells.now.notified() => {}
            () = self.bells.soon.notified() => {
                let _ = tokio::time::timeout(WRITING, self.bells.now.notified()).await;
            }
        }
    }
}

impl Bells {
    fn hear(&self, event: notify::Result<Event>) {
        let Ok(event) = event else { return self.now.notify_one() };
        if !event.need_rescan() && !event.paths.is_empty() && !self.concerns(&event) {
            return;
        }
        match event.kind {
            // Reading what changed opens files, which must not ring again.
            EventKind::Access(access) => {
                if access == AccessKind::Close(AccessMode::Write) {
                    self.now.notify_one();
                }
            }
            EventKind::Create(_) | EventKind::Modify(ModifyKind::Data(_)) => self.soon.notify_one(),
            EventKind::Any | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => {
                self.now.notify_one();
            }
        }
    }

    fn concerns(&self, event: &Event) -> bool {
        let scope = self.scope.lock().unwrap_or_else(PoisonError::into_inner);
        event.paths.iter().any(|path| {
            path.file_name().is_some_and(|name| scope.names.contains(name))
                || scope.folder.as_deref().is_some_and(|folder| path.parent() == Some(folder))
        })
    }
}
