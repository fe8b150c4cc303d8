//! An instance as Curator writes it, whatever its payload.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::registry::format::json::{self, Object};
use crate::registry::format::{Entry, Reason, Unusable};

/// An instance that is in service.
#[derive(Debug)]
pub(in crate::registry::format) struct Instance {
    /// Its own id, or the name of its entry.
    pub(in crate::registry::format) id: String,
    address: Option<String>,
    pub(in crate::registry::format) port: Option<u16>,
    pub(in crate::registry::format) ssl_port: Option<u16>,
    /// Of the payload.
    pub(in crate::registry::format) metadata: BTreeMap<String, String>,
    /// The scheme of its URL, where that is always the same.
    pub(in crate::registry::format) scheme: Option<String>,
}

/// A part of the URL of an instance: a text, or the name of what is put in its place.
#[derive(Serialize)]
pub(super) struct Part {
    pub(super) value: String,
    pub(super) variable: bool,
}

impl Instance {
    /// Reads an instance that is not disabled.
    pub(in crate::registry::format) fn of(entry: &Entry<'_>) -> Result<Self, Unusable> {
        let record = Object::of(entry, "an instance of Curator")?;
        if record.text("enabled").is_some_and(|enabled| enabled == "false") {
            return Err(Unusable::new(Reason::Disabled, "the instance says enabled=false"));
        }
        Ok(Self {
            id: record.text("id").unwrap_or_else(|| entry.name.to_owned()),
            address: record.text("address"),
            port: record.port("port")?,
            ssl_port: record.port("sslPort")?,
            metadata: metadata(&record),
            scheme: scheme(&record),
        })
    }

    /// The host.
    pub(in crate::registry::format) fn address(&self) -> Result<&str, Unusable> {
        let missing = || Unusable::new(Reason::Address, "the instance has no address");
        self.address.as_deref().ok_or_else(missing)
    }
}

/// What the payload says. Spring Cloud wraps the metadata, and has an id of its own beside it.
fn metadata(record: &Object) -> BTreeMap<String, String> {
    let Some(payload) = record.object("payload") else {
        let text = record.get("payload").and_then(json::text);
        return json::bounded_pairs(text.into_iter().map(|text| ("payload", text)));
    };
    let Some(wrapped) = payload.object("metadata") else {
        let mut metadata = payload.metadata();
        metadata.remove("@class");
        return metadata;
    };
    let mut metadata = wrapped.metadata();
    if let Some(id) = payload.text("id") {
        metadata.entry("instance_id".to_owned()).or_insert(id);
    }
    metadata
}

/// The scheme that the parts of the URL begin with, unless it is left to the reader.
fn scheme(record: &Object) -> Option<String> {
    let spec = record.object("uriSpec")?;
    let mut start = String::new();
    for part in spec.list("parts") {
        if part.get("variable").and_then(Value::as_bool) != Some(false) {
            break;
        }
        start.push_str(part.get("value")?.as_str()?);
        if start.len() > json::VALUE_BYTES_MAX {
            return None;
        }
    }
    let (scheme, _) = start.split_once(':')?;
    (!scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())).then(|| scheme.to_owned())
}
