//! Ghosts: records that outlived their provider.

use std::sync::atomic::{AtomicU8, Ordering};

/// What is behind a record that outlived its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ghost {
    /// Nobody: no connection has succeeded for long.
    Silent,
    /// Somebody else: whoever listens there now does not know the service.
    Stranger,
}

impl Ghost {
    /// What an operator is told.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Silent => "nobody answers there, and the record has no owner that could withdraw it",
            Self::Stranger => "whoever answers there does not know the service",
        }
    }
}

/// Whether a record is a ghost's, as an atomic.
#[derive(Debug, Default)]
pub(super) struct Haunting(AtomicU8);

impl Haunting {
    const SILENT: u8 = 1;
    const STRANGER: u8 = 2;

    /// Begins it; true when that is news.
    pub(super) fn begin(&self, ghost: Ghost) -> bool {
        let kind = match ghost {
            Ghost::Silent => Self::SILENT,
            Ghost::Stranger => Self::STRANGER,
        };
        self.0.swap(kind, Ordering::Relaxed) != kind
    }

    pub(super) fn end(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    pub(super) fn ghost(&self) -> Option<Ghost> {
        match self.0.load(Ordering::Relaxed) {
            Self::SILENT => Some(Ghost::Silent),
            Self::STRANGER => Some(Ghost::Stranger),
            _ => None,
        }
    }
}
