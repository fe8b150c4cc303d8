//! The instances of Curator's service discovery, and of Spring Cloud, which stands on it.

pub(super) mod instance;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

use self::instance::{Instance, Part};
use super::{Decoded, Encoded, Entry, Format, Reason, Unusable, convention, json};
use crate::provider::{Protocol, Provider, ServiceName};
use crate::registry::announcer::Announcement;

/// The instances of Curator's service discovery and of Spring Cloud ZooKeeper.
///
/// `{"name","id","address","port","sslPort","payload","registrationTimeUTC","serviceType","uriSpec","enabled"}`; `enabled` came
/// with Curator 3 and is true where it is missing. An `sslPort` is the port, over TLS. A scheme that stands in `uriSpec` as it is
/// says what is spoken, else it is HTTP/1.1. The payload may be anything: of an object, its `metadata` or else its own keys are the
/// metadata, of which `weight`, `zone` and `version` are read, and `instance_status`, which Spring Cloud sets: an instance that is not `UP`
/// is out of service.
///
/// What is announced has the payload of Spring Cloud, whose readers refuse another; `payload=none` in the registry's URL makes
/// it `null`, for readers that use Curator without a payload.
#[derive(Clone, Copy, Debug)]
pub struct Curator {
    payload: Payload,
}

/// What stands in the payload of an instance that is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// What Spring Cloud's readers ask for.
    Spring,
    /// Nothing.
    None,
}

impl Curator {
    /// Instances that are announced with this payload, and read with any.
    pub const fn new(payload: Payload) -> Self {
        Self { payload }
    }
}

impl Format for Curator {
    fn name(&self) -> &'static str {
        "curator"
    }

    fn prefix(&self) -> &'static str {
        "/services"
    }

    fn folder(&self, service: &ServiceName) -> String {
        service.as_str().to_owned()
    }

    fn decode(&self, entry: Entry<'_>) -> Decoded {
        provider(&entry).into()
    }

    fn encode(&self, announcement: &Announcement) -> Result<Encoded, String> {
        let provider = &announcement.provider;
        let port = provider.address.port();
        let since = announcement.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let described = convention::described_by(provider);
        let instance = Written {
            name: announcement.service.as_str(),
            id: &provider.id,
            address: convention::host(&provider.address),
            port,
            ssl_port: provider.secure.then_some(port),
            payload: match self.payload {
                Payload::Spring => Some(SpringPayload::of(announcement, described)),
                Payload::None => None,
            },
            registration_time: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            service_type: "DYNAMIC",
            uri_spec: UriSpec::of(provider)?,
        };
        let name = convention::one_part(&provider.id)?;
        Ok(Encoded { name, is_numbered: false, data: json::written(&instance)? })
    }
}

fn provider(entry: &Entry<'_>) -> Result<Provider, Unusable> {
    let instance = Instance::of(entry)?;
    let status = instance.metadata.get("instance_status").map_or("", |status| status.trim());
    if !status.is_empty() && !status.eq_ignore_ascii_case("UP") {
        return Err(Unusable::new(Reason::Disabled, format!("its instance_status is {status:?}, not UP")));
    }
    let (port, secure) = match (instance.ssl_port, instance.port) {
        (Some(port), _) => (port, true),
        (None, Some(port)) => (port, false),
        (None, None) => {
            return Err(Unusable::new(Reason::Address, "the instance has neither a port nor an sslPort"));
        }
    };
    let address = convention::address(instance.address()?, port)?;
    let (protocol, over_tls) =
        instance.scheme.as_deref().map_or((Protocol::Http1, false), convention::spoken);
    let provider = convention::described(Provider::new(instance.id, address), instance.metadata);
    Ok(Provider { protocol, secure: secure || over_tls, ..provider })
}

/// An instance in the order of Curator's keys. `enabled` is left out, since older readers refuse keys that they do not know.
#[derive(Serialize)]
struct Written<'a> {
    name: &'a str,
    id: &'a str,
    address: String,
    port: u16,
    #[serde(rename = "sslPort")]
    ssl_port: Option<u16>,
    payload: Option<SpringPayload<'a>>,
    #[serde(rename = "registrationTimeUTC")]
    registration_time: u64,
    #[serde(rename = "serviceType")]
    service_type: &'static str,
    #[serde(rename = "uriSpec")]
    uri_spec: UriSpec,
}

/// The payload that Spring Cloud writes and asks for.
#[derive(Serialize)]
struct SpringPayload<'a> {
    #[serde(rename = "@class")]
    class: &'static str,
    id: String,
    name: &'a str,
    metadata: BTreeMap<String, String>,
}

impl<'a> SpringPayload<'a> {
    fn of(announcement: &'a Announcement, mut metadata: BTreeMap<String, String>) -> Self {
        let id = metadata.remove("instance_id").unwrap_or_else(|| announcement.provider.id.to_string());
        metadata.entry("instance_status".to_owned()).or_insert_with(|| "UP".to_owned());
        let class = "org.springframework.cloud.zookeeper.discovery.ZookeeperInstance";
        Self { class, id, name: announcement.service.as_str(), metadata }
    }
}

/// How the URL of an instance is made.
#[derive(Serialize)]
struct UriSpec {
    parts: [Part; 5],
}

impl UriSpec {
    /// The scheme is left to the reader where it follows from the port, and written where it does not.
    fn of(provider: &Provider) -> Result<Self, String> {
        let part = |value: &str, variable| Part { value: value.to_owned(), variable };
        let scheme = match provider.protocol {
            Protocol::Http1 => part("scheme", true),
            Protocol::H2c | Protocol::Tcp => part(convention::scheme(provider), false),
            Protocol::Mucp => return Err(convention::only_go_micro("Curator")),
        };
        let parts = [scheme, part("://", false), part("address", true), part(":", false), part("port", true)];
        Ok(Self { parts })
    }
}
