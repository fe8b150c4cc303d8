//! TLS with clients: who this proxy is to them, whom it lets in, and why a handshake failed.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{AlertDescription, CertificateError, ServerConfig};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

use super::client::Socket;
use crate::upstream::tls::{Identity, Roots, crypto};

/// How TLS is spoken with the clients of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The certificate that clients are shown.
    pub identity: Identity,
    /// The authorities one of which has to have issued a certificate that each client shows; none has to show one where there
    /// are none.
    pub clients: Option<Roots>,
    /// Whether HTTP is spoken above it, so that its version is agreed on; else nothing is said of that.
    pub http: bool,
}

/// Why a handshake with a client failed.
#[derive(Debug, Error)]
pub enum HandshakeError {
    /// The client speaks without TLS.
    #[error("it does not speak TLS, but clear text")]
    ClearText,
    /// The client closed the connection, before or in the handshake.
    #[error("it was closed before the TLS handshake was complete")]
    Closed,
    /// Its time was over.
    #[error("the TLS handshake was not complete within {limit:?}")]
    Late {
        /// How long there was.
        limit: Duration,
    },
    /// The client showed no certificate.
    #[error("it shows no certificate, and has to")]
    NoCertificate,
    /// The client's certificate is not accepted.
    #[error("its certificate is not accepted: {0}")]
    Certificate(CertificateError),
    /// The client broke off, and says why by an alert.
    #[error("it broke off with the alert {0:?}")]
    Alert(AlertDescription),
    /// What it said is not TLS, or not as this program speaks it.
    #[error("the TLS handshake failed")]
    Protocol(#[source] rustls::Error),
    /// The connection failed.
    #[error("it failed during the TLS handshake")]
    Io(#[source] io::Error),
}

impl HandshakeError {
    /// One word for it.
    pub const fn cause(&self) -> &'static str {
        match self {
            Self::ClearText => "clear_text",
            Self::Closed => "closed",
            Self::Late { .. } => "timeout",
            Self::NoCertificate | Self::Certificate(_) => "certificate",
            Self::Alert(_) => "alert",
            Self::Protocol(_) => "protocol",
            Self::Io(_) => "io",
        }
    }

    fn of(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Closed;
        }
        match error.downcast::<rustls::Error>() {
            Ok(rustls::Error::NoCertificatesPresented) => Self::NoCertificate,
            Ok(rustls::Error::InvalidCertificate(cause)) => Self::Certificate(cause),
            Ok(rustls::Error::AlertReceived(alert)) => Self::Alert(alert),
            Ok(cause) => Self::Protocol(cause),
            Err(error) => Self::Io(error),
        }
    }
}

/// TLS as a listener speaks it, and the sessions that were had so.
pub struct Acceptor(TlsAcceptor);

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor")
    }
}

impl Acceptor {
    /// One that speaks TLS by these settings.
    pub fn new(settings: &Settings) -> Self {
        Self(TlsAcceptor::from(Arc::new(config(settings))))
    }

    /// Makes a connection a secure one; on failure it is given back, so that it can be ended well.
    pub(super) async fn accept(&self, socket: Socket) -> Result<Socket, (HandshakeError, Socket)> {
        let mut first = [0];
        match socket.peek(&mut first).await {
            Ok(0) => return Err((HandshakeError::Closed, socket)),
            // TLS begins with a number below 32 (RFC 8446, 5.1), and a request with a letter.
            Ok(_) if first[0].is_ascii_alphabetic() => return Err((HandshakeError::ClearText, socket)),
            Ok(_) => {}
            Err(error) => return Err((HandshakeError::Io(error), socket)),
        }
        match self.0.accept(socket).into_fallible().await {
            Ok(stream) => Ok(stream.into()),
            Err((error, socket)) => Err((HandshakeError::of(error), socket)),
        }
    }
}

/// The names of protocols in a handshake, the better one first (RFC 7301, section 6).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

fn config(settings: &Settings) -> ServerConfig {
    let provider = crypto();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for TLS 1.2 and 1.3");
    let builder = match &settings.clients {
        None => builder.with_no_client_auth(),
        Some(roots) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(roots.store(), provider)
                .build()
                .expect("there is a root certificate, and no list of revoked ones that could be wrong"),
        ),
    };
    let identity = SingleCertAndKey::from(settings.identity.certified());
    let mut config = builder.with_cert_resolver(Arc::new(identity));
    if settings.clients.is_some() {
        // A session that is resumed is as good as it was, and would outlive the certificate that its client showed.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    if settings.http {
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    }
    config
}
