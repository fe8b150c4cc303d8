//! The wire of an HTTP/2 connection to a provider, and what was heard on it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Stream;
use super::frames::Frames;
use crate::clock::Moment;

/// What a connection and those who send on it tell each other. All of it is written and read by one thread; atomic, since
/// the library wants connections that could change theirs.
#[derive(Debug, Default)]
pub(super) struct Signs {
    /// Counts the reads that brought bytes. Written by the wire, read by those who send.
    reads: AtomicU32,
    /// Whether the first bytes were those of an answer in HTTP/1. Written by the wire, read by whoever began HTTP/2.
    is_old: AtomicBool,
    /// The bits of the moment since which it is kept for the next request; 0 while in use, or when we close it ourselves.
    /// Written by the pool, read at the end of the connection.
    kept_since: AtomicU64,
    /// Whether it seems to be dead: one waited long on it and nothing at all was heard. Written and read by those who send.
    suspect: AtomicBool,
    /// Whether there was too much that is no answer. Written by the wire, read by those who send.
    is_flooded: AtomicBool,
    /// Told once the connection has looked at the first bytes of its peer.
    pub(super) begun: Notify,
}

impl Signs {
    /// How often bytes came. Compared with an earlier count, it tells whether anything was heard since.
    pub(super) fn reads(&self) -> u32 {
        self.reads.load(Ordering::Relaxed)
    }

    /// Whether more came than anybody needs that is no answer, so that the connection was given up.
    pub(super) fn is_flooded(&self) -> bool {
        self.is_flooded.load(Ordering::Relaxed)
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
    /// What comes on it.
    watch: Watch,
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

impl Wire {
    /// One on which nothing was said.
    pub(super) fn new(stream: Stream, signs: Arc<Signs>) -> Self {
        Self { stream, signs, watch: Watch::new() }
    }

    fn wrote(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = &written {
            self.watch.written += *count as u64;
        }
        written
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let came = &buffer.filled()[before..];
        if !came.is_empty() {
            self.signs.hear(came);
            if self.watch.is_flooded(came) {
                self.signs.is_flooded.store(true, Ordering::Relaxed);
                buffer.set_filled(before);
                let flood = "a flood of frames that carry nothing";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, flood)));
            }
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
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
