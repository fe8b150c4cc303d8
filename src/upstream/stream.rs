//! What bytes go over to a provider: a socket, in clear text or under TLS.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::AlertDescription;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::ConnectError;
use super::tls::{TlsError, refused};
use crate::http1::{PIECE, Transport};
use crate::provider::{Address, Provider};
use crate::telemetry::metrics::Metrics;

/// A connection to a provider. No larger than a socket: what TLS needs lies elsewhere.
#[derive(Debug)]
pub enum Stream {
    /// In clear text.
    Clear(TcpStream),
    /// Under TLS.
    Secure(Box<Secure>),
}

/// A connection under TLS.
#[derive(Debug)]
pub struct Secure {
    stream: TlsStream<TcpStream>,
    refusal: Arc<Refusal>,
    /// Whether the provider has said anything under TLS, and so has accepted us.
    heard: bool,
}

/// The provider's refusal of who we are, once it is read: with TLS 1.3 it comes only after our side of the handshake has
/// ended. Nothing that was sent has been looked at then.
#[derive(Debug)]
pub struct Refusal {
    address: Address,
    id: Arc<str>,
    /// Whether we could show who we are.
    has_identity: bool,
    metrics: Arc<Metrics>,
    /// Written by the connection, read by those who sent on it.
    alert: OnceLock<AlertDescription>,
}

impl Refusal {
    /// Why nothing came about on the connection, if the provider refused us.
    pub(super) fn error(&self) -> Option<ConnectError> {
        self.alert.get().map(|alert| {
            let cause = TlsError::Alert { alert: *alert, has_identity: self.has_identity };
            ConnectError::tls(&self.address, &self.id, cause)
        })
    }

    fn note(&self, alert: AlertDescription) {
        // The first one is the one that counts.
        if self.alert.set(alert).is_ok() {
            let cause = TlsError::Alert { alert, has_identity: self.has_identity };
            self.metrics.proxy.upstream_tls_failures(cause.reason()).inc();
        }
    }
}

impl Stream {
    /// A connection to a provider under TLS, on which we could show who we are or not.
    pub(super) fn secure(
        stream: TlsStream<TcpStream>,
        provider: &Provider,
        has_identity: bool,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let (address, id, metrics) =
            (provider.address.clone(), Arc::clone(&provider.id), Arc::clone(metrics));
        let refusal = Arc::new(Refusal { address, id, has_identity, metrics, alert: OnceLock::new() });
        Self::Secure(Box::new(Secure { stream, refusal, heard: false }))
    }

    /// Where a refusal will be found, if one can come.
    pub(super) fn refusal(&self) -> Option<Arc<Refusal>> {
        match self {
            Self::Clear(_) => None,
            Self::Secure(secure) => Some(Arc::clone(&secure.refusal)),
        }
    }

    /// Why the provider has broken off, where it is because it refuses who we are, and has not said a word before.
    pub fn refused(&self) -> Option<ConnectError> {
        self.refusal()?.error()
    }

    /// Lets its end be a reset, so that what the provider has of a stream that broke off does not look whole.
    pub fn abort(&self) {
        match self {
            Self::Clear(socket) => abort(socket),
            Self::Secure(secure) => abort(secure.stream.get_ref().0),
        }
    }

    /// Whether something waits to be read at this very moment, be it an end; asks the system, and takes nothing.
    pub(super) fn has_news(&self) -> bool {
        let socket = match self {
            Self::Clear(socket) => socket,
            Self::Secure(secure) => secure.stream.get_ref().0,
        };
        let mut byte = [MaybeUninit::uninit()];
        // The socket does not block; a failure of any other kind is an end too.
        !matches!(SockRef::from(socket).peek(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// Lets the end of a socket be a reset: what waits to be sent is dropped with it.
pub fn abort(socket: &impl AsFd) {
    if let Err(error) = SockRef::from(socket).set_linger(Some(Duration::ZERO)) {
        // It is gone already.
        tracing::trace!(%error, "a connection cannot be reset");
    }
}

impl Secure {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.heard |= buffer.filled().len() > before;
        if let Poll::Ready(Err(error)) = &read
            && !self.heard
            && let Some(alert) = refused(error)
        {
            self.refusal.note(alert);
        }
        read
    }
}

impl Transport for Stream {
    fn socket(&self) -> Option<&TcpStream> {
        match self {
            Self::Clear(socket) => Some(socket),
            Self::Secure(_) => None,
        }
    }

    fn ahead(&self) -> usize {
        match self {
            Self::Clear(_) => AHEAD,
            Self::Secure(_) => PIECE,
        }
    }
}

/// Bytes read along with the head of an answer: all of most answers. What they have of a long body is copied.
const AHEAD: usize = 8 * 1024;

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(socket) => Pin::new(socket).poll_read(cx, buffer),
            Self::Secure(secure) => secure.poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Secure(secure) => Pin::new(&mut secure.stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Self::Secure(secure) => Pin::new(&mut secure.stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Clear(socket) => socket.is_write_vectored(),
            Self::Secure(secure) => secure.stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(socket) => Pin::new(socket).poll_flush(cx),
            Self::Secure(secure) => Pin::new(&mut secure.stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Secure(secure) => Pin::new(&mut secure.stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_costs_those_nothing_who_do_without() {
        assert_eq!(size_of::<Stream>(), size_of::<TcpStream>());
    }
}
