//! What is written of one registry.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::error::nearest;
use super::file::{Entry, Node};
use super::reader::Section;
use super::value::{List, Map, Problems, Shape, TEXTS, quoted};
use crate::provider::{Protocol, Provider, ServiceName, Weight};
use crate::registry::kinds::Settings;
use crate::registry::url::UrlError;
use crate::registry::{fixed, written};

/// What to write where no registry is given.
const ADVICE: &str = "write one such as url = \"zookeeper://127.0.0.1:2181\", or give --registry";

/// Reads which registry a section means; `None` where a mistake was noted that leaves no value.
pub(super) fn registry(section: &mut Section<'_>) -> Option<Settings> {
    let services = section.optional("services", &Map(service_name, List(WrittenProvider)), "none");
    let url = section.required_unless(section.has("services"), "url", &Url, ADVICE);
    let auth = section.secret("auth", &Credentials, "none");
    if section.has("url") && section.has("services") {
        section.wrong("services", "the registry has a url already; leave out the one or the other");
    }
    let settings = match (url, services) {
        (Some((_, settings)), _) => settings,
        (None, Some(services)) if !section.has("url") => Settings::Fixed(fixed_services(services)),
        (None, _) => return None,
    };
    with_auth(section, settings, auth)
}

fn with_auth(section: &Section<'_>, settings: Settings, auth: Option<Secret>) -> Option<Settings> {
    let Some(Secret(auth)) = auth else { return Some(settings) };
    let with = match settings {
        Settings::ZooKeeper(settings) => {
            auth.parse().map(|auth| Settings::ZooKeeper(settings.with_auth(auth)))
        }
        Settings::Etcd(settings) => auth.parse().map(|auth| Settings::Etcd(settings.with_auth(auth))),
        Settings::Consul(settings) => auth.parse().map(|token| Settings::Consul(settings.with_auth(token))),
        Settings::Dns(_) | Settings::File(_) | Settings::Fixed(_) => {
            Err(UrlError::new("this registry asks for no credentials", "leave them out"))
        }
    };
    with.map_err(|error| section.wrong("auth", error.to_string())).ok()
}

/// What is wrong with a name that a service is to have, if anything is.
fn service_name(text: &str) -> Option<String> {
    let error = text.parse::<ServiceName>().err()?;
    Some(format!("{text:?} is not a service name: {error}; write one such as \"greeter\""))
}

fn fixed_services(written: BTreeMap<String, Vec<Arc<Provider>>>) -> fixed::Settings {
    let named = |(name, providers): (String, _)| Some((name.parse::<ServiceName>().ok()?, providers));
    fixed::Settings { services: written.into_iter().filter_map(named).collect() }
}

/// The services that the registries can ever have, where that is known.
pub(super) struct Known(Option<BTreeSet<ServiceName>>);

impl Known {
    pub(super) fn of<'s>(registries: impl IntoIterator<Item = &'s Settings>) -> Self {
        let mut all: Option<BTreeSet<ServiceName>> = None;
        for registry in registries {
            let Settings::Fixed(settings) = registry else { return Self(None) };
            all.get_or_insert_default().extend(settings.services.keys().cloned());
        }
        Self(all)
    }

    /// Notes a mistake where a section names a service that the registry cannot have.
    pub(super) fn check(&self, section: &Section<'_>, key: &str, service: Option<&ServiceName>) {
        self.check_besides(section, key, service, None);
    }

    /// The same where one of them is not meant: it is not proposed either.
    pub(super) fn check_besides(
        &self,
        section: &Section<'_>,
        key: &str,
        service: Option<&ServiceName>,
        not_meant: Option<&ServiceName>,
    ) {
        let (Some(known), Some(service)) = (&self.0, service) else { return };
        if known.contains(service) {
            return;
        }
        let meant = known.iter().filter(|known| Some(*known) != not_meant);
        let names: Vec<&str> = meant.map(ServiceName::as_str).collect();
        let cure = match nearest(service.as_str(), names.iter().copied()) {
            Some(name) => format!("write {}", quoted(name)),
            None if names.is_empty() => "it has no other; add it there, or leave this out".to_owned(),
            None => format!("it has {}", super::reader::listed(&names)),
        };
        section.wrong(key, format!("the registry has no service {}; {cure}", quoted(service.as_str())));
    }
}

/// The URL of a registry, and what it says. It is not repeated in messages: a misplaced secret may stand in it.
struct Url;

impl Shape for Url {
    type Out = (String, Settings);

