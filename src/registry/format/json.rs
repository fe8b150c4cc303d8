//! Entries that are JSON objects, read leniently and within bounds.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Entry, Reason, Unusable};
use crate::provider::Address;

/// The largest entry read, in bytes: what ZooKeeper holds at most in one znode by default.
pub(super) const ENTRY_BYTES_MAX: usize = 1024 * 1024;
/// The most parts of one entry that are read: nodes, endpoints, rules. Real ones have a handful.
pub(super) const PARTS_MAX: usize = 64;
/// The most pairs of metadata kept of one provider.
const PAIRS_MAX: usize = 128;
/// The longest value of metadata kept, in bytes: lists of methods are long.
pub(in crate::registry) const VALUE_BYTES_MAX: usize = 4096;

/// The data of an entry without white space around it, neither empty nor too large.
pub(super) fn content<'a>(entry: &Entry<'a>) -> Result<&'a [u8], Unusable> {
    let data = entry.data.trim_ascii();
    if data.is_empty() {
        return Err(Unusable::new(Reason::Empty, "the record is empty"));
    }
    bounded(data)?;
    Ok(data)
}

/// Refuses what is too large to be read.
pub(super) fn bounded(data: &[u8]) -> Result<(), Unusable> {
    if data.len() > ENTRY_BYTES_MAX {
        let detail = format!("the record has {} bytes, at most {ENTRY_BYTES_MAX} are read", data.len());
        return Err(Unusable::new(Reason::Malformed, detail));
    }
    Ok(())
}

/// A JSON object; `null` stands for what is missing.
#[derive(Debug)]
pub(super) struct Object(Map<String, Value>);

impl Object {
    /// The object that an entry holds. `what` says what it should be: `a Nerve record`.
    pub(super) fn of(entry: &Entry<'_>, what: &str) -> Result<Self, Unusable> {
        Self::read(content(entry)?, what)
    }

    /// The object in this text.
    pub(super) fn read(text: &[u8], what: &str) -> Result<Self, Unusable> {
        match serde_json::from_slice::<Value>(text) {
            Ok(Value::Object(object)) => Ok(Self(object)),
            Ok(other) => {
                let detail = format!("not {what}: {}, where a JSON object is needed", kind(&other));
                Err(Unusable::new(Reason::Malformed, detail))
            }
            Err(error) => Err(Unusable::new(Reason::Malformed, format!("not {what}: {error}"))),
        }
    }

    /// A value that is there.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// A text, or a number or truth value as text; neither empty, nor longer than anything that means something, nor
    /// anything else.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.0.get(key).and_then(text).filter(|text| (1..=VALUE_BYTES_MAX).contains(&text.len()))
    }

    /// A port, as a number or its digits; 0 stands for none.
    pub(super) fn port(&self, key: &str) -> Result<Option<u16>, Unusable> {
        let Some(written) = self.get(key) else { return Ok(None) };
        let number = match written {
            Value::Number(number) => number.as_u64(),
            Value::String(digits) => digits.trim().parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        match number.map(u16::try_from) {
            Some(Ok(port)) => Ok(Some(port).filter(|port| *port > 0)),
            Some(Err(_)) | None => {
                let detail = format!("{key} is {}, not a number from 1 to 65535", shown(written));
                Err(Unusable::new(Reason::Address, detail))
            }
        }
    }

    /// The object under a key, if one is there.
    pub(super) fn object(&self, key: &str) -> Option<Self> {
        self.0.get(key)?.as_object().cloned().map(Self)
    }

    /// The first [`PARTS_MAX`] elements of the list under a key; none when there is no list.
    pub(super) fn list(&self, key: &str) -> impl Iterator<Item = &Value> {
        self.0.get(key).and_then(Value::as_array).into_iter().flatten().take(PARTS_MAX)
    }

    /// What to say of the elements of a list that [`Object::list`] leaves out, if there are any.
    pub(super) fn rest(&self, key: &str) -> Option<Unusable> {
        let count = self.0.get(key).and_then(Value::as_array).map_or(0, Vec::len);
        (count > PARTS_MAX).then(|| too_many(key, count))
    }

    /// Its keys.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What in it can be metadata.
    pub(super) fn metadata(&self) -> BTreeMap<String, String> {
        bounded_pairs(self.0.iter().filter_map(|(key, value)| Some((key.as_str(), listed(value)?))))
    }

    /// The address in the keys `host` and `port`.
    pub(super) fn host_and_port(&self) -> Result<Address, Unusable> {
        let host = self.text("host").ok_or_else(|| Unusable::new(Reason::Address, "there is no host"))?;
        let port = self.port("port")?.ok_or_else(|| Unusable::new(Reason::Address, "there is no port"))?;
        super::convention::address(&host, port)
    }
}

