//! Mistakes: everything that is wrong with a configuration, each with its place and its cure.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// Where something of the configuration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A flag or a variable of the environment, by its name.
    Given(&'static str),
    /// In the file.
    File {
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

/// Everything that is wrong with a configuration, in order of place: one line for each.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct Mistakes {
    file: Option<String>,
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

impl Mistakes {
    /// The mistakes of a file, or of flags and environment alone. There is at least one.
    pub(super) fn new(file: Option<&str>, mut list: Vec<Mistake>) -> Self {
        list.sort();
        list.dedup();
        Self { file: file.map(str::to_owned), list, files: BTreeSet::new() }
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
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match (mistake.place, &self.file) {
                (Place::Given(name), _) => write!(f, "{name}: ")?,
                (Place::File { line, column }, Some(file)) => write!(f, "{file}:{line}:{column}: ")?,
                (Place::File { line, column }, None) => write!(f, "{line}:{column}: ")?,
                (Place::Missing, Some(file)) => write!(f, "{file}: ")?,
                (Place::Missing, None) => {}
            }
            // The name of a flag says as much as the key does.
            let is_given = matches!(mistake.place, Place::Given(_));
            if !mistake.key.is_empty() && !is_given {
                write!(f, "{}: ", mistake.key)?;
            }
            f.write_str(&mistake.message)?;
        }
        Ok(())
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
