//! The process that starts: it asks whether another one runs, takes what that one leaves, and says when it is ready.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::geteuid;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::SuccessionError;
use super::wire::{self, LATE, Ready, YOURS};
use crate::admin::Readiness;
use crate::announce::{Announcements, Bequest, Target};
use crate::app::sockets::{Given, Sockets};
use crate::balance::Policy;
use crate::catalog::{Catalog, Claim, Freshness, Subscription};
use crate::clock::Clock;
use crate::provider::ServiceName;

/// How long the other one may take to say what it leaves.
const SAYING: Duration = Duration::from_secs(10);
/// How long the first lists are waited for. The other one has them, so there is no hurry; that it is waited for long is no use
/// either.
const LISTS: Duration = Duration::from_secs(30);
/// How long is waited, once a registry answers, for its word to take the place of what the store has.
const HEARING: Duration = Duration::from_secs(10);
/// How long is waited for what the other one announces to be announced here.
const ANNOUNCING: Duration = Duration::from_secs(10);
/// How often is looked.
const LOOK: Duration = Duration::from_millis(10);

/// What another process that runs leaves to this one, and the way to tell it.
#[derive(Debug)]
pub(in crate::app) struct Heir {
    stream: UnixStream,
    sockets: Vec<Given>,
    announcements: Vec<Bequest>,
    experience: Option<String>,
    /// The services that the other one knew, which are followed from the start.
    services: Vec<ServiceName>,
}

impl Heir {
    /// Asks the process that listens at a path; `None` when there is none.
    ///
    /// # Errors
    /// When there is one that does not hand over its place.
    pub(in crate::app) fn ask(path: &Path) -> Result<Option<Self>, SuccessionError> {
        let silent = |source| SuccessionError::Silent { path: path.to_owned(), source };
        let stream = match UnixStream::connect(path) {
            Ok(stream) => stream,
            // A file that is left of a process that died is a refused connection.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(silent(error)),
        };
        refuse_stranger(path).map_err(silent)?;
        let receive = || {
            stream.set_read_timeout(Some(SAYING))?;
            wire::receive(&stream)
        };
        let (sockets, offer) = receive().map_err(silent)?;
        tracing::info!(socket = %path.display(), "taking over from the process that runs");
        let wire::Offer { announcements, experience, .. } = offer;
        Ok(Some(Self { stream, sockets, announcements, experience, services: Vec::new() }))
    }

    /// Its sockets, once.
    pub(in crate::app) fn take_sockets(&mut self) -> Sockets {
        Sockets::of(std::mem::take(&mut self.sockets))
    }

    /// Its announcements, once.
    pub(in crate::app) fn take_announcements(&mut self) -> Vec<Bequest> {
        std::mem::take(&mut self.announcements)
    }

    /// Lets the catalog know what it experienced, unless nothing is good for any time.
    pub(in crate::app) fn tell(&mut self, catalog: &Catalog, limit: Duration) {
        if let Some(experience) = self.experience.take().filter(|_| !limit.is_zero()) {
            self.services = catalog.inherit(experience.as_bytes(), limit);
        }
    }

    /// Waits until the first lists are there.
    ///
    /// # Errors
    /// When they are not in time: the other one has them, and is the better one.
    pub(in crate::app) async fn lists(
        &self,
        catalog: &Arc<Catalog>,
        clock: Clock,
        readiness: &Readiness,
    ) -> Result<(), SuccessionError> {
        let deadline = Instant::now() + LISTS;
        loop {
            let why = readiness.why_not_instead(catalog);
            if why.is_empty() {
                break;
            }
            if Instant::now() >= deadline {
                return Err(SuccessionError::NotReady { why: why.join(", ") });
            }
            tokio::time::sleep(LOOK).await;
        }
        // What requests ask for is known to the other one, too; what is not heard of in time was not vouched for there either.
        let subscribe = |service: &ServiceName| {
            let subscription = catalog.subscribe(&Claim::on(service.clone(), Policy::default())).ok();
            subscription.inspect(|subscription| subscription.touch(clock.now()))
        };
        let followed: Vec<Arc<Subscription>> = self.services.iter().filter_map(subscribe).collect();
        for subscription in followed {
            subscription.listed(deadline.saturating_duration_since(Instant::now())).await;
        }
        let is_from_disk = || {
            let mut known = catalog.known().into_iter();
            known.any(|known| matches!(known.freshness, Freshness::FromDisk { .. }))
        };
        let soon = deadline.min(Instant::now() + HEARING);
        while is_from_disk() && Instant::now() < soon {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Says that all is ready once what the other one announces is announced here, and waits for the word to take connections. With
    /// it comes what programs have asked the other one for at last; where they are announced is the `target`.
    ///
    /// # Errors
    /// When the other one did not wait so long.
    pub(in crate::app) async fn succeed(
        self,
        announcements: &Announcements,
        target: Option<&Target>,
    ) -> Result<(), SuccessionError> {
        let taken = announcements.taken_over(ANNOUNCING).await;
        let taken = taken.iter().map(ToString::to_string).collect();
        let ready = serde_json::to_string(&Ready { announcements: taken });
        match self.told(ready.unwrap_or_default() + "\n").await {
            Ok(word) if word == LATE => return Err(SuccessionError::TooLate),
            Ok(word) => {
                // One of an earlier version gives the word alone.
                let last =
                    word.strip_prefix(YOURS).and_then(|last| serde_json::from_str::<Vec<Bequest>>(last).ok());
                if let Some((last, target)) = last.zip(target) {
                    announcements.catch_up(&last, target);
                }
            }
            // Whoever is gone without a word leaves everything here.
            Err(_) => {}
        }
        Ok(())
    }

    async fn told(self, ready: String) -> io::Result<String> {
        self.stream.set_nonblocking(true)?;
        let mut stream = tokio::net::UnixStream::from_std(self.stream)?;
        stream.write_all(ready.as_bytes()).await?;
        let mut word = String::new();
        stream.read_to_string(&mut word).await?;
        Ok(word)
    }
}

/// Refuses what another user has put there, unless that is root: whoever answers could have this process take sockets of his for its
/// own, and announce in its registry, with its credentials, what he likes.
fn refuse_stranger(path: &Path) -> io::Result<()> {
    let owner = fs::symlink_metadata(path)?.uid();
    if owner == geteuid().as_raw() || owner == 0 {
        return Ok(());
    }
    let message = format!("it is of user {owner}, who is neither that of this process nor root");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_user_has_put_there_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("succession.sock");
        fs::write(&path, "").unwrap();
        assert!(refuse_stranger(&path).is_ok());
        // Only root can give a file away.
        if std::os::unix::fs::chown(&path, Some(12_345), None).is_ok() {
            let error = refuse_stranger(&path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
        }
    }
}
