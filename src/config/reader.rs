//! The reader: asks a tree for typed values, collects every mistake, and remembers what it was asked for.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;
use twox_hash::XxHash3_64;

use super::asked::{Absence, Asked};
use super::error::{Mistake, Place, nearest};
use super::file::{Entry, Key, parse_given};
use super::value::{Problems, Shape};
use super::{secret, settings};

/// What is read: everything that was asked for, and everything that was wrong.
#[derive(Debug, Default)]
pub(super) struct Reader {
    mistakes: RefCell<Vec<Mistake>>,
    asked: RefCell<Vec<Asked>>,
    files: RefCell<BTreeSet<PathBuf>>,
    /// Whether it is to learn what values there can be.
    learns: bool,
}

/// One table of the tree, of which keys are asked.
pub(super) struct Section<'r> {
    pub(super) reader: &'r Reader,
    /// `[admin]`, `[[route]]`; empty for the top.
    pub(super) header: String,
    /// `admin`, `route`; empty for the top.
    pub(super) path: String,
    /// The same with the number of each that there may be several of, from 1: `route.2.sticky`.
    pub(super) trail: String,
    pub(super) number: usize,
    pub(super) place: Place,
    pub(super) entries: &'r [(Key, Entry)],
    pub(super) known: Vec<&'static str>,
}

impl Reader {
    /// One that learns of each key what values it can have.
    pub(super) fn learning() -> Self {
        Self { learns: true, ..Self::default() }
    }

    /// Notes a file that is read with the configuration.
    pub(super) fn names(&self, file: PathBuf) {
        self.files.borrow_mut().insert(file);
    }

    /// Reads a whole tree.
    pub(super) fn read<T>(&self, tree: &Entry, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        let entries = tree.node.as_table().unwrap_or_default();
        let top = Section {
            reader: self,
            header: String::new(),
            path: String::new(),
            trail: String::new(),
            number: 0,
            place: tree.place,
            entries,
            known: Vec::new(),
        };
        top.finish(read)
    }

    /// Notes a mistake.
    pub(super) fn wrong(&self, place: Place, key: impl Into<String>, message: impl Into<String>) {
        self.mistakes.borrow_mut().push(Mistake { place, key: key.into(), message: message.into() });
    }

    /// The files that are named, be they there or not.
    pub(super) fn files(&self) -> BTreeSet<PathBuf> {
        self.files.borrow().clone()
    }

    /// What was asked for, and what was wrong.
    pub(super) fn into_parts(self) -> (Vec<Asked>, Vec<Mistake>) {
        (self.asked.into_inner(), self.mistakes.into_inner())
    }
}

impl<'r> Section<'r> {
    /// The value of a key, or its default.
    pub(super) fn get<S: Shape>(&mut self, key: &'static str, shape: &S, default: S::Out) -> S::Out {
        let absence = Absence::Default(shape.write(&default));
        let value = self.look(key, shape).unwrap_or(default);
        self.note(key, shape, Some(&value), absence);
        value
    }

    /// The value of a key, or its default; `None` when what is there is wrong, so that nothing is concluded from it.
    pub(super) fn sound<S: Shape>(
        &mut self,
        key: &'static str,
        shape: &S,
        default: S::Out,
    ) -> Option<S::Out> {
        let absence = Absence::Default(shape.write(&default));
        let value = if self.has(key) { self.look(key, shape) } else { Some(default) };
        self.known.push(key);
        self.note(key, shape, value.as_ref(), absence);
        value
    }

    /// The value of a key whose absence means something.
    pub(super) fn optional<S: Shape>(
        &mut self,
        key: &'static str,
        shape: &S,
        absent: &'static str,
    ) -> Option<S::Out> {
        let value = self.look(key, shape);
        self.note(key, shape, value.as_ref(), Absence::Means(absent));
        value
    }

    /// A key that did what it is for before this was read, and is no part of what is in force.
    pub(super) fn spent<S: Shape>(&mut self, key: &'static str, shape: &S, absent: &'static str) {
        self.look(key, shape);
        self.note(key, shape, None, Absence::Means(absent));
    }

