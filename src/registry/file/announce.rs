//! Announcing in a folder of files: one file of this process, replaced whole, put back when somebody deletes it.
//!
//! The file is held by a lock on a hidden one beside it, which ends with the process: what a program that died has left
//! behind is found by its free lock, and removed by the next one that announces in the folder. A file whose announcements were
//! withdrawn stays, and says that its services have no providers: a folder without any file would count as one that cannot
//! be read, and take away nothing.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tempfile::NamedTempFile;
use tokio::time::timeout;
use uuid::Uuid;

use super::Settings;
use crate::provider::{Provider, ServiceName, Weight};
use crate::registry::announcer::{Announcement, Announcer, Standing, Standings, ToAnnounce};
use crate::registry::url::UrlError;
use crate::registry::{RegistryError, Watch};

/// How often the file is looked at, and put back if it is gone.
const CHECK: Duration = Duration::from_secs(2);
/// The services that the file names at most, before those without providers are left out.
const SERVICES_MAX: usize = 1024;
/// What our files are called, before a name of their own.
const PREFIX: &str = "wayside-";
/// The hidden file that is locked as long as the process lives.
const LOCK: &str = ".lock";

/// What announces in a folder.
#[derive(Debug)]
pub struct Announcing {
    folder: PathBuf,
    /// The part of the names of our files that no other process has.
    name: String,
}

/// The announcer of these settings; nothing is written before something is announced.
///
/// # Errors
/// When they name a file: it is somebody else's, and several processes cannot write one.
pub fn announcer(settings: Settings) -> Result<Announcing, UrlError> {
    let folder = settings.path;
    if folder.is_file() || (!folder.is_dir() && super::sources::syntax(&folder).is_some()) {
        let wrong =
            format!("{} is one file, and every process announces in a file of its own", folder.display());
        let cure = match folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => format!("name a folder, such as file:{}", parent.display()),
            None => "name a folder, such as file:services".to_owned(),
        };
        return Err(UrlError::new(wrong, cure));
    }
    Ok(Announcing { folder, name: format!("{PREFIX}{}", Uuid::new_v4()) })
}

impl Announcer for Announcing {
    fn kind(&self) -> &'static str {
        "file"
    }

    fn location(&self) -> String {
        self.folder.display().to_string()
    }

    fn announce<'a>(&'a self, wanted: ToAnnounce, standings: &'a Standings) -> Watch<'a> {
        Box::pin(async move {
            match self.keep(wanted, standings).await {
                Ok(never) => match never {},
                Err(error) => error,
            }
        })
    }
}

