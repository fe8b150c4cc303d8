//! What one file says: services and their providers, in TOML or JSON.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;
use toml::de::DeTable;

use crate::provider::{Provider, ServiceName};
use crate::registry::format::Reason;
use crate::registry::{Skipped, written};

/// What one file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    /// What it says of each service it names.
    pub(super) services: BTreeMap<ServiceName, Listed>,
    /// What it says that means nothing, each with its place.
    pub(super) remarks: Vec<String>,
}

/// What one file says of one service.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) providers: Vec<Arc<Provider>>,
    pub(super) skipped: Vec<Skipped>,
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    Toml,
    Json,
}

/// Reads a file. `name` is what places in it are told by.
///
/// # Errors
/// When it cannot be read as a whole: not of its syntax, or without a table of services, as a file that is being written
/// at this moment is.
pub(super) fn read(name: &str, syntax: Syntax, text: &str) -> Result<Content, Skipped> {
    let (value, places) = match syntax {
        Syntax::Toml => read_toml(name, text)?,
        Syntax::Json => (read_json(name, text)?, Places { name, lines: BTreeMap::new() }),
    };
    let broken =
        |reason, detail: &str| Skipped { record: name.to_owned(), reason, detail: detail.to_owned() };
    let services = match value.get("services") {
        Some(Value::Object(services)) => services,
        Some(_) => return Err(broken(Reason::Malformed, "services is not a table of lists of providers")),
        None if text.trim().is_empty() => return Err(broken(Reason::Empty, "the file is empty")),
        None => return Err(broken(Reason::Malformed, "there is no table of services; write [services]")),
    };
    let mut content = Content::default();
    for key in value.as_object().into_iter().flatten().map(|(key, _)| key).filter(|key| *key != "services") {
        content.remarks.push(format!("{name}: the key {key:?} means nothing here"));
    }
    for (service, entries) in services {
        read_service(&places, service, entries, &mut content);
    }
    Ok(content)
}

fn read_service(places: &Places<'_>, service: &str, entries: &Value, content: &mut Content) {
    let name = match service.parse::<ServiceName>() {
        Ok(name) => name,
        Err(error) => {
            content.remarks.push(format!("{}: {error}: {service:?}", places.of(service, None)));
            return;
        }
    };
    let listed = content.services.entry(name).or_default();
    let Value::Array(entries) = entries else {
        listed.skipped.push(Skipped {
            record: places.of(service, None),
            reason: Reason::Malformed,
            detail: "a service is a list of providers; write it in [ ]".to_owned(),
        });
        return;
    };
    for (index, entry) in entries.iter().enumerate() {
        let place = || places.of(service, Some(index));
        match written::provider(entry) {
            Ok(provider) => listed.providers.push(Arc::new(provider)),
            Err(mistake) => listed.skipped.push(Skipped {
                record: place(),
                reason: mistake.reason,
                detail: mistake.detail,
            }),
        }
        for key in written::unknown_keys(entry) {
            content.remarks.push(format!("{}: the key {key:?} means nothing here", place()));
        }
    }
}

fn read_json(name: &str, text: &str) -> Result<Value, Skipped> {
    // An empty text is no JSON, but deserves the clearer word.
    let text = if text.trim().is_empty() { "{}" } else { text };
    serde_json::from_str(text).map_err(|error| Skipped {
        record: format!("{name}:{}:{}", error.line(), error.column()),
        reason: Reason::Malformed,
        detail: error.to_string(),
    })
}

fn read_toml<'a>(name: &'a str, text: &str) -> Result<(Value, Places<'a>), Skipped> {
    let broken = |error: toml::de::Error| {
        let (line, column) = line_and_column(text, error.span());
        Skipped {
            record: format!("{name}:{line}:{column}"),
            reason: Reason::Malformed,
            detail: written::plain(error.message().replace('\n', ", ")),
        }
    };
    let value = toml::from_str::<Value>(text).map_err(broken)?;
    let spans = DeTable::parse(text).map_err(broken)?;
    Ok((value, Places::of_toml(name, text, spans.get_ref())))
}

/// Where things stand in a file: by line where its syntax tells, else by name.
struct Places<'a> {
    name: &'a str,
    /// Of each service, its line, and those of its entries.
    lines: BTreeMap<String, (usize, Vec<usize>)>,
}

