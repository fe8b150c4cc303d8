//! The parts of a registry's URL that several kinds share: its options, and errors that name culprit and cure.

use thiserror::Error;

/// Why a text does not name a registry: what is wrong, and what to write instead. Never with a secret in it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{wrong}; {cure}")]
pub struct UrlError {
    wrong: String,
    cure: String,
}

impl UrlError {
    /// What is wrong (naming the culprit), and what to write instead.
    pub fn new(wrong: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { wrong: wrong.into(), cure: cure.into() }
    }
}
