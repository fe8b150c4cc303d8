//! Includes: a file and those that it names become one tree.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::{Mistake, Place, Source};
use super::file::{self, Entry, Node};
use super::reader::Section;
use super::value::{List, Parsed, Shape as _, quoted};

/// The most files that one configuration is made of.
const FILES_MAX: usize = 256;
/// The key that names other files.
pub(super) const INCLUDE: &str = "include";
/// Files, by a path or a pattern in its last part.
const PATTERN: Parsed<String> =
    Parsed::new("a file or a pattern of files", "conf.d/*.toml", pattern, String::clone);

fn pattern(text: &str) -> Result<String, String> {
    let (folder, name) = text.rsplit_once('/').unwrap_or(("", text));
    if matches!(name, "" | "." | "..") {
        return Err("it names no file".to_owned());
    }
    if has_wildcard(folder) {
        return Err("* and ? stand in the last part of a path only".to_owned());
    }
    Ok(text.to_owned())
}

/// Reads which files are included; they are in the tree already.
pub(super) fn include(top: &mut Section<'_>) {
    top.spent(INCLUDE, &List(PATTERN), "none");
}

/// What was read of a file and those that it includes.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) tree: Entry,
    pub(super) sources: Vec<Source>,
    pub(super) mistakes: Vec<Mistake>,
    /// The files and folders in which a change may change the configuration, but for the first file.
    pub(super) files: BTreeSet<PathBuf>,
}

/// Reads a text and the files that it includes, relative to the folder of `path`.
///
/// What a file includes is laid over it, one file after the other: a value that stands in several of them counts as the last
/// says it, and lists of sections are joined.
pub(super) fn gather(name: Option<&str>, text: &str) -> Gathered {
    let path = name.map(PathBuf::from);
    let mut reading = Reading { within: Vec::new(), seen: BTreeSet::new(), gathered: Gathered::nothing() };
    let tree = reading.read(name.map(str::to_owned), path.as_deref(), text);
    Gathered { tree, ..reading.gathered }
}

impl Gathered {
    const fn nothing() -> Self {
        Self { tree: Entry::empty(), sources: Vec::new(), mistakes: Vec::new(), files: BTreeSet::new() }
    }
}

struct Reading {
    /// The files that are being read, each included by the one before: as they are called, and as they are.
    within: Vec<(String, PathBuf)>,
    /// All that were read.
    seen: BTreeSet<PathBuf>,
    gathered: Gathered,
}

impl Reading {
    fn read(&mut self, name: Option<String>, path: Option<&Path>, text: &str) -> Entry {
        let number = self.gathered.sources.len();
        let called = name.clone().unwrap_or_default();
        self.gathered.sources.push(Source { name, text: text.to_owned() });
        let (mut tree, mistakes) = file::parse(text, number);
        self.gathered.mistakes.extend(mistakes);
        let real = path.and_then(|path| fs::canonicalize(path).ok()).unwrap_or_default();
        self.seen.insert(real.clone());
        self.within.push((called, real));
        let folder = path.and_then(Path::parent).unwrap_or(Path::new("")).to_owned();
        if number > 0 {
            self.gathered.mistakes.extend(wrongly_included(&tree));
        }
        for (place, written) in included(&tree) {
            for path in self.named(place, &folder, &written) {
                let Some(text) = self.text(place, &path, has_wildcard(&written)) else { continue };
                let over = self.read(Some(path.display().to_string()), Some(&path), &text);
                lay_over(&mut tree, over);
            }
        }
        self.within.pop();
        tree
    }

    /// The files that one pattern names, in the order of their names.
    fn named(&mut self, place: Place, folder: &Path, written: &str) -> Vec<PathBuf> {
        let path = folder.join(written);
        // What is wrong with it is told when it is read as a key.
        if pattern(written).is_err() {
            return Vec::new();
        }
        if !has_wildcard(written) {
            self.gathered.files.insert(path.clone());
            return vec![path];
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        self.gathered.files.insert(folder.to_owned());
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                let folder = quoted(&folder.display().to_string());
                self.wrong(
                    place,
                    format!("the folder {folder} cannot be read: {error}; make it, or leave the pattern out"),
                );
                return Vec::new();
            }
        };
        let name = Path::new(written).file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let named = entries.flatten().filter(|entry| {
            let entry = entry.file_name();
            let entry = entry.to_string_lossy();
            // As shells have it, what is hidden is meant only where the dot is written.
            matches(name.as_bytes(), entry.as_bytes()) && (!entry.starts_with('.') || name.starts_with('.'))
        });
        let base = path.parent().map(Path::to_owned).unwrap_or_default();
        let mut paths: Vec<PathBuf> =
            named.map(|entry| base.join(entry.file_name())).filter(|path| !path.is_dir()).collect();
        paths.sort();
        self.gathered.files.extend(paths.iter().cloned());
        paths
    }

    /// The text of a file that is included here; `None` where it may not be, or cannot be read.
    fn text(&mut self, place: Place, path: &Path, by_pattern: bool) -> Option<String> {
        let shown = path.display();
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if let Some(begin) = self.within.iter().position(|(_, within)| *within == real) {
            let circle: Vec<&str> = self.within[begin..].iter().map(|(name, _)| name.as_str()).collect();
            let message = match circle.as_slice() {
                [itself] => format!("{itself} would include itself; write a pattern that it does not match"),
                circle => format!(
                    "{} would include {shown} again; leave one of these out",
                    circle.join(" includes ")
                ),
            };
            self.wrong(place, message);
            return None;
        }
        if self.seen.contains(&real) {
            self.wrong(place, format!("{shown} is included already; include it once"));
            return None;
        }
        if self.gathered.sources.len() >= FILES_MAX {
            self.wrong(place, format!("there are more than {FILES_MAX} files; include fewer"));
            return None;
        }
        match fs::read_to_string(path) {
            Ok(text) => Some(text),
            // It went while the folder was read.
            Err(error) if by_pattern && error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                let cure = "write the path of a file, from the folder of this one, or a pattern such as \"conf.d/*.toml\"";
                self.wrong(place, format!("{shown} cannot be read: {error}; {cure}"));
                None
            }
        }
    }

    fn wrong(&mut self, place: Place, message: String) {
        self.gathered.mistakes.push(Mistake { place, key: INCLUDE.to_owned(), message });
    }
}

