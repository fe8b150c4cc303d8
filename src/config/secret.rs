//! Secrets in files of their own: `{ file = "/run/secrets/registry" }` in place of the secret.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::edits::is_telltale;
use super::file::{Entry, Key, Node};
use super::reader::Reader;
use super::value::{Problems, quoted};

/// The key of the file.
const FILE: &str = "file";
/// The most bytes that a secret has.
const BYTES_MAX: u64 = 64 * 1024;

/// A secret as it is written, or else what is in the file that is written in its place; `None` where that cannot be read.
pub(super) fn read(entry: &Entry, reader: &Reader, problems: &mut Problems) -> Option<Entry> {
    let Some(entries) = entry.node.as_table() else { return Some(entry.clone()) };
    let wrong = "this is no secret; write it in quotes, or the file that it stands in as { file = \"/run/secrets/registry\" }";
    let [(key, file)] = entries else {
        problems.push((entry.place, wrong.to_owned()));
        return None;
    };
    let (true, Some(path)) = (key.text == FILE, file.node.as_text()) else {
        problems.push((entry.place, wrong.to_owned()));
        return None;
    };
    reader.names(PathBuf::from(path));
    match content(path) {
        Ok(text) => Some(Entry { place: file.place, node: Node::Text(text) }),
        Err(cause) => {
            let path = quoted(path);
            let cure = "write the path of a file with nothing in it but the secret";
            problems.push((file.place, format!("the file {path} cannot be used: {cause}; {cure}")));
            None
        }
    }
}

/// What is in a file, without the end of its last line.
fn content(path: &str) -> Result<String, String> {
    let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > BYTES_MAX {
        return Err(format!("it has {size} bytes, and a secret has {BYTES_MAX} at most"));
    }
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(text.to_owned()) }
}

/// A table of values, in which those whose keys speak of credentials may stand in files.
pub(super) fn read_within(entry: &Entry, reader: &Reader, problems: &mut Problems) -> Option<Entry> {
    let Some(entries) = entry.node.as_table() else { return Some(entry.clone()) };
    let read_one = |(key, value): &(Key, Entry), problems: &mut Problems| {
        if !is_telltale(&key.text) {
            return Some((key.clone(), value.clone()));
        }
        let value = match value.node.as_list() {
            Some(items) => {
                let items: Vec<Option<Entry>> =
                    items.iter().map(|item| read(item, reader, problems)).collect();
                Entry { place: value.place, node: Node::List(items.into_iter().collect::<Option<_>>()?) }
            }
            None => read(value, reader, problems)?,
        };
        Some((key.clone(), value))
    };
    let entries: Vec<Option<(Key, Entry)>> = entries.iter().map(|pair| read_one(pair, problems)).collect();
    let entries = entries.into_iter().collect::<Option<Vec<_>>>()?;
    Some(Entry { place: entry.place, node: Node::Table(entries) })
}

/// What values a key can have whose secret may stand in a file.
pub(super) fn or_file(schema: Value) -> Value {
    json!({ "anyOf": [schema, file_schema()] })
}

/// The table that names a file.
pub(super) fn file_schema() -> Value {
    json!({
        "type": "object",
        "properties": { FILE: { "type": "string", "description": "The file that the secret stands in, alone." } },
        "required": [FILE],
        "additionalProperties": false,
    })
}
