//! The opening of a connection, where its listener asks for one: a PROXY header, a TLS handshake, and no longer than they may
//! take.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, sleep_until};

use crate::drain::Drain;
use crate::provider::ServiceName;
use crate::proxy::ListenerSettings;
use crate::proxy::client::{Origin, Socket};
use crate::proxy::http1::linger;
use crate::proxy::proxy_protocol::{HEADER_MAX, HeaderError, client, length};
use crate::proxy::tls::{Acceptor, HandshakeError};
use crate::proxy::worker::Worker;
use crate::telemetry::peer::Peer;

/// What is done with the connections of a listener.
#[derive(Debug)]
pub struct Opening {
    settings: ListenerSettings,
    /// Speaks TLS with them.
    acceptor: Option<Arc<Acceptor>>,
}

/// What a client is told that speaks clear text where TLS is spoken.
const CLEAR_TEXT: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\n\
    proxy-status: wayside; error=http_request_error; details=\"clear_text\"\r\ncontent-length: 63\r\n\r\n\
    this port speaks TLS, and this request came without; use https\n";

/// How long an opening may still take once the drain has begun: a request may follow close behind.
const PARTING: Duration = Duration::from_millis(1500);

impl Opening {
    pub(super) const fn new(settings: ListenerSettings, acceptor: Option<Arc<Acceptor>>) -> Self {
        Self { settings, acceptor }
    }

    /// What the configuration says of the listener.
    pub(super) const fn settings(&self) -> &ListenerSettings {
        &self.settings
    }

    /// What speaks TLS with its clients.
    pub(super) const fn acceptor(&self) -> Option<&Arc<Acceptor>> {
        self.acceptor.as_ref()
    }

    /// Whether HTTP begins with the first byte.
    pub(super) const fn is_plain(&self) -> bool {
        self.acceptor.is_none() && !self.settings.proxy_protocol
    }

    /// The service that connections go to as raw bytes, if they do.
    pub(super) const fn raw(&self) -> Option<&ServiceName> {
        self.settings.raw.as_ref()
    }

    /// Whom a connection is from, as long as nothing else is said.
    pub(super) fn origin(&self, peer: Peer) -> Origin {
        Origin {
            peer,
            is_secure: self.acceptor.is_some(),
            bound: self.settings.service.clone(),
            trusted: self.settings.trusted,
            refuse_cross_site: self.settings.refuse_cross_site,
        }
    }

    /// Opens a connection; `None` when that failed, which is counted and told, and the connection has ended.
    pub(super) async fn open(
        &self,
        worker: &Worker,
        mut socket: Socket,
        mut peer: Peer,
    ) -> Option<(Socket, Peer)> {
        let limit = worker.shared.settings.header_timeout;
        let deadline = Instant::now() + limit;
        let (drain, metrics) = (&worker.shared.drain, &worker.shared.metrics.proxy);
        if self.settings.proxy_protocol {
            let named = within(deadline, drain, announced(&mut socket)).await;
            match named.unwrap_or(Err(HeaderError::Late { limit })) {
                Ok(named) => peer = named.map_or(peer, Peer::from),
                Err(error) => {
                    metrics.openings.proxy_header(error.cause()).inc();
                    tracing::debug!(%peer, error = told(&error), "a client connection is refused");
                    return None;
                }
            }
        }
        let Some(acceptor) = &self.acceptor else { return Some((socket, peer)) };
        let (error, socket) = match within(deadline, drain, acceptor.accept(socket)).await {
            Some(Ok(socket)) => return Some((socket, peer)),
            Some(Err((error, socket))) => (error, Some(socket)),
            None => (HandshakeError::Late { limit }, None),
        };
        metrics.openings.tls(error.cause()).inc();
        tracing::debug!(%peer, error = told(&error), "a client connection is refused");
        if let Some(mut socket) = socket {
            if matches!(error, HandshakeError::ClearText) && self.settings.raw.is_none() {
                let _ = socket.write_all(CLEAR_TEXT).await;
            }
            linger(socket).await;
        }
        None
    }
}

/// The client that a connection's PROXY header names. What follows the header is left to be read.
async fn announced(socket: &mut Socket) -> Result<Option<std::net::SocketAddr>, HeaderError> {
    let mut header = Vec::new();
    let mut buffer = [0; 256];
    loop {
        let before = header.len();
        let count = socket.peek(&mut buffer).await.map_err(HeaderError::Io)?;
        if count == 0 {
            return Err(HeaderError::Closed);
        }
        header.extend_from_slice(&buffer[..count]);
        let length = length(&header)?;
        debug_assert!(header.len() <= HEADER_MAX + buffer.len());
        header.truncate(length.unwrap_or(header.len()));
        let taken = &mut buffer[..header.len() - before];
        socket.read_exact(taken).await.map_err(HeaderError::Io)?;
        if length.is_some() {
            return client(&header);
        }
    }
}

/// What a step gives; `None` when its time is over before.
async fn within<T>(deadline: Instant, drain: &Drain, step: impl Future<Output = T>) -> Option<T> {
    let parted = async {
        drain.begun().await;
        sleep(PARTING).await;
    };
    tokio::select! {
        biased;
        done = step => Some(done),
        () = sleep_until(deadline) => None,
        () = parted => None,
    }
}

/// An error with its causes, in one line.
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |told, cause| format!("{told}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clear_text_is_answered_with_its_length() {
        let text = std::str::from_utf8(CLEAR_TEXT).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("\r\ncontent-length: {}", body.len())), "{}", body.len());
    }
}
