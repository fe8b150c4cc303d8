//! The reader: asks a tree for typed values, collects every mistake, and remembers what it was asked for.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;

use twox_hash::XxHash3_64;

use super::error::{Mistake, Place, nearest};
use super::file::{Entry, Key};
use super::value::Shape;

/// What is read: everything that was asked for, and everything that was wrong.
#[derive(Debug, Default)]
pub(super) struct Reader {
    mistakes: RefCell<Vec<Mistake>>,
    asked: RefCell<Vec<Asked>>,
    files: RefCell<BTreeSet<PathBuf>>,
}

/// A key that was asked for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// Its section: empty for the top, `[admin]`, `[[route]]`.
    pub(super) section: String,
    /// Which of the sections of that name, from 0.
    pub(super) number: usize,
    pub(super) key: &'static str,
    /// Where it stands, when it does.
    pub(super) place: Option<Place>,
    /// The value in force, as TOML and without secrets; `None` when there is none, or it is one.
    pub(super) value: Option<String>,
    /// What tells a secret, or those that are left out of the value, from another one, and not what it is.
    pub(super) mark: Option<u64>,
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the test of config/reference.toml"))]
    pub(super) absence: Absence,
}

/// What holds where a key is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    /// This value, as TOML.
    Default(String),
    /// This, in words.
    Means(&'static str),
    /// It must not be absent.
    Required,
}

/// One table of the tree, of which keys are asked.
pub(super) struct Section<'r> {
    reader: &'r Reader,
    /// `[admin]`, `[[route]]`; empty for the top.
    header: String,
    /// `admin`, `route`; empty for the top.
    path: String,
    number: usize,
    place: Place,
    entries: &'r [(Key, Entry)],
    known: Vec<&'static str>,
}

impl Reader {
    /// Reads a whole tree.
    pub(super) fn read<T>(&self, tree: &Entry, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        let entries = tree.node.as_table().unwrap_or_default();
        let top = Section {
            reader: self,
            header: String::new(),
            path: String::new(),
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
        self.note(key, Some(shape.write(&value)), absence);
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
        self.note(key, value.as_ref().map(|value| shape.write(value)), absence);
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
        self.note(key, value.as_ref().map(|value| shape.write(value)), Absence::Means(absent));
        value
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
        self.reader.files.borrow_mut().extend(named.map(PathBuf::from));
    }

    /// The value of a key that is never shown again.
    pub(super) fn secret<S: Shape>(
        &mut self,
        key: &'static str,
        shape: &S,
        absent: &'static str,
    ) -> Option<S::Out> {
        let value = self.look(key, shape);
        let text = self.find(key).and_then(|(_, entry)| entry.node.as_text());
        let mark = text.map(|text| XxHash3_64::oneshot(text.as_bytes()));
        self.note_with(key, None, mark, Absence::Means(absent));
        value
    }

    /// The value of a key, or its default, of which its shape does not show all when it writes it; what it hides, to tell it
    /// from another one.
    pub(super) fn veiled<S: Shape>(
        &mut self,
        key: &'static str,
        shape: &S,
        default: S::Out,
        hidden: impl FnOnce(&S::Out) -> Option<String>,
    ) -> S::Out {
        let absence = Absence::Default(shape.write(&default));
        let value = self.look(key, shape).unwrap_or(default);
        let mark = hidden(&value).map(|hidden| XxHash3_64::oneshot(hidden.as_bytes()));
        self.note_with(key, Some(shape.write(&value)), mark, absence);
        value
    }

    /// The value of a key that must be there; a mistake, with this advice, when it is not.
    pub(super) fn required<S: Shape>(
        &mut self,
        key: &'static str,
        shape: &S,
        advice: &str,
    ) -> Option<S::Out> {
        self.required_unless(false, key, shape, advice)
    }

    /// The value of a key that must be there unless it is excused, as by another key in its place.
    pub(super) fn required_unless<S: Shape>(
        &mut self,
        is_excused: bool,
        key: &'static str,
        shape: &S,
        advice: &str,
    ) -> Option<S::Out> {
        let value = self.look(key, shape);
        if !self.has(key) && !is_excused {
            self.reader.wrong(self.place, self.path_of(key), format!("this key is missing; {advice}"));
        }
        self.note(key, value.as_ref().map(|value| shape.write(value)), Absence::Required);
        value
    }

    /// Reads the table under a key; an empty one when there is none.
    pub(super) fn section<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        self.known.push(key);
        let path = self.path_of(key);
        let (place, entries) = self.find(key).map_or((Place::Missing, None), |(at, entry)| {
            let entries = entry.node.as_table();
            if entry.node.as_list().is_some() {
                self.reader.wrong(
                    at.place,
                    path.clone(),
                    format!("there is one such section; write [{path}]"),
                );
            } else if entries.is_none() {
                let message =
                    format!("{} is no section; write [{path}] and its keys below it", entry.node.kind());
                self.reader.wrong(entry.place, path.clone(), message);
            }
            (at.place, entries)
        });
        let entries = entries.unwrap_or_default();
        let header = format!("[{path}]");
        // As many as there are of what it is within.
        let number = self.number;
        Section { reader: self.reader, header, path, number, place, entries, known: Vec::new() }.finish(read)
    }

