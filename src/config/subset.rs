//! The subset that a section says, over one that holds where it says nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::reader::Section;
use super::value::{TEXTS, text};
use crate::catalog::Subset;

/// What a section says of the providers it is content with, each key for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    version: Option<Arc<str>>,
    metadata: Option<BTreeMap<String, String>>,
}

impl Wanted {
    /// Reads it; `absent` says what holds of a key that is not there.
    pub(super) fn read(section: &mut Section<'_>, absent: &'static str) -> Self {
        let version = section.optional("version", &text("a version", "1.2.0"), absent);
        let metadata = section.optional("metadata", &TEXTS, absent);
        Self { version: version.map(Arc::from), metadata }
    }

    /// The subset, where `otherwise` holds of what is not said. An empty table says that any metadata will do.
    pub(super) fn over(&self, otherwise: Subset) -> Subset {
        Subset {
            version: self.version.clone().or(otherwise.version),
            metadata: self.metadata.clone().unwrap_or(otherwise.metadata),
            raw: otherwise.raw,
        }
    }
}
