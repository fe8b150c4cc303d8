//! Providers as people write them: in a file, in the configuration, on the command line.
//!
//! A provider is a text, `"10.0.0.5:8080"`, or a table:
//!
//! | key | means | else |
//! |---|---|---|
//! | `address` | `host:port`; needed | |
//! | `id` | what an operator searches for | the address |
//! | `weight` | its share of traffic, 0 to 1000 | 1 |
//! | `zone` | where it runs | |
//! | `version` | its version | none |
//! | `protocol` | `http1`, `h2c` or `mucp`; `tcp` for what no request can be sent to | `http1` |
//! | `tls` | whether that is spoken over TLS | false |
//! | `metadata` | a table of texts, numbers, true or false | none |
//!
//! Other keys are ignored, as in every registry, and told to whoever reads.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::format::Reason;
use crate::provider::{Address, Protocol, Provider, Weight};

/// The keys of a provider written as a table.
const KEYS: [&str; 8] = ["address", "id", "weight", "zone", "version", "protocol", "tls", "metadata"];

/// Why something written is no provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// One short word.
    pub reason: Reason,
    /// What is wrong, and what to write instead.
    pub detail: String,
}

impl Mistake {
    /// Without what controls a terminal: a key that is quoted must not end a line of a log.
    fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: plain(detail.into()) }
    }
}

/// A text that others wrote, as a message may hold it.
pub(super) fn plain(text: String) -> String {
    if text.contains(char::is_control) { text.replace(char::is_control, "\u{fffd}") } else { text }
}

/// The provider at an address, of which nothing else is written.
///
/// # Errors
/// When the text is not a host and port.
pub fn at(address: &str) -> Result<Provider, Mistake> {
    let address = address.trim().parse::<Address>();
    let address = address.map_err(|error| Mistake::new(Reason::Address, error.to_string()))?;
    Ok(Provider::new(address.to_string(), address))
}

/// The provider written as a text or a table.
///
/// # Errors
/// When it is neither, has no usable address, or a value is of another kind or out of its range.
pub fn provider(written: &Value) -> Result<Provider, Mistake> {
    match written {
        Value::String(address) => at(address),
        Value::Object(table) => from_table(table),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => Err(Mistake::new(
            Reason::Malformed,
            format!("a provider is \"host:port\" or a table with an address, not {written}"),
        )),
    }
}

/// The keys of a written provider that mean nothing.
pub fn unknown_keys(written: &Value) -> impl Iterator<Item = &str> {
    let keys = written.as_object().into_iter().flat_map(Map::keys);
    keys.map(String::as_str).filter(|key| !KEYS.contains(key))
}

fn from_table(table: &Map<String, Value>) -> Result<Provider, Mistake> {
    let Some(address) = text(table, "address")? else {
        let detail = "a provider needs an address; write address = \"host:port\"";
        return Err(Mistake::new(Reason::Address, detail));
    };
    let mut provider = at(address)?;
    if let Some(id) = text(table, "id")?.filter(|id| !id.is_empty()) {
        provider.id = id.into();
    }
    if let Some(weight) = table.get("weight").filter(|weight| !weight.is_null()) {
        provider.weight = self::weight(weight)?;
    }
    provider.zone = text(table, "zone")?.map(Arc::from);
    if let Some(version) = text(table, "version")? {
        provider.version = version.into();
    }
    if let Some(word) = text(table, "protocol")? {
        let detail =
            || format!("there is no protocol {word:?}; write \"http1\", \"h2c\", \"mucp\" or \"tcp\"");
        provider.protocol = protocol(word).ok_or_else(|| Mistake::new(Reason::Value, detail()))?;
    }
    provider.secure = flag(table, "tls")?;
    if let Some(written) = table.get("metadata").filter(|written| !written.is_null()) {
        provider.metadata = metadata(written)?;
    }
    Ok(provider)
}

fn text<'a>(table: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, Mistake> {
    match table.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => {
            Err(Mistake::new(Reason::Malformed, format!("{key} is {other}; write it as a text in quotes")))
        }
    }
}

