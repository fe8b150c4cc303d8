//! The address that is announced: as it is written, or the one by which others reach this machine.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::UdpSocket;

use crate::provider::{Address, Allowed, Host, Reserved};

/// Addresses that lead out of this machine, wherever its routes go; nothing is sent to them. They are set apart for examples
/// (RFC 5737, RFC 3849), so that nobody has them.
const OUTSIDE: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 9),
];

/// The address that is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advertised {
    /// This one.
    As(Address),
    /// This port, at the address by which others reach this machine.
    Port {
        /// The port, from 1 to 65535.
        port: u16,
        /// The network interface whose address it is. Without, it is the one that this machine has towards the registry:
        /// on a loopback one, where the registry itself is, loopback.
        interface: Option<String>,
    },
}

impl fmt::Display for Advertised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::As(address) => address.fmt(f),
            Self::Port { port, .. } => write!(f, ":{port}"),
        }
    }
}

impl Advertised {
    /// What the address is reserved for, if it is one that nobody would dial.
    pub fn reserved(&self, allowed: &Allowed) -> Option<Reserved> {
        match self {
            Self::As(address) => match address.host() {
                Host::Ip(ip) => allowed.refuses(*ip),
                Host::Name(_) => None,
            },
            // Only what is meant elsewhere is looked for.
            Self::Port { .. } => None,
        }
    }

    /// The address as it is now; `server` is one of the registry.
    ///
    /// # Errors
    /// When there is none, with what to write instead.
    pub(super) async fn find(&self, server: Option<&Address>) -> Result<Address, String> {
        let (port, ip) = match self {
            Self::As(address) => return Ok(address.clone()),
            Self::Port { port, interface: Some(name) } => (port, of_interface(&interfaces()?, name)?),
            Self::Port { port, interface: None } => (port, towards(server).await?),
        };
        Ok(SocketAddr::new(ip, *port).into())
    }
}

/// The interfaces of this machine, each with one of its addresses.
fn interfaces() -> Result<Vec<(String, IpAddr)>, String> {
    let all = if_addrs::get_if_addrs()
        .map_err(|error| format!("the network interfaces cannot be listed: {error}"))?;
    Ok(all.into_iter().map(|interface| (interface.name.clone(), interface.ip())).collect())
}

/// The address of an interface: its first of IPv4, or else of IPv6, of those that mean the same elsewhere.
fn of_interface(interfaces: &[(String, IpAddr)], name: &str) -> Result<IpAddr, String> {
    let own = interfaces.iter().filter(|(known, _)| known == name).map(|(_, ip)| *ip);
    if let Some(ip) = own.filter(|ip| is_meant_elsewhere(*ip)).min_by_key(IpAddr::is_ipv6) {
        return Ok(ip);
    }
    if interfaces.iter().any(|(known, _)| known == name) {
        return Err(format!(
            "the interface {name} has no address that others could use; give it one, or write the address"
        ));
    }
    let mut names: Vec<&str> = interfaces.iter().map(|(known, _)| known.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    Err(format!("there is no interface {name} with an address; there are {}", names.join(", ")))
}

/// Whether an address means the same on another machine, or at least on this one.
fn is_meant_elsewhere(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_link_local() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_unicast_link_local() && !ip.is_unspecified(),
    }
}

/// The address that this machine has towards the registry; where that has no server, towards the rest of the world.
async fn towards(server: Option<&Address>) -> Result<IpAddr, String> {
    if let Some(server) = server {
        let found = match server.host() {
            Host::Ip(ip) => from(SocketAddr::new(*ip, server.port())).await,
            Host::Name(name) => by_name(name, server.port()).await,
        };
        return found.map_err(|error| {
            format!("there is no way to the registry at {server}: {error}; write the address with its host")
        });
    }
    for outside in OUTSIDE {
        if let Ok(ip) = from(outside).await {
            return Ok(ip);
        }
    }
    // Without a way out, others may still be in the same network.
    let interfaces = interfaces()?;
    let of_others =
        interfaces.iter().map(|(_, ip)| *ip).filter(|ip| !ip.is_loopback() && is_meant_elsewhere(*ip));
    of_others.min_by_key(IpAddr::is_ipv6).ok_or_else(|| {
        "this machine has no address that others could use; write the address with its host, such as 127.0.0.1:8080 for programs of this machine only".to_owned()
    })
}

async fn by_name(name: &str, port: u16) -> io::Result<IpAddr> {
    let mut last = io::ErrorKind::NotFound.into();
    for socket in tokio::net::lookup_host((name, port)).await? {
        match from(socket).await {
            Ok(ip) => return Ok(ip),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The address that the system would send from; nothing is sent.
async fn from(to: SocketAddr) -> io::Result<IpAddr> {
    let any = if to.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(to).await?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(interface: Option<&str>) -> Advertised {
        Advertised::Port { port: 8080, interface: interface.map(str::to_owned) }
    }

    fn ips(all: &[(&str, &str)]) -> Vec<(String, IpAddr)> {
        all.iter().map(|(name, ip)| ((*name).to_owned(), ip.parse().unwrap())).collect()
    }

    #[test]
    fn an_interface_gives_its_first_address_that_others_can_use() {
        let all = ips(&[
            ("lo", "127.0.0.1"),
            ("eth0", "fe80::1"),
            ("eth0", "2001:db8::5"),
            ("eth0", "169.254.0.9"),
            ("eth0", "10.0.0.5"),
            ("eth1", "fe80::2"),
            ("six", "2001:db8::6"),
        ]);
        let of = |name| of_interface(&all, name).map(|ip| ip.to_string());
        assert_eq!(of("eth0").unwrap(), "10.0.0.5");
        assert_eq!(of("six").unwrap(), "2001:db8::6");
        assert_eq!(of("lo").unwrap(), "127.0.0.1");
        assert!(
            of("eth1").unwrap_err().starts_with("the interface eth1 has no address that others could use; ")
        );
        assert_eq!(
            of("eth9").unwrap_err(),
            "there is no interface eth9 with an address; there are eth0, eth1, lo, six"
        );
    }

    #[tokio::test]
    async fn the_address_is_written_or_found() {
        let found = async |advertised: Advertised, server: Option<&str>| {
            let server = server.map(|server| server.parse().unwrap());
            advertised.find(server.as_ref()).await.map(|address| address.to_string())
        };
        let written = Advertised::As("[2001:DB8::1]:80".parse().unwrap());
        assert_eq!(found(written, Some("127.0.0.1:2181")).await.unwrap(), "[2001:db8::1]:80");
        assert_eq!(found(port(Some("lo")), None).await.unwrap(), "127.0.0.1:8080");
        assert_eq!(found(port(None), Some("127.0.0.1:2181")).await.unwrap(), "127.0.0.1:8080");
        assert_eq!(found(port(None), Some("localhost:2181")).await.unwrap().rsplit(':').next(), Some("8080"));
        let lost = found(port(None), Some("no-such-host.invalid:2181")).await.unwrap_err();
        assert!(lost.contains("no way to the registry at no-such-host.invalid:2181"), "{lost}");
        // Never loopback unless the registry is there; where there is nothing else, the cure is told.
        match found(port(None), None).await {
            Ok(address) => {
                assert!(!address.starts_with("127.") && !address.starts_with("[::1]"), "{address}")
            }
            Err(cure) => assert!(cure.contains("write the address"), "{cure}"),
        }
    }
}
