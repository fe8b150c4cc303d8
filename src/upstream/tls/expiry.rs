//! When a certificate ends: told before it does, so that somebody can renew it.

use std::time::Duration;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};

use super::crypto;

/// How long before its end a certificate is told to end soon.
pub const SOON: Duration = Duration::from_hours(7 * 24);

/// How a certificate stands to the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It holds, and will for [`SOON`] at least.
    Good,
    /// It holds, but not for [`SOON`].
    EndsSoon,
    /// It has ended.
    Ended,
    /// It begins later.
    NotYet,
}

/// How a certificate stands to a time. What cannot be read is not judged.
pub(super) fn validity(certificate: &CertificateDer<'_>, now: UnixTime) -> Validity {
    match judged(certificate, now) {
        Some(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => Validity::NotYet,
        Some(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => Validity::Ended,
        Some(_) | None => {
            let then = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()) + SOON);
            let ended = judged(certificate, then);
            let has_ended =
                matches!(ended, Some(CertificateError::Expired | CertificateError::ExpiredContext { .. }));
            if has_ended { Validity::EndsSoon } else { Validity::Good }
        }
    }
}

/// What a verifier says of it that trusts nobody: first of all, whether the time is right.
fn judged(certificate: &CertificateDer<'_>, now: UnixTime) -> Option<CertificateError> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let algorithms = crypto().signature_verification_algorithms.all;
    let nobody = RootCertStore::empty();
    match verify_server_cert_signed_by_trust_anchor(&parsed, &nobody, &[], now, algorithms) {
        Err(Error::InvalidCertificate(cause)) => Some(cause),
        Ok(()) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn certificates_are_held_against_the_time() {
        let mut params = CertificateParams::new(["a".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2030, 1, 1);
        let (begin, end) = (params.not_before.unix_timestamp(), params.not_after.unix_timestamp());
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let day = 24 * 3600;
        let at = |seconds: i64| {
            let seconds = Duration::from_secs(seconds.try_into().unwrap());
            validity(certificate.der(), UnixTime::since_unix_epoch(seconds))
        };
        assert_eq!(at(begin - 1), Validity::NotYet);
        assert_eq!(at(begin), Validity::Good);
        assert_eq!(at(end - 8 * day), Validity::Good);
        assert_eq!(at(end - 6 * day), Validity::EndsSoon);
        assert_eq!(at(end + 1), Validity::Ended);
        let junk = CertificateDer::from(vec![1, 2, 3]);
        assert_eq!(validity(&junk, UnixTime::now()), Validity::Good);
    }
}
