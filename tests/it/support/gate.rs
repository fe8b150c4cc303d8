//! A connection's way to a server that can be frozen: nothing passes, nothing is closed.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Passes connections on to a server until it is frozen, and again when it is not; gone when dropped.
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    frozen: watch::Sender<bool>,
    _task: JoinSet<()>,
}

impl Gate {
    /// A gate in front of a server.
    pub(crate) async fn open(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (frozen, is_frozen) = watch::channel(false);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (server, is_frozen) = (server.clone(), is_frozen.clone());
                connections.spawn(async move {
                    let Ok(server) = TcpStream::connect(server).await else { return };
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    tokio::select! {
                        () = pass(from_client, to_server, is_frozen.clone()) => {}
                        () = pass(from_server, to_client, is_frozen) => {}
                    }
                });
            }
        });
        Self { address, frozen, _task: task }
    }

    /// Freezes it, or thaws it.
    pub(crate) fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut is_frozen: watch::Receiver<bool>) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        if is_frozen.wait_for(|frozen| !frozen).await.is_err() || to.write_all(&bytes[..read]).await.is_err()
        {
            return;
        }
    }
}