fn flag(table: &Map<String, Value>, key: &str) -> Result<bool, Mistake> {
    match table.get(key) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(other) => {
            let detail = format!("{key} is {other}; write true or false, without quotes");
            Err(Mistake::new(Reason::Malformed, detail))
        }
    }
}

fn weight(written: &Value) -> Result<Weight, Mistake> {
    let weight = match written {
        Value::Number(number) => Weight::try_from(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Weight::from_str(text),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            let detail = format!("weight is {written}; write a number from 0 to 1000");
            return Err(Mistake::new(Reason::Malformed, detail));
        }
    };
    weight.map_err(|error| Mistake::new(Reason::Value, error.to_string()))
}

/// The protocol of a word.
pub(super) fn protocol(word: &str) -> Option<Protocol> {
    Protocol::ALL.into_iter().find(|protocol| protocol.as_str() == word)
}

fn metadata(written: &Value) -> Result<BTreeMap<String, String>, Mistake> {
    let wrong = |what: String| Mistake::new(Reason::Malformed, what);
    let Value::Object(table) = written else {
        return Err(wrong(format!("metadata is {written}; write it as a table of texts")));
    };
    let pair = |(key, value): (&String, &Value)| match value {
        Value::String(text) => Ok((key.clone(), text.clone())),
        Value::Number(_) | Value::Bool(_) => Ok((key.clone(), value.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(wrong(format!("metadata.{key} is {value}; write it as a text")))
        }
    };
    table.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_is_an_address() {
        let provider = provider(&json!("127.0.0.1:8080")).unwrap();
        assert_eq!((&*provider.id, provider.address.port()), ("127.0.0.1:8080", 8080));
        assert_eq!((provider.weight, provider.protocol), (Weight::ONE, Protocol::Http1));
    }

    #[test]
    fn a_table_says_it_all() {
        let written = json!({
            "address": "greeter.local:8081", "id": "g-1", "weight": 2, "zone": "a", "version": "v2",
            "protocol": "h2c", "tls": true, "metadata": {"k": "v", "n": 7, "on": true}, "wieght": 3,
        });
        let provider = provider(&written).unwrap();
        assert_eq!((&*provider.id, provider.weight), ("g-1", Weight::from_hundredths(200)));
        assert_eq!((provider.zone.as_deref(), &*provider.version), (Some("a"), "v2"));
        assert_eq!((provider.protocol, provider.secure), (Protocol::H2c, true));
        assert_eq!(provider.metadata["n"], "7");
        assert_eq!(provider.metadata["on"], "true");
        assert_eq!(unknown_keys(&written).collect::<Vec<_>>(), ["wieght"]);
    }

    #[test]
    fn mistakes_name_culprit_and_cure() {
        for (written, reason, part) in [
            (json!(8080), Reason::Malformed, "\"host:port\" or a table with an address, not 8080"),
            (json!("10.0.0.5"), Reason::Address, "has no port"),
            (json!({"id": "x"}), Reason::Address, "needs an address"),
            (json!({"address": "a:1", "weight": 2000}), Reason::Value, "from 0 to 1000, not 2000"),
            (json!({"address": "a:1", "weight": []}), Reason::Malformed, "weight is []"),
            (
                json!({"address": "a:1", "protocol": "grpc"}),
                Reason::Value,
                "write \"http1\", \"h2c\", \"mucp\" or \"tcp\"",
            ),
            (
                json!({"address": "a:1", "tls": "yes"}),
                Reason::Malformed,
                "tls is \"yes\"; write true or false",
            ),
            (json!({"address": "a:1", "tls": "yes"}), Reason::Malformed, "write true or false"),
            (json!({"address": "a:1", "version": 2}), Reason::Malformed, "version is 2; write it as a text"),
            (json!({"address": "a:1", "metadata": {"k": []}}), Reason::Malformed, "metadata.k is []"),
            (
                json!({"address": "a:1", "metadata": {"k\nx": []}}),
                Reason::Malformed,
                "metadata.k\u{fffd}x is []",
            ),
        ] {
            let mistake = provider(&written).unwrap_err();
            assert_eq!(mistake.reason, reason, "{written}");
            assert!(mistake.detail.contains(part), "{}", mistake.detail);
        }
    }
}
