//! Connections: accepted within the bound, each served by a task of its own.

mod address;
mod adopted;
mod front;
mod opening;
mod unix;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::{Domain, Protocol, Socket as System, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixListener;
use tokio::time::Instant;

pub use address::{ListenAddress, NameError, UNIX, UnixName};
pub use adopted::adopt;
pub use front::Front;
pub use unix::{SocketFile, UnixError};

use super::client::{Client, ClientStream, Origin, Socket};
use super::http1;
use super::raw;
use super::stack::{Stack, stack};
use super::worker::Worker;
use crate::provider::ServiceName;
use crate::telemetry::peer::Peer;
use opening::Opening;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;

/// How long to wait when the system has no file descriptor to spare, before accepting again.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// The least time between two lines of the log that say so.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(10);

/// What one worker of several accepts connections from.
#[derive(Debug)]
pub enum Listener {
    /// A socket of its own on an address that they share; the kernel spreads connections over them.
    Tcp(std::net::TcpListener),
    /// A descriptor of its own of the one socket.
    Unix(UnixShare),
}

impl Listener {
    /// The file that is removed with its last descriptor, where it is a socket that has one of ours.
    pub const fn file(&self) -> Option<&Arc<SocketFile>> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix(share) => share.file.as_ref(),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(share) => share.socket.as_fd(),
        }
    }
}

/// A worker's descriptor of a Unix socket.
#[derive(Debug)]
pub struct UnixShare {
    /// Removed with the last worker's share, which is why it stands before the descriptor.
    file: Option<Arc<SocketFile>>,
    socket: std::os::unix::net::UnixListener,
}

impl UnixShare {
    /// The descriptor, and what has to be dropped before it.
    pub fn into_parts(self) -> (Option<Arc<SocketFile>>, std::os::unix::net::UnixListener) {
        (self.file, self.socket)
    }
}

/// A listener of one worker, and what its connections are to be.
#[derive(Debug)]
pub struct Listening {
    /// Where connections come from.
    pub listener: Listener,
    /// What becomes of them; shared by all workers.
    pub front: Arc<Front>,
}

/// Looks whether an address is nobody's, and would not be shared. Nothing listens there meanwhile: who connects is refused, and not
/// taken into a queue that is dropped.
///
/// # Errors
/// As the system says: in use, not permitted, not an address of this machine.
pub fn is_free(address: SocketAddr) -> io::Result<()> {
    let socket = System::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // What is left of connections that ended is nobody's; with this, only who listens has it.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())
}

/// Binds an address for one worker of several: they all listen on it, and the kernel spreads connections over them.
///
/// # Errors
/// As the system says: in use, not permitted, not an address of this machine.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = System::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // Whatever is accepted has it from here.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Listens on a Unix socket for so many workers; its file, if it has one, gets these permissions.
///
/// # Errors
/// When somebody answers there, when something else is there, and as the system says.
pub fn bind_unix(name: &UnixName, mode: u32, workers: usize) -> Result<Vec<UnixShare>, UnixError> {
    let (socket, file) = unix::bind(name, mode)?;
    let file = file.map(Arc::new);
    let share = |_| Ok(UnixShare { file: file.clone(), socket: socket.try_clone()? });
    (0..workers).map(share).collect()
}

/// Accepts connections and serves them, until the drain begins; then closes the listener.
pub async fn listen(worker: Rc<Worker>, listening: Listening) {
    let Listening { listener, front } = listening;
    let listener = match Accepting::new(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(?front, %error, "cannot listen");
            return;
        }
    };
    let stack = stack(&worker);
    let mut complained = None;
    let drain = &worker.shared.drain;
    let metrics = &worker.shared.metrics.proxy;
    let most = i64::try_from(worker.shared.settings.connections_max).unwrap_or(i64::MAX);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = drain.begun() => return,
        };
        let (mut socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                refused(&error, &mut complained).await;
                continue;
            }
        };
        metrics.connections_total.inc();
        if metrics.connections_open.get() >= most {
            // Nothing is said: whoever is not heard yet cannot be told apart from a flood.
            metrics.connections_refused_total.inc();
            if front.opening().raw().is_some() {
                // What is passed on raw could take a good end for its provider's.
                socket.abort();
            }
            continue;
        }
        let opening = front.opening();
        // What comes is waited for anyway, unless it is a request.
        if (!opening.is_plain() || opening.raw().is_some())
            && let Err(error) = socket.watch()
        {
            tracing::debug!(%error, "a client connection ended at once");
            continue;
        }
        let open = Open::begin(&worker);
        // Two kinds of task, so that those without an opening have no room for one.
        if opening.is_plain() {
            let serving = serve(open, stack.clone(), socket, opening.origin(peer), opening.raw().cloned());
            drain.spawn_local("client connection", serving);
        } else {
            let serving = open_and_serve(open, stack.clone(), socket, peer, opening);
            drain.spawn_local("client connection", serving);
        }
    }
}

