//! What the admin server tells of registries, services and endpoints, as far as commands show it.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What stands in a path as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What `/services` answers.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Overview {
    pub(super) registries: Vec<Registry>,
    pub(super) services: Vec<Service>,
}

/// A registry.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Registry {
    pub(super) name: String,
    pub(super) role: String,
    pub(super) kind: String,
    pub(super) location: String,
    pub(super) state: String,
    pub(super) for_ms: u64,
    pub(super) detail: Option<String>,
    pub(super) cause: Option<String>,
}

impl Registry {
    /// Its kind and place; with its name before them, where that says more.
    pub(super) fn title(&self) -> String {
        let Self { name, kind, location, .. } = self;
        if name == kind { format!("{kind} {location}") } else { format!("{name} ({kind} {location})") }
    }
}

/// A service in one line.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) declared: bool,
    pub(super) freshness: Freshness,
    pub(super) endpoints: usize,
    pub(super) available: usize,
    /// How many are in each state, those that are simply available left out.
    #[serde(skip_serializing)]
    pub(super) trouble: BTreeMap<String, usize>,
    pub(super) in_flight: u64,
    pub(super) attempts: u64,
    pub(super) failures: u64,
    pub(super) skipped: usize,
}

/// How far a list can be trusted.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Freshness {
    pub(super) state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) for_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cause: Option<String>,
}

/// What `/services/{name}` answers.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Detail {
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) skipped: Vec<Skipped>,
}

impl Detail {
    /// Where it is asked for.
    pub(super) fn path(service: &str) -> String {
        format!("/services/{}", utf8_percent_encode(service, PLAIN))
    }
}

/// A record that is no provider.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Skipped {
    pub(super) record: String,
    pub(super) reason: String,
    pub(super) detail: String,
}

/// An endpoint.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Endpoint {
    pub(super) id: String,
    pub(super) address: String,
    pub(super) state: String,
    pub(super) why: Option<String>,
    pub(super) zone: Option<String>,
    pub(super) weight: f64,
    pub(super) protocol: String,
    pub(super) latency_ms: Option<f64>,
    pub(super) in_flight: u64,
    pub(super) attempts: u64,
    pub(super) failures: u64,
}

/// What `/readyz` answers.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Readiness {
    pub(super) ready: bool,
    pub(super) why: Vec<String>,
}

/// What `/events` answers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Happened {
    pub(super) run: String,
    pub(super) last: u64,
    pub(super) forgotten: u64,
    /// As they came, so that what a newer Wayside says of them is not lost.
    pub(super) events: Vec<Value>,
}

/// Reads an answer.
///
/// What comes from a registry may hold anything: characters that would steer the terminal are taken out.
pub(super) fn read<T: DeserializeOwned>(answer: &[u8]) -> serde_json::Result<T> {
    let mut value: Value = serde_json::from_slice(answer)?;
    clean(&mut value);
    serde_json::from_value(value)
}

fn clean(value: &mut Value) {
    match value {
        Value::String(text) if text.contains(char::is_control) => {
            *text = text.replace(char::is_control, "\u{fffd}");
        }
        Value::Array(values) => values.iter_mut().for_each(clean),
        Value::Object(values) => values.values_mut().for_each(clean),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_registry_says_steers_the_terminal() {
        let answer = br#"{"endpoints": [{"address": "a\u001b[2J:1", "why": "x\r\ny", "new": {"in": 1}}]}"#;
        let detail: Detail = read(answer).unwrap();
        let endpoint = &detail.endpoints[0];
        assert_eq!(
            (endpoint.address.as_str(), endpoint.why.as_deref()),
            ("a\u{fffd}[2J:1", Some("x\u{fffd}\u{fffd}y"))
        );
    }

    #[test]
    fn names_are_written_into_paths() {
        assert_eq!(Detail::path("web/users"), "/services/web%2Fusers");
        assert_eq!(Detail::path("go.micro.srv-x_1"), "/services/go.micro.srv-x_1");
        assert_eq!(Detail::path("a b?c#d%"), "/services/a%20b%3Fc%23d%25");
    }
}
