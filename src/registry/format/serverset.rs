//! The members of a ServerSet, as Finagle and Aurora write them, and the vectors that weigh them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::json::{self, Object};
use super::rule::{Effect, Rule, Target};
use super::{Decoded, Encoded, Entry, Format, Reason, Unusable, convention};
use crate::provider::{Address, Protocol, Provider, ServiceName};
use crate::registry::announcer::Announcement;

/// The members of a ServerSet: `{"serviceEndpoint":{"host","port"},"additionalEndpoints":{..},"status":"ALIVE","shard":7}`.
///
/// A service is named by its path below the prefix: `search/prod/api` for `/twitter/service/search/prod/api`; Aurora's lie below
/// `prefix=/aurora`. Of the entries, `member_…` are providers and `vector_…` rules: the weight of a member is the product of the
/// weights that vectors give it by address (`inet=`), name (`member=`) or shard (`shard=`), and a negative one takes it out.
/// Only members that are `ALIVE` are used. The option `endpoint=http` of the registry's URL takes the additional endpoint of that
/// name; a member without it is left out. What is spoken follows from that name or the metadata key `protocol`, else it is
/// HTTP/1.1.
#[derive(Clone, Debug, Default)]
pub struct ServerSet {
    /// The additional endpoint of interest, in place of the service's own.
    endpoint: Option<String>,
}

impl ServerSet {
    /// Members by their service's own endpoint, or by the additional one of this name.
    pub const fn new(endpoint: Option<String>) -> Self {
        Self { endpoint }
    }
}

impl Format for ServerSet {
    fn name(&self) -> &'static str {
        "serverset"
    }

    fn prefix(&self) -> &'static str {
        "/twitter/service"
    }

    fn folder(&self, service: &ServiceName) -> String {
        service.as_str().to_owned()
    }

    fn decode(&self, entry: Entry<'_>) -> Decoded {
        if entry.name.starts_with("vector_") {
            return vector(&entry);
        }
        if !entry.name.starts_with("member_") {
            return Decoded::unusable(Reason::Filtered, "neither a member_ nor a vector_");
        }
        self.member(&entry).into()
    }

    fn encode(&self, announcement: &Announcement) -> Result<Encoded, String> {
        /// An endpoint in the order of Finagle's keys.
        #[derive(Clone, Serialize)]
        struct Endpoint {
            host: String,
            port: u16,
        }
        /// A member in the order of Finagle's keys.
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Written<'a> {
            service_endpoint: Endpoint,
            additional_endpoints: BTreeMap<&'a str, Endpoint>,
            status: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            shard: Option<u32>,
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            metadata: BTreeMap<String, String>,
        }
        let provider = &announcement.provider;
        if provider.protocol == Protocol::Mucp {
            return Err(convention::only_go_micro("a ServerSet"));
        }
        let endpoint = Endpoint { host: convention::host(&provider.address), port: provider.address.port() };
        let mut metadata = convention::described_by(provider);
        let shard = metadata.get("shard").and_then(|shard| shard.parse().ok());
        if shard.is_some() {
            metadata.remove("shard");
        }
        if self.spoken_by_name() != (provider.protocol, provider.secure) {
            metadata.insert("protocol".to_owned(), convention::scheme(provider).to_owned());
        }
        let member = Written {
            additional_endpoints: self
                .endpoint
                .iter()
                .map(|name| (name.as_str(), endpoint.clone()))
                .collect(),
            service_endpoint: endpoint,
            status: "ALIVE",
            shard,
            metadata,
        };
        Ok(Encoded { name: "member_".to_owned(), is_numbered: true, data: json::written(&member)? })
    }
}

