//! One announcement, kept in its place until it is to be withdrawn.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{
    Error, Event, EventType, LeaseKeepAliveStream, LeaseKeeper, PutOptions, WatchOptions, WatchStream,
};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::announce::Board;
use super::session::{Fault, Session};
use crate::registry::announcer::{Announcement, Standing};
use crate::registry::format::Encoded;
use crate::registry::{RegistryError, varied};

/// How long a record that somebody else deleted is left so, at least, and varied by half: whoever deletes it again and again
/// shall not be answered in a loop.
const RESTORE_PAUSE: Duration = Duration::from_secs(1);
/// How long what etcd did not take is not tried again; varied by half.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);
/// The shortest and the longest life of a lease, in seconds, that is asked for; etcd has a shortest one of its own.
const TTL_BOUNDS: (u64, u64) = (1, 24 * 3600);
/// The lease is kept alive so many times in its life.
const SIGNS_PER_LIFE: u32 = 3;

/// One announcement.
pub(super) struct Keep<'a> {
    session: &'a Session<'a>,
    board: &'a Board<'a>,
    name: Arc<str>,
    /// What is to be announced; `None` when it is to be withdrawn.
    wanted: watch::Receiver<Option<Arc<Announcement>>>,
    /// The record that is in its place, as far as is known.
    placed: Option<Placed>,
}

/// A record in its place.
#[derive(Clone, Debug)]
struct Placed {
    key: String,
    lease: i64,
    /// How long the lease lives without a sign of life.
    ttl: Duration,
    /// The revision at which it was written.
    revision: i64,
}

/// Why a record is to be written anew.
enum Due {
    /// Something else is wanted.
    Changed,
    /// The lease has ended, and the record with it.
    LeaseLost,
    /// Somebody deleted the record.
    Deleted,
}

impl<'a> Keep<'a> {
    pub(super) const fn new(
        session: &'a Session<'a>,
        board: &'a Board<'a>,
        name: Arc<str>,
        wanted: watch::Receiver<Option<Arc<Announcement>>>,
    ) -> Self {
        Self { session, board, name, wanted, placed: None }
    }

    /// Keeps it until it is to be withdrawn, and withdraws it.
    pub(super) async fn run(mut self) -> Result<(), RegistryError> {
        loop {
            let Some(announcement) = self.wanted.borrow_and_update().clone() else {
                self.withdraw().await?;
                self.board.remove(&self.name);
                return Ok(());
            };
            let placed = match self.session.settings.format.encode(&announcement) {
                Ok(encoded) => self.place(&announcement, encoded).await?,
                Err(cause) => Err(cause),
            };
            // The new record stands before the old lease goes: under the same key it is no longer the old lease's.
            self.withdraw().await?;
            match placed {
                Ok(placed) => {
                    let record = placed.key.clone();
                    self.board.set(&self.name, Standing::Announced { record });
                    self.placed = Some(placed.clone());
                    self.hold(placed).await?;
                }
                Err(cause) => {
                    tracing::warn!(announcement = &*self.name, cause, "etcd does not hold an announcement");
                    self.board.set(&self.name, Standing::Refused { cause });
                    self.pause(REFUSED_PAUSE).await;
                }
            }
        }
    }

    /// Holds the record in its place until it has to be written anew.
    async fn hold(&mut self, placed: Placed) -> Result<(), RegistryError> {
        match self.guard(&placed).await? {
            Due::Changed => return Ok(()),
            Due::LeaseLost => {
                tracing::warn!(record = placed.key, "the lease has ended; it is announced anew")
            }
            Due::Deleted => {
                tracing::warn!(record = placed.key, "somebody deleted the record; it is restored")
            }
        }
        self.board.remove(&self.name);
        self.pause(RESTORE_PAUSE).await;
        Ok(())
    }

    /// Waits for something else to be wanted, but no longer than that, varied by half.
    async fn pause(&self, pause: Duration) {
        // `borrow_and_update` at the beginning of the next round sees the same.
        let mut wanted = self.wanted.clone();
        tokio::select! {
            _ = wanted.changed() => {}
            () = tokio::time::sleep(varied(pause)) => {}
        }
    }

    /// Writes the record with a new lease. The inner error is etcd's refusal, which is no failure of the session.
    async fn place(
        &self,
        announcement: &Announcement,
        encoded: Encoded,
    ) -> Result<Result<Placed, String>, RegistryError> {
        let folder = self.session.settings.format.folder(&announcement.service);
        let beside = format!("{}{folder}/{}", self.session.settings.base, encoded.name);
        let (least, most) = TTL_BOUNDS;
        let seconds = announcement.ttl.as_secs().clamp(least, most);
        let mut leases = self.session.client.lease_client();
        let granted = leases.grant(i64::try_from(seconds).unwrap_or(i64::MAX), None);
        let granted = match self.session.call("grant a lease for", &beside, granted).await {
            Ok(granted) => granted,
            Err(fault) => return self.refused(fault, "no lease is granted"),
        };
        let lease = granted.id();
        let key = match encoded.is_numbered {
            // A lease has no other twin in its cluster.
            true => format!("{beside}{:010}", lease.unsigned_abs() % 10_000_000_000),
            false => beside,
        };
        let mut kv = self.session.kv();
        let put = kv.put(key.as_str(), encoded.data, Some(PutOptions::new().with_lease(lease)));
        let put = match self.session.call("write", &key, put).await {
            Ok(put) => put,
            Err(fault) => {
                self.revoke(lease, &key).await?;
                return self
                    .refused(fault, &format!("{key} may not be written; give auth, or a role that may"));
            }
        };
        let ttl = Duration::from_secs(u64::try_from(granted.ttl()).unwrap_or(least).max(least));
        let revision = put.header().map(etcd_client::ResponseHeader::revision).unwrap_or_default();
        Ok(Ok(Placed { key, lease, ttl, revision }))
    }

