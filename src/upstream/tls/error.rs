//! Why a handshake failed: the cause, one word for it, and what to do.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertRevocationListError, CertificateError, PeerIncompatible};
use thiserror::Error;

use super::Distrust;
use super::trust::since_epoch;

/// Why a handshake failed.
#[derive(Debug, Error)]
pub enum TlsError {
    /// There is nothing to hold certificates against.
    #[error("this system has no root certificates{}; write ca in [upstream.tls] or [service.tls]", .cause.as_deref().unwrap_or_default())]
    NoRoots {
        /// What went wrong when they were read, if anything did.
        cause: Option<String>,
    },
    /// The provider's host cannot stand in a certificate.
    #[error("{host:?} is no name for a certificate; write server_name in [upstream.tls] or [service.tls]")]
    Name {
        /// The host.
        host: Arc<str>,
    },
    /// The provider's certificate is not accepted.
    #[error("{}", certificate(.0))]
    Certificate(CertificateError),
    /// A list of revoked certificates cannot be used.
    #[error(
        "the list of revoked certificates of its authority cannot be used ({0:?}); look at the file of crl"
    )]
    List(CertRevocationListError),
    /// The provider broke off, and says why by an alert.
    #[error("{}", alert_told(*.alert, *.has_identity))]
    Alert {
        /// What it said.
        alert: AlertDescription,
        /// Whether we could show it who we are.
        has_identity: bool,
    },
    /// The provider speaks no version of TLS that is spoken here.
    #[error("{}", OTHER_VERSION)]
    Version,
    /// What it said is not TLS.
    #[error("it does not speak TLS on this port, though its record says so")]
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
    #[error("{}", NO_HTTP2)]
    NoHttp2,
    /// HTTP/1.1 is to be spoken, and the provider says that it speaks something else.
    #[error(
        "it speaks no HTTP/1.1 over TLS (ALPN), as its record says; if it speaks HTTP/2, as for gRPC, its record has to \
         say so (alert {})",
        alert_name(AlertDescription::NoApplicationProtocol)
    )]
    NoHttp1,
    /// Any other failure of the protocol.
    #[error("the TLS handshake failed")]
    Protocol(#[source] rustls::Error),
    /// The connection failed meanwhile.
    #[error("the connection failed during the TLS handshake")]
    Io(#[source] io::Error),
}

const OTHER_VERSION: &str =
    "it speaks no version of TLS that is spoken here, 1.2 or 1.3; it has to be renewed";
const NO_HTTP2: &str = "it does not offer HTTP/2 over TLS (ALPN), which the protocol of its record needs";

/// What is wrong with a certificate, and what to do.
fn certificate(error: &CertificateError) -> String {
    use CertificateError as E;
    let at = |time: &UnixTime| humantime::format_rfc3339_seconds(since_epoch(*time));
    #[expect(clippy::wildcard_enum_match_arm, reason = "the library may add causes, and tells them itself")]
    match error {
        E::Expired => "its certificate has expired; it has to be renewed there".to_owned(),
        E::ExpiredContext { time, not_after } => format!(
            "its certificate has expired, at {}; it has to be renewed there, if the clock of this machine is right: {}",
            at(not_after),
            at(time)
        ),
        E::NotValidYet => "its certificate is not valid yet; look at the clocks of both machines".to_owned(),
        E::NotValidYetContext { time, not_before } => format!(
            "its certificate is not valid yet, only from {}; look at the clocks of both machines: it is {} here",
            at(not_before),
            at(time)
        ),
        E::UnknownIssuer => {
            "its certificate comes from no authority that is trusted here; add that to the file of ca in \
             [upstream.tls] or [service.tls]"
                .to_owned()
        }
        E::BadSignature => {
            "its certificate bears the name of an authority that is trusted here, but not its signature; that \
             authority may have a new key, which the file of ca lacks"
                .to_owned()
        }
        E::NotValidForNameContext { expected, presented } => other_name(expected, presented),
        E::Revoked => "its certificate is revoked, as the list of its authority says in the file of crl".to_owned(),
        E::ExpiredRevocationListContext { time, next_update } => format!(
            "whether its certificate is revoked cannot be known: the list of its authority was good until {}, and it is {} \
             here; put a newer one into the file of crl",
            at(next_update),
            at(time)
        ),
        E::Other(cause) => match cause.0.downcast_ref::<Distrust>() {
            Some(distrust @ Distrust::SelfSigned) => {
                format!("{distrust}; add it to the file of ca in [upstream.tls] or [service.tls]")
            }
            Some(distrust @ Distrust::Id { .. }) => {
                format!("{distrust}; look at spiffe_id in [upstream.tls] or [service.tls]")
            }
            Some(distrust @ Distrust::Authority) => format!(
                "{distrust}; have one issued for the provider (Go Micro makes such a one up where it is given none), or write \
                 verify = false in [service.tls] to believe any"
            ),
            None => format!("its certificate is not accepted: {cause}"),
        },
        other => format!("its certificate is not accepted: {other}"),
    }
}

fn other_name(expected: &ServerName<'_>, presented: &[String]) -> String {
    // The library writes them as `DnsName("a")` and `IpAddress(10.0.0.1)`.
    let plain = |name: &String| {
        let name =
            name.strip_suffix(')').and_then(|name| name.split_once('(')).map_or(&**name, |(_, name)| name);
        name.trim_matches('"').to_owned()
    };
    let presented: Vec<String> = presented.iter().map(plain).collect();
    let presented = if presented.is_empty() { "no name at all".to_owned() } else { presented.join(", ") };
    format!(
        "its certificate is not for {}, but for {presented}; write server_name in [upstream.tls] or [service.tls] if \
         that is right",
        expected.to_str()
    )
}

/// The alerts by which a provider refuses who we are.
const REFUSALS: [AlertDescription; 9] = [
    AlertDescription::HandshakeFailure,
    AlertDescription::BadCertificate,
    AlertDescription::UnsupportedCertificate,
    AlertDescription::CertificateRevoked,
    AlertDescription::CertificateExpired,
    AlertDescription::CertificateUnknown,
    AlertDescription::UnknownCA,
    AlertDescription::AccessDenied,
    AlertDescription::CertificateRequired,
];

/// What a provider says by an alert, and what to do.
fn alert_told(alert: AlertDescription, has_identity: bool) -> String {
    use AlertDescription as A;
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are told alike")]
    let told = match alert {
        A::HandshakeFailure if has_identity => {
            "it found nothing to agree on: it may refuse the certificate of client_cert, or want other ciphers"
        }
        A::HandshakeFailure => {
            "it found nothing to agree on: it may ask for a certificate, write client_cert and client_key in \
             [upstream.tls] or [service.tls] then, or want other ciphers"
        }
        alert if REFUSALS.contains(&alert) && !has_identity => {
            "it asks for a certificate and was shown none; write client_cert and client_key in [upstream.tls] or \
             [service.tls]"
        }
        A::BadCertificate => "it finds the certificate of client_cert broken, or not one of those it wants",
        A::UnsupportedCertificate => "it cannot use a certificate of the kind of client_cert",
        A::CertificateRevoked => {
            "it says that the certificate of client_cert is revoked; have a new one issued"
        }
        A::CertificateExpired => "it says that the certificate of client_cert has expired; have it renewed",
        A::CertificateUnknown => "it does not accept the certificate of client_cert",
        A::UnknownCA => {
            "it does not trust the authority of client_cert; let it, or have a certificate issued by one that it trusts"
        }
        A::AccessDenied => "it knows the certificate of client_cert, and denies it access",
        A::CertificateRequired => "it asks for a certificate, and took that of client_cert for none",
        A::ProtocolVersion => OTHER_VERSION,
        A::NoApplicationProtocol => NO_HTTP2,
        A::UnrecognisedName => {
            "it knows nobody of the name that it was asked for; write server_name in [upstream.tls] or [service.tls]"
        }
        _ => "it broke off the handshake",
    };
    format!("{told} (alert {})", alert_name(alert))
}

/// The name of an alert as in RFC 8446, section 6, or its number.
pub(super) fn alert_name(alert: AlertDescription) -> String {
    let Some(words) = alert.as_str() else { return u8::from(alert).to_string() };
    let mut name = String::new();
    let mut after_small = false;
    for letter in words.chars() {
        if letter.is_ascii_uppercase() && after_small {
            name.push('_');
        }
        after_small = letter.is_ascii_lowercase();
        name.push(letter.to_ascii_lowercase());
    }
    name
}

impl TlsError {
    /// What the failure of a handshake is, in which we could show who we are or not.
    pub(super) fn of(error: io::Error, has_identity: bool) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Closed;
        }
        match error.downcast() {
            Ok(cause) => Self::of_library(cause, has_identity),
            Err(error) => Self::Io(error),
        }
    }

    /// The same, in the words of the library.
    pub(super) fn of_library(error: rustls::Error, has_identity: bool) -> Self {
        use rustls::Error as E;
        #[expect(clippy::wildcard_enum_match_arm, reason = "all others are told as they are")]
        match error {
            E::InvalidCertificate(cause) => Self::Certificate(cause),
            E::InvalidCertRevocationList(cause) => Self::List(cause),
            E::AlertReceived(alert) => Self::Alert { alert, has_identity },
            E::InvalidMessage(_) => Self::NotTls,
            E::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => Self::Version,
            cause => Self::Protocol(cause),
        }
    }

    /// One word for it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoRoots { .. } => "tls_no_roots",
            Self::Name { .. } => "tls_no_name",
            Self::Certificate(cause) => certificate_reason(cause),
            Self::List(_) => "tls_bad_list",
            Self::Alert { alert, .. } => alert_reason(*alert),
            Self::Version => "tls_version",
            Self::NotTls => "tls_not_spoken",
            Self::Closed => "tls_closed",
            Self::Timeout { .. } => "tls_timeout",
            Self::NoHttp2 => "tls_no_http2",
            Self::NoHttp1 => "tls_no_http1",
            Self::Protocol(_) | Self::Io(_) => "tls",
        }
    }

    /// The alert by which the provider told of it, if it did: its number, and its name.
    pub fn told_by(&self) -> Option<(u8, String)> {
        match self {
            Self::Alert { alert, .. } => Some((u8::from(*alert), alert_name(*alert))),
            Self::NoHttp1 => {
                let alert = AlertDescription::NoApplicationProtocol;
                Some((u8::from(alert), alert_name(alert)))
            }
            Self::NoRoots { .. }
            | Self::Name { .. }
            | Self::Certificate(_)
            | Self::List(_)
            | Self::Version
            | Self::NotTls
            | Self::Closed
            | Self::Timeout { .. }
            | Self::NoHttp2
            | Self::Protocol(_)
            | Self::Io(_) => None,
        }
    }
}