    /// Reads the table under a key, if there is one.
    pub(super) fn table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> Option<T> {
        self.known.push(key);
        self.has(key).then(|| self.section(key, read))
    }

    /// Reads every table under a key that may be there several times.
    pub(super) fn sections<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Section<'_>) -> T,
    ) -> Vec<T> {
        self.known.push(key);
        let path = self.path_of(key);
        let Some((at, entry)) = self.find(key) else { return Vec::new() };
        let items = if entry.node.as_table().is_some() {
            let message = format!("there can be several; write [[{path}]] with two brackets");
            self.reader.wrong(at.place, path.clone(), message);
            std::slice::from_ref(entry)
        } else {
            // Anything else is found to be no section below.
            entry.node.as_list().unwrap_or(std::slice::from_ref(entry))
        };
        let mut values = Vec::new();
        for (number, item) in items.iter().enumerate() {
            let Some(entries) = item.node.as_table() else {
                let message =
                    format!("{} is no section; write [[{path}]] and its keys below it", item.node.kind());
                self.reader.wrong(item.place, path.clone(), message);
                continue;
            };
            let (header, path) = (format!("[[{path}]]"), path.clone());
            let known = Vec::new();
            let section =
                Section { reader: self.reader, header, path, number, place: item.place, entries, known };
            values.push(section.finish(&mut read));
        }
        values
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

    fn find(&self, key: &str) -> Option<&'r (Key, Entry)> {
        self.entries.iter().find(|(at, _)| at.text == key)
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn look<S: Shape>(&mut self, key: &'static str, shape: &S) -> Option<S::Out> {
        self.known.push(key);
        let (_, entry) = self.find(key)?;
        let mut problems = Vec::new();
        let value = shape.read(entry, &mut problems);
        for (place, message) in problems {
            self.reader.wrong(place, self.path_of(key), message);
        }
        value
    }

    fn note(&self, key: &'static str, value: Option<String>, absence: Absence) {
        self.note_with(key, value, None, absence);
    }

    fn note_with(&self, key: &'static str, value: Option<String>, mark: Option<u64>, absence: Absence) {
        self.reader.asked.borrow_mut().push(Asked {
            section: self.header.clone(),
            number: self.number,
            key,
            place: self.find(key).map(|(at, _)| at.place),
            value,
            mark,
            absence,
        });
    }

    /// Reads, and then finds the keys that nobody asked for.
    fn finish<T>(mut self, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        let value = read(&mut self);
        for (key, _) in self.entries.iter().filter(|(key, _)| !self.known.contains(&key.text.as_str())) {
            let advice = match nearest(&key.text, self.known.iter().copied()) {
                Some(known) => format!("write {known}"),
                None if self.header.is_empty() => format!("at the top there can be {}", listed(&self.known)),
                None => format!("{} has {}", self.header, listed(&self.known)),
            };
            self.reader.wrong(key.place, self.path_of(&key.text), format!("there is no such key; {advice}"));
        }
        value
    }
}

/// `a, b and c`.
pub(super) fn listed(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [word] => (*word).to_owned(),
        [words @ .., last] => format!("{} and {last}", words.join(", ")),
    }
}
