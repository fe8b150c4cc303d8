//! The way to a server, which can be cut, or made to pass on something else.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What is done to the bytes on their way to the server.
type Alter = Box<dyn FnMut(&mut [u8]) + Send>;

/// Passes connections on to a server, unless it is cut; gone when dropped.
pub(crate) struct Way {
    pub(crate) address: SocketAddr,
    cut: watch::Sender<bool>,
    alter: Arc<Mutex<Option<Alter>>>,
    _task: JoinSet<()>,
}

impl Way {
    /// The way to a server.
    pub(crate) async fn open(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, is_cut) = watch::channel(false);
        let alter: Arc<Mutex<Option<Alter>>> = Arc::default();
        let mut task = JoinSet::new();
        let to_alter = Arc::clone(&alter);
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (server, mut is_cut) = (server.clone(), is_cut.clone());
                let alter = Arc::clone(&to_alter);
                connections.spawn(async move {
                    if *is_cut.borrow() {
                        return;
                    }
                    let Ok(server) = TcpStream::connect(server).await else { return };
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    tokio::select! {
                        () = pass(from_client, to_server, Some(alter)) => {}
                        () = pass(from_server, to_client, None) => {}
                        _ = is_cut.wait_for(|cut| *cut) => {}
                    }
                });
            }
        });
        Self { address, cut, alter, _task: task }
    }

    /// Closes all connections, and every new one at once; or lets them through again.
    pub(crate) fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }

    /// Does this to all bytes on their way to the server from now on.
    pub(crate) fn alter(&self, alter: impl FnMut(&mut [u8]) + Send + 'static) {
        *self.alter.lock() = Some(Box::new(alter));
    }

    /// Passes everything on as it is again.
    pub(crate) fn leave_alone(&self) {
        *self.alter.lock() = None;
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, alter: Option<Arc<Mutex<Option<Alter>>>>) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        if let Some(alter) = &alter
            && let Some(alter) = alter.lock().as_mut()
        {
            alter(&mut bytes[..read]);
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
