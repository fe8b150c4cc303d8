//! The opening of a raw connection: what its provider gets before all else, so that it knows the client.

use std::net::{IpAddr, SocketAddr};

use proxy_header::{ProxiedAddress, ProxyHeader};

use crate::route::ProxyProtocol;

/// The header of the PROXY protocol for a client at `source` who reached this proxy at `destination`. Where either has no IP
/// address, version 1 says UNKNOWN and version 2 LOCAL.
pub(super) fn opening(
    version: ProxyProtocol,
    source: Option<SocketAddr>,
    destination: Option<SocketAddr>,
) -> Vec<u8> {
    let addresses = source.zip(destination).map(|(source, destination)| alike(source, destination));
    let Some((source, destination)) = addresses else { return version.of_nobody().to_vec() };
    let header = ProxyHeader::with_address(ProxiedAddress::stream(source, destination));
    let mut bytes = Vec::new();
    let written = match version {
        ProxyProtocol::V1 => header.encode_v1(&mut bytes),
        ProxyProtocol::V2 => header.encode_v2(&mut bytes),
    };
    written.expect("two addresses of one family can be written in both versions");
    bytes
}

/// Both addresses in one family, as the header wants them: that of IPv4 if both can be.
fn alike(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (source, destination) = (canonical(source), canonical(destination));
    if source.is_ipv4() == destination.is_ipv4() {
        return (source, destination);
    }
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    (mapped(source), mapped(destination))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proxy_header::ParseConfig;

    use super::*;

    fn text(source: Option<&str>, destination: &str) -> String {
        let parsed = |text: &str| text.parse().unwrap();
        let bytes = opening(ProxyProtocol::V1, source.map(parsed), Some(parsed(destination)));
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn version_1_is_a_line() {
        assert_eq!(
            text(Some("10.0.0.1:5000"), "10.0.0.2:6379"),
            "PROXY TCP4 10.0.0.1 10.0.0.2 5000 6379\r\n"
        );
        assert_eq!(text(Some("[2001:db8::1]:5"), "[::1]:6"), "PROXY TCP6 2001:db8::1 ::1 5 6\r\n");
        assert_eq!(text(None, "10.0.0.2:6379"), "PROXY UNKNOWN\r\n");
    }

    #[test]
    fn a_header_of_nobody_is_whole_and_names_nobody() {
        for version in ProxyProtocol::ALL {
            let bytes = opening(version, None, None);
            let (header, length) = ProxyHeader::parse(&bytes, ParseConfig::default()).unwrap();
            assert_eq!((header.proxied_address(), length), (None, bytes.len()));
        }
    }

    #[test]
    fn addresses_of_two_families_become_one() {
        assert_eq!(
            text(Some("[::ffff:10.0.0.1]:5"), "10.0.0.2:6"),
            "PROXY TCP4 10.0.0.1 10.0.0.2 5 6\r\n",
            "IPv4 in disguise"
        );
        assert_eq!(
            text(Some("[2001:db8::1]:5"), "10.0.0.2:6"),
            "PROXY TCP6 2001:db8::1 ::ffff:10.0.0.2 5 6\r\n"
        );
    }

    #[test]
    fn version_2_is_binary() {
        let source = "10.0.0.1:1234".parse().ok();
        let bytes = opening(ProxyProtocol::V2, source, "10.0.0.2:5678".parse().ok());
        let expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\0\0\x01\x0a\0\0\x02\x04\xd2\x16\x2e";
        assert_eq!(bytes, expected);
        assert_eq!(opening(ProxyProtocol::V2, None, source), b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
    }

    proptest! {
        #[test]
        fn every_client_is_read_back(source in any::<SocketAddr>(), destination in any::<SocketAddr>()) {
            for version in ProxyProtocol::ALL {
                let bytes = opening(version, Some(source), Some(destination));
                let (header, length) = ProxyHeader::parse(&bytes, ParseConfig::default()).unwrap();
                let read = header.proxied_address().unwrap();
                prop_assert_eq!(length, bytes.len());
                prop_assert_eq!(read.source.ip().to_canonical(), source.ip().to_canonical());
                prop_assert_eq!(read.source.port(), source.port());
            }
        }
    }
}
