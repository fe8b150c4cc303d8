//! TLS with providers whose record asks for it: made ready when it is first needed, and why a handshake failed.

mod trust;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub use trust::{Identity, PemError, Roots, Trust, certificates};

use crate::drain::Drain;
use crate::provider::{Host, Protocol, Provider};

/// How TLS is spoken with the providers whose record asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whose certificates are believed.
    pub trust: Trust,
    /// The name that every certificate has to bear, in place of the host of its provider.
    pub server_name: Option<ServerName<'static>>,
    /// Who we are, where a provider asks.
    pub identity: Option<Identity>,
}

/// Why a handshake failed.
#[derive(Debug, Error)]
pub enum TlsError {
    /// There is nothing to hold certificates against.
    #[error("this system has no root certificates{}; some have to be given", .cause.as_deref().unwrap_or_default())]
    NoRoots {
        /// What went wrong when they were read, if anything did.
        cause: Option<String>,
    },
    /// The provider's host cannot stand in a certificate.
    #[error("{host:?} is no name for a certificate")]
    Name {
        /// The host.
        host: Arc<str>,
    },
    /// The provider's certificate is not accepted.
    #[error("{}", certificate(.0))]
    Certificate(CertificateError),
    /// The provider broke off, and says why by an alert.
    #[error("it broke off with the alert {0:?}")]
    Alert(AlertDescription),
    /// What it said is not TLS.
    #[error("it does not speak TLS on this port")]
    NotTls,
    /// The provider closed the connection in the middle of the handshake.
    #[error("it closed the connection during the TLS handshake")]
    Closed,
    /// The time limit for the connection passed.
    #[error("the handshake did not end within {limit:?}, connecting included")]
    Timeout {
        /// The limit.
        limit: Duration,
    },
    /// HTTP/2 is to be spoken, and the provider did not agree to it.
    #[error("it does not offer HTTP/2 over TLS")]
    NoHttp2,
    /// Any other failure of the protocol.
    #[error("the TLS handshake failed")]
    Protocol(#[source] rustls::Error),
    /// The connection failed meanwhile.
    #[error("the connection failed during the TLS handshake")]
    Io(#[source] io::Error),
}

/// What is wrong with a certificate, in words that say where to look.
fn certificate(error: &CertificateError) -> String {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the library may add causes, and tells them itself")]
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet".to_owned()
        }
        CertificateError::UnknownIssuer => {
            "its certificate comes from no authority that is trusted here".to_owned()
        }
        CertificateError::BadSignature => {
            "its certificate bears the name of an authority that is trusted here, but not its signature"
                .to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let presented = presented.join(", ");
            format!("its certificate is not for {}, but for {presented}", expected.to_str())
        }
        other => format!("its certificate is not accepted: {other}"),
    }
}

impl TlsError {
    fn of(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Closed;
        }
        match error.downcast::<rustls::Error>() {
            Ok(rustls::Error::InvalidCertificate(cause)) => Self::Certificate(cause),
            Ok(rustls::Error::AlertReceived(alert)) => Self::Alert(alert),
            Ok(rustls::Error::InvalidMessage(_)) => Self::NotTls,
            Ok(cause) => Self::Protocol(cause),
            Err(error) => Self::Io(error),
        }
    }
}

/// The alert by which a provider refuses who we are, if an error of a connection is one.
pub(super) fn refused(error: &io::Error) -> Option<AlertDescription> {
    use AlertDescription as A;
    let rustls::Error::AlertReceived(alert) = error.get_ref()?.downcast_ref()? else { return None };
    let refusals = [
        A::HandshakeFailure,
        A::BadCertificate,
        A::UnsupportedCertificate,
        A::CertificateRevoked,
        A::CertificateExpired,
        A::CertificateUnknown,
        A::UnknownCA,
        A::AccessDenied,
        A::CertificateRequired,
    ];
    refusals.contains(alert).then_some(*alert)
}

/// TLS as it is spoken now. A change of the settings holds for the connections made from then on.
#[derive(Debug)]
pub(super) struct Tls {
    /// Replaced when the configuration is read again; loaded once for each handshake.
    state: ArcSwap<State>,
}

#[derive(Debug)]
struct State {
    settings: Settings,
    /// Made for the first handshake: who has no provider with TLS holds no root certificates in memory.
    ready: OnceCell<Ready>,
}

