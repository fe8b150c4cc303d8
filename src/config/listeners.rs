//! Where requests are taken, and where operators ask.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::{Value, json};

use super::announced::Known;
use super::file::Entry;
use super::listener_tls::listener_tls;
use super::raw;
use super::reader::Section;
use super::resolve::{SERVICE, domain};
use super::value::{Flag, List, Listen, Parsed, Problems, Shape, quoted};
use crate::admin;
use crate::proxy::tls;
use crate::proxy::{ListenAddress, ListenerSettings, MODE, UNIX, UnixName};

/// The address of the proxy where none is given.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4140);

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
    taken: &mut Vec<ListenAddress>,
    known: &Known,
) -> Option<ListenerSettings> {
    let address = section.sound("address", &Anywhere, LISTEN.into());
    let mode = section.optional("mode", &PERMISSIONS, "\"0600\", so that its owner alone may connect");
    let service = section.optional("service", &SERVICE, "what the request names");
    known.check(section, "service", service.as_ref());
    let proxy_protocol = section.get("proxy_protocol", &Flag, false);
    let trusted = section.optional(
        "trusted",
        &Flag,
        "true where the address is loopback or a Unix socket and proxy_protocol is off, else false",
    );
    let refuse_cross_site = section.get("refuse_cross_site", &Flag, false);
    let raw::Bound { service, raw } = raw::spoken(section, service);
    // Sections within come last: keys after them would be those of one more listener.
    let tls = section.table("tls", listener_tls);
    if refuse_cross_site && raw.is_some() {
        let message = "where bytes are passed on raw nobody sees what page had them sent; leave this out";
        section.wrong("refuse_cross_site", message);
    }
    let address = address?;
    if section.has("mode") && !matches!(address, ListenAddress::Unix(UnixName::Path(_))) {
        section.wrong(
            "mode",
            format!("{address} has no file that could have permissions; leave mode out, or write an address such as \"unix:/run/wayside/greeter.sock\""),
        );
    }
    if let Some(other) = taken.iter().find(|other| overlap(other, &address)) {
        let cure = match &address {
            ListenAddress::Ip(_) => "write another port",
            ListenAddress::Unix(_) => "write another name",
        };
        section.wrong("address", format!("{address} is taken by the listener {other}; {cure}"));
    }
    taken.push(address.clone());
    // Whoever is named by a balancer is not of this machine.
    let trusted = trusted.unwrap_or(address.is_local() && !proxy_protocol);
    let tls = match tls {
        Some(Some(settings)) => Some(tls::Settings { http: raw.is_none(), ..settings }),
        // What is wrong in it was noted.
        Some(None) => return None,
        None => None,
    };
    let mode = mode.unwrap_or(MODE);
    Some(ListenerSettings { address, mode, service, trusted, refuse_cross_site, tls, proxy_protocol, raw })
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
    let mut taken = listeners.iter().flatten().map(|listener| &listener.address);
    if let Some(other) = taken.find(|other| overlap(other, &address.into())) {
        section.wrong("address", format!("{address} is taken by the listener {other}; write another port"));
    }
    Some(admin::Settings { address, hosts })
}

/// A host name as it is asked for.
const HOST: Parsed<String> = Parsed::new("a host name", "wayside.internal", domain, String::clone);

/// The permissions of a file, in octal digits as `chmod` takes them.
const PERMISSIONS: Parsed<u32> = Parsed::new(
    "permissions in octal digits",
    "0660",
    |text| match u32::from_str_radix(text, 8) {
        Ok(mode @ 0..=0o777) if text.len() <= 4 && !text.starts_with('+') => Ok(mode),
        Ok(_) | Err(_) => Err("there are three digits from 0 to 7, and maybe a 0 before them".to_owned()),
    },
    |mode| format!("{mode:04o}"),
);

/// An IP address and port, or a Unix socket, to listen on.
struct Anywhere;

impl Shape for Anywhere {
    type Out = ListenAddress;

    fn read(&self, entry: &Entry, problems: &mut Problems) -> Option<ListenAddress> {
        let text = entry.node.as_text().unwrap_or_default();
        let cure = match text.strip_prefix(UNIX).map(str::parse::<UnixName>) {
            Some(Ok(name)) => return Some(ListenAddress::Unix(name)),
            Some(Err(error)) => error.to_string(),
            None if text.starts_with(['/', '@']) => format!("write {}", quoted(&format!("{UNIX}{text}"))),
            None => return Listen.read(entry, problems).map(ListenAddress::Ip),
        };
        let cure = if cure.contains("write ") {
            cure
        } else {
            format!("{cure}; write one such as \"{UNIX}/run/wayside/greeter.sock\"")
        };
        problems.push((entry.place, format!("{} is no address to listen on: {cure}", entry.node.shown())));
        None
    }

    fn write(&self, value: &ListenAddress) -> String {
        quoted(&value.to_string())
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "examples": ["127.0.0.1:4140", "unix:/run/wayside/greeter.sock"] })
    }
}

/// Whether two addresses cannot be listened on side by side. Port 0 is a free one each time.
fn overlap(one: &ListenAddress, other: &ListenAddress) -> bool {
    let (one, other) = match (one, other) {
        (ListenAddress::Ip(one), ListenAddress::Ip(other)) => (one, other),
        (ListenAddress::Unix(one), ListenAddress::Unix(other)) => return one == other,
        (ListenAddress::Ip(_), ListenAddress::Unix(_)) | (ListenAddress::Unix(_), ListenAddress::Ip(_)) => {
            return false;
        }
    };
    let is_any = one.ip().is_unspecified() || other.ip().is_unspecified();
    let same_family = one.is_ipv4() == other.is_ipv4();
    one.port() == other.port() && one.port() != 0 && (one.ip() == other.ip() || is_any && same_family)
}
