//! The records of Go Micro: one JSON service per provider, in the three spellings of its node.

mod encode;
mod record;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::record::{Node, Record};
use super::json::{self, PARTS_MAX};
use super::{Decoded, Encoded, Entry, Format, Reason, Unusable};
use crate::provider::{Address, Host, Protocol, Provider, ServiceName, Weight};
use crate::registry::announcer::Announcement;

/// The records of Go Micro, v1 to v5.
///
/// A record is a JSON object `{"name", "version", "metadata", "endpoints", "nodes": [..]}`, and a node has `id`, `address`
/// and `metadata`. Up to v1.7 a node's `address` is a host beside a `port`, later it is `host:port`; v4.10.2 changed the
/// order of the keys. All are read, as Go reads them: keys in any order and any case, `null` for anything, unknown keys ignored.
///
/// What is spoken follows from the node's metadata: `protocol` is `mucp` or `grpc`, and missing for plain HTTP; `secure` is
/// `true` where it is spoken over TLS. Go Micro has no weight and no zone; Wayside reads them from the metadata keys `weight`
/// (a number from 0 to 1000, 1 is usual; anything else counts as 1, since a mistyped weight is no reason to lose a provider)
/// and `zone`.
///
/// What is announced is a record as v1.8 and later write it, whole, since Go Micro's own readers give up the service over one
/// that is not.
#[derive(Clone, Copy, Debug)]
pub struct GoMicro;

impl Format for GoMicro {
    fn name(&self) -> &'static str {
        "go-micro"
    }

    fn prefix(&self) -> &'static str {
        "/micro-registry"
    }

    fn prefix_in_etcd(&self) -> &'static str {
        "/micro/registry"
    }

    fn folder(&self, service: &ServiceName) -> String {
        service.as_str().replace('/', "-")
    }

    fn decode(&self, entry: Entry<'_>) -> Decoded {
        let data = match json::content(&entry) {
            Ok(data) => data,
            Err(unusable) => return Err(unusable).into(),
        };
        let record = match serde_json::from_slice::<Option<Record>>(data) {
            Ok(Some(record)) => record,
            Ok(None) => return Decoded::unusable(Reason::Malformed, "the record is null, not a JSON object"),
            Err(error) => {
                return Decoded::unusable(Reason::Malformed, format!("not a Go Micro record: {error}"));
            }
        };
        if record.nodes.is_empty() {
            return Decoded::unusable(
                Reason::Address,
                "the record has no node, so it says nowhere to connect to",
            );
        }
        let version: Arc<str> =
            Some(record.version).filter(|version| is_short(version)).unwrap_or_default().into();
        let handlers: Box<[Box<str>]> = record.handlers.into_iter().collect();
        let count = record.nodes.len();
        let nodes = record.nodes.into_iter().take(PARTS_MAX);
        let mut decoded: Decoded =
            nodes.map(|node| provider(node, entry.name, &version, &handlers)).collect();
        if count > PARTS_MAX {
            decoded.unusable.push(json::too_many("nodes", count));
        }
        decoded
    }

    fn encode(&self, announcement: &Announcement) -> Result<Encoded, String> {
        encode::entry(announcement)
    }
}

/// Whether a text can mean something: there is one, and it is no longer than that.
fn is_short(text: &str) -> bool {
    (1..=json::VALUE_BYTES_MAX).contains(&text.len())
}

/// The provider that a node announces; it is named after the entry when it has no id of its own.
fn provider(
    node: Node,
    entry: &str,
    version: &Arc<str>,
    handlers: &[Box<str>],
) -> Result<Provider, Unusable> {
    let address = address(&node).map_err(|detail| Unusable::new(Reason::Address, detail))?;
    let weight =
        node.metadata.get("weight").and_then(|weight| weight.parse::<Weight>().ok()).unwrap_or_default();
    let zone = node.metadata.get("zone").filter(|zone| is_short(zone)).map(|zone| zone.as_str().into());
    let id: Arc<str> = if is_short(&node.id) { node.id.into() } else { entry.into() };
    let protocol = protocol(&node.metadata);
    let secure = is_secure(&node.metadata);
    let version = Arc::clone(version);
    let metadata = node.metadata;
    let handlers = if protocol == Protocol::Mucp { handlers.into() } else { Box::default() };
    Ok(Provider { weight, zone, version, protocol, secure, handlers, metadata, ..Provider::new(id, address) })
}

/// Where a node listens: `host:port`, or up to v1.7 a host and a port beside it.
fn address(node: &Node) -> Result<Address, String> {
    let address = match node.port {
        0 => node.address.parse::<Address>(),
        port => match u16::try_from(port) {
            Ok(port) => Address::new(&node.address, port),
            Err(_) => return Err(format!("the port {port} of node {:?} is not from 1 to 65535", node.id)),
        },
    };
    let address = address.map_err(|error| format!("node {:?}: {error}", node.id))?;
    match address.host() {
        Host::Ip(ip) if ip.is_unspecified() => Err(format!(
            "node {:?} announces {address}, which means every address of its own machine and none from elsewhere",
            node.id
        )),
        Host::Ip(_) | Host::Name(_) => Ok(address),
    }
}

/// What is spoken: `protocol` where it is said, else what the kind of server implies (records before v1 have only that).
fn protocol(metadata: &BTreeMap<String, String>) -> Protocol {
    let word = |key: &str| metadata.get(key).map(|word| word.to_ascii_lowercase());
    match word("protocol").or_else(|| word("server")).as_deref() {
        Some("mucp" | "rpc") => Protocol::Mucp,
        Some("grpc") => Protocol::H2c,
        Some(_) | None => Protocol::Http1,
    }
}

/// Whether a node says that it is spoken to over TLS, as Go Micro's brokers say it.
fn is_secure(metadata: &BTreeMap<String, String>) -> bool {
    metadata.get("secure").is_some_and(|word| word == "true")
}
