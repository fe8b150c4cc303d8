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

use super::fresh::Fresh;
use crate::upstream::abort;

/// A connection of a client. No larger than a socket: what fewer connections need lies elsewhere.
#[derive(Debug)]
pub enum Socket {
    /// Over IP, and nothing was waited for on it yet.
    Fresh(Fresh),
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
    /// Whether nothing was waited for on it, so that nobody would be told of its end either.
    pub const fn is_fresh(&self) -> bool {
        matches!(self, Self::Fresh(_))
    }

    /// Whether closing it says all that there is to be said at its end.
    pub const fn is_clear(&self) -> bool {
        match self {
            Self::Fresh(_) | Self::Tcp(_) | Self::Unix(_) => true,
            Self::Secure(_) => false,
        }
    }

    /// Has the runtime watch it from now on, as whoever waits for something has to.
    ///
    /// # Errors
    /// As the system says.
    pub fn watch(&mut self) -> io::Result<()> {
        if let Self::Fresh(fresh) = self {
            *self = Self::Tcp(fresh.watched()?);
        }
        Ok(())
    }

    /// Does what can be done at this moment while it is fresh; nothing where it is not, or no more, since one has to wait.
    fn at_once<T>(&mut self, act: impl FnOnce(&Fresh) -> io::Result<T>) -> io::Result<Option<T>> {
        let Self::Fresh(fresh) = self else { return Ok(None) };
        if fresh.is_worn() {
            return self.watch().map(|()| None);
        }
        match act(fresh) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.watch().map(|()| None),
            done => done.map(Some),
        }
    }

    /// Waits for bytes and looks at them, without taking any; none at the end. Not for what is fresh, or under TLS already.
    pub(in crate::proxy) async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.async_io(Interest::READABLE, || ahead(socket, buffer)).await,
            Self::Unix(socket) => {
                socket.async_io(Interest::READABLE, || ahead(socket.as_ref(), buffer)).await
            }
            Self::Secure(_) | Self::Fresh(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The socket itself, where it is one of TCP in clear text.
    pub(super) const fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(socket) => Some(socket),
            Self::Fresh(_) | Self::Unix(_) | Self::Secure(_) => None,
        }
    }

    /// Where the client reached this proxy, if that is an IP address and the system knows it.
    pub fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Fresh(fresh) => fresh.local_address(),
            Self::Tcp(socket) => socket.local_addr().ok(),
            Self::Unix(_) => None,
            Self::Secure(secure) => secure.stream.get_ref().0.local_address(),
        }
    }

    /// Lets its end be a reset where there is such a thing: between the programs of one machine there is none.
    pub fn abort(&self) {
        match self {
            Self::Fresh(fresh) => fresh.fd().iter().for_each(abort),
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
            Self::Fresh(_) | Self::Secure(_) => Err(io::ErrorKind::Unsupported.into()),
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
        let this = self.get_mut();
        if let Some(()) = this.at_once(|fresh| fresh.read(buffer))? {
            return Poll::Ready(Ok(()));
        }
        match this {
            Self::Fresh(_) => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, buffer),
            Self::Unix(socket) => Pin::new(socket).poll_read(cx, buffer),
            Self::Secure(secure) => Pin::new(&mut secure.stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some(count) = this.at_once(|fresh| fresh.write(bytes))? {
            return Poll::Ready(Ok(count));
        }
        match this {
            Self::Fresh(_) => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
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
        let this = self.get_mut();
        if let Some(count) = this.at_once(|fresh| fresh.write_vectored(slices))? {
            return Poll::Ready(Ok(count));
        }
        match this {
            Self::Fresh(_) => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            Self::Tcp(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Self::Unix(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Self::Secure(secure) => Pin::new(&mut secure.stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Fresh(_) => true,
            Self::Tcp(socket) => socket.is_write_vectored(),
            Self::Unix(socket) => socket.is_write_vectored(),
            Self::Secure(secure) => secure.stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            // What was written is sent.
            Self::Fresh(_) => Poll::Ready(Ok(())),
            Self::Tcp(socket) => Pin::new(socket).poll_flush(cx),
            Self::Unix(socket) => Pin::new(socket).poll_flush(cx),
            Self::Secure(secure) => Pin::new(&mut secure.stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Fresh(fresh) => Poll::Ready(fresh.shutdown()),
            Self::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Unix(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Secure(secure) => Pin::new(&mut secure.stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn fresh() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (near, _) = listener.accept().await.unwrap();
        (Socket::Fresh(OwnedFd::from(near.into_std().unwrap()).into()), far)
    }

    #[tokio::test]
    async fn a_socket_stays_fresh_until_one_has_to_wait() {
        let (mut near, mut far) = fresh().await;
        far.write_all(b"request").await.unwrap();
        let mut buffer = [0; 7];
        // What was written on this machine is there.
        near.read_exact(&mut buffer).await.unwrap();
        near.write_all(b"answer").await.unwrap();
        assert_eq!((&buffer, near.is_fresh()), (b"request", true));
        assert_eq!(near.local_address(), far.peer_addr().ok());
        near.shutdown().await.unwrap();
        let mut heard = Vec::new();
        far.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"answer");
    }

    #[tokio::test]
    async fn whoever_sends_without_end_has_no_more_than_a_share() {
        let (mut near, mut far) = fresh().await;
        far.write_all(&[b'x'; 10]).await.unwrap();
        for _ in 0..10 {
            near.read_u8().await.unwrap();
        }
        assert!(!near.is_fresh(), "the runtime sees to it");
    }

    #[tokio::test]
    async fn what_one_waits_for_comes_whatever_its_size() {
        let (mut near, mut far) = fresh().await;
        let all = vec![b'x'; 1024 * 1024];
        let mut heard = vec![0; all.len()];
        let (told, ()) = tokio::join!(near.read_exact(&mut heard), async {
            tokio::task::yield_now().await;
            far.write_all(&all).await.unwrap();
        });
        assert_eq!((told.unwrap(), heard == all, near.is_fresh()), (all.len(), true, false));

        let (mut near, mut far) = fresh().await;
        let mut wrote = 0;
        while let Some(count) = near.write(&all).now_or_never() {
            wrote += count.unwrap();
        }
        assert!(!near.is_fresh(), "nothing more was taken at once");
        far.read_exact(&mut vec![0; wrote]).await.unwrap();
        drop(far);
        assert_eq!(near.read(&mut heard).await.unwrap(), 0);
    }

    #[test]
    fn tls_and_unix_sockets_cost_those_nothing_who_do_without() {
        assert_eq!(size_of::<Socket>(), size_of::<TcpStream>());
    }
}
