//! Why no connection to a provider came about, and whether that is this machine's own doing.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::provider::{Address, Reserved};
use crate::upstream::fault::Fault;
use crate::upstream::tls::TlsError;

/// Why no connection came about; the provider has seen nothing of the request.
#[derive(Clone, Debug, Error)]
pub enum ConnectError {
    /// The host name could not be resolved.
    #[error("cannot resolve the host of {address}")]
    Resolve {
        /// The provider's address.
        address: Address,
        /// The resolver's words.
        #[source]
        source: Arc<io::Error>,
    },
    /// The host name has no address.
    #[error("the host of {address} has no address")]
    NoAddress {
        /// The provider's address.
        address: Address,
    },
    /// The provider's address, or every one of its name, is reserved: it is not dialled.
    #[error(
        "{address} is not dialled, since {ip} is {reserved}; if a provider is meant to be there, list its network in \
         services.allow_addresses"
    )]
    Reserved {
        /// The provider's address.
        address: Address,
        /// The address that would be dialled.
        ip: IpAddr,
        /// What for.
        reserved: Reserved,
    },
    /// The provider's machine refuses.
    #[error("{address} refuses connections")]
    Refused {
        /// The provider's address.
        address: Address,
    },
    /// This machine has not what a connection takes; the provider has nothing to do with it.
    #[error("this machine cannot make another connection to {address}: {}", lacking(.source))]
    Lacking {
        /// The provider's address.
        address: Address,
        /// The system's words.
        #[source]
        source: Arc<io::Error>,
    },
    /// Any other failure to connect.
    #[error("cannot connect to {address}")]
    Failed {
        /// The provider's address.
        address: Address,
        /// The system's words.
        #[source]
        source: Arc<io::Error>,
    },
    /// The time limit passed first.
    #[error("no connection to {address} within {limit:?}")]
    Timeout {
        /// The provider's address.
        address: Address,
        /// The limit.
        limit: Duration,
    },
    /// The provider speaks something else.
    #[error("{address} does not speak HTTP")]
    NotHttp {
        /// The provider's address.
        address: Address,
    },
    /// The connection came about, but TLS could not begin on it.
    #[error("cannot speak TLS with {}", named(.address, .id))]
    Tls {
        /// The provider's address.
        address: Address,
        /// Its id.
        id: Arc<str>,
        /// The cause.
        #[source]
        source: Arc<TlsError>,
    },
    /// The provider speaks HTTP/1 where its record says HTTP/2.
    #[error(
        "{address} answers in HTTP/1, and its record or the configuration says that it speaks HTTP/2; correct the protocol there"
    )]
    NotHttp2 {
        /// The provider's address.
        address: Address,
    },
    /// The connection came about, but HTTP could not begin on it.
    #[error("cannot begin to speak HTTP with {address}")]
    Handshake {
        /// The provider's address.
        address: Address,
        /// The library's words.
        #[source]
        source: Arc<Fault>,
    },
}

/// A provider by its address, and by its id where that is another word. A registry may have put anything into that, such as the end
/// of a line of the log.
fn named(address: &Address, id: &str) -> String {
    let address = address.to_string();
    if id == address || id.is_empty() { address } else { format!("{address} ({})", id.escape_debug()) }
}

impl ConnectError {
    pub(in crate::upstream) fn tls(address: &Address, id: &Arc<str>, cause: TlsError) -> Self {
        Self::Tls { address: address.clone(), id: Arc::clone(id), source: Arc::new(cause) }
    }

    /// Whom it was to.
    pub const fn address(&self) -> &Address {
        match self {
            Self::Resolve { address, .. }
            | Self::NoAddress { address }
            | Self::Reserved { address, .. }
            | Self::Refused { address }
            | Self::Lacking { address, .. }
            | Self::Failed { address, .. }
            | Self::Timeout { address, .. }
            | Self::NotHttp { address }
            | Self::NotHttp2 { address }
            | Self::Tls { address, .. }
            | Self::Handshake { address, .. } => address,
        }
    }