    fn read(&self, entry: &Entry, problems: &mut Problems) -> Option<(String, Settings)> {
        let Some(text) = entry.node.as_text() else {
            problems.push((entry.place, format!("{} is no URL; write one in quotes", entry.node.shown())));
            return None;
        };
        match text.parse::<Settings>() {
            Ok(settings) => Some((text.to_owned(), settings)),
            Err(error) => {
                problems.push((entry.place, error.to_string()));
                None
            }
        }
    }

    fn write(&self, (url, _): &(String, Settings)) -> String {
        quoted(url)
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "examples": ["zookeeper://127.0.0.1:2181", "etcd://127.0.0.1:2379"] })
    }
}

/// What stands in for credentials; which registry takes them as what is found out with its URL.
struct Secret(String);

/// Credentials, which are neither repeated nor written.
struct Credentials;

impl Shape for Credentials {
    type Out = Secret;

    fn read(&self, entry: &Entry, problems: &mut Problems) -> Option<Secret> {
        let Some(text) = entry.node.as_text() else {
            problems.push((entry.place, "these are no credentials; write them in quotes".to_owned()));
            return None;
        };
        Some(Secret(text.to_owned()))
    }

    fn write(&self, _: &Secret) -> String {
        String::new()
    }

    fn schema(&self) -> Value {
        json!({ "type": "string" })
    }
}

/// A provider, written as its address or as a table.
struct WrittenProvider;

impl Shape for WrittenProvider {
    type Out = Arc<Provider>;

    fn read(&self, entry: &Entry, problems: &mut Problems) -> Option<Arc<Provider>> {
        let value = json(&entry.node);
        let unknown: Vec<&str> = written::unknown_keys(&value).collect();
        for key in &unknown {
            problems.push((
                entry.place,
                format!("a provider has no {key}; see what it has in config/reference.toml"),
            ));
        }
        match written::provider(&value) {
            Ok(provider) => Some(Arc::new(provider)),
            Err(mistake) if mistake.detail.contains("; ") => {
                problems.push((entry.place, mistake.detail));
                None
            }
            Err(mistake) => {
                problems
                    .push((entry.place, format!("{}; write one such as \"127.0.0.1:8080\"", mistake.detail)));
                None
            }
        }
    }

    fn write(&self, provider: &Arc<Provider>) -> String {
        let address = provider.address.to_string();
        let zone = provider.zone.as_deref();
        let texts = [
            ("id", Some(&*provider.id).filter(|id| **id != *address)),
            ("zone", zone),
            ("version", Some(&*provider.version).filter(|version| !version.is_empty())),
            ("protocol", Some(provider.protocol.as_str()).filter(|_| provider.protocol != Protocol::Http1)),
        ];
        let mut pairs: Vec<String> = texts
            .into_iter()
            .filter_map(|(key, text)| text.map(|text| format!("{key} = {}", quoted(text))))
            .collect();
        if provider.secure {
            pairs.push("tls = true".to_owned());
        }
        if provider.weight != Weight::ONE {
            pairs.push(format!("weight = {}", provider.weight));
        }
        if !provider.metadata.is_empty() {
            pairs.push(format!("metadata = {}", TEXTS.write(&provider.metadata)));
        }
        if pairs.is_empty() {
            quoted(&address)
        } else {
            format!("{{ address = {}, {} }}", quoted(&address), pairs.join(", "))
        }
    }

    fn schema(&self) -> Value {
        let text = json!({ "type": "string" });
        let table = json!({
            "type": "object",
            "properties": {
                "address": text,
                "id": text,
                "zone": text,
                "version": text,
                "protocol": { "enum": ["http1", "h2c", "mucp", "tcp"] },
                "tls": { "type": "boolean" },
                "weight": { "type": "number", "minimum": 0, "maximum": 1000 },
                "metadata": { "type": "object" },
            },
            "required": ["address"],
            "additionalProperties": false,
        });
        json!({ "anyOf": [{ "type": "string", "examples": ["127.0.0.1:8080"] }, table] })
    }
}

/// What is written, as the registries take it.
fn json(node: &Node) -> Value {
    match node {
        Node::Text(text) => Value::from(text.as_str()),
        Node::Integer(Ok(number)) => Value::from(*number),
        Node::Integer(Err(digits)) | Node::Fraction(digits) => {
            digits.parse::<f64>().map_or_else(|_| Value::from(digits.as_str()), Value::from)
        }
        Node::Flag(flag) => Value::from(*flag),
        Node::Date(date) => Value::from(date.as_str()),
        Node::List(items) => items.iter().map(|item| json(&item.node)).collect(),
        Node::Table(entries) => {
            let pairs = entries.iter().map(|(key, entry)| (key.text.clone(), json(&entry.node)));
            Value::Object(pairs.collect())
        }
    }
}
