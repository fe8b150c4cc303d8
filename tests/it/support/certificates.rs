//! Certificates: authorities that a test makes, what they issue, and servers that show it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// An authority of which nobody has heard.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub(crate) pem: String,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
    /// Its number; no two have the same.
    serial: u64,
}

/// The number of the next certificate.
static SERIAL: AtomicU64 = AtomicU64::new(1);

impl Authority {
    /// Authorities are told apart by their names.
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for this host.
    pub(crate) fn issue(&self, host: &str) -> Issued {
        self.issue_until(host, 2096)
    }

    /// A certificate for this host that is valid until the end of a year.
    pub(crate) fn issue_until(&self, host: &str, year: i32) -> Issued {
        self.issue_as(host, |params| params.not_after = date_time_ymd(year, 12, 31))
    }

    /// A certificate for this host that ends so many days from now.
    pub(crate) fn issue_for_days(&self, host: &str, days: u64) -> Issued {
        self.issue_for(host, Duration::from_hours(24 * days))
    }

    /// A certificate for this host that ends so soon.
    pub(crate) fn issue_for(&self, host: &str, time: Duration) -> Issued {
        let end = SystemTime::now() + time;
        self.issue_as(host, |params| params.not_after = end.into())
    }

    /// A certificate for this host that is valid from the begin of a year.
    pub(crate) fn issue_from(&self, host: &str, year: i32) -> Issued {
        self.issue_as(host, |params| params.not_before = date_time_ymd(year, 1, 1))
    }

    /// A certificate that bears these URIs, and no name.
    pub(crate) fn issue_to(&self, uris: &[&str]) -> Issued {
        self.issue_as("nobody", |params| {
            let uri = |uri: &&str| SanType::URI((*uri).try_into().unwrap());
            params.subject_alt_names = uris.iter().map(uri).collect();
        })
    }

    fn issue_as(&self, host: &str, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        Issued::make(host, change, |params, key| params.signed_by(key, &self.issuer).unwrap().pem())
    }

    /// A list of revoked certificates, good until the begin of a year.
    pub(crate) fn revoke(&self, revoked: &[&Issued], year: i32) -> String {
        let entry = |issued: &&Issued| RevokedCertParams {
            serial_number: SerialNumber::from(issued.serial),
            revocation_time: date_time_ymd(2001, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2001, 1, 1),
            next_update: date_time_ymd(year, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    /// A client that believes it, offers these protocols, and shows a certificate if it has one.
    pub(crate) fn client(&self, protocols: &[&str], own: Option<&Issued>) -> TlsConnector {
        self.client_of(protocols, own, rustls::ALL_VERSIONS)
    }

    /// The same, in these versions of TLS alone.
    pub(crate) fn client_of(
        &self,
        protocols: &[&str],
        own: Option<&Issued>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> TlsConnector {
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let builder = builder.with_protocol_versions(versions).unwrap().with_root_certificates(self.store());
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let certificate = CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        };
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }

    fn store(&self) -> RootCertStore {
        let mut store = RootCertStore::empty();
        store.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        store
    }
}

impl Issued {
    /// A certificate for this host that leads to nobody but itself.
    pub(crate) fn by_itself(host: &str) -> Self {
        Self::make(host, |_| {}, |params, key| params.self_signed(key).unwrap().pem())
    }

    /// A certificate for this host that leads to nobody but itself, and is an authority's: as Go Micro makes them up.
    pub(crate) fn as_authority(host: &str) -> Self {
        let change =
            |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self::make(host, change, |params, key| params.self_signed(key).unwrap().pem())
    }

    fn make(
        host: &str,
        change: impl FnOnce(&mut CertificateParams),
        sign: impl FnOnce(CertificateParams, &KeyPair) -> String,
    ) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        params.serial_number = Some(SerialNumber::from(serial));
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2096, 12, 31);
        params.distinguished_name.push(DnType::CommonName, host);
        change(&mut params);
        Self { certificate: sign(params, &key), key: key.serialize_pem(), serial }
    }

    /// A server that shows it and speaks this version alone.
    pub(crate) fn server_of(&self, version: &'static SupportedProtocolVersion) -> TlsAcceptor {
        self.serving(&["h2", "http/1.1"], None, &[version])
    }

    /// A server that shows it and speaks these protocols.
    pub(crate) fn server(&self, protocols: &[&str]) -> TlsAcceptor {
        self.serving(protocols, None, rustls::ALL_VERSIONS)
    }

    /// A server that shows it, and knows the sessions of the one that it takes the place of.
    pub(crate) fn server_after(
        &self,
        before: &TlsAcceptor,
        version: &'static SupportedProtocolVersion,
    ) -> TlsAcceptor {
        let mut config = ServerConfig::clone(self.server_of(version).config());
        config.session_storage = Arc::clone(&before.config().session_storage);
        TlsAcceptor::from(Arc::new(config))
    }

    /// The same, which wants to see a certificate of this authority in turn.
    pub(crate) fn server_for(
        &self,
        clients: &Authority,
        version: &'static SupportedProtocolVersion,
    ) -> TlsAcceptor {
        self.serving(&["h2", "http/1.1"], Some(clients), &[version])
    }

    fn serving(
        &self,
        protocols: &[&str],
        clients: Option<&Authority>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(versions).unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(authority.store()), provider)
                    .build()
                    .unwrap(),
            ),
        };
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let mut config = builder.with_single_cert(vec![certificate], key).unwrap();
        // What clients may send early, they must not: it could be somebody else's, sent again.
        config.max_early_data_size = 16 * 1024;
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// The server's side of a handshake; `None` when it failed, after the client has ended too, so that it hears why.
pub(crate) async fn accept(acceptor: &TlsAcceptor, socket: TcpStream) -> Option<TlsStream<TcpStream>> {
    match acceptor.accept(socket).into_fallible().await {
        Ok(stream) => Some(stream),
        Err((_, mut socket)) => {
            let _ = socket.read_to_end(&mut Vec::new()).await;
            None
        }
    }
}

/// A folder of files, gone when dropped.
pub(crate) struct Files(tempfile::TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Writes a file; its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}