impl<'a> Places<'a> {
    fn of_toml(name: &'a str, text: &str, table: &DeTable<'_>) -> Self {
        let starts: Vec<usize> =
            std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let line = |span: Range<usize>| starts.partition_point(|start| *start <= span.start);
        let services = table.iter().find(|(key, _)| key.get_ref() == "services");
        let services = services.and_then(|(_, value)| value.get_ref().as_table());
        let lines = services.into_iter().flatten().map(|(service, value)| {
            let entries = value.get_ref().as_array().into_iter().flatten();
            let entries = entries.map(|entry| line(entry.span())).collect();
            (service.get_ref().to_string(), (line(service.span()), entries))
        });
        Self { name, lines: lines.collect() }
    }

    fn of(&self, service: &str, index: Option<usize>) -> String {
        let line = self.lines.get(service).and_then(|(line, entries)| match index {
            None => Some(line),
            Some(index) => entries.get(index),
        });
        match (line, index) {
            (Some(line), _) => format!("{}:{line}", self.name),
            // It need not be one that a service can have.
            (None, None) => format!("{}: services.{}", self.name, service.escape_debug()),
            (None, Some(index)) => format!("{}: services.{}[{index}]", self.name, service.escape_debug()),
        }
    }
}

/// Where a span begins, both counted from 1.
fn line_and_column(text: &str, span: Option<Range<usize>>) -> (usize, usize) {
    let before = span.and_then(|span| text.get(..span.start)).unwrap_or_default();
    let column = before.chars().rev().take_while(|character| *character != '\n').count() + 1;
    (before.matches('\n').count() + 1, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = r#"
[services]
greeter = [
  "127.0.0.1:8080",
  { address = "127.0.0.1:8081", weight = 2, colour = "red" },
  "127.0.0.1",
]
"go.micro.srv/users" = []
"a b" = []
alone = "127.0.0.1:1"
"#;

    #[test]
    fn toml_and_json_have_one_shape() {
        let json = r#"{"services":{"greeter":["127.0.0.1:8080",{"address":"127.0.0.1:8081","weight":2}]}}"#;
        let json = read("p.json", Syntax::Json, json).unwrap();
        let toml = read("p.toml", Syntax::Toml, TOML).unwrap();
        assert_eq!(json.services["greeter"].providers, toml.services["greeter"].providers);
        assert_eq!(json.services["greeter"].providers[1].weight.to_string(), "2");
    }

    #[test]
    fn a_bad_entry_is_told_by_its_line_and_spoils_no_other() {
        let content = read("p.toml", Syntax::Toml, TOML).unwrap();
        let greeter = &content.services["greeter"];
        assert_eq!((greeter.providers.len(), greeter.skipped.len()), (2, 1));
        assert_eq!(greeter.skipped[0].record, "p.toml:6");
        assert_eq!(content.services["go.micro.srv/users"], Listed::default());
        assert_eq!(content.services["alone"].skipped[0].record, "p.toml:10");
        let remarks = content.remarks.join("\n");
        assert!(remarks.contains("p.toml:5: the key \"colour\" means nothing here"), "{remarks}");
        assert!(remarks.contains("p.toml:9: a service name cannot contain ' ': \"a b\""), "{remarks}");
        let json = read("p.json", Syntax::Json, r#"{"services":{"a":["b"]}}"#).unwrap();
        assert_eq!(json.services["a"].skipped[0].record, "p.json: services.a[0]");
        let odd = read("p.json", Syntax::Json, "{\"services\":{\"a\\nb\":[]}}").unwrap();
        assert!(!odd.remarks[0].contains('\n'), "{:?}", odd.remarks);
    }

    #[test]
    fn a_broken_or_half_written_file_is_refused_whole() {
        let error = |syntax, text| read("f", syntax, text).unwrap_err();
        assert_eq!(error(Syntax::Toml, "\n").reason, Reason::Empty);
        assert_eq!(error(Syntax::Json, "").reason, Reason::Empty);
        assert_eq!(error(Syntax::Toml, "x = 1").reason, Reason::Malformed);
        assert_eq!(error(Syntax::Toml, "services = 1").reason, Reason::Malformed);
        assert_eq!(error(Syntax::Toml, "[services]\na = [\"x:1\",").record, "f:2:12");
        assert_eq!(error(Syntax::Json, "{\"services\":\n {").record, "f:2:2");
    }
}
