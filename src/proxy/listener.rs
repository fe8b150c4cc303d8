//! Connections: accepted within the bound, each served by a task of its own.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use super::ListenerSettings;
use super::client::{Client, ClientStream};
use super::http;
use super::raw;
use super::stack::{Stack, stack};
use super::worker::Worker;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;

/// How long to wait when the system has no file descriptor to spare, before accepting again.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// Binds an address for one worker of several: they all listen on it, and the kernel spreads connections over them.
///
/// # Errors
/// As the system says: in use, not permitted, not an address of this machine.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts connections and serves them, until the drain begins; then closes the listener.
pub async fn listen(worker: Rc<Worker>, listener: TcpListener, settings: ListenerSettings) {
    let stack = stack(&worker);
    let drain = &worker.shared.drain;
    let metrics = &worker.shared.metrics.proxy;
    let most = i64::try_from(worker.shared.settings.connections_max).unwrap_or(i64::MAX);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = drain.begun() => return,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                refused(&error).await;
                continue;
            }
        };
        metrics.connections_total.inc();
        if metrics.connections_open.get() >= most {
            // Nothing is said: whoever is not heard yet cannot be told apart from a flood.
            metrics.connections_refused_total.inc();
            drop(socket);
            continue;
        }
        metrics.connections_open.inc();
        let serving = serve(Rc::clone(&worker), stack.clone(), socket, peer, settings.clone());
        drain.spawn_local("client connection", serving);
    }
}

/// A connection that ended before it was accepted concerns nobody; a lack of descriptors passes.
async fn refused(error: &io::Error) {
    if matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    ) {
        return;
    }
    tracing::warn!(%error, "cannot accept connections for the moment");
    tokio::time::sleep(EXHAUSTED_PAUSE).await;
}

async fn serve(
    worker: Rc<Worker>,
    stack: impl Stack,
    socket: TcpStream,
    peer: SocketAddr,
    settings: ListenerSettings,
) {
    let _open = Open(Rc::clone(&worker));
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "a client connection ended at once");
        return;
    }
    let ListenerSettings { service, trusted, raw, address: _ } = settings;
    let client = Client::new(peer, service, trusted, worker.private_pools(), Rc::clone(&worker.tick));
    worker.adopt(&client);
    let stream = ClientStream::new(socket, Rc::clone(&client));
    match raw {
        None => http::serve(&worker, stack, stream, client).await,
        // Apart, so that connections of requests have no room for it.
        Some(service) => Box::pin(raw::serve(&worker, stream, client, &service)).await,
    }
}

/// Counts a connection for as long as it is open, even through a panic.
struct Open(Rc<Worker>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.shared.metrics.proxy.connections_open.dec();
    }
}
