//! A connection's way to a server that can be frozen, so that nothing passes and nothing is closed, or lose events; and cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The number of an answer that answers nothing: ZooKeeper's word of an event.
const EVENT: [u8; 4] = (-1_i32).to_be_bytes();

/// Passes connections on to a ZooKeeper server until it is frozen, and again when it is not; gone when dropped.
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    frozen: watch::Sender<bool>,
    passing: Arc<Passing>,
    cuts: watch::Sender<u64>,
    _task: JoinSet<()>,
}

/// What is done with the answers that pass.
#[derive(Default)]
struct Passing {
    /// Whether events are lost.
    loses_events: AtomicBool,
    /// Events lost so far.
    lost: AtomicUsize,
    /// What freezes the gate once a client has sent it, and it was passed on.
    trigger: Mutex<Option<Vec<u8>>>,
    /// The first answer of the last connection: the session.
    session: Mutex<Vec<u8>>,
}

impl Gate {
    /// A gate in front of a server.
    pub(crate) async fn open(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (frozen, is_frozen) = watch::channel(false);
        let passing = Arc::<Passing>::default();
        let mut task = JoinSet::new();
        let cuts = watch::Sender::new(0);
        let (passes, cutting, freezing) = (Arc::clone(&passing), cuts.clone(), frozen.clone());
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (server, is_frozen, passes) = (server.clone(), is_frozen.clone(), Arc::clone(&passes));
                let (mut cut, freezing) = (cutting.subscribe(), freezing.clone());
                connections.spawn(async move {
                    let Ok(server) = TcpStream::connect(server).await else { return };
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    tokio::select! {
                        () = pass(from_client, to_server, is_frozen.clone(), &freezing, &passes) => {}
                        () = answer(from_server, to_client, is_frozen, &passes) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { address, frozen, passing, cuts, _task: task }
    }

    /// Freezes it, or thaws it.
    pub(crate) fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }

    /// Freezes it as soon as a client has sent a text, in one piece, and it was passed on.
    pub(crate) fn freeze_after(&self, text: &str) {
        *self.passing.trigger.lock() = Some(text.as_bytes().to_vec());
    }

    /// Waits until it is frozen.
    pub(crate) async fn froze(&self) {
        let mut frozen = self.frozen.subscribe();
        let froze = tokio::time::timeout(super::patience::PATIENCE, frozen.wait_for(|frozen| *frozen)).await;
        froze.expect("what freezes the gate should be sent").unwrap();
    }

    /// Closes all connections, and thaws it for those that follow.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
        self.freeze(false);
    }

    /// Loses the events that pass from now on, or no more.
    pub(crate) fn lose_events(&self, lose: bool) {
        self.passing.loses_events.store(lose, Ordering::Relaxed);
    }

    /// Events lost so far.
    pub(crate) fn events_lost(&self) -> usize {
        self.passing.lost.load(Ordering::Relaxed)
    }

    /// The number and the password of the session that was opened last through the gate.
    pub(crate) fn session(&self) -> Option<(i64, Vec<u8>)> {
        // The version, the timeout, the number, and the password behind its length.
        let opened = self.passing.session.lock();
        let number = i64::from_be_bytes(opened.get(8..16)?.try_into().unwrap());
        Some((number, opened.get(20..36)?.to_vec()))
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut is_frozen: watch::Receiver<bool>,
    freezing: &watch::Sender<bool>,
    passing: &Passing,
) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        if is_frozen.wait_for(|frozen| !frozen).await.is_err() || to.write_all(&bytes[..read]).await.is_err()
        {
            return;
        }
        let is_sent = |text: &mut Vec<u8>| bytes[..read].windows(text.len()).any(|window| window == text);
        if passing.trigger.lock().take_if(is_sent).is_some() {
            freezing.send_replace(true);
        }
    }
}

/// Passes answers on, whole ones: each begins with its length, and all but the first with the number of what it answers.
async fn answer(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut is_frozen: watch::Receiver<bool>,
    passing: &Passing,
) {
    let mut is_first = true;
    while let Ok(length) = from.read_u32().await {
        let mut answer = vec![0; length as usize];
        if from.read_exact(&mut answer).await.is_err() || is_frozen.wait_for(|frozen| !frozen).await.is_err()
        {
            return;
        }
        if std::mem::take(&mut is_first) {
            passing.session.lock().clone_from(&answer);
        } else if answer.starts_with(&EVENT) && passing.loses_events.load(Ordering::Relaxed) {
            passing.lost.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let framed = [&length.to_be_bytes()[..], &answer].concat();
        if to.write_all(&framed).await.is_err() {
            return;
        }
    }
}
