//! One instance in an answer of Consul, and the provider that it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use super::settings::Demands;
use super::tags::{self, Tags};
use crate::provider::{Address, Host, Protocol, Provider, Weight};
use crate::registry::format::{Decoded, Reason, Unusable, VALUE_BYTES_MAX, bounded_pairs};

/// The most characters of a check's own words that are told on.
const OUTPUT_MAX: usize = 200;

/// One instance: where it runs, what it is, and how it is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Entry {
    node: Node,
    pub(super) service: Service,
    #[serde(default, deserialize_with = "or_null")]
    checks: Vec<Check>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    #[serde(default, deserialize_with = "or_null")]
    node: String,
    #[serde(default, deserialize_with = "or_null")]
    address: String,
    #[serde(default, deserialize_with = "or_null")]
    meta: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_null")]
    locality: Locality,
}

/// What an instance announces.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Service {
    #[serde(rename = "ID", default, deserialize_with = "or_null")]
    id: String,
    #[serde(default, deserialize_with = "or_null")]
    tags: Vec<String>,
    #[serde(default, deserialize_with = "or_null")]
    address: String,
    #[serde(default, deserialize_with = "or_null")]
    port: i64,
    #[serde(default, deserialize_with = "or_null")]
    meta: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_null")]
    weights: Weights,
    #[serde(default, deserialize_with = "or_null")]
    locality: Locality,
    /// The index at which it was last written.
    #[serde(default, deserialize_with = "or_null")]
    pub(super) modify_index: u64,
    /// The index at which it was first written.
    #[serde(default, deserialize_with = "or_null")]
    pub(super) create_index: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Locality {
    zone: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Weights {
    passing: i64,
    warning: i64,
}

impl Default for Weights {
    fn default() -> Self {
        Self { passing: 1, warning: 1 }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Check {
    #[serde(rename = "CheckID", deserialize_with = "or_null")]
    id: String,
    #[serde(deserialize_with = "or_null")]
    name: String,
    #[serde(deserialize_with = "or_null")]
    status: String,
    #[serde(deserialize_with = "or_null")]
    notes: String,
    #[serde(deserialize_with = "or_null")]
    output: String,
}

/// A value, or its default where it is `null`, as Go leaves it.
pub(super) fn or_null<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// How an instance is, by its worst check.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Passing,
    /// With what the check says.
    Warning(String),
    /// With what the check says, or why it is in maintenance.
    Critical(String),
}

impl Entry {
    /// Its name, unique within a data centre.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.node.node, self.service.id)
    }

    /// The provider that it is, or why it is none.
    pub(super) fn decode(&self, demands: &Demands) -> Decoded {
        match self.provider(demands) {
            Ok(provider) => Decoded { providers: vec![provider], ..Decoded::default() },
            Err(unusable) => Decoded { unusable: vec![unusable], ..Decoded::default() },
        }
    }

    fn provider(&self, demands: &Demands) -> Result<Provider, Unusable> {
        if let Some(tag) = demands.tags.iter().find(|tag| !self.service.tags.contains(tag)) {
            return Err(unusable(Reason::Filtered, format!("it has no tag {tag:?}")));
        }
        let share = match self.state() {
            State::Critical(cause) => return Err(unusable(Reason::Disabled, cause)),
            State::Warning(cause) if demands.passing => return Err(unusable(Reason::Disabled, cause)),
            State::Warning(_) => self.service.weights.warning,
            State::Passing => self.service.weights.passing,
        };
        let address = self.address()?;
        let Tags { is_go_micro, version, metadata, labels } = tags::read(&self.service.tags);
        // What stands in Meta is meant as it is; a tag may be of any kind.
        let mut metadata = metadata;
        metadata.extend(self.service.meta.iter().map(|(key, value)| (key.clone(), value.clone())));
        metadata.extend(labels.into_iter().map(|label| (format!("tag.{label}"), "true".to_owned())));
        let word = |key: &str| metadata.get(key).map(String::as_str).filter(|word| !word.is_empty());
        let zones = [&self.service.locality.zone, &self.node.locality.zone].map(String::as_str);
        let zone = word("zone").or_else(|| self.node.meta.get("zone").map(String::as_str));
        let zone = zone.into_iter().chain(zones).find(|zone| (1..=VALUE_BYTES_MAX).contains(&zone.len()));
        let version = version.or_else(|| word("version").map(str::to_owned));
        let version = version.filter(|version| version.len() <= VALUE_BYTES_MAX).unwrap_or_default();
        Ok(Provider {
            weight: weight(share, word("weight")),
            zone: zone.map(Arc::from),
            version: version.into(),
            protocol: protocol(&metadata, is_go_micro),
            secure: is_secure(&metadata),
            ..Provider::new(self.service.id.as_str(), address)
        })
        // What a small tag unpacks to is not kept whole, or many of them would fill the memory. Only now: what is said there of TLS or
        // the zone holds however many labels stand before it.
        .map(|provider| Provider { metadata: bounded_pairs(metadata.into_iter()), ..provider })
    }

    /// Where it listens: what it says itself, else where its node is.
    fn address(&self) -> Result<Address, Unusable> {
        let Service { id, address, port, .. } = &self.service;
        let host = if address.is_empty() { &self.node.address } else { address };
        let port = u16::try_from(*port).ok().filter(|port| *port > 0).ok_or_else(|| {
            unusable(
                Reason::Address,
                format!("{id:?} announces the port {port}, which is not from 1 to 65535"),
            )
        })?;
        let address = Address::new(host, port);
        let address = address.map_err(|error| unusable(Reason::Address, format!("{id:?}: {error}")))?;
        match address.host() {
            Host::Ip(ip) if ip.is_unspecified() => Err(unusable(
                Reason::Address,
                format!(
                    "{id:?} announces {address}, which means every address of its own machine and none from elsewhere"
                ),
            )),
            Host::Ip(_) | Host::Name(_) => Ok(address),
        }
    }

    /// The worst of its checks and its node's. A word for a state that Consul does not know counts as passing.
    fn state(&self) -> State {
        let worst = |status: &str| self.checks.iter().find(|check| check.status == status);
        match (worst("critical"), worst("warning")) {
            (Some(check), _) => State::Critical(check.words()),
            (None, Some(check)) => State::Warning(check.words()),
            (None, None) => State::Passing,
        }
    }
}

impl Check {
    /// What is to be told of it: its name and what it says, on one line, and not all of it when it says much.
    fn words(&self) -> String {
        if self.id == "_node_maintenance" || self.id.starts_with("_service_maintenance:") {
            return format!("in maintenance: {}", one_line(&self.notes));
        }
        let name = if self.name.is_empty() { &self.id } else { &self.name };
        format!("the check {name:?} is {}: {}", self.status, one_line(&self.output))
    }
}

fn one_line(text: &str) -> String {
    let text = text.trim();
    let mut line: String =
        text.chars().take(OUTPUT_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.len() < text.len() {
        line.push('…');
    }
    line
}

fn unusable(reason: Reason, detail: String) -> Unusable {
    Unusable::new(reason, detail)
}

/// The share of its state, where 1 is usual, times the weight among its metadata. A mistyped weight counts as 1.
fn weight(share: i64, word: Option<&str>) -> Weight {
    let factor = word.and_then(|word| word.parse::<Weight>().ok()).unwrap_or_default();
    let share = u64::try_from(share).unwrap_or_default();
    let hundredths = share.saturating_mul(u64::from(factor.hundredths()));
    Weight::from_hundredths(u32::try_from(hundredths).unwrap_or(u32::MAX))
}

/// Whether it is spoken over TLS: the first of these that is there says so.
pub(super) fn is_secure(metadata: &BTreeMap<String, String>) -> bool {
    let says = |key: &str, word: &str| metadata.get(key).map(|said| said.eq_ignore_ascii_case(word));
    let secure = says("secure", "true").or_else(|| says("tls", "true"));
    secure.or_else(|| says("scheme", "https")).unwrap_or(false)
}

/// What is spoken: `protocol` where it is said, else what Go Micro's kind of server implies.
pub(super) fn protocol(metadata: &BTreeMap<String, String>, is_go_micro: bool) -> Protocol {
    let server = metadata.get("server").filter(|_| is_go_micro);
    let word = metadata.get("protocol").or(server).map(|word| word.to_ascii_lowercase());
    match word.as_deref() {
        Some("mucp" | "rpc") => Protocol::Mucp,
        Some("grpc" | "h2c") => Protocol::H2c,
        Some("tcp") if !is_go_micro => Protocol::Tcp,
        Some(_) | None => Protocol::Http1,
    }
}

#[cfg(test)]
mod tests;
