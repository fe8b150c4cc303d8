//! Headers that requests have to have, as the file says them. The values of fields that carry credentials are never shown.

use http::{HeaderName, HeaderValue};

use serde_json::{Value, json};

use super::edits::{VEIL, carries_credentials};
use super::error::Place;
use super::file::{Entry, Node};
use super::reader::Section;
use super::secret::file_schema;
use super::value::{Problems, Shape, quoted, written_key};
use crate::route::HeaderPattern;

/// A table of headers and the value of each, or `true` for any.
struct Headers;

/// Reads which headers requests have to have; without any, all do.
pub(super) fn patterns(section: &mut Section<'_>) -> Vec<HeaderPattern> {
    section.veiled("headers", &Headers, Vec::new(), |patterns| hidden(patterns))
}

/// The values that are not shown, by which a change of one is noticed all the same.
fn hidden(patterns: &[HeaderPattern]) -> Option<String> {
    let secret = |pattern: &HeaderPattern| {
        let value = pattern.value.as_ref().filter(|_| carries_credentials(&pattern.name))?;
        Some(format!("{}: {}", pattern.name, shown(value)))
    };
    let secrets: Vec<String> = patterns.iter().filter_map(secret).collect();
    (!secrets.is_empty()).then(|| secrets.join("\n"))
}

fn shown(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// One header and its value.
fn pattern(name: &str, place: Place, value: &Entry) -> Result<HeaderPattern, (Place, String)> {
    let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
        return Err((place, format!("{name:?} is no header; write a name such as x-stage")));
    };
    if matches!(value.node, Node::Flag(true)) {
        return Ok(HeaderPattern { name, value: None });
    }
    let written = if carries_credentials(&name) { "this".to_owned() } else { value.node.shown() };
    let Some(text) = value.node.as_text() else {
        let cure = format!("write a text in quotes, or true for any value of {name}");
        return Err((value.place, format!("{written} is no value; {cure}")));
    };
    match HeaderValue::from_str(text) {
        Ok(value) => Ok(HeaderPattern { name, value: Some(value) }),
        Err(_) => {
            let message = format!("{written} cannot be the value of a header; leave control characters out");
            Err((value.place, message))
        }
    }
}

impl Shape for Headers {
    type Out = Vec<HeaderPattern>;

    fn read(&self, entry: &Entry, problems: &mut Problems) -> Option<Vec<HeaderPattern>> {
        let Some(entries) = entry.node.as_table() else {
            let message =
                format!("{} is no table; write one such as {{ x-stage = \"canary\" }}", entry.node.kind());
            problems.push((entry.place, message));
            return None;
        };
        let mut patterns: Vec<HeaderPattern> = Vec::new();
        for (key, value) in entries {
            match pattern(&key.text, key.place, value) {
                Ok(read) if patterns.iter().any(|other| other.name == read.name) => {
                    let message =
                        format!("{} is there twice, since case means nothing; write it once", key.text);
                    problems.push((key.place, message));
                }
                Ok(read) => patterns.push(read),
                Err(problem) => problems.push(problem),
            }
        }
        Some(patterns)
    }

    fn write(&self, patterns: &Vec<HeaderPattern>) -> String {
        let pair = |pattern: &HeaderPattern| {
            let value = match &pattern.value {
                None => "true".to_owned(),
                Some(_) if carries_credentials(&pattern.name) => quoted(VEIL),
                Some(value) => quoted(&shown(value)),
            };
            format!("{} = {value}", written_key(pattern.name.as_str()))
        };
        let pairs: Vec<String> = patterns.iter().map(pair).collect();
        if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) }
    }

    fn schema(&self) -> Value {
        let value = json!({ "anyOf": [{ "type": "string" }, { "const": true }, file_schema()] });
        json!({ "type": "object", "additionalProperties": value })
    }
}