/// The files that a tree includes, each with its place. What is no text is found wrong when it is read as a key.
fn included(tree: &Entry) -> Vec<(Place, String)> {
    let entries = tree.node.as_table().unwrap_or_default();
    let Some((_, entry)) = entries.iter().find(|(key, _)| key.text == INCLUDE) else { return Vec::new() };
    let items = entry.node.as_list().unwrap_or(std::slice::from_ref(entry));
    items.iter().filter_map(|item| Some((item.place, item.node.as_text()?.to_owned()))).collect()
}

/// What is wrong with what a tree includes; of the first file it is told when the key is read.
fn wrongly_included(tree: &Entry) -> Vec<Mistake> {
    let entries = tree.node.as_table().unwrap_or_default();
    let mut problems = Vec::new();
    for (_, entry) in entries.iter().filter(|(key, _)| key.text == INCLUDE) {
        List(PATTERN).read(entry, &mut problems);
    }
    let mistake = |(place, message)| Mistake { place, key: INCLUDE.to_owned(), message };
    problems.into_iter().map(mistake).collect()
}

/// Lays one file over another.
fn lay_over(under: &mut Entry, mut over: Entry) {
    if let Node::Table(entries) = &mut over.node {
        // What it includes itself was laid over it.
        entries.retain(|(key, _)| key.text != INCLUDE);
    }
    merge(under, over, true);
}

/// Lays an entry over another one: tables key by key, all else whole; but at the top, lists of sections are joined.
fn merge(under: &mut Entry, over: Entry, is_top: bool) {
    if under.node.as_table().is_none() || over.node.as_table().is_none() {
        *under = over;
        return;
    }
    let (Node::Table(below), Node::Table(above)) = (&mut under.node, over.node) else { return };
    for (key, entry) in above {
        let Some(pair) = below.iter_mut().find(|(at, _)| at.text == key.text) else {
            below.push((key, entry));
            continue;
        };
        match is_top.then(|| joined(&key.text, &pair.1, &entry)).flatten() {
            Some(sections) => pair.1.node = Node::List(sections),
            None => {
                pair.0 = key;
                merge(&mut pair.1, entry, false);
            }
        }
    }
}

/// The sections of both, where these are lists of such. One registry may be written as a section of its own.
fn joined(key: &str, under: &Entry, over: &Entry) -> Option<Vec<Entry>> {
    let is_list = |entry: &Entry| entry.node.as_list().is_some();
    if !is_list(under) && !is_list(over) {
        return None;
    }
    let sections = |entry: &Entry| match &entry.node {
        Node::List(items) => items.iter().all(|item| item.node.as_table().is_some()).then(|| items.clone()),
        Node::Table(_) if key == "registry" => Some(vec![entry.clone()]),
        Node::Table(_)
        | Node::Text(_)
        | Node::Integer(_)
        | Node::Fraction(_)
        | Node::Flag(_)
        | Node::Date(_) => None,
    };
    Some([sections(under)?, sections(over)?].concat())
}

fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Whether a name is one of a pattern, in which `*` is any text and `?` any byte.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=name.len()).any(|at| matches(rest, &name[at..])),
        (Some((b'?', rest)), Some((_, name))) => matches(rest, name),
        (Some((one, rest)), Some((other, name))) => one == other && matches(rest, name),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_held_against_patterns() {
        for (pattern, name, expected) in [
            ("*.toml", "a.toml", true),
            ("*.toml", ".toml", true),
            ("*.toml", "a.toml.new", false),
            ("??-*.toml", "10-b.toml", true),
            ("??-*.toml", "1-b.toml", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
