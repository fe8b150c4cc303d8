//! A peer: who is at the other end of a client connection, as requests, logs and keys tell it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Serialize, Serializer};

/// Who is at the other end of a client connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A client with an address of its own; one of IPv4 is written as such, even where it came to a socket of IPv6.
    At(SocketAddr),
    /// A program of this machine that came over a Unix socket, and has no address.
    Unix,
}

impl Peer {
    /// Its IP address and port, if it has one.
    pub const fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::At(address) => Some(*address),
            Self::Unix => None,
        }
    }

    /// Its IP address, if it has one.
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::At(address) => Some(address.ip()),
            Self::Unix => None,
        }
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self::At(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

impl Serialize for Peer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_of_ipv4_is_one_whatever_socket_it_came_to() {
        for (address, told) in [
            ("[::ffff:10.0.0.1]:5", "10.0.0.1:5"),
            ("10.0.0.1:5", "10.0.0.1:5"),
            ("[2001:db8::1]:5", "[2001:db8::1]:5"),
        ] {
            assert_eq!(Peer::from(address.parse::<SocketAddr>().unwrap()).to_string(), told);
        }
    }

    #[test]
    fn who_has_no_address_costs_those_nothing_who_have_one() {
        assert_eq!(size_of::<Peer>(), size_of::<SocketAddr>());
    }
}
