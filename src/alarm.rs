//! The alarm: rings when something may have changed at a path, as the operating system tells.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, CreateKind, Event, EventKind, ModifyKind};
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
pub struct Alarm {
    bells: Arc<Bells>,
    /// None when the operating system gives no watches; then only polling is left.
    watcher: Option<RecommendedWatcher>,
    /// The folders watched, each with the inode it had, since a folder that is replaced takes its watch with it too.
    folders: BTreeMap<PathBuf, (u64, u64)>,
    complained: bool,
}

#[derive(Debug, Default)]
struct Bells {
    /// Something changed.
    changed: Notify,
    /// Whether something is being written that was not closed since. Set by the watching thread, cleared by both.
    writing: AtomicBool,
    /// The names and folders that matter. Written when folders are armed, read by the watching thread.
    scope: Mutex<Scope>,
}

#[derive(Debug, Default)]
struct Scope {
    /// A change of any file in these matters.
    folders: BTreeSet<PathBuf>,
    /// A change of one of these matters wherever it is seen.
    names: BTreeSet<OsString>,
}

impl Default for Alarm {
    fn default() -> Self {
        Self::new()
    }
}

impl Alarm {
    /// An alarm that watches nothing yet.
    pub fn new() -> Self {
        let bells = Arc::<Bells>::default();
        let ringing = Arc::clone(&bells);
        let watcher = notify::recommended_watcher(move |event| ringing.hear(event));
        let watcher =
            watcher.inspect_err(|error| tracing::warn!(%error, "files are only polled for changes")).ok();
        Self { bells, watcher, folders: BTreeMap::new(), complained: false }
    }

    /// Watches what has to be watched for this path now. To be called before it is read, so that no change falls between.
    /// True when all of it is watched.
    pub fn arm(&mut self, path: &Path) -> bool {
        self.arm_all([path])
    }

    /// The same for several paths.
    pub fn arm_all<'p>(&mut self, paths: impl IntoIterator<Item = &'p Path>) -> bool {
        let mut scope = Scope::default();
        let mut folders = BTreeSet::new();
        for path in paths {
            // The path as written, and where it leads to.
            for path in std::iter::once(path.to_owned()).chain(std::fs::canonicalize(path).ok()) {
                scope.names.extend(path.file_name().map(OsString::from));
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                folders.insert(parent.unwrap_or(Path::new(".")).to_owned());
            }
            if path.is_dir() {
                folders.insert(path.to_owned());
                scope.folders.insert(path.to_owned());
            }
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
    pub async fn rung(&self) {
        self.bells.changed.notified().await;
        let closed = async {
            while self.bells.writing.load(Ordering::Acquire) {
                self.bells.changed.notified().await;
            }
        };
        if tokio::time::timeout(WRITING, closed).await.is_err() {
            self.bells.writing.store(false, Ordering::Release);
        }
    }
}

impl Bells {
    fn hear(&self, event: notify::Result<Event>) {
        let Ok(event) = event else { return self.changed.notify_one() };
        if !event.need_rescan() && !event.paths.is_empty() && !self.concerns(&event) {
            return;
        }
        match event.kind {
            // Reading what changed opens files, which must not ring again.
            EventKind::Access(access) => {
                if access != AccessKind::Close(AccessMode::Write) {
                    return;
                }
                self.writing.store(false, Ordering::Release);
            }
            EventKind::Create(CreateKind::File) | EventKind::Modify(ModifyKind::Data(_)) => {
                self.writing.store(true, Ordering::Release);
            }
            EventKind::Any
            | EventKind::Create(_)
            | EventKind::Modify(_)
            | EventKind::Remove(_)
            | EventKind::Other => {}
        }
        self.changed.notify_one();
    }

    fn concerns(&self, event: &Event) -> bool {
        let scope = self.scope.lock().unwrap_or_else(PoisonError::into_inner);
        event.paths.iter().any(|path| {
            path.file_name().is_some_and(|name| scope.names.contains(name))
                || path.parent().is_some_and(|folder| scope.folders.contains(folder))
        })
    }
}
