//! A provider as Go Micro writes it: every field there, what is missing `null`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{is_secure, protocol};
use crate::provider::{Protocol, Provider, Weight};
use crate::registry::announcer::Announcement;
use crate::registry::format::{Encoded, convention, json};

/// A service in the order of Go Micro's keys.
#[derive(Serialize)]
struct Service<'a> {
    name: &'a str,
    version: &'a str,
    metadata: Option<&'a BTreeMap<String, String>>,
    endpoints: Option<Vec<&'a Value>>,
    nodes: [Node<'a>; 1],
}

/// A node in the order of v1.8 to v4.10.1.
#[derive(Serialize)]
struct Node<'a> {
    id: &'a str,
    address: String,
    metadata: Option<BTreeMap<String, String>>,
}

/// The record of a provider, by the name of its node.
pub(super) fn entry(announcement: &Announcement) -> Result<Encoded, String> {
    let provider = &announcement.provider;
    let name = convention::one_part(&provider.id)?;
    let metadata = metadata(provider)?;
    // Go Micro's readers follow a `null` among the endpoints without looking.
    let endpoints: Vec<&Value> =
        announcement.endpoints.iter().filter(|endpoint| endpoint.is_object()).collect();
    let service = Service {
        name: announcement.service.as_str(),
        version: &provider.version,
        metadata: Some(&announcement.service_metadata).filter(|metadata| !metadata.is_empty()),
        endpoints: Some(endpoints).filter(|endpoints| !endpoints.is_empty()),
        nodes: [Node {
            id: &provider.id,
            address: provider.address.to_string(),
            metadata: Some(metadata).filter(|metadata| !metadata.is_empty()),
        }],
    };
    Ok(Encoded { name, is_numbered: false, data: json::written(&service)? })
}

/// The metadata of a node, with what Wayside reads from it.
fn metadata(provider: &Provider) -> Result<BTreeMap<String, String>, String> {
    let mut metadata = provider.metadata.clone();
    let mut say = |key: &str, value: String| metadata.insert(key.to_owned(), value);
    if provider.weight != Weight::ONE {
        say("weight", provider.weight.to_string());
    }
    if let Some(zone) = &provider.zone {
        say("zone", zone.to_string());
    }
    if is_secure(&provider.metadata) != provider.secure {
        say("secure", provider.secure.to_string());
    }
    if protocol(&provider.metadata) != provider.protocol {
        let word = match provider.protocol {
            Protocol::Http1 => "http",
            Protocol::H2c => "grpc",
            Protocol::Mucp => "mucp",
            Protocol::Tcp => return Err(
                "a Go Micro record cannot say that a provider speaks tcp; announce it in the format plain"
                    .to_owned(),
            ),
        };
        say("protocol", word.to_owned());
    }
    Ok(metadata)
}
