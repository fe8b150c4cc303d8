//! What is read alike in all formats: addresses, schemes, and metadata that mean more than themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Reason, Unusable};
use crate::provider::{Address, Host, Protocol, Provider, Weight};

/// The address of a host and a port, if it can be dialled from elsewhere.
///
/// Java writes IPv6 addresses with the name of their network card, `fd00::2%eth0`; but for link-local ones, that means
/// something on their own machine only and is left out.
pub(super) fn address(host: &str, port: u16) -> Result<Address, Unusable> {
    let host = match host.split_once('%') {
        Some((bare, _)) if !is_link_local(bare) => bare,
        Some(_) | None => host,
    };
    let address =
        Address::new(host, port).map_err(|error| Unusable::new(Reason::Address, error.to_string()))?;
    from_elsewhere(address)
}

/// The address `host:port`, if it can be dialled from elsewhere.
pub(super) fn address_of(text: &str) -> Result<Address, Unusable> {
    let address = text.trim().parse::<Address>();
    from_elsewhere(address.map_err(|error| Unusable::new(Reason::Address, error.to_string()))?)
}

fn from_elsewhere(address: Address) -> Result<Address, Unusable> {
    match address.host() {
        Host::Ip(ip) if ip.is_unspecified() => Err(Unusable::new(
            Reason::Address,
            format!("{address} means every address of its own machine and none from elsewhere"),
        )),
        Host::Ip(_) | Host::Name(_) => Ok(address),
    }
}

fn is_link_local(host: &str) -> bool {
    host.trim_start_matches('[').parse::<std::net::Ipv6Addr>().is_ok_and(|ip| ip.is_unicast_link_local())
}

/// What a scheme says: what is spoken, and whether over TLS. A scheme that is not known is a protocol of its own.
pub(super) fn spoken(scheme: &str) -> (Protocol, bool) {
    known(scheme).unwrap_or((Protocol::Tcp, false))
}

/// The same of a scheme that is known.
pub(super) fn known(scheme: &str) -> Option<(Protocol, bool)> {
    Some(match scheme.to_ascii_lowercase().as_str() {
        "http" | "http1" | "rest" | "ws" | "webservice" => (Protocol::Http1, false),
        "https" | "wss" => (Protocol::Http1, true),
        "grpc" | "tri" | "h2c" => (Protocol::H2c, false),
        "grpcs" | "h2" => (Protocol::H2c, true),
        "mucp" => (Protocol::Mucp, false),
        "tcp" | "thrift" | "thriftmux" | "mux" | "dubbo" => (Protocol::Tcp, false),
        _ => return None,
    })
}

/// Refuses an endpoint of another scheme than the one asked for, if one was.
pub(super) fn asked_for(wanted: Option<&str>, scheme: &str) -> Result<(), Unusable> {
    match wanted {
        Some(wanted) if !wanted.eq_ignore_ascii_case(scheme) => {
            Err(Unusable::new(Reason::Filtered, format!("speaks {scheme:?}; asked for is {wanted:?}")))
        }
        Some(_) | None => Ok(()),
    }
}

/// The host of an address as a text of its own, IPv6 without brackets.
pub(super) fn host(address: &Address) -> String {
    match address.host() {
        Host::Ip(ip) => ip.to_string(),
        Host::Name(name) => name.to_string(),
    }
}

/// The scheme that says what is spoken with a provider, where a format has none of its own.
pub(super) const fn scheme(provider: &Provider) -> &'static str {
    match (provider.protocol, provider.secure) {
        (Protocol::Http1, false) => "http",
        (Protocol::Http1, true) => "https",
        (Protocol::H2c, false) => "grpc",
        (Protocol::H2c, true) => "grpcs",
        (Protocol::Mucp, _) => "mucp",
        (Protocol::Tcp, _) => "tcp",
    }
}

