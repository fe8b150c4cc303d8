//! What fuzz targets reach of this room: the documents on disk, read as if they had been written by this program.

use std::time::SystemTime;

use super::document::{self, Identity};
use super::handover;

/// Reads a text as a store, and what is under its seal as well; what was read, written and read again, stays the same.
///
/// # Panics
/// When it does not.
pub fn store(text: &[u8]) {
    let identity = Identity { kind: "fixed".to_owned(), location: "here".to_owned() };
    let _ = document::decode(&identity, text);
    let Ok(body) = std::str::from_utf8(text) else { return };
    let sealed = document::sealed(body);
    if let Ok(services) = document::decode(&identity, sealed.as_bytes()) {
        let (again, left_out) = document::encode(&identity, &services, SystemTime::UNIX_EPOCH);
        assert_eq!((document::decode(&identity, again.as_bytes()), left_out), (Ok(services), 0));
    }
}

/// The same of what one process leaves to the next.
///
/// # Panics
/// When something is read that cannot be written.
pub fn handover(text: &[u8]) {
    handover::fuzzed(text);
}
