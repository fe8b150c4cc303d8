//! Where requests are taken, and where operators ask.

use std::net::SocketAddr;

use super::announced::Known;
use super::raw;
use super::reader::Section;
use super::resolve::{SERVICE, domain};
use super::value::{Flag, List, Listen, Parsed};
use crate::admin;
use crate::proxy::ListenerSettings;

/// The address of the proxy where none is given.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4140);

/// Reads every `[[listener]]`; `None` for one without a sound address.
pub(super) fn listeners(top: &mut Section<'_>, known: &Known) -> Vec<Option<ListenerSettings>> {
    let mut taken = Vec::new();
    let listeners = top.sections("listener", |section| listener(section, &mut taken, known));
    if listeners.is_empty() && top.is_empty_list("listener") {
        top.wrong(
            "listener",
            "there is no listener; write [[listener]] with an address, or leave the key out",
        );
    }
    listeners
}

/// A listener, if its address is free; and the service it is bound to.
fn listener(
    section: &mut Section<'_>,
    taken: &mut Vec<SocketAddr>,
    known: &Known,
) -> Option<ListenerSettings> {
    let address = section.sound("address", &Listen, LISTEN);
    let service = section.optional("service", &SERVICE, "what the request names");
    known.check(section, "service", service.as_ref());
    let raw::Bound { service, raw } = raw::spoken(section, service);
    let trusted = section.optional("trusted", &Flag, "true where the address is loopback, else false");
    let address = address?;
    if let Some(other) = taken.iter().find(|other| overlap(**other, address)) {
        section.wrong("address", format!("{address} is taken by the listener {other}; write another port"));
    }
    taken.push(address);
    let trusted = trusted.unwrap_or(address.ip().is_loopback());
    Some(ListenerSettings { address, service, trusted, raw })
}

/// Reads `[admin]`; `None` when it is off.
pub(super) fn admin(
    section: &mut Section<'_>,
    listeners: &[Option<ListenerSettings>],
) -> Option<admin::Settings> {
    let is_enabled = section.get("enabled", &Flag, true);
    let default = admin::Settings::default();
    let hosts = section.get("hosts", &List(HOST), default.hosts);
    let address = section.sound("address", &Listen, default.address).filter(|_| is_enabled)?;
    let mut taken = listeners.iter().flatten().map(|listener| listener.address);
    if let Some(other) = taken.find(|other| overlap(*other, address)) {
        section.wrong("address", format!("{address} is taken by the listener {other}; write another port"));
    }
    Some(admin::Settings { address, hosts })
}

/// A host name as it is asked for.
const HOST: Parsed<String> = Parsed::new("a host name", "wayside.internal", domain, String::clone);

/// Whether two addresses cannot be listened on side by side. Port 0 is a free one each time.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let is_any = one.ip().is_unspecified() || other.ip().is_unspecified();
    let same_family = one.is_ipv4() == other.is_ipv4();
    one.port() == other.port() && one.port() != 0 && (one.ip() == other.ip() || is_any && same_family)
}
