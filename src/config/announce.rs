//! What is announced, where, and how it is found that it is well.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::checks;
use super::error::nearest;
use super::file::{Entry, Node};
use super::reader::{Section, listed};
use super::resolve::{ANY_TIME, SERVICE};
use super::routes::NAME;
use super::sources::Followed;
use super::units::Time;
use super::value::{Parsed, Problems, Shape, TEXTS, Word, quoted, text};
use crate::announce::{ANNOUNCEMENTS_MAX, Advertised, TTL, Target, Wish};
use crate::catalog::Role;
use crate::provider::{Address, Allowed, Host, Protocol, ServiceName, Weight};
use crate::registry::format;

/// The longest id, in bytes: what a znode, a key and a file all bear.
const ID_BYTES_MAX: usize = 253;
/// The times that a record may outlive this process: shorter ones would withdraw it at every hiccup.
const TTLS: Time = Time(Duration::from_secs(2)..=Duration::from_mins(10));
const PROTOCOL: Word<Protocol> =
    Word(&[Protocol::Http1, Protocol::H2c, Protocol::Mucp], |protocol| protocol.as_str());
const ID: Parsed<String> = Parsed::new("an id", "greeter-1", read_id, String::clone);
const FORMAT: Parsed<String> = Parsed::new("a format", "go-micro", read_format, String::clone);

/// Reads every `[[announce]]`; gives also where what nothing else is said of is announced, or why it cannot be.
pub(super) fn announce(
    top: &mut Section<'_>,
    sources: Option<&[Followed]>,
    allowed: &Allowed,
) -> (Vec<Wish>, Result<Target, Arc<str>>) {
    let usual = usual(sources.unwrap_or_default());
    let mut taken = BTreeSet::new();
    let wishes = top.sections("announce", |section| {
        let wish = wish(section, sources, &usual)?;
        if let Some(reserved) = wish.address.reserved(allowed) {
            let message = format!(
                "{} is {reserved}, so nobody would call it; write one that others reach, or list its network in \
                 services.allow_addresses, here and wherever it is called from",
                wish.address
            );
            section.wrong("address", message);
        }
        if let Some(id) = &wish.id {
            let is_new = taken.insert((wish.service.clone(), Arc::clone(id), Arc::clone(&wish.target.name)));
            if !is_new {
                let (service, id) = (quoted(wish.service.as_str()), quoted(id));
                section
                    .wrong("id", format!("{service} is announced with the id {id} already; write another"));
            }
        }
        Some(wish)
    });
    if wishes.len() > ANNOUNCEMENTS_MAX {
        let message = format!(
            "{} announcements are more than there may be; write {ANNOUNCEMENTS_MAX} or fewer",
            wishes.len()
        );
        top.wrong("announce", message);
    }
    (wishes.into_iter().flatten().collect(), usual.map(|(_, target)| target))
}

/// The first registry that takes announcements, and what announces there.
fn usual(sources: &[Followed]) -> Result<(&Followed, Target), Arc<str>> {
    let mut why = None;
    for source in sources.iter().filter(|source| source.role != Role::Shadow) {
        match source.registry.clone().open_announcer() {
            Ok(announcer) => return Ok((source, Target { name: Arc::from(""), announcer })),
            Err(error) => drop(why.get_or_insert_with(|| error.to_string())),
        }
    }
    Err(why.map_or_else(|| "there is no registry to announce in; write one".into(), Arc::from))
}

fn wish(
    section: &mut Section<'_>,
    sources: Option<&[Followed]>,
    usual: &Result<(&Followed, Target), Arc<str>>,
) -> Option<Wish> {
    let service = section.required("service", &SERVICE, "write service = \"greeter\"");
    let advice = "write address = \"10.0.0.5:8080\", or \":8080\" for an address that is found";
    let address = section.required("address", &Place, advice);
    let interface = section.optional(
        "interface",
        &text("an interface", "eth0"),
        "the address that this machine has towards the registry",
    );
    let id =
        section.optional("id", &ID, "the service, a dash and a random UUID, for as long as the proxy runs");
    let version = section.optional("version", &text("a version", "1.2.0"), "none");
    let weight = section.get("weight", &Share, Weight::ONE);
    let zone = section.optional("zone", &text("a zone", "a"), "none");
    let protocol = section.get("protocol", &PROTOCOL, Protocol::Http1);
    let metadata = section.get("metadata", &TEXTS, BTreeMap::new());
    let ttl = section.get("ttl", &TTLS, TTL);
    let start_delay = section.get("start_delay", &ANY_TIME, Duration::ZERO);
    let registry = section.optional("registry", &NAME, "the first that takes announcements");
    let format = section.optional("format", &FORMAT, "that of the registry");
    let check = section.section("check", checks::of_app);
    let target = sources.and_then(|sources| target(section, sources, usual, registry, format));
    let address = match (address?, interface) {
        (Advertised::As(address), Some(_)) => {
            let cure = format!("leave it out, or write address = \":{}\"", address.port());
            section.wrong("interface", format!("the address names its host already; {cure}"));
            return None;
        }
        (Advertised::Port { port, .. }, interface) => Advertised::Port { port, interface },
        (address @ Advertised::As(_), None) => address,
    };
    Some(Wish {
        id: id.map(Arc::from),
        version: version.unwrap_or_default().into(),
        weight,
        zone: zone.map(Arc::from),
        protocol,
        metadata,
        ttl,
        check,
        start_delay,
        ..Wish::new(service?, address, target?)
    })
}

