//! What the formats are tested with: providers of every kind, and what one entry decodes to.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::{Decoded, Entry, Format, Unusable};
use crate::provider::{Protocol, Provider, Weight};
use crate::registry::announcer::Announcement;

/// An announcement of a provider, first made at 1,700,000,000,000 ms.
pub(super) fn announcement(service: &str, provider: Provider) -> Announcement {
    Announcement {
        service: service.parse().unwrap(),
        provider,
        service_metadata: BTreeMap::new(),
        endpoints: Vec::new(),
        ttl: Duration::from_secs(60),
        since: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
    }
}

/// Providers of every protocol but Go Micro's, in clear text and over TLS, that say nothing and that say everything.
pub(super) fn providers() -> Vec<Provider> {
    let mut providers = Vec::new();
    for protocol in [Protocol::Http1, Protocol::H2c, Protocol::Tcp] {
        for secure in [false, protocol != Protocol::Tcp] {
            let bare =
                Provider { protocol, secure, ..Provider::new("i-1", "[2001:db8::1]:8080".parse().unwrap()) };
            let full = Provider {
                weight: Weight::from_hundredths(250),
                zone: Some("z <&> é".into()),
                version: "1.0".into(),
                metadata: [("k".to_owned(), "a=b&c d+e%".to_owned())].into(),
                ..bare.clone()
            };
            providers.extend([bare, full]);
        }
    }
    providers
}

/// What an entry of the service `svc` decodes to.
pub(super) fn decode(format: &dyn Format, name: &str, data: &[u8]) -> Decoded {
    decode_for(format, "svc", name, data)
}

/// What an entry of a service decodes to.
pub(super) fn decode_for(format: &dyn Format, service: &str, name: &str, data: &[u8]) -> Decoded {
    format.decode(Entry::of(&service.parse().unwrap(), name, data))
}

/// The only provider of an entry.
pub(super) fn one(format: &dyn Format, name: &str, data: &[u8]) -> Provider {
    let mut decoded = decode(format, name, data);
    assert_eq!(decoded.unusable, []);
    assert_eq!(decoded.providers.len(), 1);
    decoded.providers.remove(0)
}

/// The only reason why an entry has no provider.
pub(super) fn unusable(format: &dyn Format, name: &str, data: &[u8]) -> Unusable {
    let mut decoded = decode(format, name, data);
    assert_eq!((&decoded.providers, &decoded.rules), (&Vec::new(), &Vec::new()));
    assert_eq!(decoded.unusable.len(), 1);
    decoded.unusable.remove(0)
}

/// Adds what was read to the metadata of what was written, for keys that the format has in its metadata.
pub(super) fn add(written: &mut Provider, read: &Provider, keys: &[&str]) {
    for key in keys {
        if let Some(value) = read.metadata.get(*key) {
            written.metadata.insert((*key).to_owned(), value.clone());
        }
    }
}

/// The records of a service in a dump of what real programs wrote: the name and data of each.
pub(super) fn znodes(dump: &str, format: &dyn Format, service: &str) -> Vec<(String, Vec<u8>)> {
    let folder = format.folder(&service.parse().unwrap());
    znodes_in(dump, &format!("{}/{folder}", format.prefix().trim_end_matches('/')))
}

/// The leaves of a folder in such a dump.
pub(super) fn znodes_in(dump: &str, folder: &str) -> Vec<(String, Vec<u8>)> {
    let dump: Value = serde_json::from_str(dump).unwrap();
    let leaves = dump["nodes"].as_array().unwrap().iter().filter(|node| node["children"] == 0);
    let named = leaves.filter_map(|node| {
        let name = node["path"].as_str().unwrap().strip_prefix(folder)?.strip_prefix('/')?;
        let data = node["text"].as_str().unwrap().as_bytes().to_vec();
        (!name.contains('/')).then(|| (name.to_owned(), data))
    });
    named.collect()
}