    /// The value of a key that names a file, which is read with the configuration and followed for changes.
    pub(super) fn file<S: Shape>(
        &mut self,
        key: &'static str,
        shape: &S,
        absent: &'static str,
    ) -> Option<S::Out> {
        self.note_file(key);
        self.optional(key, shape, absent)
    }

    /// The value of a key that names a file, and that has to be there; else `advice` is given.
    pub(super) fn required_file<S: Shape>(
        &mut self,
        key: &'static str,
        shape: &S,
        advice: &str,
    ) -> Option<S::Out> {
        self.note_file(key);
        self.required(key, shape, advice)
    }

    /// Notes the file that a key names, so that a change of it is noticed.
    fn note_file(&self, key: &'static str) {
        let named = self.find(key).and_then(|(_, entry)| entry.node.as_text());
        named.into_iter().for_each(|named| self.reader.names(PathBuf::from(named)));
    }

    /// The value of a key that is never shown again. It may stand in a file of its own.
    pub(super) fn secret<S: Shape>(
        &mut self,
        key: &'static str,
        shape: &S,
        absent: &'static str,
    ) -> Option<S::Out> {
        self.known.push(key);
        let mut problems = Vec::new();
        let entry = self.find(key).and_then(|(_, entry)| secret::read(entry, self.reader, &mut problems));
        let value = entry.as_ref().and_then(|entry| shape.read(entry, &mut problems));
        self.tell(key, problems);
        let text = entry.as_ref().and_then(|entry| entry.node.as_text());
        let mark = text.map(|text| XxHash3_64::oneshot(text.as_bytes()));
        self.note_with(key, None, mark, Absence::Means(absent), || secret::or_file(shape.schema()));
        value
    }

    /// The value of a key, or its default, of which its shape does not show all when it writes it; what it hides, to tell it
    /// from another one. What it hides may stand in files of its own.
    pub(super) fn veiled<S: Shape>(
        &mut self,
        key: &'static str,
        shape: &S,
        default: S::Out,
        hidden: impl FnOnce(&S::Out) -> Option<String>,
    ) -> S::Out {
        let absence = Absence::Default(shape.write(&default));
        self.known.push(key);
        let mut problems = Vec::new();
        let entry =
            self.find(key).and_then(|(_, entry)| secret::read_within(entry, self.reader, &mut problems));
        let value = entry.and_then(|entry| shape.read(&entry, &mut problems)).unwrap_or(default);
        self.tell(key, problems);
        let mark = hidden(&value).map(|hidden| XxHash3_64::oneshot(hidden.as_bytes()));
        self.note_with(key, Some(shape.write(&value)), mark, absence, || shape.schema());
        value
    }

    /// The value of a key that must be there; a mistake, with this advice, when it is not.
    pub(super) fn required<S: Shape>(
        &mut self,
        key: &'static str,
        shape: &S,
        advice: &str,
    ) -> Option<S::Out> {
        self.must_have(key, advice);
        let value = self.look(key, shape);
        self.note(key, shape, value.as_ref(), Absence::Required);
        value
    }

    /// The value of a key that must be there unless it is excused, as by another key in its place.
    pub(super) fn required_unless<S: Shape>(
        &mut self,
        is_excused: bool,
        key: &'static str,
        shape: &S,
        advice: &str,
    ) -> Option<S::Out> {
        if !is_excused {
            self.must_have(key, advice);
        }
        let value = self.look(key, shape);
        self.note(key, shape, value.as_ref(), Absence::Excusable);
        value
    }

    fn must_have(&self, key: &str, advice: &str) {
        if !self.has(key) {
            let path = self.path_of(key);
            // Of what no file says, the place is told in place of the key.
            let what = if matches!(self.place, Place::Given(_)) { path.as_str() } else { "this key" };
            let message = format!("{what} is missing; {advice}");
            self.reader.wrong(self.place, path, message);
        }
    }

    /// Where the value of a key stands, or else the section.
    pub(super) fn place(&self, key: &str) -> Place {
        self.find(key).map_or(self.place, |(_, entry)| entry.place)
    }

    /// Whether a key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// Whether a key is there with a list that has no items.
    pub(super) fn is_empty_list(&self, key: &str) -> bool {
        self.find(key).and_then(|(_, entry)| entry.node.as_list()).is_some_and(<[Entry]>::is_empty)
    }

