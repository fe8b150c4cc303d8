//! Raw bytes both ways on a stream of HTTP/2, behind an answer to CONNECT (RFC 9113, 8.5; RFC 8441, 5).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes asked room for at once.
const PIECE: usize = 16 * 1024;

/// A stream that carries raw bytes. Its end is `END_STREAM`; a reset is an error, and dropping it before its end resets it.
#[derive(Debug)]
pub struct Raw {
    from: RecvStream,
    to: SendStream<Bytes>,
    /// What was taken from the library and not read yet.
    rest: Bytes,
    /// Whether our end was sent.
    is_shut: bool,
}

impl Raw {
    /// The two ways of a stream.
    pub const fn new(from: RecvStream, to: SendStream<Bytes>) -> Self {
        Self { from, to, rest: Bytes::new(), is_shut: false }
    }
}

impl AsyncRead for Raw {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.rest.is_empty() {
            match ready!(this.from.poll_data(cx)) {
                Some(data) => this.rest = data.map_err(broken)?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let taken = this.rest.len().min(buffer.remaining());
        buffer.put_slice(&this.rest[..taken]);
        this.rest.advance(taken);
        // Fails only where the stream is over, and takes no more anyway.
        let _ = this.from.flow_control().release_capacity(taken);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Raw {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if self.to.capacity() == 0 {
            self.to.reserve_capacity(bytes.len().min(PIECE));
        }
        while self.to.capacity() == 0 {
            match ready!(self.to.poll_capacity(cx)) {
                Some(room) => room.map_err(broken)?,
                None => return Poll::Ready(Err(self.closed(cx))),
            };
        }
        let taken = self.to.capacity().min(bytes.len());
        self.to.send_data(Bytes::copy_from_slice(&bytes[..taken]), false).map_err(broken)?;
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection writes what it was given without being asked.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.is_shut, true) {
            self.to.send_data(Bytes::new(), true).map_err(broken)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Raw {
    /// Why nothing can be written any more.
    fn closed(&mut self, cx: &mut Context<'_>) -> io::Error {
        match self.to.poll_reset(cx) {
            Poll::Ready(Ok(reason)) => broken(reason.into()),
            Poll::Ready(Err(error)) => broken(error),
            Poll::Pending => broken(Reason::STREAM_CLOSED.into()),
        }
    }
}

fn broken(error: h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}
