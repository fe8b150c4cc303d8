//! One announced record: brought into its place, kept there, taken away; each step looks first at what is there.

use std::future::Future;

use zookeeper_client::{Acls, CreateMode, Error, OneshotWatcher, Stat};

use super::super::read::join;
use super::super::session::{Fault, Session};
use super::Owned;
use crate::registry::announcer::Announcement;
use crate::registry::format::{Encoded, Format};

/// The largest record written, in bytes: the server cuts the connection for a request of 1 MiB.
const RECORD_BYTES_MAX: usize = 512 * 1024;
/// How often in a row a record may be found other than it was a moment before. Each time somebody else has to write to it.
const TURNS_MAX: usize = 16;
/// The digits that ZooKeeper adds to a numbered name.
const DIGITS: usize = 10;

/// A record that is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The folder it lies in, below the chroot.
    pub(super) folder: String,
    pub(super) entry: Encoded,
}

/// What is known of a record in this session.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// Where it lies, when it does.
    path: Option<String>,
    /// When it was last changed at a time when it said what it should.
    good: Option<i64>,
    /// Whether it was in its place in this session: who takes it then is another program that lives.
    was_held: bool,
}

/// How things stand with a record.
#[derive(Debug)]
pub(super) enum Settled {
    /// It is in its place; the watch tells when something happens to it.
    InPlace(String, OneshotWatcher),
    /// It cannot be; the watch, where there is one, tells when something happens to what is in its place.
    Refused(String, Option<OneshotWatcher>),
}

/// What a record that is not there or not ours leads to.
enum Next {
    Again,
    Refused(String),
}

impl Record {
    /// The record of an announcement below a root.
    ///
    /// # Errors
    /// When the format cannot say it, or it is too large.
    pub(super) fn of(format: &dyn Format, root: &str, announcement: &Announcement) -> Result<Self, String> {
        let entry = format.encode(announcement)?;
        if entry.data.len() > RECORD_BYTES_MAX {
            return Err(format!(
                "the record has {} bytes, and ZooKeeper takes {RECORD_BYTES_MAX}; give it less metadata",
                entry.data.len()
            ));
        }
        Ok(Self { folder: join(root, &format.folder(&announcement.service)), entry })
    }

    /// Whether another record lies in the same place.
    pub(super) fn is_at(&self, other: &Self) -> bool {
        self.folder == other.folder
            && self.entry.name == other.entry.name
            && self.entry.is_numbered == other.entry.is_numbered
    }

    /// The path it is created by.
    pub(super) fn path(&self) -> String {
        join(&self.folder, &self.entry.name)
    }

