//! What is changed in headers, as the file says it. The values of fields that carry credentials are never shown.

use http::HeaderName;

use serde_json::{Value, json};

use super::error::Place;
use super::file::{Entry, Node};
use super::reader::Section;
use super::secret::file_schema;
use super::value::{List, Parsed, Problems, Shape, quoted, written_key};
use crate::route::Edit;
use crate::route::edit::{Removal, not_to_be_changed};
use crate::route::template::{Template, TemplateError, Way};
pub(super) use crate::telemetry::access::{carries_credentials, is_telltale};

/// What stands in place of a value that is not shown.
pub(super) const VEIL: &str = "***";

/// A name, or the beginning of names.
const REMOVAL: Parsed<Removal> = Parsed::new("the name of a header", "x-internal-*", removal, removed);

/// One field: its name, its value as it is written, and read.
pub(super) struct Field {
    name: HeaderName,
    written: String,
    value: Template,
}

/// A table of fields; how each value is read depends on which way the message goes.
struct Fields {
    way: Way,
    /// Whether a name can have several values.
    several: bool,
}

/// Reads what is changed in the headers of messages that go this way; `None` where nothing is.
pub(super) fn edit(section: &mut Section<'_>, way: Way) -> Option<Edit> {
    let remove = section.get("remove", &List(REMOVAL), Vec::new());
    let set = section.veiled("set", &Fields { way, several: false }, Vec::new(), |fields| hidden(fields));
    let add = section.veiled("add", &Fields { way, several: true }, Vec::new(), |fields| hidden(fields));
    let fields = |fields: Vec<Field>| fields.into_iter().map(|field| (field.name, field.value)).collect();
    let edit = Edit { remove, set: fields(set), add: fields(add) };
    (!edit.is_empty()).then_some(edit)
}

/// The values that are not shown, by which a change of one is noticed all the same.
fn hidden(fields: &[Field]) -> Option<String> {
    let hidden = fields.iter().filter(|field| carries_credentials(&field.name));
    let hidden: Vec<String> = hidden.map(|field| format!("{}: {}", field.name, field.written)).collect();
    (!hidden.is_empty()).then(|| hidden.join("\n"))
}

fn removal(text: &str) -> Result<Removal, String> {
    let lower = text.to_ascii_lowercase();
    // A header could be called so, and none is.
    let is_name = |text: &str| HeaderName::from_bytes(text.as_bytes()).is_ok() && !text.contains('*');
    let prefix = match lower.strip_suffix('*') {
        Some(prefix) => prefix,
        None if lower.contains('*') => "",
        None => return name(&lower).map(Removal::Named),
    };
    if !is_name(prefix) {
        return Err("a star stands at the end, behind the beginning of the names".to_owned());
    }
    Ok(Removal::Prefixed(prefix.into()))
}

fn removed(removal: &Removal) -> String {
    match removal {
        Removal::Named(name) => name.to_string(),
        Removal::Prefixed(prefix) => format!("{prefix}*"),
    }
}

fn name(text: &str) -> Result<HeaderName, String> {
    if let Some(cure) = not_to_be_changed(&text.to_ascii_lowercase()) {
        return Err(format!("it is not changed here; {cure}"));
    }
    HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| "it has characters that no header's name has".to_owned())
}

impl Fields {
    /// The values of one field, none of which is repeated in messages.
    fn values(&self, key: &str, place: Place, entry: &Entry) -> Result<Vec<Field>, (Place, String)> {
        let named = name(key).map_err(|cause| {
            let cure = if cause.contains("; ") { "" } else { "; write a name such as x-team" };
            (place, format!("{key:?} is not the name of a header: {cause}{cure}"))
        })?;
        let one = std::slice::from_ref(entry);
        let entries = if self.several { entry.node.as_list().unwrap_or(one) } else { one };
        if entries.is_empty() {
            return Err((
                entry.place,
                format!("{key} has no value; write a text in quotes, or leave it out"),
            ));
        }
        let value = |entry: &Entry| {
            let Node::Text(text) = &entry.node else {
                let or = if self.several { ", or several in a list" } else { "" };
                return Err((entry.place, format!("{key} has no value; write a text in quotes{or}")));
            };
            match Template::parse(text, self.way) {
                Ok(value) => {
                    let value = if carries_credentials(&named) { value.kept_secret() } else { value };
                    Ok(Field { name: named.clone(), written: text.clone(), value })
                }
                // What stands in braces would be a part of the secret.
                Err(TemplateError::Unknown(..)) if carries_credentials(&named) => {
                    let message = format!(
                        "the value of {key} has a variable that there is not; write a brace that is meant twice"
                    );
                    Err((entry.place, message))
                }
                Err(error) => Err((entry.place, format!("the value of {key} is none: {error}"))),
            }
        };
        entries.iter().map(value).collect()
    }
}

impl Shape for Fields {
    type Out = Vec<Field>;

    fn read(&self, entry: &Entry, problems: &mut Problems) -> Option<Vec<Field>> {
        let Some(entries) = entry.node.as_table() else {
            problems
                .push((entry.place, "this is no table; write one such as { x-team = \"blue\" }".to_owned()));
            return None;
        };
        let mut fields: Vec<Field> = Vec::new();
        for (key, value) in entries {
            match self.values(&key.text, key.place, value) {
                Ok(read) if read.first().is_some_and(|read| fields.iter().any(|it| it.name == read.name)) => {
                    let message =
                        format!("{} is there twice, since case means nothing; write it once", key.text);
                    problems.push((key.place, message));
                }
                Ok(read) => fields.extend(read),
                Err(problem) => problems.push(problem),
            }
        }
        Some(fields)
    }

    fn write(&self, fields: &Vec<Field>) -> String {
        let mut pairs: Vec<(&HeaderName, Vec<String>)> = Vec::new();
        for field in fields {
            let written = if carries_credentials(&field.name) { VEIL } else { &field.written };
            match pairs.last_mut().filter(|(name, _)| **name == field.name) {
                Some((_, values)) => values.push(quoted(written)),
                None => pairs.push((&field.name, vec![quoted(written)])),
            }
        }
        let shown = |(name, values): &(&HeaderName, Vec<String>)| match &values[..] {
            [value] => format!("{} = {value}", written_key(name.as_str())),
            values => format!("{} = [{}]", written_key(name.as_str()), values.join(", ")),
        };
        let pairs: Vec<String> = pairs.iter().map(shown).collect();
        if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) }
    }

    fn schema(&self) -> Value {
        let one = json!({ "anyOf": [{ "type": "string" }, file_schema()] });
        let values =
            if self.several { json!({ "anyOf": [{ "type": "array", "items": one }, one] }) } else { one };
        json!({ "type": "object", "additionalProperties": values })
    }
}
