//! Whom we believe, and who we are: certificates and keys as they are read from PEM.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use thiserror::Error;

use super::expiry::{self, Validity};
use super::{TlsError, crypto};

/// Whose certificates are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Those that the authorities issued whom the system trusts.
    #[default]
    System,
    /// Those that these authorities issued.
    Only(Roots),
    /// All, unread: against eavesdroppers who only listen.
    Anyone,
}

/// Authorities whose certificates are believed; at least one.
#[derive(Clone)]
pub struct Roots(Arc<RootCertStore>);

/// A certificate with what leads to its authority, and its key.
#[derive(Clone)]
pub struct Identity(Arc<CertifiedKey>);

/// Why PEM is not what it should be.
#[derive(Debug, Error)]
pub enum PemError {
    /// It has no certificate.
    #[error("there is no certificate in it; one begins with -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    /// It has no private key that can be read.
    #[error(
        "there is no private key in it that is not encrypted; one begins with -----BEGIN PRIVATE KEY-----"
    )]
    NoKey,
    /// It has no list of revoked certificates.
    #[error("there is no list of revoked certificates in it; one begins with -----BEGIN X509 CRL-----")]
    NoList,
    /// A list of revoked certificates cannot be read.
    #[error("its list number {number} cannot be used: {cause}")]
    UnusableList {
        /// Which, from 1.
        number: usize,
        /// The cause.
        cause: webpki::Error,
    },
    /// It is broken.
    #[error("it is no PEM: {}", broken(.0))]
    Broken(rustls::pki_types::pem::Error),
    /// A certificate cannot be an authority's.
    #[error("its certificate number {number} cannot be used: {cause}")]
    Unusable {
        /// Which, from 1.
        number: usize,
        /// The cause.
        cause: rustls::Error,
    },
    /// Key and certificate do not belong together, or are of an unknown kind.
    #[error("it does not fit the certificate: {0}; write the key that the certificate was made for")]
    Mismatch(rustls::Error),
}

/// What is wrong with a text that should be PEM (RFC 7468).
#[expect(clippy::wildcard_enum_match_arm, reason = "the library may add causes, and tells them itself")]
fn broken(error: &rustls::pki_types::pem::Error) -> String {
    use rustls::pki_types::pem::Error;
    match error {
        Error::MissingSectionEnd { end_marker } => {
            format!(
                "what begins in it does not end with -----END {}-----",
                String::from_utf8_lossy(end_marker)
            )
        }
        Error::IllegalSectionStart { .. } => {
            "a line that begins with -----BEGIN does not end with -----".to_owned()
        }
        Error::Base64Decode(cause) => format!("what is between BEGIN and END is no Base64: {cause}"),
        _ => error.to_string(),
    }
}

/// All certificates of a PEM text; at least one.
///
/// # Errors
/// When it has none, or is no PEM.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let all: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(PemError::Broken)?;
    if all.is_empty() { Err(PemError::NoCertificate) } else { Ok(all) }
}

impl Roots {
    /// The authorities whose certificates a PEM text holds.
    ///
    /// # Errors
    /// When there are none, or one of them cannot be used.
    pub fn from_pem(pem: &[u8]) -> Result<Self, PemError> {
        let mut store = RootCertStore::empty();
        for (index, certificate) in certificates(pem)?.into_iter().enumerate() {
            store.add(certificate).map_err(|cause| PemError::Unusable { number: index + 1, cause })?;
        }
        Ok(Self(Arc::new(store)))
    }

    /// The same, as the library wants them.
    pub fn store(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.0)
    }
}

impl PartialEq for Roots {
    fn eq(&self, other: &Self) -> bool {
        self.0.roots == other.0.roots
    }
}

impl Eq for Roots {}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} root certificates", self.0.len())
    }
}

impl Identity {
    /// The certificate that one PEM text begins with, what leads to its authority, and the key in another, which may be
    /// the same.
    ///
    /// # Errors
    /// When either is missing, or they do not belong together.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, PemError> {
        let chain = certificates(certificate)?;
        let key = PrivateKeyDer::pem_slice_iter(key).next().ok_or(PemError::NoKey)?;
        let key = key.map_err(PemError::Broken)?;
        let certified = CertifiedKey::from_der(chain, key, &crypto()).map_err(PemError::Mismatch)?;
        Ok(Self(Arc::new(certified)))
    }

    /// What is to be said of its certificate at this time, if anything is; goes on behind its name.
    pub fn warning(&self) -> Option<String> {
        let validity = expiry::validity(self.0.end_entity_cert().ok()?, UnixTime::now())?;
        let at = humantime::format_rfc3339_seconds;
        Some(match validity {
            Validity::EndsSoon(end) => format!("ends within a week, at {}; renew it", at(end)),
            Validity::Ended(end) => format!("has expired, at {}, and is refused; renew it", at(end)),
            Validity::NotYet(begin) => {
                format!("is not valid before {}, and is refused; is the clock right?", at(begin))
            }
        })
    }

    /// When its certificate ends, where that can be read.
    pub fn end(&self) -> Option<SystemTime> {
        expiry::end(self.0.end_entity_cert().ok()?)
    }

    /// The same, as the library wants it.
    pub fn certified(&self) -> CertifiedKey {
        CertifiedKey::clone(&self.0)
    }
}

/// A time of a certificate.
pub(super) fn since_epoch(time: UnixTime) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(time.as_secs())
}

impl PartialEq for Identity {
    /// Certificates that are the same have the same key.
    fn eq(&self, other: &Self) -> bool {
        self.0.cert == other.0.cert
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a certificate with {} that lead to its authority", self.0.cert.len() - 1)
    }
}

/// The authorities whom the system trusts; those that cannot be used are left out, as other programs do.
pub(super) fn system_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    let (_, unusable) = store.add_parsable_certificates(found.certs);
    if store.is_empty() {
        // Whoever wanted them says so, at a bounded rate: they are looked for again each time.
        return Err(TlsError::NoRoots { cause: found.errors.first().map(|error| format!(" ({error})")) });
    }
    for error in &found.errors {
        tracing::warn!(%error, "some of the system's root certificates cannot be read");
    }
    tracing::debug!(roots = store.len(), unusable, "the system's root certificates were read");
    Ok(store)
}

/// Whether the same authorities are in both.
pub(super) fn is_same(one: &RootCertStore, other: &RootCertStore) -> bool {
    // Files are read in any order.
    one.len() == other.len() && one.roots.iter().all(|root| other.roots.contains(root))
}

/// Believes every certificate, as long as whoever shows it has its key.
#[derive(Debug)]
pub(super) struct Anyone(WebPkiSupportedAlgorithms);

impl Anyone {
    pub(super) fn new(provider: &CryptoProvider) -> Self {
        Self(provider.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