    /// Whether a child of the folder is this record, numbered.
    fn is_numbering(&self, child: &str) -> bool {
        child
            .strip_prefix(&self.entry.name)
            .is_some_and(|digits| digits.len() >= DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

impl Place {
    /// Where the record lies, as far as is known.
    pub(super) fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// It lies there, under a number of its own.
    fn hold(&mut self, owned: &Owned, path: String) {
        owned.hold(&path);
        self.path = Some(path);
    }

    /// It does not lie there any more.
    fn let_go(&mut self, owned: &Owned) {
        if let Some(path) = self.path.take() {
            owned.let_go(&path);
        }
    }

    /// What it says is another than before: it has to be looked at again.
    pub(super) const fn doubt(&mut self) {
        self.good = None;
    }

    /// Brings the record into its place, if it is not there. A call whose answer was lost may have been obeyed, so each turn
    /// begins with what is there.
    pub(super) async fn settle(
        &mut self,
        session: &Session<'_>,
        owned: &Owned,
        record: &Record,
    ) -> Result<Settled, Fault> {
        for _ in 0..TURNS_MAX {
            let Some(path) = self.find(session, owned, record).await? else {
                if let Next::Refused(cause) = self.create(session, owned, record).await? {
                    return Ok(Settled::Refused(cause, None));
                }
                continue;
            };
            let (stat, watcher) =
                session.call("look at", &path, session.client.check_and_watch_stat(&path)).await?;
            let next = match stat {
                None if record.entry.is_numbered => {
                    self.let_go(owned);
                    Next::Again
                }
                None => self.create(session, owned, record).await?,
                Some(stat) if stat.ephemeral_owner == session.client.session_id().0 => {
                    self.was_held = true;
                    if self.good == Some(stat.mzxid) {
                        return Ok(Settled::InPlace(path, watcher));
                    }
                    self.correct(session, &path, record, &stat).await?
                }
                Some(stat) if self.was_held && !owned.has_session(stat.ephemeral_owner) => {
                    return Ok(Settled::Refused(taken(&path, &stat), Some(watcher)));
                }
                Some(stat) if owned.can_replace() => replace(session, owned, record, &path, &stat).await?,
                Some(stat) => clear(session, &path, &stat).await?,
            };
            if let Next::Refused(cause) = next {
                return Ok(Settled::Refused(cause, Some(watcher)));
            }
        }
        let cause = format!("somebody else writes to {} all the time; end that", record.path());
        Ok(Settled::Refused(cause, None))
    }

    /// Takes the record away, if it is ours.
    pub(super) async fn withdraw(
        &mut self,
        session: &Session<'_>,
        owned: &Owned,
        record: &Record,
    ) -> Result<(), Fault> {
        while let Some(path) = self.find(session, owned, record).await? {
            let stat = session.call("look at", &path, session.client.check_stat(&path)).await?;
            if let Some(stat) = stat.filter(|stat| owned.has_session(stat.ephemeral_owner)) {
                let deleted = session.client.delete(&path, Some(stat.version));
                match write(session, "delete", &path, deleted).await? {
                    Err(Error::BadVersion) => continue,
                    Ok(()) | Err(Error::NoNode) => {}
                    Err(error) => {
                        // A numbered one would be found again at once, and refused again.
                        tracing::warn!("{}", refused("delete", &path, &error));
                        self.let_go(owned);
                        break;
                    }
                }
            }
            self.let_go(owned);
            if !record.entry.is_numbered {
                break;
            }
        }
        owned.forget(record);
        Ok(())
    }

    /// The path at which the record is to be looked for. A numbered one may be there under any number, if a create was obeyed
    /// whose answer was lost; it is known by its owner, and by being no other announcement's. `None` if it has to be created
    /// first.
    async fn find(
        &mut self,
        session: &Session<'_>,
        owned: &Owned,
        record: &Record,
    ) -> Result<Option<String>, Fault> {
        if !record.entry.is_numbered {
            self.path = Some(record.path());
        }
        if self.path.is_some() {
            return Ok(self.path.clone());
        }
        let folder = &record.folder;
        let children = match session.call("list", folder, session.client.list_children(folder)).await {
            Err(Fault::Missing) => return Ok(None),
            children => children?,
        };
        for child in children.into_iter().filter(|child| record.is_numbering(child)) {
            let path = join(folder, &child);
            if owned.is_held(&path) {
                continue;
            }
            let stat = session.call("look at", &path, session.client.check_stat(&path)).await?;
            if stat.is_some_and(|stat| owned.has_session(stat.ephemeral_owner)) {
                self.hold(owned, path);
                break;
            }
        }
        Ok(self.path.clone())
    }

    async fn create(&mut self, session: &Session<'_>, owned: &Owned, record: &Record) -> Result<Next, Fault> {
        let (path, acls) = (record.path(), Acls::anyone_all());
        owned.note(record);
        let mode =
            if record.entry.is_numbered { CreateMode::EphemeralSequential } else { CreateMode::Ephemeral };
        let options = mode.with_acls(acls);
        let created = session.client.create(&path, &record.entry.data, &options);
        match write(session, "create", &path, created).await? {
            Ok((_, number)) if record.entry.is_numbered => self.hold(owned, format!("{path}{number}")),
            Ok(_) | Err(Error::NodeExists) => {}
            Err(Error::NoNode) => {
                // Folders stay, as those of others do; the record is what comes and goes.
                let options = CreateMode::Persistent.with_acls(acls);
                let made = session.client.mkdir(&record.folder, &options);
                match write(session, "make the folder", &record.folder, made).await? {
                    Ok(()) | Err(Error::NodeExists) => {}
                    Err(Error::NoNode) => {
                        let chroot = &session.settings.chroot;
                        return Ok(Next::Refused(format!(
                            "the chroot {chroot} is not there; create it, or correct the URL of the registry"
                        )));
                    }
                    Err(error) => {
                        return Ok(Next::Refused(refused("make the folder", &record.folder, &error)));
                    }
                }
            }
            Err(error) => return Ok(Next::Refused(refused("create", &path, &error))),
        }
        self.good = None;
        Ok(Next::Again)
    }

    /// Reads a record of ours, and writes it anew where it does not say what it should.
    async fn correct(
        &mut self,
        session: &Session<'_>,
        path: &str,
        record: &Record,
        stat: &Stat,
    ) -> Result<Next, Fault> {
        let read = match session.call("read", path, session.client.get_data(path)).await {
            Err(Fault::Missing) => return Ok(Next::Again),
            read => read?,
        };
        if read.0 == record.entry.data {
            self.good = Some(read.1.mzxid);
            return Ok(Next::Again);
        }
        let written = session.client.set_data(path, &record.entry.data, Some(stat.version));
        match write(session, "write", path, written).await? {
            Ok(_) | Err(Error::NoNode | Error::BadVersion) => Ok(Next::Again),
            Err(error) => Ok(Next::Refused(refused("write", path, &error))),
        }
    }
}

/// Puts the record in the place of what is left there: of a session of ours that ended, of a program that died, or of the process
/// whose place this one takes. In one step, so that whoever follows the folder never finds it gone.
async fn replace(
    session: &Session<'_>,
    owned: &Owned,
    record: &Record,
    path: &str,
    stat: &Stat,
) -> Result<Next, Fault> {
    tracing::info!(path, "what lies in the place of an announcement is replaced");
    owned.note(record);
    let options = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
    let mut writer = session.client.new_multi_writer();
    let prepared = writer
        .add_delete(path, Some(stat.version))
        .and_then(|()| writer.add_create(path, &record.entry.data, &options));
    let replaced = async {
        prepared?;
        writer.commit().await.map(drop).map_err(Error::from)
    };
    match write(session, "replace", path, replaced).await {
        Ok(Ok(()) | Err(Error::NoNode | Error::NodeExists | Error::BadVersion)) => Ok(Next::Again),
        Ok(Err(error)) => Ok(not_replaced("replace", path, &error)),
        Err(fault) => {
            // Servers before 3.5 know of no such step, and cut the connection.
            owned.cannot_replace();
            Err(fault)
        }
    }
}

/// Deletes what is left in the record's place, where it cannot be replaced in one step.
async fn clear(session: &Session<'_>, path: &str, stat: &Stat) -> Result<Next, Fault> {
    tracing::info!(path, "what lies in the place of an announcement is deleted");
    match write(session, "delete", path, session.client.delete(path, Some(stat.version))).await? {
        Ok(()) | Err(Error::NoNode | Error::BadVersion) => Ok(Next::Again),
        Err(error) => Ok(not_replaced("delete", path, &error)),
    }
}

fn not_replaced(doing: &str, path: &str, error: &Error) -> Next {
    if *error == Error::NotEmpty {
        return Next::Refused(format!("{path} is a folder of others; give the announcement another id"));
    }
    Next::Refused(refused(doing, path, error))
}

/// A call that writes: what the server decides is an answer, not a fault of the session.
async fn write<T>(
    session: &Session<'_>,
    doing: &str,
    path: &str,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<Result<T, Error>, Fault> {
    let decided = async {
        match call.await {
            Err(
                error @ (Error::NoNode
                | Error::NodeExists
                | Error::BadVersion
                | Error::NotEmpty
                | Error::NoChildrenForEphemerals
                | Error::NoAuth
                | Error::InvalidAcl
                | Error::QuotaExceeded
                | Error::BadArguments(_)),
            ) => Ok(Err(error)),
            Err(error) => Err(error),
            Ok(value) => Ok(Ok(value)),
        }
    };
    session.call(doing, path, decided).await
}

/// What an operator is told of a decision of the server against a record.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the client's errors: those not named have no cure of their own"
)]
fn refused(doing: &str, path: &str, error: &Error) -> String {
    let cure = match error {
        Error::NoAuth => "; give credentials that may, or change its access list",
        Error::NoChildrenForEphemerals => "; what lies above it is itself a record: choose another prefix",
        Error::BadArguments(_) => "; choose another service or id",
        _ => "",
    };
    format!("ZooKeeper did not {doing} {path}: {error}{cure}")
}

/// What an operator is told when another program has taken the place.
fn taken(path: &str, stat: &Stat) -> String {
    let who = match stat.ephemeral_owner {
        0 => "a program that has left it for good".to_owned(),
        session => format!("the session {session:#x}"),
    };
    format!("{path} was taken by {who}, which announces the same id; give each its own")
}