    /// The text under a key that all tables of a list have, if it is the same in all of them.
    pub(super) fn common_text(&self, list: &str, key: &str) -> Option<&'r str> {
        let (_, entry) = self.find(list)?;
        let text = |item: &'r Entry| {
            let (_, entry) = item.node.as_table()?.iter().find(|(at, _)| at.text == key)?;
            entry.node.as_text()
        };
        let mut texts = entry.node.as_list()?.iter().map(text);
        let first = texts.next()??;
        texts.all(|other| other == Some(first)).then_some(first)
    }

    /// Notes a mistake about a key that was read.
    pub(super) fn wrong(&self, key: &str, message: impl Into<String>) {
        self.reader.wrong(self.place(key), self.path_of(key), message);
    }

    /// Notes a mistake about the whole section.
    pub(super) fn wrong_here(&self, message: impl Into<String>) {
        self.reader.wrong(self.place, self.path.clone(), message);
    }

    pub(super) fn find(&self, key: &str) -> Option<&'r (Key, Entry)> {
        self.entries.iter().find(|(at, _)| at.text == key)
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn look<S: Shape>(&mut self, key: &'static str, shape: &S) -> Option<S::Out> {
        self.known.push(key);
        let (_, entry) = self.find(key)?;
        let mut problems = Vec::new();
        let read = shape.read(entry, &mut problems);
        let (value, problems) = match read {
            Some(value) => (Some(value), problems),
            None => as_number(entry, shape).unwrap_or((None, problems)),
        };
        self.tell(key, problems);
        value
    }

    fn tell(&self, key: &str, problems: Problems) {
        for (place, message) in problems {
            self.reader.wrong(place, self.path_of(key), message);
        }
    }

    fn note<S: Shape>(&self, key: &'static str, shape: &S, value: Option<&S::Out>, absence: Absence) {
        self.note_with(key, value.map(|value| shape.write(value)), None, absence, || shape.schema());
    }

    fn note_with(
        &self,
        key: &'static str,
        value: Option<String>,
        mark: Option<u64>,
        absence: Absence,
        schema: impl FnOnce() -> Value,
    ) {
        let trail = if self.trail.is_empty() { key.to_owned() } else { format!("{}.{key}", self.trail) };
        self.reader.asked.borrow_mut().push(Asked {
            section: self.header.clone(),
            number: self.number,
            trail,
            key,
            place: self.find(key).map(|(at, _)| at.place),
            value,
            mark,
            absence,
            schema: self.reader.learns.then(schema),
        });
    }

    /// Reads, and then finds the keys that nobody asked for.
    pub(super) fn finish<T>(mut self, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        let value = read(&mut self);
        for (key, _) in self.entries.iter().filter(|(key, _)| !self.known.contains(&key.text.as_str())) {
            let advice = match nearest(&key.text, self.known.iter().copied()) {
                Some(known) => match key.place {
                    Place::Given(origin) => format!("write {}", settings::like(origin, &key.text, known)),
                    Place::File { .. } | Place::Missing => format!("write {known}"),
                },
                None if self.header.is_empty() => format!("at the top there can be {}", listed(&self.known)),
                None => format!("{} has {}", self.header, listed(&self.known)),
            };
            self.reader.wrong(key.place, self.path_of(&key.text), format!("there is no such key; {advice}"));
        }
        value
    }
}

/// Reads what a flag or variable gives as a number or a flag, where it is no text that will do.
fn as_number<S: Shape>(entry: &Entry, shape: &S) -> Option<(Option<S::Out>, Problems)> {
    let (Place::Given(origin), Some(text)) = (entry.place, entry.node.as_text()) else { return None };
    let entry = parse_given(origin, text).filter(|entry| entry.node.as_text().is_none())?;
    let mut problems = Vec::new();
    let value = shape.read(&entry, &mut problems);
    Some((value, problems))
}

/// `a, b and c`.
pub(super) fn listed(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [word] => (*word).to_owned(),
        [words @ .., last] => format!("{} and {last}", words.join(", ")),
    }
}
