//! The wire of a connection to a provider: what was heard on it, and a look at it before what cannot be repeated is sent.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Stream;
use super::frames::Frames;
use super::interim::{Ahead, Interim, Next, is_final, too_much};
use crate::clock::Moment;
use crate::provider::Protocol;

/// What a connection and those who send on it tell each other. All of it is written and read by one thread; atomic, since
/// the library wants connections that could change theirs.
#[derive(Debug, Default)]
pub(super) struct Signs {
    /// Counts the reads that brought bytes. Written by the wire, read by those who send.
    reads: AtomicU32,
    /// Whether the first bytes were those of an answer in HTTP/1. Written by the wire, read by whoever began HTTP/2.
    is_old: AtomicBool,
    /// Whether the next read is to look at the socket itself. Written by those who send, taken by the wire.
    look: AtomicBool,
    /// The bits of the moment since which it is kept for the next request; 0 while in use, or when we close it ourselves.
    /// Written by the pool, read at the end of the connection.
    kept_since: AtomicU64,
    /// Whether it seems to be dead: one waited long on it and nothing at all was heard. Written and read by those who send.
    suspect: AtomicBool,
    /// Whether a request was given to the connection whose answer is to be looked at. Written by those who send, taken by the
    /// wire as the request is written.
    asked: AtomicBool,
    /// Interim answers to the request in flight. Written by the wire, taken by those who send.
    interim: Mutex<Vec<Interim>>,
    /// Whether there are any.
    is_told: AtomicBool,
    /// Whether there were too many, or too much else that is no answer. Written by the wire, read by those who send.
    is_flooded: AtomicBool,
    /// Wakes those who send when there are.
    listener: AtomicWaker,
    /// Told once the connection has looked at the first bytes of its peer.
    pub(super) begun: Notify,
}

impl Signs {
    /// How often bytes came. Compared with an earlier count, it tells whether anything was heard since.
    pub(super) fn reads(&self) -> u32 {
        self.reads.load(Ordering::Relaxed)
    }

    /// Has the socket itself asked, before the next request is written, whether the peer has closed it.
    ///
    /// The runtime tells of that only the next time it asks the system what happened, and under load much is written between.
    pub(super) fn look_first(&self) {
        self.look.store(true, Ordering::Relaxed);
    }

    /// Has interim answers to the next request that is written looked for.
    pub(super) fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Registers whoever is to be woken by interim answers.
    pub(super) fn listen(&self, cx: &Context<'_>) {
        self.listener.register(cx.waker());
    }

    /// The interim answers that came since they were last taken.
    pub(super) fn take_interim(&self) -> Vec<Interim> {
        if self.is_told.load(Ordering::Relaxed) {
            self.is_told.store(false, Ordering::Relaxed);
            return std::mem::take(&mut *self.interim.lock());
        }
        Vec::new()
    }

    /// Whether more came than anybody needs that is no answer, so that the connection was given up.
    pub(super) fn is_flooded(&self) -> bool {
        self.is_flooded.load(Ordering::Relaxed)
    }

    fn tell(&self, interim: Interim) {
        self.interim.lock().push(interim);
        self.is_told.store(true, Ordering::Relaxed);
        self.listener.wake();
    }

    /// It is kept for the next request from this moment on.
    pub(super) fn keep(&self, now: Moment) {
        self.kept_since.store(now.to_bits(), Ordering::Relaxed);
    }

    /// It is kept no longer: it is used, or closed by us.
    pub(super) fn release(&self) {
        self.kept_since.store(0, Ordering::Relaxed);
    }

    /// Since when it is kept, if it is.
    pub(super) fn kept_since(&self) -> Option<Moment> {
        Moment::from_bits(self.kept_since.load(Ordering::Relaxed))
    }

    /// It seems to be dead: no further request is sent on it.
    pub(super) fn suspect(&self) {
        self.suspect.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::Relaxed)
    }

    /// Whether the peer began to answer in HTTP/1.
    pub(super) fn is_old(&self) -> bool {
        self.is_old.load(Ordering::Relaxed)
    }

    fn hear(&self, came: &[u8]) {
        if self.reads() == 0 && came.starts_with(b"HTTP/1.") {
            self.is_old.store(true, Ordering::Relaxed);
        }
        self.reads.store(self.reads().wrapping_add(1).max(1), Ordering::Relaxed);
    }
}

/// A stream whose signs are noted.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    signs: Arc<Signs>,
    stage: Stage,
    /// What comes on it, where that is HTTP/2.
    watch: Option<Box<Watch>>,
}

