//! The manner in which TLS is spoken with some providers: their terms, and what is made of them for the first handshake.

use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ClientSessionMemoryCache, ClientSessionStore as _, Resumption};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{AlertDescription, ClientConfig, HandshakeKind, RootCertStore};
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

/// Sessions that are kept, up to eight of them with each server.
const SESSIONS: usize = 256;

/// What a handshake begins with, by what is to be spoken after it.
struct Ready {
    http1: TlsConnector,
    http2: TlsConnector,
    /// Without a word of what is spoken above it.
    other: TlsConnector,
    /// What the system trusts, where that counts.
    system: Option<Arc<RootCertStore>>,
    sessions: Arc<Sessions>,
}

/// The sessions that may be resumed, and what their certificates are held against each time.
struct Sessions {
    store: Arc<ClientSessionMemoryCache>,
    verifier: Arc<dyn ServerCertVerifier>,
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
        let (connector, must_agree) = match provider.protocol {
            Protocol::Http1 | Protocol::Mucp => (&ready.http1, None),
            Protocol::Tcp => (&ready.other, None),
            Protocol::H2c => (&ready.http2, Some(HTTP2)),
        };
        let (connector, sessions) = (connector.clone(), Arc::clone(&ready.sessions));
        Ok(Handshake { name, connector, must_agree, has_identity: self.has_identity(), sessions })
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
    sessions: Arc<Sessions>,
}

impl Handshake {
    /// Makes a connection a secure one.
    pub(in super::super) async fn make(&self, socket: TcpStream) -> Result<TlsStream<TcpStream>, TlsError> {
        let stream = self.connector.connect(self.name.clone(), socket).await;
        let stream = stream.map_err(|error| {
            let error = TlsError::of(error, self.has_identity);
            let alert = AlertDescription::NoApplicationProtocol;
            let speaks_else = matches!(&error, TlsError::Alert { alert: told, .. } if *told == alert);
            if speaks_else && self.must_agree.is_none() { TlsError::NoHttp1 } else { error }
        })?;
        if self.must_agree.is_some() && stream.get_ref().1.alpn_protocol() != self.must_agree {
            return Err(TlsError::NoHttp2);
        }
        Ok(stream)
    }

    /// Verifies the certificate of a session that was resumed, which the library does not: it may have expired since, or the
    /// list of its authority, and sessions that renew their tickets have no end. What does not hold any more is forgotten, so
    /// that another handshake begins without it.
    pub(in super::super) fn verify_again(&self, stream: &TlsStream<TcpStream>) -> Result<(), TlsError> {
        let session = stream.get_ref().1;
        let chain = session.peer_certificates().unwrap_or_default();
        let (Some(HandshakeKind::Resumed), [certificate, between @ ..]) = (session.handshake_kind(), chain)
        else {
            return Ok(());
        };
        let Sessions { store, verifier } = &*self.sessions;
        match verifier.verify_server_cert(certificate, between, &self.name, &[], UnixTime::now()) {
            Ok(_) => Ok(()),
            Err(error) => {
                store.remove_tls12_session(&self.name);
                while store.take_tls13_ticket(&self.name).is_some() {}
                Err(TlsError::of_library(error, self.has_identity))
            }
        }
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
        let mut system = None;
        let roots = match &terms.trust {
            Trust::Anyone => None,
            Trust::Only(roots) => Some(roots.store()),
            Trust::System => {
                // They lie in hundreds of files, which no request should wait for but those that need them.
                let read = drain.run_aside("system roots", trust::system_roots).await;
                system = Some(Arc::new(read.unwrap_or(Err(TlsError::NoRoots { cause: None }))?));
                system.clone()
            }
        };
        let verifier: Arc<dyn ServerCertVerifier> = match roots {
            None => Arc::new(trust::Anyone::new(&crypto)),
            Some(roots) => Arc::new(Verifier::new(roots, terms, &crypto)),
        };
        let builder = ClientConfig::builder_with_provider(crypto)
            .with_safe_default_protocol_versions()
            .expect("ring has cipher suites for TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier));
        let mut config = match &terms.identity {
            Some(identity) => {
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified())))
            }
            None => builder.with_no_client_auth(),
        };
        let store = Arc::new(ClientSessionMemoryCache::new(SESSIONS));
        config.resumption = Resumption::store(Arc::clone(&store) as _);
        let other = config.clone();
        config.alpn_protocols = vec![HTTP1.to_vec()];
        let mut http2 = config.clone();
        http2.alpn_protocols = vec![HTTP2.to_vec()];
        let [http1, http2, other] = [config, http2, other].map(|config| TlsConnector::from(Arc::new(config)));
        Ok(Self { http1, http2, other, system, sessions: Arc::new(Sessions { store, verifier }) })
    }
}
