//! The file as a tree: TOML with the place of everything, into which flags and environment are then laid.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Mistake, Place};

/// Something written, and where.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) node: Node,
}

/// What is written.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    /// A whole number, or what was to be one and is too great.
    Integer(Result<i64, String>),
    /// Any other number, as it was written.
    Fraction(String),
    Flag(bool),
    Date(String),
    List(Vec<Entry>),
    Table(Vec<(Key, Entry)>),
}

/// A key, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) place: Place,
}

/// The tree of a file, the one of this number, and everything that is no TOML in it.
pub(super) fn parse(text: &str, file: usize) -> (Entry, Vec<Mistake>) {
    let text = without_mark(text);
    let lines = Lines::new(text, file);
    let (table, errors) = DeTable::parse_recoverable(text);
    let mistakes = errors
        .iter()
        .map(|error| Mistake {
            place: error.span().map_or(Place::Missing, |span| lines.place(span.start)),
            key: String::new(),
            message: match error.message() {
                "duplicate key" => "this is there twice; write it once".to_owned(),
                message => {
                    let line = error.span().and_then(|span| line_at(text, span.start)).unwrap_or_default();
                    // A single quote would open what has no end.
                    let told = message.replace("`\"`", "a closing quote");
                    format!("this is not TOML: {told}; {}", cure(message, line))
                }
            },
        })
        .collect();
    (Entry { place: Place::Missing, node: table_of(table.get_ref(), &lines) }, mistakes)
}

/// The line that a place in a text is in.
fn line_at(text: &str, at: usize) -> Option<&str> {
    let begin = text.get(..at)?.rfind('\n').map_or(0, |end| end + 1);
    text[begin..].lines().next()
}

/// What to write instead of a line that is not TOML, by what the parser has to say of it.
fn cure(message: &str, line: &str) -> &'static str {
    let is_yaml = || line.contains(':') && !line.contains('=');
    if message.contains("string") && !message.contains("must be quoted") {
        "close the quote on the line on which it opens"
    } else if message.contains("unclosed") {
        "close the bracket"
    } else if is_yaml() {
        "write KEY = VALUE, and the name of a section in brackets, as in [registry]"
    } else if message.contains("must be quoted") || message.starts_with("invalid") {
        "write texts in quotes, as in level = \"info\", and numbers, true and false without"
    } else {
        "write KEY = VALUE, one a line"
    }
}

/// A text without the mark that editors on Windows put at its start, which TOML does not know.
pub(super) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// A value in TOML that a flag or variable gives; `None` of what is none.
pub(super) fn parse_given(origin: &'static str, text: &str) -> Option<Entry> {
    let (value, errors) = DeValue::parse_recoverable(text);
    let lines = Lines { given: Some(origin), ..Lines::new(text, 0) };
    errors.is_empty().then(|| entry_of(&value, &lines))
}

