//! The JSON Schema of configuration files: keys and values as the reader asks for them, sentences from the reference.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::asked::{Absence, Asked};
use super::error::Place;
use super::overrides::Overrides;
use super::reader::Reader;
use super::{effective, file, understand};

/// Every key there is, with its default and what it is for.
pub const REFERENCE: &str = include_str!("../../config/reference.toml");

/// The JSON Schema (draft 2020-12) of a configuration file. What several keys have to agree on is not in it.
pub fn schema() -> Value {
    let text = everything(REFERENCE);
    let (mut tree, _) = file::parse(&text, 0);
    let reader = Reader::learning();
    // What it names, such as certificates, need not be there; every key is asked for all the same.
    understand(&mut tree, &reader, &Overrides::default());
    let (asked, _) = reader.into_parts();
    let sentences = Sentences::of(&text);
    let mut top = Object::default();
    for asked in &asked {
        top.take(asked, &sentences);
    }
    let mut schema = top.schema();
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".to_owned(), json!("The configuration of Wayside"));
    Value::Object(schema)
}

/// The reference with everything that is commented out in it switched on: settings begin with `#`, sentences with `# `.
pub(super) fn everything(text: &str) -> String {
    let switch_on = |line: &str| match line.strip_prefix('#') {
        Some(setting) if !setting.is_empty() && !setting.starts_with([' ', ':']) => setting.to_owned(),
        Some(_) | None => line.to_owned(),
    };
    text.lines().map(switch_on).collect::<Vec<_>>().join("\n")
}

/// What stands above the lines of the reference.
pub(super) struct Sentences {
    by_line: BTreeMap<usize, String>,
    by_header: BTreeMap<String, String>,
}

impl Sentences {
    pub(super) fn of(text: &str) -> Self {
        let mut above = String::new();
        let mut sentences = Self { by_line: BTreeMap::new(), by_header: BTreeMap::new() };
        for (index, line) in text.lines().enumerate() {
            if let Some(sentence) = line.strip_prefix("# ") {
                above = format!("{above} {sentence}").trim().to_owned();
                continue;
            }
            if line.starts_with('[') && !above.is_empty() {
                sentences.by_header.entry(line.to_owned()).or_insert_with(|| above.clone());
            }
            sentences.by_line.insert(index + 1, std::mem::take(&mut above));
        }
        sentences
    }

    /// What stands above a line, from 1.
    pub(super) fn above(&self, line: usize) -> &str {
        self.by_line.get(&line).map_or("", String::as_str)
    }
}

/// A table of the configuration.
#[derive(Default)]
struct Object {
    /// The head it has, `[admin]` or `[[route]]`; empty for the top.
    header: String,
    description: String,
    keys: BTreeMap<&'static str, Value>,
    required: Vec<&'static str>,
    sections: BTreeMap<String, Self>,
}

impl Object {
    fn take(&mut self, asked: &Asked, sentences: &Sentences) {
        let section = asked.section.trim_matches(['[', ']']);
        let mut object = self;
        for part in section.split('.').filter(|part| !part.is_empty()) {
            object = object.sections.entry(part.to_owned()).or_default();
        }
        if object.header.is_empty() {
            object.header.clone_from(&asked.section);
            object.description = sentences.by_header.get(&asked.section).cloned().unwrap_or_default();
        }
        let Some(Value::Object(schema)) = &asked.schema else { return };
        let known = object.keys.entry(asked.key).or_insert_with(|| Value::Object(schema.clone()));
        let Value::Object(known) = known else { return };
        if let Some(Place::File { line, .. }) = asked.place {
            let sentence = sentences.above(line);
            if !sentence.is_empty() {
                known.entry("description").or_insert_with(|| json!(sentence));
            }
        }
        match &asked.absence {
            Absence::Default(value) => drop(known.insert("default".to_owned(), effective::json_of(value))),
            Absence::Required if !object.required.contains(&asked.key) => object.required.push(asked.key),
            Absence::Required | Absence::Excusable | Absence::Means(_) => {}
        }
    }

    fn schema(self) -> Map<String, Value> {
        let keys = self.keys.into_iter().map(|(key, schema)| (key.to_owned(), schema));
        let sections = self.sections.into_iter().map(|(key, object)| {
            let schema = object.section();
            (key, schema)
        });
        let properties: Map<String, Value> = keys.chain(sections).collect();
        let mut schema = Map::new();
        schema.insert("type".to_owned(), json!("object"));
        schema.insert("properties".to_owned(), Value::Object(properties));
        schema.insert("additionalProperties".to_owned(), json!(false));
        if !self.required.is_empty() {
            schema.insert("required".to_owned(), json!(self.required));
        }
        schema
    }

    /// The schema of what stands under the key of a section.
    fn section(mut self) -> Value {
        let is_list = self.header.starts_with("[[");
        // One registry may be written as a section of its own.
        let is_either = self.header == "[[registry]]";
        let description = std::mem::take(&mut self.description);
        let table = Value::Object(self.schema());
        let mut schema = match (is_list, is_either) {
            (false, _) => table,
            (true, false) => json!({ "type": "array", "items": table }),
            (true, true) => json!({ "anyOf": [{ "type": "array", "items": table }, table] }),
        };
        if let (Value::Object(schema), false) = (&mut schema, description.is_empty()) {
            schema.insert("description".to_owned(), json!(description));
        }
        schema
    }
}