impl Announcing {
    fn file(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.name))
    }

    async fn keep(&self, mut wanted: ToAnnounce, standings: &Standings) -> Result<Infallible, RegistryError> {
        standings.send_replace(Arc::default());
        // A file that could not be written anew says still what was wanted before.
        while wanted.borrow_and_update().is_empty() && !self.file().exists() {
            wanted.changed().await.map_err(|_| RegistryError::Abandoned)?;
        }
        let failed = |error: io::Error| RegistryError::Unreachable {
            doing: format!(
                "cannot write to {}; make it a folder that this user may write to",
                self.location()
            ),
            source: error.into(),
        };
        fs::create_dir_all(&self.folder).map_err(failed)?;
        let _lock = self.lock().map_err(failed)?;
        // Services that were announced here: without providers they are left an empty list.
        let mut services = BTreeMap::new();
        let mut is_ending = wanted.has_changed().is_err();
        loop {
            let now = if is_ending { Arc::default() } else { wanted.borrow_and_update().clone() };
            let (text, standing) = self.written(&now, &mut services);
            if fs::read(self.file()).ok().as_deref() != Some(text.as_bytes()) {
                self.write(&text).map_err(failed)?;
            }
            standings.send_if_modified(|known| {
                let changed = **known != standing;
                *known = Arc::new(standing);
                changed
            });
            if is_ending {
                return Err(RegistryError::Abandoned);
            }
            if let Ok(changed) = timeout(CHECK, wanted.changed()).await {
                is_ending = changed.is_err();
            } else {
                self.sweep();
            }
        }
    }

    /// What the file is to say, and how things then stand.
    fn written(
        &self,
        wanted: &BTreeMap<Arc<str>, Arc<Announcement>>,
        services: &mut BTreeMap<ServiceName, Vec<Value>>,
    ) -> (String, BTreeMap<Arc<str>, Standing>) {
        services.values_mut().for_each(Vec::clear);
        if services.len() > SERVICES_MAX {
            services.clear();
        }
        let mut standings = BTreeMap::new();
        let record = self.file().display().to_string();
        for (name, announcement) in wanted {
            services.entry(announcement.service.clone()).or_default().push(written(&announcement.provider));
            standings.insert(Arc::clone(name), Standing::Announced { record: record.clone() });
        }
        let lists: Map<String, Value> =
            services.iter().map(|(service, list)| (service.to_string(), Value::from(list.clone()))).collect();
        (format!("{:#}\n", json!({ "services": lists })), standings)
    }

    /// Replaces the file, so that nobody ever reads half of it.
    fn write(&self, text: &str) -> io::Result<()> {
        let mut new = hidden(&self.folder)?;
        new.write_all(text.as_bytes())?;
        new.persist(self.file()).map_err(|error| error.error)?;
        Ok(())
    }

    /// Takes the lock that says that this process lives. It comes to its place locked, so that nobody finds it free.
    fn lock(&self) -> io::Result<File> {
        self.sweep();
        let new = hidden(&self.folder)?;
        new.as_file().lock()?;
        new.persist(self.folder.join(format!(".{}{LOCK}", self.name))).map_err(|error| error.error)
    }

    /// Removes the files of processes that have ended.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let lock = entry.file_name();
            let name = lock.to_str().and_then(|name| name.strip_prefix('.')?.strip_suffix(LOCK));
            let Some(name) = name.filter(|name| name.starts_with(PREFIX) && *name != self.name) else {
                continue;
            };
            let is_free = File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
            if is_free {
                let file = self.folder.join(format!("{name}.json"));
                tracing::info!(file = %file.display(), "removed what a process that ended had announced");
                // Whoever else sweeps may be first.
                let _ = fs::remove_file(file);
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// A new file that readers of the folder pass over, and that others may read once it is in its place.
fn hidden(folder: &Path) -> io::Result<NamedTempFile> {
    use std::os::unix::fs::PermissionsExt as _;
    let permissions = fs::Permissions::from_mode(0o644);
    tempfile::Builder::new().prefix(".wayside-").suffix(".tmp").permissions(permissions).tempfile_in(folder)
}

/// A provider as [`crate::registry::written`] reads it.
fn written(provider: &Provider) -> Value {
    let mut table = Map::new();
    table.insert("address".to_owned(), provider.address.to_string().into());
    table.insert("id".to_owned(), provider.id.to_string().into());
    if provider.weight != Weight::ONE {
        table.insert("weight".to_owned(), provider.weight.to_string().into());
    }
    if let Some(zone) = &provider.zone {
        table.insert("zone".to_owned(), zone.to_string().into());
    }
    if !provider.version.is_empty() {
        table.insert("version".to_owned(), provider.version.to_string().into());
    }
    table.insert("protocol".to_owned(), provider.protocol.as_str().into());
    if provider.secure {
        table.insert("tls".to_owned(), true.into());
    }
    if !provider.metadata.is_empty() {
        table.insert("metadata".to_owned(), json!(provider.metadata));
    }
    table.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Protocol;
    use crate::registry::written as reading;

    fn announcing(folder: &Path) -> Announcing {
        announcer(Settings { path: folder.to_owned() }).unwrap()
    }

    #[test]
    fn one_file_is_refused_with_the_cure() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("providers");
        fs::write(&file, "").unwrap();
        for path in [file, folder.path().join("new.toml")] {
            let error = announcer(Settings { path }).unwrap_err().to_string();
            let cure = format!("; name a folder, such as file:{}", folder.path().display());
            assert!(error.ends_with(&cure), "{error}");
        }
        assert!(announcer(Settings { path: folder.path().join("new") }).is_ok());
    }

    #[test]
    fn what_is_written_is_read_back_as_it_was() {
        let mut provider = Provider::new("g-1", "[::1]:80".parse().unwrap());
        assert_eq!(reading::provider(&written(&provider)), Ok(provider.clone()));
        provider.weight = Weight::from_hundredths(50);
        provider.zone = Some("a".into());
        provider.version = "v2".into();
        provider.protocol = Protocol::Mucp;
        provider.metadata.insert("k".to_owned(), "v \"w\"".to_owned());
        provider.secure = true;
        assert_eq!(reading::provider(&written(&provider)), Ok(provider.clone()));
        assert_eq!(reading::unknown_keys(&written(&provider)).count(), 0);
    }

    #[tokio::test]
    async fn what_could_not_be_withdrawn_is_withdrawn_once_the_file_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let it = announcing(folder.path());
        // The disk was full when this was to go, and so the announcer has failed.
        it.write(r#"{"services":{"greeter":["10.0.0.1:80"]}}"#).unwrap();
        let (wanted, receiver) = tokio::sync::watch::channel(Arc::default());
        drop(wanted);
        let end = it.announce(receiver, &Standings::default()).await;
        assert!(matches!(end, RegistryError::Abandoned), "{end:?}");
        let text = fs::read_to_string(it.file()).unwrap();
        assert!(text.contains("services") && !text.contains("10.0.0.1"), "{text}");
    }

    #[test]
    fn what_the_dead_left_is_removed_and_what_the_living_have_stays() {
        let folder = tempfile::tempdir().unwrap();
        let files = |of: &Announcing| {
            (of.file().exists(), folder.path().join(format!(".{}{LOCK}", of.name)).exists())
        };
        let (dead, alive) = (announcing(folder.path()), announcing(folder.path()));
        let ended = dead.lock().unwrap();
        dead.write("{}").unwrap();
        let _held = alive.lock().unwrap();
        alive.write("{}").unwrap();
        announcing(folder.path()).sweep();
        assert_eq!((files(&dead), files(&alive)), ((true, true), (true, true)));
        drop(ended);
        announcing(folder.path()).sweep();
        assert_eq!((files(&dead), files(&alive)), ((false, false), (true, true)));
    }
}
