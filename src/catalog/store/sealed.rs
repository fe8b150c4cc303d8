//! A text under its seal: a first line with what it is, its version, and a checksum of all that follows.

use thiserror::Error;

/// Why a text is not as it was sealed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Unsealed {
    /// Something else is in it.
    #[error("it is something else")]
    Foreign,
    /// An older or newer program wrote it.
    #[error("it is of version {found}, and this program reads version {read}")]
    OtherVersion {
        /// The one that it says.
        found: String,
        /// The one that is read.
        read: u32,
    },
    /// It is not what was written.
    #[error("it is damaged: its checksum is {found:08x}, not {expected:08x}")]
    Damaged {
        /// The one that it has.
        found: u32,
        /// The one that it says.
        expected: u32,
    },
}

/// A text with its seal; `magic` says what it is.
pub(super) fn seal(magic: &str, version: u32, body: &str) -> String {
    format!("{magic} {version} {:08x}\n{body}", crc32fast::hash(body.as_bytes()))
}

/// What is under the seal.
///
/// # Errors
/// When it is not this, or not as it was written.
pub(super) fn unseal<'t>(magic: &str, version: u32, text: &'t [u8]) -> Result<&'t [u8], Unsealed> {
    let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let words = std::str::from_utf8(first).map_err(|_| Unsealed::Foreign)?;
    let mut words = words.split(' ');
    if words.next() != Some(magic) {
        return Err(Unsealed::Foreign);
    }
    let found = words.next().ok_or(Unsealed::Foreign)?;
    if found != version.to_string() {
        return Err(Unsealed::OtherVersion { found: found.to_owned(), read: version });
    }
    let expected = words.next().and_then(|word| u32::from_str_radix(word, 16).ok());
    let expected = expected.ok_or(Unsealed::Foreign)?;
    let body = text.get(first.len() + 1..).unwrap_or_default();
    let found = crc32fast::hash(body);
    if found != expected {
        return Err(Unsealed::Damaged { found, expected });
    }
    Ok(body)
}
