//! Where a provider listens: an IP address or host name, and a port.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// The longest host name there is (RFC 1035, section 2.3.4), in bytes.
const HOST_NAME_MAX: usize = 253;

/// Where a provider listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    host: Host,
    port: u16,
}

/// The part of an [`Address`] before the port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// An IP address.
    Ip(IpAddr),
    /// A name, lower case, resolved when a connection is made.
    Name(Arc<str>),
}

/// Why a text is not an [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// There is no `:port` at the end.
    #[error("{0:?} has no port; write it as host:port")]
    NoPort(String),
    /// The port is not a number from 1 to 65535.
    #[error("the port of {0:?} is not a number from 1 to 65535")]
    BadPort(String),
    /// The host is neither an IP address nor a host name.
    #[error("the host of {0:?} is neither an IP address nor a host name")]
    BadHost(String),
    /// An IPv6 address without brackets, whose last group could be a port.
    #[error("{0:?} is ambiguous; write IPv6 addresses as [::1]:8080")]
    BareIpv6(String),
}

impl Address {
    /// The address of a host (an IP address, with or without brackets, or a name) and a port from 1 to 65535.
    ///
    /// # Errors
    /// When the host is neither an IP address nor a host name, or the port is 0.
    pub fn new(host: &str, port: u16) -> Result<Self, AddressError> {
        if port == 0 {
            return Err(AddressError::BadPort(format!("{host}:{port}")));
        }
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let host = match (bare, host.parse::<IpAddr>()) {
            (Some(inside), _) => Host::Ip(IpAddr::V6(
                inside.parse::<Ipv6Addr>().map_err(|_| AddressError::BadHost(host.to_owned()))?,
            )),
            (None, Ok(ip)) => Host::Ip(ip),
            (None, Err(_)) if is_host_name(host) => Host::Name(host.to_ascii_lowercase().into()),
            (None, Err(_)) => return Err(AddressError::BadHost(host.to_owned())),
        };
        Ok(Self { host, port })
    }

    /// The host.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The port, from 1 to 65535.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Another port of the same host.
    #[must_use]
    pub fn with_port(&self, port: u16) -> Self {
        Self { host: self.host.clone(), port }
    }
}

impl From<std::net::SocketAddr> for Address {
    fn from(socket: std::net::SocketAddr) -> Self {
        Self { host: Host::Ip(socket.ip()), port: socket.port() }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (host, port) = text.rsplit_once(':').ok_or_else(|| AddressError::NoPort(text.to_owned()))?;
        if host.contains(':') && !host.starts_with('[') {
            return Err(AddressError::BareIpv6(text.to_owned()));
        }
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = digits.then(|| port.parse::<u16>().ok()).flatten();
        let port = port.filter(|port| *port > 0).ok_or_else(|| AddressError::BadPort(text.to_owned()))?;
        Self::new(host, port).map_err(|_| AddressError::BadHost(text.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
            Host::Ip(IpAddr::V4(ip)) => write!(f, "{ip}:{}", self.port),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// Letters, digits, `-`, `_` (seen in container networks) and dots between labels of at most 63 bytes.
fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= HOST_NAME_MAX
        && text.strip_suffix('.').unwrap_or(text).split('.').all(label)
        && !looks_like_bad_ipv4(text)
}

/// `10.0.0.256` and `1.2.3` are mistyped addresses, not names: no top-level domain is a number (RFC 1123, 2.1).
fn looks_like_bad_ipv4(text: &str) -> bool {
    let last = text.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_registries_write() {
        for (text, shown) in [
            ("10.0.0.5:8080", "10.0.0.5:8080"),
            ("[2001:DB8::1]:80", "[2001:db8::1]:80"),
            ("Greeter-1.svc.local:65535", "greeter-1.svc.local:65535"),
            ("my_container:1", "my_container:1"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn refuses_with_the_cause() {
        let error = |text: &str| text.parse::<Address>().unwrap_err();
        assert!(matches!(error("10.0.0.5"), AddressError::NoPort(_)));
        assert!(matches!(error("10.0.0.5:0"), AddressError::BadPort(_)));
        assert!(matches!(error("10.0.0.5:+80"), AddressError::BadPort(_)));
        assert!(matches!(error("10.0.0.5:65536"), AddressError::BadPort(_)));
        assert!(matches!(error("::1:80"), AddressError::BareIpv6(_)));
        assert!(matches!(error("10.0.0.256:80"), AddressError::BadHost(_)));
        assert!(matches!(error("a b:80"), AddressError::BadHost(_)));
        assert!(matches!(error(":80"), AddressError::BadHost(_)));
        assert!(matches!(error("[10.0.0.1]:80"), AddressError::BadHost(_)));
    }
}