/// Where it is announced; a mistake where nothing can be.
fn target(
    section: &Section<'_>,
    sources: &[Followed],
    usual: &Result<(&Followed, Target), Arc<str>>,
    registry: Option<String>,
    format: Option<String>,
) -> Option<Target> {
    let source = match (&registry, usual) {
        (Some(name), _) => named(section, sources, name)?,
        (None, Ok((source, _))) => source,
        (None, Err(why)) => {
            section.wrong_here(&**why);
            return None;
        }
    };
    // What comes out as the usual one shares its session.
    if let (Ok((first, target)), None) = (usual, &format)
        && first.name == source.name
    {
        return Some(target.clone());
    }
    let name = match &format {
        Some(format) => format!("{}/{format}", source.name).into(),
        None => Arc::clone(&source.name),
    };
    let settings = match format {
        Some(format) => source.registry.clone().with_format(&format).map_err(|error| ("format", error)),
        None => Ok(source.registry.clone()),
    };
    match settings.and_then(|settings| settings.open_announcer().map_err(|error| ("registry", error))) {
        Ok(announcer) => Some(Target { name, announcer }),
        Err((key, error)) => {
            section.wrong(key, error.to_string());
            None
        }
    }
}

/// The registry of that name.
fn named<'s>(section: &Section<'_>, sources: &'s [Followed], name: &str) -> Option<&'s Followed> {
    let found = sources.iter().find(|source| *source.name == *name);
    if found.is_none() {
        let known: Vec<&str> = sources.iter().map(|source| &*source.name).collect();
        let cure = match nearest(name, known.iter().copied()) {
            Some(near) => format!("write {}", quoted(near)),
            None => format!("there are {}", listed(&known)),
        };
        section.wrong("registry", format!("there is no registry {}; {cure}", quoted(name)));
    }
    found
}

/// Where an app listens: an address, or a port at an address that is found.
struct Place;

impl Shape for Place {
    type Out = Advertised;

    fn read(&self, entry: &Entry, problems: &mut Problems) -> Option<Advertised> {
        let written = match (&entry.node, entry.node.as_text()) {
            (_, Some(text)) => text.to_owned(),
            (Node::Integer(Ok(port)), _) => format!(":{port}"),
            _ => String::new(),
        };
        let port = written.strip_prefix(':').or_else(|| written.strip_prefix("*:"));
        let address = match port {
            Some(port) => format!("0.0.0.0:{port}").parse::<Address>(),
            None => written.parse(),
        };
        match address {
            Ok(address) => Some(match address.host() {
                // What an app listens on when it listens everywhere is no address of it.
                Host::Ip(ip) if ip.is_unspecified() => {
                    Advertised::Port { port: address.port(), interface: None }
                }
                Host::Ip(_) | Host::Name(_) => Advertised::As(address),
            }),
            Err(_) => {
                let cure = "write \"10.0.0.5:8080\", or \":8080\" for an address that is found";
                problems
                    .push((entry.place, format!("{} is no address with a port; {cure}", entry.node.shown())));
                None
            }
        }
    }

    fn write(&self, value: &Advertised) -> String {
        quoted(&value.to_string())
    }

    fn schema(&self) -> Value {
        json!({ "anyOf": [{ "type": "string", "examples": [":8080", "10.0.0.5:8080"] }, { "type": "integer", "minimum": 1, "maximum": 65535 }] })
    }
}

/// A share of traffic.
struct Share;

impl Shape for Share {
    type Out = Weight;

    fn read(&self, entry: &Entry, problems: &mut Problems) -> Option<Weight> {
        let weight = match &entry.node {
            Node::Integer(Ok(number)) => number.to_string().parse::<Weight>(),
            Node::Integer(Err(text)) | Node::Fraction(text) | Node::Text(text) => text.parse(),
            Node::Flag(_) | Node::Date(_) | Node::List(_) | Node::Table(_) => "none".parse(),
        };
        if weight.is_err() {
            let shown = entry.node.shown();
            problems.push((
                entry.place,
                format!("{shown} is no weight; write a number from 0 to 1000, 1 is usual"),
            ));
        }
        weight.ok()
    }

    fn write(&self, value: &Weight) -> String {
        value.to_string()
    }

    fn schema(&self) -> Value {
        json!({ "anyOf": [{ "type": "number", "minimum": 0, "maximum": 1000 }, { "type": "string" }] })
    }
}

fn read_id(text: &str) -> Result<String, String> {
    match text.parse::<ServiceName>() {
        _ if text.len() > ID_BYTES_MAX => Err(format!("it has more than {ID_BYTES_MAX} bytes")),
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("it is empty, or has characters that no registry could keep".to_owned()),
    }
}

fn read_format(text: &str) -> Result<String, String> {
    if format::kinds::named(text).is_some() {
        return Ok(text.to_owned());
    }
    let names: Vec<&str> = format::kinds::names().collect();
    Err(format!("there is none of that name; write {}", names.join(" or ")))
}
