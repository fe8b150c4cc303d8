//! The host a request was sent to, read from `Host` or an absolute-form target.

use std::net::{IpAddr, Ipv6Addr};

/// The host a request was sent to; the port is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host<'a> {
    /// None was sent (HTTP/1.0): the connection was made to an address of ours.
    Missing,
    /// An IP address.
    Ip(IpAddr),
    /// A name, in the case it was sent in, without the dot that may end it.
    Name(&'a str),
}

impl<'a> Host<'a> {
    /// The host of an authority as sent, or `None` when it is not one.
    pub(super) fn parse(authority: Option<&'a str>) -> Option<Self> {
        let Some(authority) = authority.filter(|text| !text.is_empty()) else {
            return Some(Self::Missing);
        };
        if let Some(rest) = authority.strip_prefix('[') {
            let (inside, port) = rest.split_once(']')?;
            is_port(port).then_some(())?;
            let without_zone = inside.split('%').next()?;
            return without_zone.parse::<Ipv6Addr>().ok().map(|ip| Self::Ip(IpAddr::V6(ip)));
        }
        let (host, port) = match authority.find(':') {
            Some(colon) => authority.split_at(colon),
            None => (authority, ""),
        };
        if !is_port(port) {
            // Not allowed by the grammar, but unmistakable: `::1` without brackets.
            return authority.parse::<Ipv6Addr>().ok().map(|ip| Self::Ip(IpAddr::V6(ip)));
        }
        if host.starts_with(|first: char| first.is_ascii_digit())
            && let Ok(ip) = host.parse::<IpAddr>()
        {
            return Some(Self::Ip(ip));
        }
        let name = host.strip_suffix('.').unwrap_or(host);
        (!name.is_empty() && name.bytes().all(is_name_byte)).then_some(Self::Name(name))
    }

    /// Whether this names the machine rather than a service.
    pub(super) fn is_local(self) -> bool {
        match self {
            Self::Missing | Self::Ip(_) => true,
            Self::Name(name) => name.eq_ignore_ascii_case("localhost"),
        }
    }
}

/// Nothing, a colon, or a colon and digits.
fn is_port(text: &str) -> bool {
    match text.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_digit()),
        None => text.is_empty(),
    }
}

/// The unreserved characters and sub-delimiters of RFC 3986, without percent-encoding: names of services need none.
pub const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_and_addresses_and_ignores_the_port() {
        let host = |text| Host::parse(Some(text));
        assert_eq!(host("User-Service:8080"), Some(Host::Name("User-Service")));
        assert_eq!(host("user-service."), Some(Host::Name("user-service")));
        assert_eq!(host("user-service:"), Some(Host::Name("user-service")));
        assert_eq!(host("127.0.0.1:4140"), Some(Host::Ip("127.0.0.1".parse().unwrap())));
        assert_eq!(host("[::1]:4140"), Some(Host::Ip("::1".parse().unwrap())));
        assert_eq!(host("[fe80::1%25eth0]"), Some(Host::Ip("fe80::1".parse().unwrap())));
        assert_eq!(host("::1"), Some(Host::Ip("::1".parse().unwrap())));
        assert_eq!(host("3scale:80"), Some(Host::Name("3scale")));
        assert_eq!(Host::parse(None), Some(Host::Missing));
        assert_eq!(host(""), Some(Host::Missing));
    }

    #[test]
    fn refuses_what_is_no_authority() {
        for text in [
            "a b",
            "user@host",
            "a:b",
            "a:80:90",
            "[::1",
            "[a]",
            "[::1]x",
            ".",
            ":80",
            "a%20b",
            "a/b",
            "größe",
        ] {
            assert_eq!(Host::parse(Some(text)), None, "{text}");
        }
    }

    #[test]
    fn knows_what_names_the_machine() {
        for text in ["localhost", "LocalHost:80", "localhost.", "127.0.0.1", "[::1]:80", "10.1.2.3:80", ""] {
            assert!(Host::parse(Some(text)).unwrap().is_local(), "{text}");
        }
        for text in ["user.localhost", "localhost.localdomain", "greeter"] {
            assert!(!Host::parse(Some(text)).unwrap().is_local(), "{text}");
        }
    }
}
