//! Shapes: what a value may look like, read with its mistakes and written back as TOML.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde_json::{Value, json};

use super::error::{Place, nearest};
use super::file::{Entry, Key, Node};

/// What is wrong with a value, where, and what to write instead.
pub(super) type Problems = Vec<(Place, String)>;

/// What a value may look like.
pub(super) trait Shape {
    /// What it is once read.
    type Out;
    /// The value of an entry; `None` when it has none, which is then among the problems.
    fn read(&self, entry: &Entry, problems: &mut Problems) -> Option<Self::Out>;
    /// A value as TOML.
    fn write(&self, value: &Self::Out) -> String;
    /// What values there are, as JSON Schema: no more than a TOML editor can make use of.
    fn schema(&self) -> Value;
}

/// `true` or `false`.
pub(super) struct Flag;
/// A whole number in a range.
pub(super) struct Number<T>(pub(super) RangeInclusive<T>);
/// A whole number in a range, or `"auto"`, which is `None`.
pub(super) struct Auto<T>(pub(super) RangeInclusive<T>);
/// An IP address and port, to listen on.
pub(super) struct Listen;
/// One of some words: all there are, and the word for each.
pub(super) struct Word<T: 'static>(pub(super) &'static [T], pub(super) fn(&T) -> &'static str);
/// A text that can be read as something; what it is, with an article, and an example.
pub(super) struct Parsed<T> {
    what: &'static str,
    example: &'static str,
    parse: fn(&str) -> Result<T, String>,
    write: fn(&T) -> String,
}
/// A list, or a single item in place of a list of one.
pub(super) struct List<S>(pub(super) S);
/// A table of free keys: what is wrong with a key and what to write instead, if anything is, and what each holds.
pub(super) struct Map<S>(pub(super) fn(&str) -> Option<String>, pub(super) S);

/// A table of any texts.
pub(super) const TEXTS: Map<Parsed<String>> = Map(|_| None, ANY_TEXT);

/// Any text at all.
const ANY_TEXT: Parsed<String> = Parsed::new("a text", "blue", |text| Ok(text.to_owned()), String::clone);

/// A text in TOML, on one line: a key may not have several, and changes are told line by line.
pub(super) fn quoted(text: &str) -> String {
    let written = toml::Value::String(text.to_owned()).to_string();
    if written.contains('\n') {
        // TOML has what JSON has for a text, and wants one more character escaped.
        Value::from(text).to_string().replace('\u{7f}', "\\u007f")
    } else {
        written
    }
}

/// Any text that is not empty.
pub(super) const fn text(what: &'static str, example: &'static str) -> Parsed<String> {
    fn parse(text: &str) -> Result<String, String> {
        if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(text.to_owned()) }
    }
    Parsed { what, example, parse, write: |text| text.clone() }
}

/// A text that a type reads and writes itself.
pub(super) const fn parsed<T>(what: &'static str, example: &'static str) -> Parsed<T>
where
    T: FromStr<Err: Display> + Display,
{
    Parsed {
        what,
        example,
        parse: |text| T::from_str(text).map_err(|error| error.to_string()),
        write: T::to_string,
    }
}

impl<T> Parsed<T> {
    /// A text with a reader and a writer of its own.
    pub(super) const fn new(
        what: &'static str,
        example: &'static str,
        parse: fn(&str) -> Result<T, String>,
        write: fn(&T) -> String,
    ) -> Self {
        Self { what, example, parse, write }
    }
}

impl Shape for Flag {
    type Out = bool;

    fn read(&self, entry: &Entry, problems: &mut Problems) -> Option<bool> {
        if let Node::Flag(flag) = entry.node {
            return Some(flag);
        }
        let shown = entry.node.shown();
        problems.push((
            entry.place,
            format!("{shown} is neither true nor false; write true or false, without quotes"),
        ));
        None
    }

    fn write(&self, value: &bool) -> String {
        value.to_string()
    }

    fn schema(&self) -> Value {
        json!({ "type": "boolean" })
    }
}

