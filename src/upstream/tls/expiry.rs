//! When a certificate ends: told before it does, so that somebody can renew it.

use std::time::{Duration, SystemTime};

use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage};

use super::crypto;
use super::trust::since_epoch;

/// How long before its end a certificate is told to end soon.
const SOON: Duration = Duration::from_hours(7 * 24);

/// What is to be told of how a certificate stands to the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Validity {
    /// It ends within [`SOON`], at this time.
    EndsSoon(SystemTime),
    /// It ended at this time.
    Ended(SystemTime),
    /// It begins at this time.
    NotYet(SystemTime),
}

/// How a certificate stands to a time; `None` when it holds and will for [`SOON`] at least. What cannot be read is not judged.
pub(super) fn validity(certificate: &CertificateDer<'_>, now: UnixTime) -> Option<Validity> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    // Before it is asked who issued a certificate, it is looked at by itself, and what it says of time first.
    let algorithms = crypto().signature_verification_algorithms.all;
    let judged = |at: UnixTime| {
        certificate.verify_for_usage(algorithms, &[], &[], at, KeyUsage::server_auth(), None, None).err()
    };
    match judged(now) {
        Some(Error::CertNotValidYet { not_before, .. }) => Some(Validity::NotYet(since_epoch(not_before))),
        Some(Error::CertExpired { not_after, .. }) => Some(Validity::Ended(since_epoch(not_after))),
        Some(_) | None => {
            let then = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()) + SOON);
            match judged(then) {
                Some(Error::CertExpired { not_after, .. }) => {
                    Some(Validity::EndsSoon(since_epoch(not_after)))
                }
                Some(_) | None => None,
            }
        }
    }
}

/// When a certificate ends; `None` where it cannot be read.
pub(super) fn end(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    // The last second of the year 9999, which stands for no end at all (RFC 5280, 4.1.2.5): by then others have expired.
    const NEVER: Duration = Duration::from_secs(253_402_300_799);
    match validity(certificate, UnixTime::since_unix_epoch(NEVER))? {
        Validity::Ended(end) | Validity::EndsSoon(end) => Some(end),
        Validity::NotYet(_) => None,
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
        let unix =
            |seconds: i64| UnixTime::since_unix_epoch(Duration::from_secs(seconds.try_into().unwrap()));
        let at = |seconds: i64| validity(certificate.der(), unix(seconds));
        let (begins, ends) = (since_epoch(unix(begin)), since_epoch(unix(end)));
        assert_eq!(at(begin - 1), Some(Validity::NotYet(begins)));
        assert_eq!(at(begin), None);
        assert_eq!(at(end - 8 * day), None);
        assert_eq!(at(end - 6 * day), Some(Validity::EndsSoon(ends)));
        assert_eq!(at(end + 1), Some(Validity::Ended(ends)));
        assert_eq!(super::end(certificate.der()), Some(ends));
        let junk = CertificateDer::from(vec![1, 2, 3]);
        assert_eq!(validity(&junk, UnixTime::now()), None);
    }
}
