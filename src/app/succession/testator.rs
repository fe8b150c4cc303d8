//! The process that runs: it waits for a successor, hands it everything, and goes on until that one is ready.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::net::UnixStream as Blocking;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustix::process::geteuid;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use super::Estate;
use super::wire::{self, LATE, Ready, YOURS};
use crate::announce::{Announcements, Bequest};
use crate::catalog::Catalog;
use crate::drain::Drain;

/// How long a successor may take until it is ready; longer than it waits itself.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to accept what it is given.
const TAKING: Duration = Duration::from_secs(10);
/// Bytes of what it says when it is ready: the names of 64 announcements.
const READY_BYTES_MAX: u64 = 256 * 1024;
/// The pause after a successor could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Waits for successors.
pub(in crate::app) struct Testator {
    pub(in crate::app) listener: UnixListener,
    /// `None` once this process stops by itself.
    pub(in crate::app) estate: Arc<ArcSwapOption<Estate>>,
    pub(in crate::app) catalog: Arc<Catalog>,
    /// Whether what was experienced with endpoints is left.
    pub(in crate::app) leaves_experience: bool,
    pub(in crate::app) announcements: Arc<Announcements>,
    pub(in crate::app) drain: Drain,
    /// Where it is told that a successor is ready.
    pub(in crate::app) wills: mpsc::Sender<Will>,
}

/// A successor that is ready, and waits for the word to take connections.
#[derive(Debug)]
pub(in crate::app) struct Will {
    stream: UnixStream,
    /// The process, where the system tells.
    pub(in crate::app) process: Option<u32>,
    /// The announcements that it looks after from now on.
    pub(in crate::app) announcements: BTreeSet<Arc<str>>,
}

impl Will {
    /// Gives the word, and with it what was announced at last: programs may have asked for other things since that was told first.
    pub(in crate::app) async fn execute(mut self, last: &[Bequest]) {
        let word = format!("{YOURS}{}\n", serde_json::to_string(last).unwrap_or_default());
        // Whoever is gone takes none; nothing is left to be done about it here.
        if let Err(error) = self.stream.write_all(word.as_bytes()).await {
            tracing::error!(%error, "the process that takes over has gone at the last moment");
        }
    }
}

impl Testator {
    /// Runs until a successor is ready, or for ever.
    pub(in crate::app) async fn run(self) {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a process that would take over could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            self.announcements.hand_over(true);
            let served = tokio::select! {
                served = self.serve(stream) => served,
                // This process stops by itself: the end of the connection tells who waits for the word that there will be none.
                () = self.wills.closed() => return,
            };
            self.announcements.hand_over(matches!(served, Ok(Some(_))));
            match served {
                Ok(Some(will)) => {
                    tracing::info!("another process takes over");
                    // Nobody receives it when this process stops by itself.
                    let _ = self.wills.send(will).await;
                    return;
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "a process that would take over did not; this one serves on");
                }
            }
        }
    }

    /// Hands everything to one successor, and waits until it is ready. `None` when this process stops.
    async fn serve(&self, stream: UnixStream) -> io::Result<Option<Will>> {
        let peer = stream.peer_cred()?;
        if peer.uid() != geteuid().as_raw() && peer.uid() != 0 {
            let message = format!("it runs as user {}, not as that of this process", peer.uid());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        tracing::info!("another process begins to take over");
        let Some(stream) = self.offer(stream.into_std()?).await? else { return Ok(None) };
        let mut stream = BufReader::new(UnixStream::from_std(stream)?);
        let mut said = String::new();
        let mut bounded = (&mut stream).take(READY_BYTES_MAX);
        match tokio::time::timeout(PATIENCE, bounded.read_line(&mut said)).await {
            Err(_) => {
                stream.write_all(LATE.as_bytes()).await?;
                return Err(io::ErrorKind::TimedOut.into());
            }
            Ok(Ok(0)) => {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended before it was ready"));
            }
            Ok(heard) => heard?,
        };
        let Ready { announcements } = serde_json::from_str(&said)?;
        let announcements = announcements.into_iter().map(Arc::from).collect();
        let process = peer.pid().map(i32::unsigned_abs);
        Ok(Some(Will { stream: stream.into_inner(), process, announcements }))
    }

    /// Sends everything there is; gives the stream back.
    async fn offer(&self, stream: Blocking) -> io::Result<Option<Blocking>> {
        let Some(estate) = self.estate.load_full() else { return Ok(None) };
        let announcements = self.announcements.bequests();
        let experience = self.leaves_experience.then(|| self.catalog.legacy());
        let send = move || {
            stream.set_nonblocking(false)?;
            stream.set_write_timeout(Some(TAKING))?;
            wire::send(&stream, estate.sockets(), announcements, experience)?;
            stream.set_nonblocking(true)?;
            Ok(Some(stream))
        };
        self.drain.run_aside("succession", send).await.unwrap_or(Ok(None))
    }
}
