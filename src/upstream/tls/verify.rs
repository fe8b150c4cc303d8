//! Verifying: whether a certificate leads to an authority that is trusted, is not revoked, and is of whom we want to reach.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertRevocationListError, CertificateError, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme,
};
use thiserror::Error;
use webpki::{
    EndEntityCert, ExpirationPolicy, KeyUsage, RevocationCheckDepth, RevocationOptionsBuilder,
    UnknownStatusPolicy,
};

use super::{Revoked, SpiffeId, Terms};

/// Why a certificate is not accepted, where the library has no word for it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Distrust {
    /// It leads to nobody but itself.
    #[error("its certificate is self-signed, and not among the authorities that are trusted here")]
    SelfSigned,
    /// It is an authority's, which issues those of others and serves nobody (RFC 5280, section 4.2.1.9).
    #[error("its certificate is that of an authority, which is none for a provider")]
    Authority,
    /// It is not of whom we want to reach.
    #[error("its certificate is not for {}, but for {}", named(.wanted, " or "), uris(.presented))]
    Id {
        /// The ids of which it should have borne one.
        wanted: Vec<String>,
        /// The URIs that it bears.
        presented: Vec<String>,
    },
}

fn named(names: &[String], between: &str) -> String {
    names.join(between)
}

fn uris(uris: &[String]) -> String {
    match uris {
        [] => "no SPIFFE id at all".to_owned(),
        [uri] => uri.clone(),
        // X.509-SVID, section 2: exactly one.
        several => format!("{}, which are more than the one id that it may bear", named(several, " and ")),
    }
}

/// Verifies the certificates of providers.
#[derive(Debug)]
pub(super) struct Verifier {
    /// Where a name is wanted.
    by_name: Arc<WebPkiServerVerifier>,
    roots: Arc<RootCertStore>,
    revoked: Option<Revoked>,
    /// The ids of which one is wanted, if any are.
    ids: Vec<SpiffeId>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub(super) fn new(roots: Arc<RootCertStore>, terms: &Terms, crypto: &Arc<CryptoProvider>) -> Self {
        let lists = terms.revoked.iter().flat_map(Revoked::lists);
        let by_name = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(crypto))
            .with_crls(lists)
            // Several authorities may be trusted, as while one takes the place of another, and not all have a list.
            .allow_unknown_revocation_status()
            // Whoever keeps newer lists from us must not gain by it.
            .enforce_revocation_expiration()
            .build()
            .expect("there is a root certificate, and lists were looked into when they were read");
        let (revoked, ids) = (terms.revoked.clone(), terms.ids.clone());
        Self { by_name, roots, revoked, ids, algorithms: crypto.signature_verification_algorithms }
    }

    /// Verifies a certificate as [`WebPkiServerVerifier`] does, but for whom it is (X.509-SVID, section 5).
    fn verify_id(
        &self,
        certificate: &EndEntityCert<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let lists: Vec<_> = self.revoked.iter().flat_map(Revoked::parsed).collect();
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|options| {
            options
                .with_depth(RevocationCheckDepth::Chain)
                .with_status_policy(UnknownStatusPolicy::Allow)
                .with_expiration_policy(ExpirationPolicy::Enforce)
                .build()
        });
        let (algorithms, roots) = (self.algorithms.all, &self.roots.roots);
        let usage = KeyUsage::server_auth();
        certificate
            .verify_for_usage(algorithms, roots, between, now, usage, revocation, None)
            .map_err(library_error)?;
        let presented: Vec<String> = certificate.valid_uri_names().map(str::to_owned).collect();
        match &*presented {
            [uri] if self.ids.iter().any(|id| id.admits(uri)) => Ok(()),
            _ => {
                let wanted = self.ids.iter().map(SpiffeId::to_string).collect();
                Err(other(Distrust::Id { wanted, presented }))
            }
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = EndEntityCert::try_from(end_entity).map_err(library_error)?;
        let verified = if self.ids.is_empty() {
            self.by_name
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .map(drop)
        } else {
            self.verify_id(&certificate, intermediates, now)
        };
        match verified {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))
                if certificate.issuer() == certificate.subject() =>
            {
                Err(other(Distrust::SelfSigned))
            }
            Err(error) if is_of_authority(&error) => Err(other(Distrust::Authority)),
            Err(error) => Err(error),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.by_name.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.by_name.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_name.supported_verify_schemes()
    }
}

/// Whether a certificate is refused since it is an authority's.
fn is_of_authority(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(CertificateError::Other(cause)) = error else { return false };
    matches!(cause.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

fn other(distrust: Distrust) -> rustls::Error {
    CertificateError::Other(OtherError(Arc::new(distrust))).into()
}

/// What the library of certificates says in the words of the library of TLS, which keeps its own translation to itself.
fn library_error(error: webpki::Error) -> rustls::Error {
    use webpki::Error as E;
    #[expect(clippy::wildcard_enum_match_arm, reason = "the library may add causes, and tells them itself")]
    let cause = match error {
        E::BadDer | E::BadDerTime | E::TrailingData(_) => CertificateError::BadEncoding,
        E::CertExpired { time, not_after } => CertificateError::ExpiredContext { time, not_after },
        E::CertNotValidYet { time, not_before } => CertificateError::NotValidYetContext { time, not_before },
        E::UnknownIssuer => CertificateError::UnknownIssuer,
        E::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        E::CertRevoked => CertificateError::Revoked,
        E::CrlExpired { time, next_update } => {
            CertificateError::ExpiredRevocationListContext { time, next_update }
        }
        E::IssuerNotCrlSigner => return CertRevocationListError::IssuerInvalidForCrl.into(),
        E::InvalidCrlSignatureForPublicKey => return CertRevocationListError::BadSignature.into(),
        other => CertificateError::Other(OtherError(Arc::new(other))),
    };
    cause.into()
}
