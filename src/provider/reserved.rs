//! Addresses that no provider has: the link's own, those of a cloud's metadata, those of many or of nobody. They are not dialled
//! unless that is allowed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, LazyLock};

use ipnet::IpNet;

/// What an address is reserved for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// A cloud tells its machines of themselves there, credentials included.
    Metadata,
    /// It means another host on every link (RFC 3927; RFC 4291, 2.5.6).
    LinkLocal,
    /// It means no host, or this one (RFC 1122, 3.2.1.3; RFC 4291, 2.5.2).
    Unspecified,
    /// It means many hosts (RFC 5771; RFC 4291, 2.7).
    Multicast,
    /// It means all hosts of a link (RFC 919, 7).
    Broadcast,
}

impl fmt::Display for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Metadata => "where a cloud keeps its metadata",
            Self::LinkLocal => "link-local",
            Self::Unspecified => "no host's address",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "the broadcast address",
        })
    }
}

/// What is reserved, the narrower before the wider.
const RESERVED: [(Reserved, &str); 13] = [
    // AWS, Azure, Google and others; AWS by IPv6, all that its machines are told there, credentials of pods too; Google by IPv6;
    // Alibaba; the host of Azure; Oracle.
    (Reserved::Metadata, "169.254.169.254/32"),
    (Reserved::Metadata, "fd00:ec2::/32"),
    (Reserved::Metadata, "fd20:ce::254/128"),
    (Reserved::Metadata, "100.100.100.200/32"),
    (Reserved::Metadata, "168.63.129.16/32"),
    (Reserved::Metadata, "192.0.0.192/32"),
    (Reserved::LinkLocal, "169.254.0.0/16"),
    (Reserved::LinkLocal, "fe80::/10"),
    (Reserved::Unspecified, "0.0.0.0/8"),
    (Reserved::Unspecified, "::/128"),
    (Reserved::Multicast, "224.0.0.0/4"),
    (Reserved::Multicast, "ff00::/8"),
    (Reserved::Broadcast, "255.255.255.255/32"),
];

static NETWORKS: LazyLock<Vec<(Reserved, IpNet)>> = LazyLock::new(|| {
    let parse = |(reserved, text): &(Reserved, &str)| {
        (*reserved, text.parse().expect("the table above holds networks, as its tests show"))
    };
    RESERVED.iter().map(parse).collect()
});

/// The networks in which reserved addresses may be dialled all the same. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed(Arc<[IpNet]>);

impl Allowed {
    /// These networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks.into())
    }

    /// What an address is reserved for, unless it may be dialled. An IPv4 address in the clothes of IPv6 counts as what it is.
    pub fn refuses(&self, ip: IpAddr) -> Option<Reserved> {
        let within = within(ip);
        let means = |network: &IpNet| network.contains(&ip) || within.is_some_and(|ip| network.contains(&ip));
        let (reserved, _) = NETWORKS.iter().find(|(_, network)| means(network))?;
        (!self.0.iter().any(means)).then_some(*reserved)
    }
}

/// Whether a network has anything in it that is not dialled otherwise.
pub fn is_reserved_somewhere(network: &IpNet) -> bool {
    let has = |(_, reserved): &(Reserved, IpNet)| reserved.contains(network) || network.contains(reserved);
    // Also in the clothes of IPv6.
    NETWORKS.iter().any(has) || Allowed::default().refuses(network.network()).is_some()
}

/// The IPv4 address that an IPv6 address stands for: mapped (RFC 4291, 2.5.5.2), compatible (2.5.5.1), translated (RFC 2765,
/// 2.1), of NAT64 (RFC 6052, 2.1; RFC 8215) or of 6to4 (RFC 3056, 2).
fn within(ip: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(ip) = ip else { return None };
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
    };
    match ip.segments() {
        // Loopback and the unspecified address look like compatible ones, and are none.
        _ if ip == Ipv6Addr::LOCALHOST || ip == Ipv6Addr::UNSPECIFIED => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        | [0x2002, high, low, ..] => of(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(allowed: &Allowed, ip: &str) -> Option<Reserved> {
        allowed.refuses(ip.parse().unwrap())
    }

    #[test]
    fn reserved_addresses_are_refused_however_they_are_spelt() {
        let none = Allowed::default();
        for (ip, reserved) in [
            ("169.254.169.254", Reserved::Metadata),
            ("::ffff:169.254.169.254", Reserved::Metadata),
            ("::169.254.169.254", Reserved::Metadata),
            ("::ffff:0:169.254.169.254", Reserved::Metadata),
            ("64:ff9b::a9fe:a9fe", Reserved::Metadata),
            ("64:ff9b:1::a9fe:a9fe", Reserved::Metadata),
            ("2002:a9fe:a9fe::1", Reserved::Metadata),
            ("fd00:ec2::254", Reserved::Metadata),
            ("fd00:ec2::23", Reserved::Metadata),
            ("fd20:ce::254", Reserved::Metadata),
            ("100.100.100.200", Reserved::Metadata),
            ("168.63.129.16", Reserved::Metadata),
            ("192.0.0.192", Reserved::Metadata),
            ("169.254.170.2", Reserved::LinkLocal),
            ("fe80::1", Reserved::LinkLocal),
            ("febf::1", Reserved::LinkLocal),
            ("0.0.0.0", Reserved::Unspecified),
            ("0.1.2.3", Reserved::Unspecified),
            ("::", Reserved::Unspecified),
            ("::ffff:0.0.0.0", Reserved::Unspecified),
            ("224.0.0.1", Reserved::Multicast),
            ("239.255.255.255", Reserved::Multicast),
            ("ff02::1", Reserved::Multicast),
            ("255.255.255.255", Reserved::Broadcast),
        ] {
            assert_eq!(refused(&none, ip), Some(reserved), "{ip}");
        }
    }

    #[test]
    fn what_providers_have_is_dialled() {
        let none = Allowed::default();
        for ip in [
            "127.0.0.1",
            "::1",
            "10.0.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "fd00::1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "169.253.0.1",
            "1.0.0.0",
        ] {
            assert_eq!(refused(&none, ip), None, "{ip}");
        }
    }

    #[test]
    fn a_network_that_is_allowed_is_dialled_in_every_spelling() {
        let allowed = Allowed::new(vec!["169.254.8.0/24".parse().unwrap(), "fe80::/64".parse().unwrap()]);
        for ip in ["169.254.8.1", "::ffff:169.254.8.1", "64:ff9b::a9fe:801", "fe80::1"] {
            assert_eq!(refused(&allowed, ip), None, "{ip}");
        }
        for ip in ["169.254.9.1", "169.254.169.254", "fe80:1::1"] {
            assert!(refused(&allowed, ip).is_some(), "{ip}");
        }
    }

    #[test]
    fn a_network_without_a_reserved_address_needs_no_leave() {
        for (network, is) in [
            ("169.254.0.0/16", true),
            ("169.254.7.0/24", true),
            ("0.0.0.0/0", true),
            ("10.0.0.0/8", false),
            ("fd00::/8", true),
            ("2001:db8::/32", false),
            ("::ffff:169.254.0.0/112", true),
            ("64:ff9b::a9fe:a9fe/128", true),
            ("::ffff:10.0.0.0/104", false),
        ] {
            assert_eq!(is_reserved_somewhere(&network.parse().unwrap()), is, "{network}");
        }
    }
}
