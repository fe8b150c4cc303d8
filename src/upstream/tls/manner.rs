//! The manner in which TLS is spoken with some providers: their terms, and what is made of them for the first handshake.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::trust::{self, Trust};
use super::verify::Verifier;
use super::{Terms, TlsError, crypto};
use crate::drain::Drain;
use crate::provider::{Host, Protocol, Provider};

/// The names of protocols in a handshake (RFC 7301, section 6).
const HTTP1: &[u8] = b"http/1.1";
const HTTP2: &[u8] = b"h2";

/// How TLS is spoken with some providers. Sessions are resumed among those alone, so that nobody is believed on the terms of
/// somebody else, or on those of yesterday.
pub struct Manner {
    pub(super) terms: Arc<Terms>,
    /// Made for the first handshake: who has no provider with TLS holds no root certificates in memory.
    ready: OnceCell<Ready>,
}

/// What a handshake begins with, by what is to be spoken after it.
struct Ready {
    http1: TlsConnector,
    http2: TlsConnector,
    /// Without a word of what is spoken above it.
    other: TlsConnector,
    /// What the system trusts, where that counts.
    system: Option<Arc<RootCertStore>>,
}

impl std::fmt::Debug for Manner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manner").field("terms", &self.terms).finish_non_exhaustive()
    }
}

impl Manner {
    pub(super) fn new(terms: Arc<Terms>) -> Arc<Self> {
        Arc::new(Self { terms, ready: OnceCell::new() })
    }

    pub(super) fn holds_system_roots(&self) -> bool {
        self.ready.get().is_some_and(|ready| ready.system.is_some())
    }

    /// Whether these are its terms, and what the system trusts is what it was when that was read, as far as is known.
    pub(super) fn still_holds(&self, terms: &Terms, system: Option<&RootCertStore>) -> bool {
        let held = self.ready.get().and_then(|ready| ready.system.as_ref());
        *self.terms == *terms
            && match (held, system) {
                (Some(held), Some(now)) => trust::is_same(held, now),
                (_, None) | (None, _) => true,
            }
    }

    /// What a handshake with a provider takes. Quick, but for the first time.
    pub(in super::super) async fn prepare(
        &self,
        provider: &Provider,
        drain: &Drain,
    ) -> Result<Handshake, TlsError> {
        let name = self.terms.name_of(provider.address.host())?;
        let ready = self.ready.get_or_try_init(|| Ready::make(&self.terms, drain)).await?;
        let has_identity = self.has_identity();
        Ok(match provider.protocol {
            Protocol::Http1 | Protocol::Mucp => {
                Handshake { name, connector: ready.http1.clone(), must_agree: None, has_identity }
            }
            Protocol::Tcp => {
                Handshake { name, connector: ready.other.clone(), must_agree: None, has_identity }
            }
            Protocol::H2c => {
                Handshake { name, connector: ready.http2.clone(), must_agree: Some(HTTP2), has_identity }
            }
        })
    }

    /// Whether we have something to show who we are.
    pub(in super::super) fn has_identity(&self) -> bool {
        self.terms.identity.is_some()
    }
}

/// A handshake that can begin.
pub(in super::super) struct Handshake {
    name: ServerName<'static>,
    connector: TlsConnector,
    /// What the provider has to agree to speak, where it could be something else.
    must_agree: Option<&'static [u8]>,
    has_identity: bool,
}

impl Handshake {
    /// Makes a connection a secure one.
    pub(in super::super) async fn make(self, socket: TcpStream) -> Result<TlsStream<TcpStream>, TlsError> {
        let Self { name, connector, must_agree, has_identity } = self;
        let stream = connector.connect(name, socket).await;
        let stream = stream.map_err(|error| TlsError::of(error, has_identity))?;
        if must_agree.is_some() && stream.get_ref().1.alpn_protocol() != must_agree {
            return Err(TlsError::NoHttp2);
        }
        Ok(stream)
    }
}

impl Terms {
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
    async fn make(terms: &Terms, drain: &Drain) -> Result<Self, TlsError> {
        let crypto = crypto();
        let verify = |roots, crypto: &Arc<CryptoProvider>| Arc::new(Verifier::new(roots, terms, crypto));
        let mut system = None;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&crypto))
            .with_safe_default_protocol_versions()
            .expect("ring has cipher suites for TLS 1.2 and 1.3")
            .dangerous();
        let builder = match &terms.trust {
            Trust::Anyone => builder.with_custom_certificate_verifier(Arc::new(trust::Anyone::new(&crypto))),
            Trust::Only(roots) => builder.with_custom_certificate_verifier(verify(roots.store(), &crypto)),
            Trust::System => {
                // They lie in hundreds of files, which no request should wait for but those that need them.
                let read = drain.run_aside("system roots", trust::system_roots).await;
                let roots = Arc::new(read.unwrap_or(Err(TlsError::NoRoots { cause: None }))?);
                system = Some(Arc::clone(&roots));
                builder.with_custom_certificate_verifier(verify(roots, &crypto))
            }
        };
        let mut config = match &terms.identity {
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
        Ok(Self { http1: connector(config), http2: connector(http2), other: connector(other), system })
    }
}