impl<T: Copy + PartialOrd + Display + TryFrom<i64>> Shape for Number<T> {
    type Out = T;

    fn read(&self, entry: &Entry, problems: &mut Problems) -> Option<T> {
        let number = entry.node.as_integer().and_then(|number| T::try_from(number).ok());
        if let Some(number) = number.filter(|number| self.0.contains(number)) {
            return Some(number);
        }
        let wrong =
            if matches!(entry.node, Node::Integer(_)) { "is out of range" } else { "is no whole number" };
        let is_quoted = entry.node.as_text().is_some_and(|text| text.parse::<i64>().is_ok());
        let quotes = if is_quoted { ", without quotes" } else { "" };
        let (shown, least, most) = (entry.node.shown(), self.0.start(), self.0.end());
        problems
            .push((entry.place, format!("{shown} {wrong}; write a number from {least} to {most}{quotes}")));
        None
    }

    fn write(&self, value: &T) -> String {
        value.to_string()
    }

    fn schema(&self) -> Value {
        json!({ "type": "integer", "minimum": json_of(self.0.start()), "maximum": json_of(self.0.end()) })
    }
}

impl<T: Copy + PartialOrd + Display + FromStr + TryFrom<i64>> Shape for Auto<T> {
    type Out = Option<T>;

    fn read(&self, entry: &Entry, problems: &mut Problems) -> Option<Option<T>> {
        let integer = entry.node.as_integer().and_then(|number| T::try_from(number).ok());
        // A flag says it as text.
        let number = integer.or_else(|| entry.node.as_text().and_then(|text| text.parse::<T>().ok()));
        match number {
            Some(number) if self.0.contains(&number) => return Some(Some(number)),
            None if entry.node.as_text() == Some("auto") => return Some(None),
            Some(_) | None => {}
        }
        let (shown, least, most) = (entry.node.shown(), self.0.start(), self.0.end());
        problems.push((
            entry.place,
            format!("{shown} is not allowed; write a number from {least} to {most}, or \"auto\""),
        ));
        None
    }

    fn write(&self, value: &Option<T>) -> String {
        value.as_ref().map_or_else(|| quoted("auto"), T::to_string)
    }

    fn schema(&self) -> Value {
        let (least, most) = (json_of(self.0.start()), json_of(self.0.end()));
        json!({ "anyOf": [{ "type": "integer", "minimum": least, "maximum": most }, { "const": "auto" }] })
    }
}

impl Shape for Listen {
    type Out = SocketAddr;

    fn read(&self, entry: &Entry, problems: &mut Problems) -> Option<SocketAddr> {
        let shown = entry.node.shown();
        let port = entry.node.as_integer().map(|port| port.to_string());
        let text = entry.node.as_text().map(str::to_owned).or(port).unwrap_or_default();
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Some(address);
        }
        let (host, port) = text.rsplit_once(':').unwrap_or(("", &text));
        let port = port.parse::<u16>().ok();
        let cure = match port {
            Some(port) if matches!(host, "" | "localhost") => {
                format!("write \"127.0.0.1:{port}\", or \"0.0.0.0:{port}\" to be reached from other machines")
            }
            Some(port) if host == "*" => format!("write \"0.0.0.0:{port}\""),
            Some(_) | None => "write one such as \"127.0.0.1:4140\" or \"[::1]:4140\"".to_owned(),
        };
        problems.push((entry.place, format!("{shown} is no IP address with a port; {cure}")));
        None
    }

    fn write(&self, value: &SocketAddr) -> String {
        quoted(&value.to_string())
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "examples": ["127.0.0.1:4140", "[::1]:4140"] })
    }
}

impl<T: Clone> Shape for Word<T> {
    type Out = T;