fn entry_of(value: &Spanned<DeValue<'_>>, lines: &Lines<'_>) -> Entry {
    let node = match value.get_ref() {
        DeValue::String(text) => Node::Text(text.to_string()),
        DeValue::Integer(digits) => Node::Integer(
            i64::from_str_radix(digits.as_str(), digits.radix()).map_err(|_| digits.to_string()),
        ),
        DeValue::Float(number) => Node::Fraction(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Node::Flag(*flag),
        DeValue::Datetime(date) => Node::Date(date.to_string()),
        DeValue::Array(items) => Node::List(items.iter().map(|item| entry_of(item, lines)).collect()),
        DeValue::Table(table) => table_of(table, lines),
    };
    Entry { place: lines.place(value.span().start), node }
}

fn table_of(table: &DeTable<'_>, lines: &Lines<'_>) -> Node {
    let mut entries: Vec<(Key, Entry)> = table
        .iter()
        .map(|(key, value)| {
            let place = lines.place(key.span().start);
            (Key { text: key.get_ref().to_string(), place }, entry_of(value, lines))
        })
        .collect();
    entries.sort_by_key(|(key, _)| key.place);
    Node::Table(entries)
}

impl Entry {
    /// An empty table.
    pub(super) const fn empty() -> Self {
        Self { place: Place::Missing, node: Node::Table(Vec::new()) }
    }

    /// Something that a flag or variable says.
    pub(super) const fn given(origin: &'static str, node: Node) -> Self {
        Self { place: Place::Given(origin), node }
    }

    /// A table of what flags or variables say.
    pub(super) fn given_table(origin: &'static str, entries: Vec<(&str, Self)>) -> Self {
        let key = |text: &str| Key { text: text.to_owned(), place: Place::Given(origin) };
        Self::given(
            origin,
            Node::Table(entries.into_iter().map(|(text, entry)| (key(text), entry)).collect()),
        )
    }

    /// What stands under a key, when this is a table that has it.
    pub(super) fn child(&mut self, key: &str) -> Option<&mut Self> {
        let Node::Table(entries) = &mut self.node else { return None };
        entries.iter_mut().find(|(at, _)| at.text == key).map(|(_, entry)| entry)
    }

    /// Where a key of this table stands, when it is there.
    pub(super) fn place_of(&self, key: &str) -> Place {
        let mut keys = self.node.as_table().unwrap_or_default().iter().map(|(at, _)| at);
        keys.find(|at| at.text == key).map_or(Place::Missing, |at| at.place)
    }

    /// Puts something under a path of keys in place of what is there. What is no table on the way stays as it is, and
    /// is found wrong when it is read.
    pub(super) fn put(&mut self, path: &[&str], entry: Self) {
        let (Some((first, rest)), Node::Table(entries)) = (path.split_first(), &mut self.node) else {
            return;
        };
        let place = entry.place;
        let at = entries.iter().position(|(key, _)| key.text == *first).unwrap_or_else(|| {
            entries.push((
                Key { text: (*first).to_owned(), place },
                Self { place, node: Node::Table(Vec::new()) },
            ));
            entries.len() - 1
        });
        if rest.is_empty() {
            entries[at] = (Key { text: (*first).to_owned(), place }, entry);
        } else {
            entries[at].1.put(rest, entry);
        }
    }
}

impl Node {
    /// The text, if it is one.
    pub(super) fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The whole number, if it is one.
    pub(super) const fn as_integer(&self) -> Option<i64> {
        if let Self::Integer(Ok(number)) = self { Some(*number) } else { None }
    }

    /// The items, if it is a list.
    pub(super) fn as_list(&self) -> Option<&[Entry]> {
        if let Self::List(items) = self { Some(items) } else { None }
    }

    /// The keys and what stands under them, if it is a table.
    pub(super) fn as_table(&self) -> Option<&[(Key, Entry)]> {
        if let Self::Table(entries) = self { Some(entries) } else { None }
    }

    /// What it is, as a person would say it: `the text "a"`, `the number 5`.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Integer(Ok(number)) => number.to_string(),
            Self::Integer(Err(digits)) | Self::Fraction(digits) => digits.clone(),
            Self::Flag(flag) => flag.to_string(),
            Self::Date(date) => format!("the date {date}"),
            Self::List(_) => "a list".to_owned(),
            Self::Table(_) => "a table".to_owned(),
        }
    }

    /// The same where a text could be anything, a secret in the wrong place included.
    pub(super) fn kind(&self) -> String {
        if self.as_text().is_some() { "a text".to_owned() } else { self.shown() }
    }
}

/// Where the lines of a text begin.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
    /// Which file it is of.
    file: usize,
    /// The flag or variable that it is of in place of a file.
    given: Option<&'static str>,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str, file: usize) -> Self {
        let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(after_breaks).collect(), file, given: None }
    }

    fn place(&self, offset: usize) -> Place {
        if let Some(origin) = self.given {
            return Place::Given(origin);
        }
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts[line.saturating_sub(1)];
        let column = self.text.get(start..offset).map_or(1, |before| before.chars().count() + 1);
        Place::File { file: self.file, line, column }
    }
}
