//! Mistakes: everything that is wrong with a configuration, each with its place and its cure.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use super::excerpt::excerpt;

/// Where something of the configuration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A flag or a variable of the environment, by its name.
    Given(&'static str),
    /// In a file.
    File {
        /// Which of the files that were read, from 0.
        file: usize,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
    },
    /// Nowhere: something is missing.
    Missing,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where it stands.
    pub place: Place,
    /// The key it is about, with its section; empty when it is about none.
    pub key: String,
    /// What is wrong, and what to write instead.
    pub message: String,
}

/// A text that was read, which places refer to by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// What it is called in messages, as it was given; a text that is no file has no name.
    pub(super) name: Option<String>,
    pub(super) text: String,
}

/// Everything that is wrong with a configuration, in order of place: one line for each.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct Mistakes {
    sources: Vec<Source>,
    list: Vec<Mistake>,
    files: BTreeSet<PathBuf>,
}

/// Why there is no [`super::Config`].
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {file}")]
    Unreadable {
        /// The file, as it was given.
        file: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// What it says, or what flags and environment say, is wrong.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
}

impl Mistake {
    /// What is wrong, and what to write instead, apart from each other; the latter is empty where the message does not tell them apart.
    pub fn cause_and_cure(&self) -> (&str, &str) {
        let message = &self.message;
        // What is quoted may have anything in it.
        let mut is_quoted = false;
        let mut before = ' ';
        for (at, character) in message.char_indices() {
            if character == '"' && before != '\\' {
                is_quoted = !is_quoted;
            }
            if !is_quoted && message[at..].starts_with("; ") {
                return (&message[..at], &message[at + 2..]);
            }
            before = character;
        }
        (message, "")
    }
}

impl Mistakes {
    /// The mistakes of these texts, or of flags and environment alone. There is at least one.
    pub(super) fn new(sources: Vec<Source>, mut list: Vec<Mistake>) -> Self {
        list.sort();
        list.dedup();
        Self { sources, list, files: BTreeSet::new() }
    }

    /// The same, in a configuration that names these files.
    pub(super) fn naming(self, files: BTreeSet<PathBuf>) -> Self {
        Self { files, ..self }
    }

    /// The files that the configuration names: a change of one of them may cure it.
    pub fn files(&self) -> &BTreeSet<PathBuf> {
        &self.files
    }

    /// The mistakes, in order of place.
    pub fn list(&self) -> &[Mistake] {
        &self.list
    }

    /// The file that a place is in, as messages name it.
    pub fn file_of(&self, place: Place) -> Option<&str> {
        self.source_of(place)?.name.as_deref()
    }

    /// The mistakes as messages, each with the line that it stands in below it, where it stands in one. No text of a line is
    /// repeated that the message does not repeat: a misplaced secret may stand there.
    pub fn annotated(&self) -> String {
        let mut told = String::new();
        for mistake in &self.list {
            told.push_str(&format!("{}\n", self.line_of(mistake)));
            if let (Some(source), Place::File { line, column, .. }) =
                (self.source_of(mistake.place), mistake.place)
            {
                told.push_str(&excerpt(&source.text, line, column, &mistake.message));
            }
        }
        told
    }

    fn source_of(&self, place: Place) -> Option<&Source> {
        match place {
            Place::File { file, .. } => self.sources.get(file),
            Place::Missing => self.sources.first(),
            Place::Given(_) => None,
        }
    }

    fn line_of(&self, mistake: &Mistake) -> String {
        let file = self.file_of(mistake.place).map_or_else(String::new, |file| format!("{file}:"));
        let place = match mistake.place {
            Place::Given(name) => format!("{name}: "),
            Place::File { line, column, .. } => format!("{file}{line}:{column}: "),
            Place::Missing if file.is_empty() => String::new(),
            Place::Missing => format!("{file} "),
        };
        // The name of a flag says as much as the key does.
        let is_given = matches!(mistake.place, Place::Given(_));
        let key =
            if mistake.key.is_empty() || is_given { String::new() } else { format!("{}: ", mistake.key) };
        format!("{place}{key}{}", mistake.message)
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.list.iter().map(|mistake| self.line_of(mistake)).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// The one of some words that a mistyped one is most like, if it is like any.
pub(super) fn nearest<'w>(mistyped: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let mistyped = mistyped.to_lowercase();
    let like = |word: &'w str| {
        // `conect` is `connect` with an error; `timeout` is a part of `request_timeout`.
        let is_part =
            mistyped.len() >= 4 && (word.contains(&mistyped) || mistyped.contains(word) && word.len() >= 4);
        let likeness = strsim::jaro_winkler(&mistyped, word).max(if is_part { LIKE_ENOUGH } else { 0.0 });
        (likeness, word)
    };
    let likest = words.into_iter().map(like).max_by(|one, other| one.0.total_cmp(&other.0));
    likest.filter(|(likeness, _)| *likeness >= LIKE_ENOUGH).map(|(_, word)| word)
}

/// The Jaro-Winkler likeness from which a word is offered; `listen` for `listener` has 0.95, `port` for `path` 0.85.
const LIKE_ENOUGH: f64 = 0.82;
