//! Unix sockets to listen on: their files, which dead processes leave behind, and which are removed at the end.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use thiserror::Error;

use super::BACKLOG;
use super::address::UnixName;

/// Why a Unix socket cannot be listened on.
#[derive(Debug, Error)]
pub enum UnixError {
    /// Somebody listens there.
    #[error("another program answers there")]
    Answered,
    /// Its place is taken by something else.
    #[error("there is something that is no socket")]
    NoSocket,
    /// The system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The file of a socket that is listened on; removed when dropped, unless it is somebody else's by then.
///
/// It has to go before the last descriptor of the socket does: until then nothing else can have its number.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// What tells it from another file under the same path.
    identity: Identity,
    /// Whether it is this process that removes it, and not another one that listens on the socket too. Written by the app, read at
    /// the end.
    is_ours: AtomicBool,
}

impl SocketFile {
    /// The file of a socket that another process listens on, and looks after until it is taken.
    ///
    /// # Errors
    /// When it is not there.
    pub fn of_another(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)?, is_ours: AtomicBool::new(false) })
    }

    /// Takes it: it is removed here.
    pub fn take(&self) {
        self.is_ours.store(true, Ordering::Relaxed);
    }

    /// Leaves it to another process: it is not removed here.
    pub fn leave(&self) {
        self.is_ours.store(false, Ordering::Relaxed);
    }
}

/// The device and number of a file.
type Identity = (u64, u64);

fn identity(path: &Path) -> io::Result<Identity> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

/// Listens on a Unix socket, of which every worker gets a descriptor of its own. A file that nobody answers on gives way.
///
/// # Errors
/// When somebody answers there, when something else is there, and as the system says.
pub(super) fn bind(name: &UnixName, mode: u32) -> Result<(UnixListener, Option<SocketFile>), UnixError> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let address = name.to_system()?;
    let file = match name {
        UnixName::Path(path) => Some(listen_at(&socket, &address, path, mode)?),
        UnixName::Abstract(_) => {
            socket.bind(&address).map_err(|error| {
                let is_taken = error.kind() == io::ErrorKind::AddrInUse;
                if is_taken { UnixError::Answered } else { error.into() }
            })?;
            socket.listen(BACKLOG)?;
            None
        }
    };
    Ok((OwnedFd::from(socket).into(), file))
}

fn listen_at(socket: &Socket, address: &SockAddr, path: &Path, mode: u32) -> Result<SocketFile, UnixError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let _locked = lock(folder);
    match socket.bind(address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            make_way(path, address)?;
            socket.bind(address)?;
        }
        bound => bound?,
    }
    let file = SocketFile::of_another(path)?;
    file.take();
    // Before it listens nobody can connect, whatever the umask allows.
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    Ok(file)
}

/// Locks a folder: of two that start at the same moment, neither must take the other's file for a dead one's, between its bind
/// and its listen. Where that cannot be had in a moment, somebody else may have it for long, and the gap is hardly met.
fn lock(folder: &Path) -> Option<File> {
    let folder = File::open(folder).ok()?;
    for _ in 0..LOCK_TRIES {
        match folder.try_lock() {
            Ok(()) => return Some(folder),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(_)) => return None,
        }
    }
    None
}

/// How often a folder that is locked is tried again, and after which pause.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Removes what a dead process left there.
fn make_way(path: &Path, address: &SockAddr) -> Result<(), UnixError> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(UnixError::NoSocket);
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Where connections wait already, another one would wait, too.
    probe.set_nonblocking(true)?;
    match probe.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(fs::remove_file(path)?),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error.into()),
        Ok(()) | Err(_) => Err(UnixError::Answered),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if !self.is_ours.load(Ordering::Relaxed) {
            return;
        }
        let is_ours = identity(&self.path).is_ok_and(|found| found == self.identity);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the file of a socket cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use super::*;

    fn at(path: &Path) -> UnixName {
        UnixName::Path(path.to_owned())
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_file_comes_with_its_permissions_and_goes_with_the_listener() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        for wanted in [0o600, 0o660, 0o777] {
            let (listener, file) = bind(&at(&path), wanted).unwrap();
            assert_eq!(mode(&path), wanted);
            UnixStream::connect(&path).unwrap();
            drop(file);
            assert!(!path.exists());
            drop(listener);
        }
    }

    #[test]
    fn what_a_dead_process_left_gives_way_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "std leaves the file behind");
        let (_listener, _file) = bind(&at(&path), 0o600).unwrap();
        assert!(matches!(bind(&at(&path), 0o600), Err(UnixError::Answered)));
        UnixStream::connect(&path).unwrap();
        let other = folder.path().join("b.sock");
        let _datagram = UnixDatagram::bind(&other).unwrap();
        assert!(matches!(bind(&at(&other), 0o600), Err(UnixError::Answered)));
        let file = folder.path().join("c.sock");
        fs::write(&file, "precious").unwrap();
        assert!(matches!(bind(&at(&file), 0o600), Err(UnixError::NoSocket)));
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
        let link = folder.path().join("d.sock");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(bind(&at(&link), 0o600), Err(UnixError::NoSocket)));
    }

    #[test]
    fn a_file_that_is_left_to_another_process_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let (listener, file) = bind(&at(&path), 0o600).unwrap();
        drop(SocketFile::of_another(&path).unwrap());
        assert!(path.exists(), "one that did not take it leaves it");
        let heir = SocketFile::of_another(&path).unwrap();
        heir.take();
        file.unwrap().leave();
        assert!(path.exists());
        drop(listener);
        drop(heir);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_is_anothers_by_now_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let (_listener, file) = bind(&at(&path), 0o600).unwrap();
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(file);
        assert!(path.exists());
    }
}
