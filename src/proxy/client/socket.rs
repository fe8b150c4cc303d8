//! What a client's bytes come over: a socket of IP or of this machine, in clear text or under TLS.

use std::cell::Cell;
use std::io::{self, IoSlice, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use crate::upstream::abort;

/// A connection of a client. No larger than a socket: what fewer connections need lies elsewhere.
#[derive(Debug)]
pub enum Socket {
    /// Over IP.
    Tcp(TcpStream),
    /// From this machine.
    Unix(Box<UnixStream>),
    /// Over either of these, under TLS.
    Secure(Box<Secure>),
}

/// A connection under TLS, which says goodbye however it ends, unless what was sent on it broke off.
#[derive(Debug)]
pub struct Secure {
    stream: TlsStream<Socket>,
    is_broken: Cell<bool>,
}

impl From<TcpStream> for Socket {
    fn from(socket: TcpStream) -> Self {
        Self::Tcp(socket)
    }
}

impl From<UnixStream> for Socket {
    fn from(socket: UnixStream) -> Self {
        Self::Unix(Box::new(socket))
    }
}

impl From<TlsStream<Self>> for Socket {
    fn from(stream: TlsStream<Self>) -> Self {
        Self::Secure(Box::new(Secure { stream, is_broken: Cell::new(false) }))
    }
}

impl Socket {
    /// Waits for bytes and looks at them, without taking any; none at the end. Not for what is under TLS already.
    pub(in crate::proxy) async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.async_io(Interest::READABLE, || ahead(socket, buffer)).await,
            Self::Unix(socket) => {
                socket.async_io(Interest::READABLE, || ahead(socket.as_ref(), buffer)).await
            }
            Self::Secure(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The socket itself, where it is one of TCP in clear text.
    pub(super) const fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(socket) => Some(socket),
            Self::Unix(_) | Self::Secure(_) => None,
        }
    }

    /// Where the client reached this proxy, if that is an IP address and the system knows it.
    pub fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.local_addr().ok(),
            Self::Unix(_) => None,
            Self::Secure(secure) => secure.stream.get_ref().0.local_address(),
        }
    }

    /// Lets its end be a reset where there is such a thing: between the programs of one machine there is none.
    pub fn abort(&self) {
        match self {
            Self::Tcp(socket) => abort(socket),
            Self::Unix(_) => {}
            Self::Secure(secure) => {
                secure.is_broken.set(true);
                secure.stream.get_ref().0.abort();
            }
        }
    }

    /// Writes what there is room for at this moment.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_write(bytes),
            Self::Unix(socket) => socket.try_write(bytes),
            Self::Secure(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

fn ahead(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (_, count) = recv(socket, buffer, RecvFlags::PEEK)?;
    Ok(count)
}

impl Drop for Secure {
    /// Without a word for the end it could be somebody else's doing (RFC 8446, 6.1). It is said now or never.
    fn drop(&mut self) {
        if self.is_broken.get() {
            return;
        }
        let (socket, session) = self.stream.get_mut();
        session.send_close_notify();
        let _ = session.write_tls(&mut AtOnce(socket));
    }
}

/// Writes what there is room for.
struct AtOnce<'a>(&'a Socket);

impl Write for AtOnce<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, buffer),
            Self::Unix(socket) => Pin::new(socket).poll_read(cx, buffer),
            Self::Secure(secure) => Pin::new(&mut secure.stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Unix(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Secure(secure) => Pin::new(&mut secure.stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Self::Unix(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Self::Secure(secure) => Pin::new(&mut secure.stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(socket) => socket.is_write_vectored(),
            Self::Unix(socket) => socket.is_write_vectored(),
            Self::Secure(secure) => secure.stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_flush(cx),
            Self::Unix(socket) => Pin::new(socket).poll_flush(cx),
            Self::Secure(secure) => Pin::new(&mut secure.stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Unix(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Secure(secure) => Pin::new(&mut secure.stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_and_unix_sockets_cost_those_nothing_who_do_without() {
        assert_eq!(size_of::<Socket>(), size_of::<TcpStream>());
    }
}
