//! The registry `file`: providers in a TOML or JSON file, or in a folder of them, followed for changes.
//!
//! ```toml
//! [services]
//! greeter = ["127.0.0.1:8080", { address = "127.0.0.1:8081", weight = 2, zone = "a", version = "v2" }]
//! ```
//!
//! JSON has the same shape; how a provider is written is told in [`super::written`]. In a folder, all `*.toml` and `*.json`
//! files that are not hidden are read, and what they say of one service is joined.
//!
//! What cannot be read never takes away what was read before:
//! - no file is there, or none of them can be read: the registry counts as disconnected, and says why with file and line;
//! - one of several cannot be read: its last good content stays, and its services bear a skipped record that says why;
//! - a file without a table of services, as one is that was emptied to be written anew, counts as one that cannot be read;
//! - an entry that is no provider is a skipped record of its service.
//!
//! To withdraw all providers of a service, leave it an empty list. A service that no file names is absent.

mod announce;
mod content;
#[cfg(fuzzing)]
pub mod fuzzed;
mod sources;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::url::UrlError;
use super::{Listing, Registry, RegistryError, Report, Reports, View, Wanted, Watch};
use crate::alarm::Alarm;
use crate::provider::ServiceName;
pub use announce::{Announcing, announcer};
use sources::Sources;

/// How often files are read although nothing is said to have changed: watches miss changes on network file systems.
const POLL: Duration = Duration::from_secs(5);
/// The same while there is nothing to watch yet.
const POLL_MISSING: Duration = Duration::from_secs(1);
/// How long a file that was good has to be gone or broken until that counts.
const DOUBT: Duration = Duration::from_millis(100);

/// Where the files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A `.toml` or `.json` file (any other is read as TOML), or a folder of them.
    pub path: PathBuf,
}

impl FromStr for Settings {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let path = text.trim();
        if path.is_empty() {
            return Err(UrlError::new(
                "file: names no file",
                "write file:providers.toml or file:/etc/wayside/services",
            ));
        }
        Ok(Self { path: path.into() })
    }
}

/// Providers in files.
#[derive(Debug)]
pub struct Files {
    settings: Settings,
}

/// The registry in these files; nothing is read before it is watched.
pub const fn open(settings: Settings) -> Files {
    Files { settings }
}

impl Registry for Files {
    fn kind(&self) -> &'static str {
        "file"
    }

    fn location(&self) -> String {
        self.settings.path.display().to_string()
    }

    fn watch<'a>(&'a self, wanted: Wanted, reports: Reports) -> Watch<'a> {
        Box::pin(async move {
            match self.follow(wanted, reports).await {
                Ok(never) => match never {},
                Err(error) => error,
            }
        })
    }
}

impl Files {
    async fn follow(&self, mut wanted: Wanted, reports: Reports) -> Result<Infallible, RegistryError> {
        let path = &self.settings.path;
        let mut alarm = Alarm::new();
        let mut sources = Sources::default();
        let mut told = Told { reports, state: None, views: BTreeMap::new() };
        loop {
            let armed = alarm.arm(path);
            if sources.read(path, false).await {
                sleep_until(Instant::now() + DOUBT).await;
                sources.read(path, true).await;
            }
            loop {
                told.tell(&sources, &mut wanted).await?;
                tokio::select! {
                    _ = timeout(if armed { POLL } else { POLL_MISSING }, alarm.rung()) => break,
                    changed = wanted.changed() => changed.map_err(|_| RegistryError::Abandoned)?,
                }
            }
        }
    }
}

/// What was reported so far, so that only changes are.
struct Told {
    reports: Reports,
    /// Whether the files could be read, or why not; `None` before the first word.
    state: Option<Result<(), String>>,
    views: BTreeMap<ServiceName, View>,
}

impl Told {
    async fn tell(&mut self, sources: &Sources, wanted: &mut Wanted) -> Result<(), RegistryError> {
        let wanted = wanted.borrow_and_update().clone();
        self.views.retain(|service, _| wanted.get(service).is_some_and(|wanted| wanted.is(service)));
        let down = sources.down();
        if down.is_none() && self.state != Some(Ok(())) {
            let (files, services) = sources.size();
            let detail = format!("{} in {}", counted(services, "service"), counted(files, "file"));
            self.reports.send(Report::Connected { detail }).await?;
            // What became stale is fresh again once it is listed again.
            self.views.clear();
            self.state = Some(Ok(()));
        }
        let mut listed = false;
        for service in &*wanted {
            // While nothing can be read, what was read before is told only to those who never heard it.
            if down.is_some() && self.views.contains_key(service) {
                continue;
            }
            let Some(view) = sources.view(service).filter(|view| down.is_none() || *view != View::Absent)
            else {
                continue;
            };
            if self.views.get(service) != Some(&view) {
                self.views.insert(service.clone(), view.clone());
                self.reports.send(Report::Listed(listing(service, view))).await?;
                listed = true;
            }
        }
        match down {
            Some(cause) if listed || self.state != Some(Err(cause.clone())) => {
                self.state = Some(Err(cause.clone()));
                self.reports.send(Report::Disconnected { cause }).await
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn listing(service: &ServiceName, view: View) -> Listing {
    Listing { reads: 1, ..Listing::new(service.clone(), view) }
}

/// A number of things, in words.
fn counted(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

#[cfg(test)]
mod tests;
