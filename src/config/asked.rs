//! What the reader was asked for, key by key.

use serde_json::Value;

use super::error::Place;

/// A key that was asked for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// Its section: empty for the top, `[admin]`, `[[route]]`.
    pub(super) section: String,
    /// Which of the sections of that name, from 0.
    pub(super) number: usize,
    /// Its path, with the number of each section that there may be several of, from 1: `route.2.split.1.weight`.
    pub(super) trail: String,
    pub(super) key: &'static str,
    /// Where it stands, when it does.
    pub(super) place: Option<Place>,
    /// The value in force, as TOML and without secrets; `None` when there is none, or it is one.
    pub(super) value: Option<String>,
    /// What tells a secret, or those that are left out of the value, from another one, and not what it is.
    pub(super) mark: Option<u64>,
    pub(super) absence: Absence,
    /// What values it can have, as JSON Schema; only where the reader is to learn that.
    pub(super) schema: Option<Value>,
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
    /// It must not be absent, unless another key is there in its place.
    Excusable,
}