    /// Whether the cause lies with this machine alone, so that nothing is known of the provider.
    pub fn is_ours(&self) -> bool {
        match self {
            Self::Lacking { .. } => true,
            Self::Tls { source, .. } => matches!(**source, TlsError::NoRoots { .. }),
            Self::Resolve { .. }
            | Self::NoAddress { .. }
            | Self::Reserved { .. }
            | Self::Refused { .. }
            | Self::Failed { .. }
            | Self::Timeout { .. }
            | Self::NotHttp { .. }
            | Self::NotHttp2 { .. }
            | Self::Handshake { .. } => false,
        }
    }

    /// Whether nobody was there who takes connections. A handshake of TLS that failed has another side; and what a name leads
    /// to, or what this machine may dial, says nothing of who is there.
    pub fn shows_nobody(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::Failed { .. } | Self::Timeout { .. } => true,
            Self::Resolve { .. }
            | Self::NoAddress { .. }
            | Self::Reserved { .. }
            | Self::Lacking { .. }
            | Self::NotHttp { .. }
            | Self::NotHttp2 { .. }
            | Self::Tls { .. }
            | Self::Handshake { .. } => false,
        }
    }
}

/// What Linux calls them: no memory, no file descriptor in the system or the process, no local port, no buffer.
const ENOMEM: i32 = 12;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const EADDRNOTAVAIL: i32 = 99;
const ENOBUFS: i32 = 105;

/// Whether a failure to connect is this machine's own.
pub(super) fn is_ours(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(ENOMEM | ENFILE | EMFILE | EADDRNOTAVAIL | ENOBUFS))
}

/// What is lacking, and where to look.
fn lacking(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(EMFILE) => "it has as many files open as a process may (ulimit -n)",
        Some(ENFILE) => "the system has as many files open as it may (fs.file-max)",
        Some(EADDRNOTAVAIL) => {
            "no local port is free for that address (net.ipv4.ip_local_port_range), or there is no local address of its kind, \
             as where IPv6 is turned off"
        }
        Some(_) | None => "the system has no memory for it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_machine_lacks_is_told_apart() {
        for (code, ours) in
            [(EMFILE, true), (EADDRNOTAVAIL, true), (ENOBUFS, true), (111, false), (110, false)]
        {
            assert_eq!(is_ours(&io::Error::from_raw_os_error(code)), ours, "{code}");
        }
        assert!(!is_ours(&io::Error::other("no number")));
    }

    #[test]
    fn only_where_no_connection_comes_about_is_nobody() {
        let address: Address = "10.0.0.1:8443".parse().unwrap();
        let source = || Arc::new(io::Error::other("why"));
        let expired = TlsError::Certificate(rustls::CertificateError::Expired);
        for (error, nobody) in [
            (ConnectError::Refused { address: address.clone() }, true),
            (ConnectError::Failed { address: address.clone(), source: source() }, true),
            (ConnectError::Timeout { address: address.clone(), limit: Duration::from_secs(1) }, true),
            (ConnectError::Lacking { address: address.clone(), source: source() }, false),
            (ConnectError::Resolve { address: address.clone(), source: source() }, false),
            (ConnectError::NoAddress { address: address.clone() }, false),
            // The certificate may well be ours, or the clock of this machine wrong.
            (ConnectError::tls(&address, &"greeter-1".into(), expired), false),
            (ConnectError::tls(&address, &"greeter-1".into(), TlsError::Closed), false),
        ] {
            assert_eq!(error.shows_nobody(), nobody, "{error}");
        }
    }

    #[test]
    fn a_provider_is_named_by_address_and_id() {
        let address: Address = "10.0.0.1:8443".parse().unwrap();
        for (id, told) in [
            ("greeter-1", "10.0.0.1:8443 (greeter-1)"),
            ("10.0.0.1:8443", "10.0.0.1:8443"),
            ("g\n2026 ERROR\u{1b}[2J", r"10.0.0.1:8443 (g\n2026 ERROR\u{1b}[2J)"),
        ] {
            let error = ConnectError::tls(&address, &id.into(), TlsError::NotTls);
            assert_eq!(error.to_string(), format!("cannot speak TLS with {told}"));
        }
    }
}