/// What is said of the parts of an entry beyond [`PARTS_MAX`].
pub(super) fn too_many(parts: &str, count: usize) -> Unusable {
    Unusable::new(Reason::Value, format!("the record has {count} {parts}, of which {PARTS_MAX} are read"))
}

impl From<&Map<String, Value>> for Object {
    fn from(object: &Map<String, Value>) -> Self {
        Self(object.clone())
    }
}

/// As many of these pairs as are kept of one provider; values that are too long are left out whole, since a piece of one
/// would be another value.
pub(in crate::registry) fn bounded_pairs<K: Into<String>>(
    pairs: impl Iterator<Item = (K, String)>,
) -> BTreeMap<String, String> {
    pairs
        .map(|(key, value)| (key.into(), value))
        .filter(|(key, value)| key.len() <= VALUE_BYTES_MAX && value.len() <= VALUE_BYTES_MAX)
        .take(PAIRS_MAX)
        .collect()
}

/// A record as JSON.
pub(super) fn written(record: &impl serde::Serialize) -> Result<Vec<u8>, String> {
    serde_json::to_vec(record).map_err(|error| format!("the record cannot be written: {error}"))
}

/// A text, or a number or truth value as text.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The same, and lists of such joined by commas.
fn listed(value: &Value) -> Option<String> {
    match value {
        Value::Array(items) => {
            let texts: Option<Vec<String>> = items.iter().map(text).collect();
            texts.filter(|texts| !texts.is_empty()).map(|texts| texts.join(","))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => text(value),
    }
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A value as messages show it: as it is where that is short.
pub(super) fn shown(value: &Value) -> String {
    let whole = value.to_string();
    if whole.len() <= 64 { whole } else { kind(value).to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: &Value) -> Object {
        Object::read(value.to_string().as_bytes(), "a record").unwrap()
    }

    #[test]
    fn ports_are_numbers_or_digits() {
        let port = |value: Value| object(&json!({ "port": value })).port("port");
        assert_eq!((port(json!(80)), port(json!(" 80 "))), (Ok(Some(80)), Ok(Some(80))));
        assert_eq!((port(json!(0)), port(Value::Null)), (Ok(None), Ok(None)));
        for wrong in [json!(65536), json!(-1), json!(80.5), json!("x"), json!([]), json!({}), json!(true)] {
            assert_eq!(port(wrong.clone()).unwrap_err().reason, Reason::Address, "{wrong}");
        }
    }

    #[test]
    fn texts_are_short_and_not_empty() {
        let text = |value: Value| object(&json!({ "a": value })).text("a");
        assert_eq!((text(json!("x")), text(json!(7))), (Some("x".to_owned()), Some("7".to_owned())));
        for nothing in [json!(""), json!([]), json!({}), Value::Null, json!("x".repeat(VALUE_BYTES_MAX + 1))]
        {
            assert_eq!(text(nothing), None);
        }
    }

    #[test]
    fn what_is_no_object_is_named() {
        let detail = |text: &str| Object::read(text.as_bytes(), "a record").unwrap_err().detail;
        assert_eq!(detail("[1]"), "not a record: a list, where a JSON object is needed");
        assert!(detail("{").starts_with("not a record: EOF"));
        assert!(detail(&"[".repeat(100_000)).contains("recursion"));
        let service = "s".parse().unwrap();
        let of = |data: &[u8]| Object::of(&Entry::of(&service, "e", data), "a record").unwrap_err();
        assert_eq!(of(b" \n").reason, Reason::Empty);
        let large = of(&vec![b'1'; ENTRY_BYTES_MAX + 1]);
        assert_eq!(large.reason, Reason::Malformed);
        assert_eq!(large.detail, "the record has 1048577 bytes, at most 1048576 are read");
    }

    #[test]
    fn metadata_is_flat_and_bounded() {
        let metadata =
            object(&json!({"a": "x", "b": 7, "c": true, "d": ["v2", 3], "e": [[]], "f": {}, "g": null}));
        let pairs: Vec<(String, String)> = metadata.metadata().into_iter().collect();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(pairs, [pair("a", "x"), pair("b", "7"), pair("c", "true"), pair("d", "v2,3")]);
        let many = (0..1000).map(|n| (n.to_string(), json!("x"))).collect();
        assert_eq!(object(&Value::Object(many)).metadata().len(), PAIRS_MAX);
        assert!(object(&json!({"a": "x".repeat(VALUE_BYTES_MAX + 1)})).metadata().is_empty());
    }
}