/// A listener on the runtime of its worker.
enum Accepting {
    Tcp(AsyncFd<std::net::TcpListener>),
    Unix { _file: Option<Arc<SocketFile>>, socket: UnixListener },
}

impl Accepting {
    fn new(listener: Listener) -> io::Result<Self> {
        Ok(match listener {
            Listener::Tcp(socket) => {
                #[expect(
                    deprecated,
                    reason = "what takes its place is unsafe, for those that change their descriptor: a listener never does"
                )]
                let socket = AsyncFd::with_interest(socket, Interest::READABLE)?;
                Self::Tcp(socket)
            }
            Listener::Unix(UnixShare { file, socket }) => {
                Self::Unix { _file: file, socket: UnixListener::from_std(socket)? }
            }
        })
    }

    async fn accept(&self) -> io::Result<(Socket, Peer)> {
        match self {
            Self::Tcp(socket) => {
                let (socket, peer) = socket.async_io(Interest::READABLE, accept).await?;
                Ok((Socket::Fresh(socket.into()), peer.into()))
            }
            Self::Unix { socket, .. } => socket.accept().await.map(|(socket, _)| (socket.into(), Peer::Unix)),
        }
    }
}

/// Accepts a connection that does not block, without having it watched.
fn accept(listener: &std::net::TcpListener) -> io::Result<(OwnedFd, SocketAddr)> {
    let (socket, peer) = acceptfrom_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    let peer = peer.ok_or(io::ErrorKind::ConnectionAborted)?;
    Ok((socket, SocketAddr::try_from(peer)?))
}

/// A connection that ended before it was accepted concerns nobody; a lack of descriptors passes. What lasts is said now and then.
async fn refused(error: &io::Error, complained: &mut Option<Instant>) {
    if matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    ) {
        return;
    }
    if complained.is_none_or(|last| last.elapsed() >= COMPLAINT_PAUSE) {
        *complained = Some(Instant::now());
        tracing::warn!(%error, "cannot accept connections for the moment");
    }
    tokio::time::sleep(EXHAUSTED_PAUSE).await;
}

async fn serve(open: Open, stack: impl Stack, socket: Socket, origin: Origin, raw: Option<ServiceName>) {
    let worker = &open.0;
    let client = Client::new(origin, Rc::clone(&worker.tick));
    let _adopted = worker.adopt(&client);
    match raw {
        None => http1::serve(worker, stack, ClientStream::new(socket, Rc::clone(&client)), client).await,
        // Apart, so that connections of requests have no room for it.
        Some(service) => {
            let stream = ClientStream::new(socket, Rc::clone(&client));
            Box::pin(raw::serve(worker, stream, client, &service)).await;
        }
    }
}

async fn open_and_serve(open: Open, stack: impl Stack, socket: Socket, peer: Peer, opening: Arc<Opening>) {
    // Boxed, since it is over soon and the connection may last.
    let Some((socket, peer)) = Box::pin(opening.open(&open.0, socket, peer)).await else { return };
    serve(open, stack, socket, opening.origin(peer), opening.raw().cloned()).await;
}

/// Counts a connection for as long as it is open, even through a panic.
struct Open(Rc<Worker>);

impl Open {
    fn begin(worker: &Rc<Worker>) -> Self {
        worker.shared.metrics.proxy.connections_open.inc();
        Self(Rc::clone(worker))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.shared.metrics.proxy.connections_open.dec();
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn whoever_is_accepted_is_told_from_whom_and_waits_for_no_more_to_write() {
        let listener = bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let listener = Accepting::new(Listener::Tcp(listener)).unwrap();
        let client = TcpStream::connect(address).await.unwrap();
        let (mut socket, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.address(), client.local_addr().ok());
        assert!(socket.is_fresh());
        socket.watch().unwrap();
        let Socket::Tcp(socket) = socket else { panic!("it should be watched") };
        assert!(socket.nodelay().unwrap());
    }
}