impl ServerSet {
    fn member(&self, entry: &Entry<'_>) -> Result<Provider, Unusable> {
        let data = json::content(entry)?;
        if data.first() != Some(&b'{') {
            let detail = "not JSON: members written in Thrift, as before 2012, are not read";
            return Err(Unusable::new(Reason::Malformed, detail));
        }
        let member = Object::read(data, "a member of a ServerSet")?;
        let mut metadata = member.object("metadata").map(|metadata| metadata.metadata()).unwrap_or_default();
        if let Some(shard) = member.text("shard") {
            metadata.insert("shard".to_owned(), shard);
        }
        let address = self.address(&member)?;
        match member.text("status") {
            Some(status) if status == "ALIVE" => {}
            Some(status) => {
                return Err(Unusable::new(Reason::Disabled, format!("its status is {status}, not ALIVE")));
            }
            None => return Err(Unusable::new(Reason::Disabled, "it has no status, which is not ALIVE")),
        }
        let spoken = metadata.get("protocol").map(|word| convention::spoken(word));
        let (protocol, secure) = spoken.unwrap_or_else(|| self.spoken_by_name());
        let provider = convention::described(Provider::new(entry.name, address), metadata);
        Ok(Provider { protocol, secure, ..provider })
    }

    /// The address of the endpoint of interest.
    fn address(&self, member: &Object) -> Result<Address, Unusable> {
        let Some(name) = &self.endpoint else {
            let endpoint = member.object("serviceEndpoint");
            let missing = || Unusable::new(Reason::Address, "there is no serviceEndpoint");
            return endpoint.ok_or_else(missing)?.host_and_port();
        };
        let endpoints = member.object("additionalEndpoints");
        if let Some(endpoint) = endpoints.as_ref().and_then(|endpoints| endpoints.object(name)) {
            return endpoint.host_and_port();
        }
        let names: Vec<&str> = endpoints.iter().flat_map(Object::keys).take(8).collect();
        let has = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let detail = format!("it has no additional endpoint {name:?}; it has {has}");
        Err(Unusable::new(Reason::Filtered, detail))
    }

    /// What the name of the endpoint of interest says of what is spoken; of one such as `admin`, nothing.
    fn spoken_by_name(&self) -> (Protocol, bool) {
        self.endpoint.as_deref().and_then(convention::known).unwrap_or((Protocol::Http1, false))
    }
}

/// What a vector says of the members.
fn vector(entry: &Entry<'_>) -> Decoded {
    let vector = match Object::of(entry, "a vector of a ServerSet") {
        Ok(vector) => vector,
        Err(unusable) => return Err(unusable).into(),
    };
    let mut decoded = Decoded::default();
    for part in vector.list("vector") {
        match part.as_object().map(rule) {
            Some(Ok(rule)) => decoded.rules.push(rule),
            Some(Err(unusable)) => decoded.unusable.push(unusable),
            None => {
                let detail = format!("a part of the vector is {}, not an object", json::shown(part));
                decoded.unusable.push(Unusable::new(Reason::Malformed, detail));
            }
        }
    }
    decoded.unusable.extend(vector.rest("vector"));
    if decoded == Decoded::default() && vector.get("vector").and_then(Value::as_array).is_none() {
        return Decoded::unusable(Reason::Malformed, "there is no list \"vector\"");
    }
    decoded
}

fn rule(part: &Map<String, Value>) -> Result<Rule, Unusable> {
    let odd = |detail: String| Unusable::new(Reason::Value, detail);
    let part = Object::from(part);
    let select = part.text("select").unwrap_or_default();
    let target = match select.split_once('=') {
        Some(("inet", address)) => Target::Address(convention::address_of(address)?),
        Some(("member", name)) => Target::Entry(name.to_owned()),
        Some(("shard", shard)) => Target::Metadata("shard".to_owned(), shard.to_owned()),
        Some(_) | None => {
            return Err(odd(format!(
                "a vector selects {select:?}, which is neither inet=, member= nor shard="
            )));
        }
    };
    let effect = match part.get("weight") {
        None => Effect::Scale(1.0),
        Some(weight) => match weight.as_f64() {
            Some(weight) if weight < 0.0 => Effect::Disabled(true),
            Some(weight) => Effect::Scale(weight),
            None => return Err(odd(format!("a vector's weight is {}, not a number", json::shown(weight)))),
        },
    };
    Ok(Rule { targets: vec![target], effect })
}

#[cfg(test)]
mod tests;
