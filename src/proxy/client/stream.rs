//! The socket of a client: what the connection's record learns from the bytes that move, and what was read of them before.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::{Client, Socket};
use crate::gather::Gather;
use crate::http1::Transport;

/// The client's socket, which notes when bytes move.
#[derive(Debug)]
pub struct ClientStream {
    socket: Gather<Socket>,
    client: Rc<Client>,
    /// Bytes that were read once already.
    early: Bytes,
}

impl ClientStream {
    /// The socket of a client.
    pub const fn new(socket: Socket, client: Rc<Client>) -> Self {
        Self { socket: Gather(socket), client, early: Bytes::new() }
    }

    /// The same stream, from which these bytes will be read first, of which the client's record knows.
    #[must_use]
    pub fn rewound(self, early: Bytes) -> Self {
        Self { early, ..self }
    }

    /// The bytes that will be read first.
    pub fn early(&self) -> &[u8] {
        &self.early
    }

    /// Whether bytes were read that nobody has asked for yet.
    pub const fn has_more(&self) -> bool {
        !self.early.is_empty()
    }

    /// Where the client reached this proxy, as far as the system says.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.socket.0.local_address()
    }

    /// Whether nothing was waited for on it, so that nobody would be told of its end either.
    pub const fn is_fresh(&self) -> bool {
        self.socket.0.is_fresh()
    }

    /// Whether closing it says all that there is to be said at its end.
    pub const fn is_clear(&self) -> bool {
        self.socket.0.is_clear()
    }

    /// Lets its end be a reset, so that what the client has of a stream that broke off does not look whole.
    pub fn abort(&self) {
        self.socket.0.abort();
    }

    /// A write that cannot go on moves nothing, however often it is tried.
    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes @ 1..)) = written {
            self.client.wrote(bytes);
        }
        written
    }
}

impl Transport for ClientStream {
    fn socket(&self) -> Option<&TcpStream> {
        self.socket.0.tcp().filter(|_| self.early.is_empty())
    }

    fn moved(&self) {
        self.client.moved();
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.early.is_empty() {
            let count = this.early.len().min(buffer.remaining());
            buffer.put_slice(&this.early[..count]);
            this.early.advance(count);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.socket).poll_read(cx, buffer);
        let came = &buffer.filled()[before..];
        if !came.is_empty() {
            this.client.heard(came);
        }
        read
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