fn certificate_reason(cause: &CertificateError) -> &'static str {
    use CertificateError as E;
    #[expect(clippy::wildcard_enum_match_arm, reason = "the library may add causes")]
    match cause {
        E::Expired | E::ExpiredContext { .. } => "tls_expired",
        E::NotValidYet | E::NotValidYetContext { .. } => "tls_not_valid_yet",
        E::UnknownIssuer | E::BadSignature => "tls_unknown_authority",
        E::NotValidForName | E::NotValidForNameContext { .. } => "tls_wrong_name",
        E::Revoked => "tls_revoked",
        E::ExpiredRevocationList | E::ExpiredRevocationListContext { .. } => "tls_old_list",
        E::Other(cause) => match cause.0.downcast_ref::<Distrust>() {
            Some(Distrust::SelfSigned) => "tls_self_signed",
            Some(Distrust::Id { .. }) => "tls_wrong_id",
            Some(Distrust::Authority) => "tls_authority_itself",
            None => "tls_certificate",
        },
        _ => "tls_certificate",
    }
}

fn alert_reason(alert: AlertDescription) -> &'static str {
    use AlertDescription as A;
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are told alike")]
    match alert {
        A::ProtocolVersion => "tls_version",
        A::NoApplicationProtocol => "tls_no_http2",
        // It may be that as well as anything else.
        A::HandshakeFailure => "tls_alert",
        alert if REFUSALS.contains(&alert) => "tls_client_certificate",
        _ => "tls_alert",
    }
}