    fn read(&self, entry: &Entry, problems: &mut Problems) -> Option<T> {
        let Self(all, word_for) = self;
        let written = entry.node.as_text().unwrap_or_default();
        if let Some(value) = all.iter().find(|value| word_for(value) == written) {
            return Some(value.clone());
        }
        let words: Vec<&str> = all.iter().map(word_for).collect();
        let quoted_words = || words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" or ");
        let cure = nearest(written, words.iter().copied()).map_or_else(quoted_words, quoted);
        problems.push((entry.place, format!("there is no {}; write {cure}", entry.node.shown())));
        None
    }

    fn write(&self, value: &T) -> String {
        quoted((self.1)(value))
    }

    fn schema(&self) -> Value {
        let words: Vec<&str> = self.0.iter().map(self.1).collect();
        json!({ "enum": words })
    }
}

impl<T> Shape for Parsed<T> {
    type Out = T;

    fn read(&self, entry: &Entry, problems: &mut Problems) -> Option<T> {
        let Self { what, example, .. } = self;
        let shown = entry.node.shown();
        let Some(text) = entry.node.as_text() else {
            problems
                .push((entry.place, format!("{shown} is not {what}; write one such as {}", quoted(example))));
            return None;
        };
        match (self.parse)(text) {
            Ok(value) => Some(value),
            Err(cause) if cause.contains("; ") => {
                problems.push((entry.place, format!("{shown} is not {what}: {cause}")));
                None
            }
            Err(cause) => {
                let example = quoted(example);
                problems.push((
                    entry.place,
                    format!("{shown} is not {what}: {cause}; write one such as {example}"),
                ));
                None
            }
        }
    }

    fn write(&self, value: &T) -> String {
        quoted(&(self.write)(value))
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "examples": [self.example] })
    }
}

impl<S: Shape> Shape for List<S> {
    type Out = Vec<S::Out>;

    fn read(&self, entry: &Entry, problems: &mut Problems) -> Option<Vec<S::Out>> {
        let items = entry.node.as_list().unwrap_or(std::slice::from_ref(entry));
        let read: Vec<Option<S::Out>> = items.iter().map(|item| self.0.read(item, problems)).collect();
        read.into_iter().collect()
    }

    fn write(&self, value: &Vec<S::Out>) -> String {
        let items: Vec<String> = value.iter().map(|item| self.0.write(item)).collect();
        format!("[{}]", items.join(", "))
    }

    fn schema(&self) -> Value {
        let item = self.0.schema();
        json!({ "anyOf": [{ "type": "array", "items": item }, item] })
    }
}

impl<S: Shape> Shape for Map<S> {
    type Out = BTreeMap<String, S::Out>;

    fn read(&self, entry: &Entry, problems: &mut Problems) -> Option<Self::Out> {
        let Some(entries) = entry.node.as_table() else {
            let shown = entry.node.shown();
            problems
                .push((entry.place, format!("{shown} is no table; write one such as {{ key = \"value\" }}")));
            return None;
        };
        let read = |(key, entry): &(Key, Entry)| {
            let wrong = (self.0)(&key.text);
            let is_wrong = wrong.is_some();
            problems.extend(wrong.map(|wrong| (key.place, wrong)));
            let value = self.1.read(entry, problems)?;
            (!is_wrong).then(|| (key.text.clone(), value))
        };
        let pairs: Vec<Option<(String, S::Out)>> = entries.iter().map(read).collect();
        pairs.into_iter().collect()
    }

    fn write(&self, value: &Self::Out) -> String {
        let pair =
            |(key, value): (&String, &S::Out)| format!("{} = {}", written_key(key), self.1.write(value));
        let pairs: Vec<String> = value.iter().map(pair).collect();
        if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) }
    }

    fn schema(&self) -> Value {
        json!({ "type": "object", "additionalProperties": self.1.schema() })
    }
}

/// A number in JSON.
fn json_of(number: &impl Display) -> Value {
    number.to_string().parse().unwrap_or(Value::Null)
}

/// A key in TOML.
pub(super) fn written_key(key: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !key.is_empty() && key.bytes().all(is_bare) { key.to_owned() } else { quoted(key) }
}
