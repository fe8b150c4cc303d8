//! A connection's way to a server that can be frozen: nothing passes, nothing is closed; and cut.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Passes connections on to a server until it is frozen, and again when it is not; gone when dropped.
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    valve: Valve,
    cuts: watch::Sender<u64>,
    _task: JoinSet<()>,
}

/// What holds back the bytes.
#[derive(Clone)]
struct Valve {
    frozen: watch::Sender<bool>,
    /// Freezes the gate once a client has sent this, and it was passed on.
    trigger: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Gate {
    /// A gate in front of a server.
    pub(crate) async fn open(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let valve = Valve { frozen: watch::Sender::new(false), trigger: Arc::default() };
        let cuts = watch::Sender::new(0);
        let mut task = JoinSet::new();
        let (passing, cutting) = (valve.clone(), cuts.clone());
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (server, valve) = (server.clone(), passing.clone());
                let mut cut = cutting.subscribe();
                connections.spawn(async move {
                    let Ok(server) = TcpStream::connect(server).await else { return };
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    tokio::select! {
                        () = valve.pass(from_client, to_server, true) => {}
                        () = valve.pass(from_server, to_client, false) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { address, valve, cuts, _task: task }
    }

    /// Freezes it, or thaws it.
    pub(crate) fn freeze(&self, frozen: bool) {
        self.valve.frozen.send_replace(frozen);
    }

    /// Freezes it as soon as a client has sent a text, in one piece, and it was passed on.
    pub(crate) fn freeze_after(&self, text: &str) {
        *self.valve.trigger.lock() = Some(text.as_bytes().to_vec());
    }

    /// Waits until it is frozen.
    pub(crate) async fn froze(&self) {
        let mut frozen = self.valve.frozen.subscribe();
        let froze = tokio::time::timeout(super::patience::PATIENCE, frozen.wait_for(|frozen| *frozen)).await;
        froze.expect("what freezes the gate should be sent").unwrap();
    }

    /// Closes all connections, and thaws it for those that follow.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
        self.freeze(false);
    }
}

impl Valve {
    async fn pass(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_client: bool) {
        let mut is_frozen = self.frozen.subscribe();
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from.read(&mut bytes).await {
            if is_frozen.wait_for(|frozen| !frozen).await.is_err()
                || to.write_all(&bytes[..read]).await.is_err()
            {
                return;
            }
            if is_client {
                self.pull(&bytes[..read]);
            }
        }
    }

    fn pull(&self, sent: &[u8]) {
        let mut trigger = self.trigger.lock();
        if trigger.as_ref().is_some_and(|text| sent.windows(text.len()).any(|window| window == text)) {
            *trigger = None;
            self.frozen.send_replace(true);
        }
    }
}
