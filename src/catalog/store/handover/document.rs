//! The text of a handover: a line with version and checksum, a line about when, and one for each service.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::super::sealed::{Unsealed, seal, unseal};
use super::memory::StoredMemory;
use crate::endpoint::Remembered;
use crate::provider::{Address, ServiceName};

/// What a file begins with.
const MAGIC: &str = "wayside-handover";
/// The version of what follows; a file of another is not read.
const VERSION: u32 = 1;
/// The most bytes a file may have; about 100,000 endpoints.
pub(super) const BYTES_MAX: usize = 16 * 1024 * 1024;

/// What was experienced with the endpoints of a service: the id that each was announced with, and what is remembered.
pub(super) type Endpoints = HashMap<Address, (Box<str>, Remembered)>;

/// What one process leaves to the next.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Legacy {
    /// When it was written, to the millisecond.
    pub(super) written: SystemTime,
    pub(super) services: BTreeMap<ServiceName, Endpoints>,
}

/// Why a file is not used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum LegacyError {
    /// It is not as it was written.
    #[error(transparent)]
    Unsealed(#[from] Unsealed),
    /// A line is not as it should be, although the checksum is right.
    #[error("line {line} is not as it should be: {detail}")]
    Malformed {
        /// The line, from 1.
        line: usize,
        /// The cause.
        detail: String,
    },
    /// It is larger than any that was written.
    #[error("it is larger than {BYTES_MAX} bytes")]
    TooLarge,
}

#[derive(Serialize, Deserialize)]
struct Head {
    /// Milliseconds since 1970.
    written_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct Line {
    service: String,
    endpoints: Vec<StoredMemory>,
}

/// The text of a legacy. Services for which there is no room are left out: what is not known is found out again.
pub(super) fn encode(legacy: &Legacy) -> String {
    let since = legacy.written.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut body = json(&Head { written_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) });
    for (service, endpoints) in &legacy.services {
        let mut endpoints: Vec<_> = endpoints.iter().collect();
        endpoints.sort_by(|a, b| a.0.cmp(b.0));
        let stored = |(address, (id, remembered)): (&Address, &(Box<str>, Remembered))| {
            StoredMemory::new(address, id, remembered)
        };
        let endpoints = endpoints.into_iter().map(stored).collect();
        let line = json(&Line { service: service.to_string(), endpoints });
        if body.len() + line.len() <= BYTES_MAX - MAGIC.len() * 4 {
            body.push_str(&line);
        }
    }
    seal(MAGIC, VERSION, &body)
}

/// A text with a seal of this program's.
#[cfg(fuzzing)]
pub(super) fn sealed(body: &str) -> String {
    seal(MAGIC, VERSION, body)
}

/// The legacy that a text tells of.
///
/// # Errors
/// When anything about it is not as it was written.
pub(super) fn decode(text: &[u8]) -> Result<Legacy, LegacyError> {
    if text.len() > BYTES_MAX {
        return Err(LegacyError::TooLarge);
    }
    let body = unseal(MAGIC, VERSION, text)?;
    // The checksum is in the first line of the file.
    let malformed = |index: usize, detail: String| LegacyError::Malformed { line: index + 2, detail };
    let mut lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate();
    let (_, head) = lines.next().ok_or_else(|| malformed(0, "it is missing".to_owned()))?;
    let head: Head = serde_json::from_slice(head).map_err(|error| malformed(0, error.to_string()))?;
    let written = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(head.written_ms));
    let written = written.ok_or_else(|| malformed(0, "its time is none".to_owned()))?;
    let mut services = BTreeMap::new();
    for (index, line) in lines {
        let wrong = |detail: String| malformed(index, detail);
        let line: Line = serde_json::from_slice(line).map_err(|error| wrong(error.to_string()))?;
        let name: ServiceName =
            line.service.parse().map_err(|_| wrong("its service has no name".to_owned()))?;
        let endpoints: Endpoints =
            line.endpoints.into_iter().map(StoredMemory::read).collect::<Result<_, _>>().map_err(wrong)?;
        services.insert(name, endpoints);
    }
    Ok(Legacy { written, services })
}

fn json(value: &impl Serialize) -> String {
    let mut line = serde_json::to_string(value).expect("texts and numbers under texts are always JSON");
    line.push('\n');
    line
}

#[cfg(test)]
mod tests;