    fn refused(&self, fault: Fault, cause: &str) -> Result<Result<Placed, String>, RegistryError> {
        match fault {
            Fault::Denied => Ok(Err(format!("permission denied: {cause}"))),
            // The leases of the others live on, but only in this session: they must not end with it.
            Fault::Full => {
                let cause = "etcd has no room left; compact and defragment it, and clear its alarm";
                Ok(Err(cause.to_owned()))
            }
            fault @ (Fault::Failed(_) | Fault::Compacted | Fault::TooLarge | Fault::Missing) => {
                Err(self.session.failure(fault, cause))
            }
        }
    }

    /// Ends the lease, and with it the record, unless that has another lease by now.
    async fn withdraw(&mut self) -> Result<(), RegistryError> {
        match self.placed.take() {
            Some(placed) => self.revoke(placed.lease, &placed.key).await,
            None => Ok(()),
        }
    }

    async fn revoke(&self, lease: i64, key: &str) -> Result<(), RegistryError> {
        let mut leases = self.session.client.lease_client();
        match self.session.call("end the lease of", key, leases.revoke(lease)).await {
            // It has ended by itself.
            Ok(_) | Err(Fault::Missing) => Ok(()),
            Err(fault) => Err(self.session.failure(fault, "does not end a lease")),
        }
    }

    /// Keeps the lease alive and an eye on the record, until it has to be written anew.
    async fn guard(&mut self, placed: &Placed) -> Result<Due, RegistryError> {
        let Some((keeper, signs)) = self.keep_alive(placed).await? else { return Ok(Due::LeaseLost) };
        let eye = self.eye(placed).await?;
        let session = self.session;
        tokio::select! {
            // Nobody can want anything any more: it is to be withdrawn, which the next round sees.
            _ = self.wanted.changed() => Ok(Due::Changed),
            due = until_deleted(session, eye) => due,
            due = until_lease_lost(session, placed, keeper, signs) => due,
        }
    }

    /// The means to keep a lease alive, or `None` when it has ended.
    async fn keep_alive(
        &self,
        placed: &Placed,
    ) -> Result<Option<(LeaseKeeper, LeaseKeepAliveStream)>, RegistryError> {
        let mut leases = self.session.client.lease_client();
        let begun = async {
            match leases.keep_alive(placed.lease).await {
                Err(Error::LeaseKeepAliveError(_)) => Ok(None),
                begun => begun.map(Some),
            }
        };
        let begun = self.session.call("keep alive the lease of", &placed.key, begun).await;
        begun.map_err(|fault| self.session.failure(fault, "does not keep a lease alive"))
    }

    /// A watch of the record from behind its writing.
    async fn eye(&self, placed: &Placed) -> Result<WatchStream, RegistryError> {
        let mut watches = self.session.watches();
        let options = WatchOptions::new().with_start_revision(placed.revision + 1);
        let watch = watches.watch(placed.key.as_str(), Some(options));
        let watch = self.session.call("watch", &placed.key, watch).await;
        watch.map_err(|fault| self.session.failure(fault, "does not let an announcement be watched"))
    }
}

/// Waits until the record is gone. Written by somebody else it is left alone: that may be the same provider, announced by
/// its successor.
async fn until_deleted(session: &Session<'_>, mut eye: WatchStream) -> Result<Due, RegistryError> {
    loop {
        let answer = match eye.message().await {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                let source = Error::WatchError("the server ended the stream".to_owned());
                return Err(session.unreachable("the watch of an announcement ended", source));
            }
            Err(error) => return Err(session.unreachable("the watch of an announcement was lost", error)),
        };
        if answer.canceled() && answer.compact_revision() == 0 {
            // Whoever may write a record and not read it learns of its loss with the lease only.
            let reason = answer.cancel_reason();
            tracing::warn!(reason, "an announcement may not be watched; give auth a role that may read it");
        } else if answer.canceled() || answer.events().last().is_some_and(is_deletion) {
            // What was compacted away may have been a deletion: writing the record again does no harm.
            return Ok(Due::Deleted);
        }
    }
}

fn is_deletion(event: &Event) -> bool {
    event.event_type() == EventType::Delete
}

/// Gives signs of life until the lease has ended.
async fn until_lease_lost(
    session: &Session<'_>,
    placed: &Placed,
    mut keeper: LeaseKeeper,
    mut signs: LeaseKeepAliveStream,
) -> Result<Due, RegistryError> {
    let mut pulse = tokio::time::interval(placed.ttl / SIGNS_PER_LIFE);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first was given when the stream was opened.
    pulse.reset();
    loop {
        pulse.tick().await;
        let answer = async {
            keeper.keep_alive().await?;
            signs.message().await
        };
        match session.call("keep alive the lease of", &placed.key, answer).await {
            Ok(Some(answer)) if answer.ttl() > 0 => {}
            Ok(Some(_)) => return Ok(Due::LeaseLost),
            Ok(None) => {
                let source = Error::LeaseKeepAliveError("the server ended the stream".to_owned());
                return Err(session.unreachable("a lease cannot be kept alive", source));
            }
            Err(fault) => return Err(session.failure(fault, "does not keep a lease alive")),
        }
    }
}