/// The alert by which a provider refuses who we are, if an error of a connection is one.
pub(in super::super) fn refused(error: &io::Error) -> Option<AlertDescription> {
    let rustls::Error::AlertReceived(alert) = error.get_ref()?.downcast_ref()? else { return None };
    REFUSALS.contains(alert).then_some(*alert)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_named_as_in_the_standard() {
        for (alert, name) in [
            (AlertDescription::UnknownCA, "unknown_ca"),
            (AlertDescription::CertificateRequired, "certificate_required"),
            (AlertDescription::from(201), "201"),
        ] {
            assert_eq!(alert_name(alert), name);
        }
    }

    #[test]
    fn every_refusal_names_the_cure() {
        for refusal in REFUSALS {
            for has_identity in [false, true] {
                let told = TlsError::Alert { alert: refusal, has_identity }.to_string();
                assert!(told.contains("client_cert"), "{told}");
                assert!(told.ends_with(&format!("(alert {})", alert_name(refusal))), "{told}");
            }
        }
    }

    #[test]
    fn names_in_certificates_are_told_as_people_write_them() {
        let expected = ServerName::try_from("a.internal").unwrap();
        let told =
            other_name(&expected, &["DnsName(\"b.internal\")".to_owned(), "IpAddress(10.0.0.1)".to_owned()]);
        assert!(told.contains("not for a.internal, but for b.internal, 10.0.0.1;"), "{told}");
        assert!(other_name(&expected, &[]).contains("no name at all"));
    }
}