/// A provider with this metadata and what that says by convention: `weight`, `zone`, `version`. A mistyped weight counts as the
/// usual one, since it is no reason to lose a provider.
pub(super) fn described(mut provider: Provider, metadata: BTreeMap<String, String>) -> Provider {
    let word = |key: &str| metadata.get(key).filter(|word| !word.is_empty());
    if let Some(weight) = word("weight").and_then(|weight| weight.parse::<Weight>().ok()) {
        provider.weight = weight;
    }
    if let Some(zone) = word("zone") {
        provider.zone = Some(Arc::from(zone.as_str()));
    }
    if let Some(version) = word("version") {
        provider.version = Arc::from(version.as_str());
    }
    provider.metadata = metadata;
    provider
}

/// The metadata from which [`described`] makes this provider again.
pub(super) fn described_by(provider: &Provider) -> BTreeMap<String, String> {
    let mut metadata = provider.metadata.clone();
    if provider.weight != Weight::ONE {
        metadata.insert("weight".to_owned(), provider.weight.to_string());
    }
    if let Some(zone) = &provider.zone {
        metadata.insert("zone".to_owned(), zone.to_string());
    }
    if !provider.version.is_empty() {
        metadata.insert("version".to_owned(), provider.version.to_string());
    }
    metadata
}

/// An id as one part of a path.
///
/// # Errors
/// When it cannot be one.
pub(super) fn one_part(id: &str) -> Result<String, String> {
    let part = id.replace('/', "-");
    if matches!(part.as_str(), "" | "." | "..") || part.contains(char::is_control) {
        return Err(format!("{part:?} cannot be the name of a record; give the provider another id"));
    }
    Ok(part)
}

/// Refuses to announce what does not speak gRPC in clear text, in a format whose readers take every provider for one that does.
pub(super) fn only_grpc(provider: &Provider, format: &str) -> Result<(), String> {
    if (provider.protocol, provider.secure) == (Protocol::H2c, false) {
        return Ok(());
    }
    let (spoken, tls) = (provider.protocol.as_str(), if provider.secure { " over TLS" } else { "" });
    Err(format!(
        "a record of {format} cannot say that a provider speaks {spoken}{tls}, only h2c; choose another format"
    ))
}

/// Why a provider that speaks Go Micro's protocol cannot be announced in another format.
pub(super) fn only_go_micro(format: &str) -> String {
    format!("a record of {format} cannot say that a provider speaks mucp; announce it in the format go-micro")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_card_of_an_address_is_left_out() {
        let shown = |host| address(host, 80).map(|address| address.to_string()).map_err(|error| error.reason);
        assert_eq!(shown("fd00:0:0:0:0:0:0:2%eth0"), Ok("[fd00::2]:80".to_owned()));
        assert_eq!(shown("fe80:0:0:0:0:0:0:2%eth0"), Err(Reason::Address));
        assert_eq!(shown("::1"), Ok("[::1]:80".to_owned()));
        for nowhere in ["0.0.0.0", "::", "", "a b"] {
            assert_eq!(shown(nowhere), Err(Reason::Address), "{nowhere:?}");
        }
    }

    #[test]
    fn schemes_are_understood_as_they_are_written() {
        let mut provider = Provider::new("p", address_of("h:1").unwrap());
        for protocol in [Protocol::Http1, Protocol::H2c] {
            for secure in [false, true] {
                (provider.protocol, provider.secure) = (protocol, secure);
                assert_eq!(spoken(scheme(&provider)), (protocol, secure));
            }
        }
        assert_eq!((spoken("TRI"), spoken("thrift")), ((Protocol::H2c, false), (Protocol::Tcp, false)));
    }

    #[test]
    fn a_description_is_read_as_it_was_written() {
        let mut provider = Provider::new("p", address_of("h:1").unwrap());
        provider.weight = Weight::from_hundredths(250);
        (provider.zone, provider.version) = (Some("z".into()), "v1".into());
        let metadata = described_by(&provider);
        let again = described(Provider::new("p", provider.address.clone()), metadata);
        assert_eq!(
            (again.weight, again.zone, again.version),
            (provider.weight, provider.zone, provider.version)
        );
        let odd = [("weight".to_owned(), "much".to_owned()), ("zone".to_owned(), String::new())].into();
        let odd = described(Provider::new("p", provider.address), odd);
        assert_eq!((odd.weight, odd.zone), (Weight::ONE, None));
    }
}
