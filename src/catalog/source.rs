//! A source: a registry that is followed, by name, and what its word is good for.

use std::fmt;
use std::sync::Arc;

use super::subscription::RegistryState;
use crate::clock::Moment;
use crate::registry::Registry;

/// Registries that can be followed at once: a migration needs two, a fleet over several places a few more.
pub const SOURCES_MAX: usize = 8;

/// A registry that is followed.
#[derive(Clone, Debug)]
pub struct Source {
    /// What it is called in logs, metrics, admin answers and the configuration; no two have the same name.
    pub name: Arc<str>,
    /// What its word is good for.
    pub role: Role,
    /// The registry.
    pub registry: Arc<dyn Registry>,
}

impl Source {
    /// A registry that is used, named for its kind.
    pub fn new(registry: Arc<dyn Registry>) -> Self {
        Self { name: registry.kind().into(), role: Role::Use, registry }
    }
}

/// What the word of a source is good for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Its providers are used, beside those of all others that are.
    #[default]
    Use,
    /// Its providers are used for a service only while no source that is used knows one.
    Fallback,
    /// It is followed and compared, and never used.
    Shadow,
}

impl Role {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Use, Self::Fallback, Self::Shadow];

    /// The word for it in the configuration and admin answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Use => "use",
            Self::Fallback => "fallback",
            Self::Shadow => "shadow",
        }
    }
}

/// Some of the sources, by their numbers: their places in the order of the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct SourceSet(u8);

const _: () = assert!(SOURCES_MAX == u8::BITS as usize, "a set has a bit for each source");

impl SourceSet {
    /// Every source.
    pub const ALL: Self = Self(u8::MAX);
    /// None.
    pub const NONE: Self = Self(0);

    /// This set and the source of a number below [`SOURCES_MAX`].
    #[must_use]
    pub const fn with(self, number: usize) -> Self {
        Self(self.0 | 1 << number)
    }

    /// Whether the source of a number is in it.
    pub const fn contains(self, number: usize) -> bool {
        number < SOURCES_MAX && self.0 & 1 << number != 0
    }

    /// Whether no source is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The numbers of those in it, in order.
    pub fn numbers(self) -> impl Iterator<Item = usize> {
        (0..SOURCES_MAX).filter(move |number| self.contains(*number))
    }
}

impl FromIterator<usize> for SourceSet {
    fn from_iter<I: IntoIterator<Item = usize>>(numbers: I) -> Self {
        numbers.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for SourceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.numbers()).finish()
    }
}

/// How a source stands, behind the catalog's lock.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) state: RegistryState,
    /// Since when it is in that state.
    pub(super) since: Moment,
    /// What it said of the connection, while it is up.
    pub(super) detail: Option<String>,
    /// Why it is down.
    pub(super) cause: Option<String>,
    /// Whether its stale lists were warned of in this outage.
    pub(super) warned: bool,
}

impl Standing {
    pub(super) const fn new(now: Moment) -> Self {
        Self { state: RegistryState::Connecting, since: now, detail: None, cause: None, warned: false }
    }
}