/// What a handshake begins with, by what is to be spoken after it.
struct Ready {
    http1: TlsConnector,
    http2: TlsConnector,
    /// Without a word of what is spoken above it.
    other: TlsConnector,
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ready")
    }
}

impl Tls {
    pub(super) fn new(settings: Settings) -> Self {
        Self { state: ArcSwap::from_pointee(State::new(settings)) }
    }

    /// Takes other settings, and reads anew what the system trusts.
    pub(super) fn renew(&self, settings: Settings) {
        self.state.store(Arc::new(State::new(settings)));
    }

    /// What a handshake with a provider takes. Quick, but for the first time.
    pub(super) async fn prepare(&self, provider: &Provider, drain: &Drain) -> Result<Handshake, TlsError> {
        let state = self.state.load_full();
        let name = state.settings.name_of(provider.address.host())?;
        let ready = state.ready.get_or_try_init(|| Ready::make(&state.settings, drain)).await?;
        Ok(match provider.protocol {
            Protocol::Http1 | Protocol::Mucp => {
                Handshake { name, connector: ready.http1.clone(), must_agree: None }
            }
            Protocol::H2c => Handshake { name, connector: ready.http2.clone(), must_agree: Some(HTTP2) },
            Protocol::Tcp => Handshake { name, connector: ready.other.clone(), must_agree: None },
        })
    }
}

/// A handshake that can begin.
pub(super) struct Handshake {
    name: ServerName<'static>,
    connector: TlsConnector,
    /// What the provider has to agree to speak, where it could be something else.
    must_agree: Option<&'static [u8]>,
}

impl Handshake {
    /// Makes a connection a secure one.
    pub(super) async fn make(self, socket: TcpStream) -> Result<TlsStream<TcpStream>, TlsError> {
        let stream = self.connector.connect(self.name, socket).await.map_err(TlsError::of)?;
        if self.must_agree.is_some() && stream.get_ref().1.alpn_protocol() != self.must_agree {
            return Err(TlsError::NoHttp2);
        }
        Ok(stream)
    }
}

/// The names of protocols in a handshake (RFC 7301, section 6).
const HTTP1: &[u8] = b"http/1.1";
const HTTP2: &[u8] = b"h2";

impl State {
    fn new(settings: Settings) -> Self {
        if settings.trust == Trust::Anyone {
            tracing::warn!(
                "CERTIFICATES ARE NOT VERIFIED: whoever can redirect connections to a provider can read and change what is sent"
            );
        }
        Self { settings, ready: OnceCell::new() }
    }
}

impl Settings {
    fn name_of(&self, host: &Host) -> Result<ServerName<'static>, TlsError> {
        if let Some(name) = &self.server_name {
            return Ok(name.clone());
        }
        match host {
            Host::Ip(ip) => Ok(ServerName::from(*ip)),
            Host::Name(name) => {
                ServerName::try_from(name.to_string()).map_err(|_| TlsError::Name { host: Arc::clone(name) })
            }
        }
    }
}

impl Ready {
    async fn make(settings: &Settings, drain: &Drain) -> Result<Self, TlsError> {
        let provider = crypto();
        let verifier: Arc<dyn ServerCertVerifier> = match &settings.trust {
            Trust::Anyone => Arc::new(trust::Anyone::new(&provider)),
            Trust::Only(roots) => verifier(roots.store(), &provider),
            Trust::System => {
                // They lie in hundreds of files, which no request should wait for but those that need them.
                let roots = drain.run_aside("system roots", trust::system_roots).await;
                verifier(Arc::new(roots.unwrap_or(Err(TlsError::NoRoots { cause: None }))?), &provider)
            }
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has cipher suites for TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &settings.identity {
            Some(identity) => {
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified())))
            }
            None => builder.with_no_client_auth(),
        };
        let other = config.clone();
        config.alpn_protocols = vec![HTTP1.to_vec()];
        let mut http2 = config.clone();
        http2.alpn_protocols = vec![HTTP2.to_vec()];
        let connector = |config: ClientConfig| TlsConnector::from(Arc::new(config));
        Ok(Self { http1: connector(config), http2: connector(http2), other: connector(other) })
    }
}

fn verifier(roots: Arc<RootCertStore>, provider: &Arc<CryptoProvider>) -> Arc<dyn ServerCertVerifier> {
    WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
        .build()
        .expect("there is a root certificate, and no list of revoked ones that could be wrong")
}

/// The one implementation of all that is secret: no other can be chosen by accident.
fn crypto() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