/// The frames of a provider, as far as they show whether it floods.
#[derive(Debug)]
struct Watch {
    frames: Frames,
    /// Bytes written.
    written: u64,
    /// Since when both are counted.
    since: Instant,
}

/// How long they are at least.
const WINDOW: Duration = Duration::from_secs(1);

impl Watch {
    fn new() -> Self {
        Self { frames: Frames::of_server(), written: 0, since: Instant::now() }
    }

    /// Whether these bytes make it a flood.
    fn is_flooded(&mut self, came: &[u8]) -> bool {
        self.frames.see(came);
        // The clock is asked only where much comes.
        if self.frames.are_many() && self.since.elapsed() >= WINDOW {
            self.frames.forget();
            (self.written, self.since) = (0, Instant::now());
        }
        self.frames.are_too_many(self.written)
    }
}

/// What is done with what is read.
#[derive(Debug)]
enum Stage {
    /// Given on.
    Passing,
    /// The first bytes of an answer are looked at.
    Asked,
    /// Kept back until it is known what they are.
    Ahead(Box<Ahead>),
}

impl Wire {
    /// One on which this is spoken.
    pub(super) fn new(stream: Stream, signs: Arc<Signs>, protocol: Protocol) -> Self {
        let watch = (protocol == Protocol::H2c).then(|| Box::new(Watch::new()));
        Self { stream, signs, stage: Stage::Passing, watch }
    }

    /// A request begins to be written: what is read from now on answers it.
    fn begin(&mut self) {
        if self.signs.asked.load(Ordering::Relaxed) {
            self.signs.asked.store(false, Ordering::Relaxed);
            self.stage = Stage::Asked;
        }
    }

    /// Reads, and notes that something was heard.
    fn poll_hear(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let came = &buffer.filled()[before..];
        if !came.is_empty() {
            self.signs.hear(came);
            if self.watch.as_mut().is_some_and(|watch| watch.is_flooded(came)) {
                self.signs.is_flooded.store(true, Ordering::Relaxed);
                buffer.set_filled(before);
                let flood = "a flood of frames that carry nothing";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, flood)));
            }
        }
        read
    }

    fn wrote(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let (Poll::Ready(Ok(count)), Some(watch)) = (&written, &mut self.watch) {
            watch.written += *count as u64;
        }
        written
    }

    /// Reads the first bytes of an answer, which mostly show at once that it is the final one.
    fn poll_first(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(self.poll_hear(cx, buffer))?;
        let came = &buffer.filled()[before..];
        if came.is_empty() || is_final(came) {
            self.stage = Stage::Passing;
            return Poll::Ready(Ok(()));
        }
        let mut ahead = Box::<Ahead>::default();
        ahead.push(came);
        buffer.set_filled(before);
        self.stage = Stage::Ahead(ahead);
        self.poll_ahead(cx, buffer)
    }

    /// Reads up to a final answer, telling of the interim ones before it.
    fn poll_ahead(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let Stage::Ahead(ahead) = &mut self.stage else { return self.poll_hear(cx, buffer) };
            if ahead.is_over() {
                buffer.put_slice(&ahead.give(buffer.remaining()));
                if ahead.is_empty() {
                    self.stage = Stage::Passing;
                }
                return Poll::Ready(Ok(()));
            }
            match ahead.next() {
                Next::Interim(interim) => self.signs.tell(interim),
                Next::Final => ahead.end(),
                Next::TooMuch => {
                    self.signs.is_flooded.store(true, Ordering::Relaxed);
                    return Poll::Ready(Err(too_much()));
                }
                Next::Partial => {
                    let mut piece = [MaybeUninit::uninit(); PIECE];
                    let mut piece = ReadBuf::uninit(&mut piece);
                    ready!(self.poll_hear(cx, &mut piece))?;
                    let Stage::Ahead(ahead) = &mut self.stage else { continue };
                    if piece.filled().is_empty() {
                        // The end; what came before it is for the library to judge.
                        ahead.end();
                    }
                    ahead.push(piece.filled());
                }
            }
        }
    }
}

/// Bytes read at once while an answer has only begun.
const PIECE: usize = 2048;

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.signs.look.load(Ordering::Relaxed) {
            self.signs.look.store(false, Ordering::Relaxed);
            if self.stream.has_news() {
                // An end, or words that nobody asked for and that come before an end: nothing is sent here any more.
                return Poll::Ready(Ok(()));
            }
        }
        match self.stage {
            Stage::Passing => self.poll_hear(cx, buffer),
            Stage::Asked => self.poll_first(cx, buffer),
            Stage::Ahead(_) => self.poll_ahead(cx, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.begin();
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.begin();
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
