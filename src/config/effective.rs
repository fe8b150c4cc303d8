//! The configuration in force, written as TOML again, and where each value in it comes from.

use std::sync::Arc;

use serde_json::{Value, json};

use super::asked::{Absence, Asked};
use super::edits::VEIL;
use super::error::{Place, Source};

/// A value in force, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// Its path, with the number of each section that there may be several of, from 1: `route.2.path`.
    pub path: String,
    /// The value, as TOML; `None` of a secret.
    pub value: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
    /// Whether it is what would hold if nothing were said.
    pub is_default: bool,
    /// The head of its section, `[[route]]`; empty for the top.
    section: Arc<str>,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// A file.
    File {
        /// What it is called; `None` of a text that is no file.
        file: Option<Arc<str>>,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
    },
    /// A variable of the environment, by its name.
    Variable(&'static str),
    /// A flag, by its name.
    Flag(&'static str),
}

impl InForce {
    /// Whether it is of one of these keys and sections, which have no numbers in them.
    fn is_of(&self, keys: &[String]) -> bool {
        if keys.is_empty() {
            return false;
        }
        let parts = self.path.split('.').filter(|part| part.parse::<usize>().is_err());
        let path = parts.collect::<Vec<_>>().join(".");
        let is_of = |key: &String| {
            path.strip_prefix(key.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        keys.iter().any(is_of)
    }
}

impl Origin {
    fn of(place: Option<Place>, names: &[Option<Arc<str>>]) -> Self {
        match place {
            None | Some(Place::Missing) => Self::Default,
            Some(Place::Given(name)) if name.starts_with("--") => Self::Flag(name),
            Some(Place::Given(name)) => Self::Variable(name),
            Some(Place::File { file, line, column }) => {
                Self::File { file: names.get(file).cloned().flatten(), line, column }
            }
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Default => "default".to_owned(),
            Self::File { file: Some(file), line, .. } => format!("{file}:{line}"),
            Self::File { file: None, line, .. } => format!("line {line}"),
            Self::Variable(name) | Self::Flag(name) => (*name).to_owned(),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Default => json!({ "kind": "default" }),
            Self::File { file, line, column } => {
                json!({ "kind": "file", "file": file.as_deref(), "line": line, "column": column })
            }
            Self::Variable(name) => json!({ "kind": "variable", "name": name }),
            Self::Flag(name) => json!({ "kind": "flag", "name": name }),
        }
    }
}

/// What was asked for as TOML, in that order: every key that has a value, and the flag or variable that gave it.
pub(super) fn toml(asked: &[Asked]) -> String {
    let mut text =
        String::from("# What is in force: file, flags, environment and defaults. Secrets are left out.\n");
    let mut section = (String::new(), 0);
    for asked in asked {
        if (&asked.section, asked.number) != (&section.0, section.1) {
            section = (asked.section.clone(), asked.number);
            text.push_str(&format!("\n{}\n", asked.section));
        }
        let Some(value) = &asked.value else { continue };
        text.push_str(&format!("{} = {value}", asked.key));
        if let Some(Place::Given(origin)) = asked.place {
            text.push_str(&format!("  # {origin}"));
        }
        text.push('\n');
    }
    text
}

/// The secrets that were given, each by its place and key and what tells it from another one.
pub(super) fn secrets(asked: &[Asked]) -> Vec<((usize, String), u64)> {
    let secret = |asked: &Asked| {
        let key = format!("{}.{}", asked.section.trim_matches(['[', ']']), asked.key);
        Some(((asked.number, key), asked.mark?))
    };
    asked.iter().filter_map(secret).collect()
}

/// Every value that there is, secrets included as such.
pub(super) fn in_force(asked: &[Asked], sources: &[Source]) -> Vec<InForce> {
    let names: Vec<Option<Arc<str>>> =
        sources.iter().map(|source| source.name.as_deref().map(Arc::from)).collect();
    let mut section: Arc<str> = Arc::from("");
    let mut values = Vec::new();
    for asked in asked.iter().filter(|asked| asked.value.is_some() || asked.mark.is_some()) {
        if *section != *asked.section {
            section = Arc::from(asked.section.as_str());
        }
        let is_as_usual =
            matches!(&asked.absence, Absence::Default(usual) if asked.value.as_ref() == Some(usual));
        values.push(InForce {
            path: asked.trail.clone(),
            value: asked.value.clone(),
            origin: Origin::of(asked.place, &names),
            is_default: asked.place.is_none() || is_as_usual && asked.mark.is_none(),
            section: Arc::clone(&section),
        });
    }
    values
}

/// Values as TOML, each with where it comes from behind it, and whether it waits for the next start: those of the keys and sections of
/// `waiting` do.
pub(super) fn annotated<'v>(values: impl IntoIterator<Item = &'v InForce>, waiting: &[String]) -> String {
    let mut text =
        String::from("# What is in force, and where each value comes from. Secrets are left out.\n");
    if !waiting.is_empty() {
        text.push_str(&format!("# These wait for the next start: {}.\n", waiting.join(", ")));
    }
    let mut within = "";
    for value in values {
        let (section, key) = value.path.rsplit_once('.').unwrap_or(("", &value.path));
        if section != within {
            let number = section.rsplit('.').next().filter(|last| last.parse::<usize>().is_ok());
            let number = number.map(|number| format!("  # {number}")).unwrap_or_default();
            text.push_str(&format!("\n{}{number}\n", value.section));
            within = section;
        }
        let line = match &value.value {
            Some(value) => format!("{key} = {value}"),
            None => format!("# {key} = {VEIL}"),
        };
        let waits = if value.is_of(waiting) { ", waits for the next start" } else { "" };
        text.push_str(&format!("{line:<42}  # {}{waits}\n", value.origin.shown()));
    }
    text
}

/// Values as JSON, each with its path and where it comes from.
pub(super) fn json<'v>(values: impl IntoIterator<Item = &'v InForce>) -> Value {
    let value = |value: &InForce| {
        json!({
            "key": value.path,
            "value": value.value.as_deref().map(json_of),
            "secret": value.value.is_none(),
            "default": value.is_default,
            "origin": value.origin.json(),
        })
    };
    values.into_iter().map(value).collect()
}

/// A value in TOML as JSON.
pub(super) fn json_of(value: &str) -> Value {
    let table: toml::Table = format!("value = {value}").parse().unwrap_or_default();
    table.get("value").and_then(|value| serde_json::to_value(value).ok()).unwrap_or(Value::Null)
}
