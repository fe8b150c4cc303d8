//! The text of a file of the store: a line with version and checksum, a line about the registry, and one for each service.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::sealed::{Unsealed, seal, unseal};
use super::stored::Stored;
use crate::provider::{Provider, ServiceName};

/// What a file begins with.
const MAGIC: &str = "wayside-store";
/// The version of what follows; a file of another is not read.
const VERSION: u32 = 1;
/// The most bytes a file may have; about 200,000 providers.
pub(super) const BYTES_MAX: usize = 64 * 1024 * 1024;

/// Which registry a file is of: its kind and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) kind: String,
    pub(super) location: String,
}

/// The last known providers of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) providers: Vec<Arc<Provider>>,
    /// When the service was last known to be so, to the second.
    pub(super) seen: SystemTime,
}

/// The last known providers of a registry's services.
pub(super) type Services = BTreeMap<ServiceName, Kept>;

/// Why a file is not used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum DocumentError {
    /// Something else is in it.
    #[error("it is no file of last known providers")]
    Foreign,
    /// An older or newer program wrote it.
    #[error("it is of version {0}, and this program reads version {VERSION}")]
    OtherVersion(String),
    /// It is not what was written.
    #[error("it is damaged: its checksum is {found:08x}, not {expected:08x}")]
    Damaged {
        /// The one that it has.
        found: u32,
        /// The one that it says.
        expected: u32,
    },
    /// It is of another registry.
    #[error("it is of the {} registry at {}", .0.kind, .0.location)]
    OtherRegistry(Identity),
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

impl From<Unsealed> for DocumentError {
    fn from(cause: Unsealed) -> Self {
        match cause {
            Unsealed::Foreign => Self::Foreign,
            Unsealed::OtherVersion { found, .. } => Self::OtherVersion(found),
            Unsealed::Damaged { found, expected } => Self::Damaged { found, expected },
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Head {
    registry: Identity,
    written: String,
}

#[derive(Serialize, Deserialize)]
struct Line {
    service: String,
    seen: String,
    providers: Vec<Stored>,
}

/// The text for these services, and the number of those left out because it would be too large.
pub(super) fn encode(identity: &Identity, services: &Services, now: SystemTime) -> (String, usize) {
    encode_within(BYTES_MAX, identity, services, now)
}

fn encode_within(
    bytes_max: usize,
    identity: &Identity,
    services: &Services,
    now: SystemTime,
) -> (String, usize) {
    let head = Head { registry: identity.clone(), written: shown(now) };
    let mut body = json(&head);
    let mut left_out = 0;
    for (service, Kept { providers, seen }) in services {
        let providers = providers.iter().map(|provider| Stored::from(&**provider)).collect();
        let line = json(&Line { service: service.to_string(), seen: shown(*seen), providers });
        if body.len() + line.len() > bytes_max - MAGIC.len() * 4 {
            left_out += 1;
            continue;
        }
        body.push_str(&line);
    }
    (seal(MAGIC, VERSION, &body), left_out)
}

/// A text with a seal of this program's.
#[cfg(fuzzing)]
pub(super) fn sealed(body: &str) -> String {
    seal(MAGIC, VERSION, body)
}

/// The services that a text tells of.
///
/// # Errors
/// When anything about it is not as it was written for this registry.
pub(super) fn decode(identity: &Identity, text: &[u8]) -> Result<Services, DocumentError> {
    if text.len() > BYTES_MAX {
        return Err(DocumentError::TooLarge);
    }
    let body = unseal(MAGIC, VERSION, text)?;
    lines(identity, body)
}

fn lines(identity: &Identity, body: &[u8]) -> Result<Services, DocumentError> {
    // The checksum is in the first line of the file.
    let malformed = |index: usize, detail: String| DocumentError::Malformed { line: index + 2, detail };
    let mut lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate();
    let (_, head) = lines.next().ok_or_else(|| malformed(0, "it is missing".to_owned()))?;
    let head: Head = serde_json::from_slice(head).map_err(|error| malformed(0, error.to_string()))?;
    if head.registry != *identity {
        return Err(DocumentError::OtherRegistry(head.registry));
    }
    let mut services = Services::new();
    for (index, line) in lines {
        let wrong = |detail: String| malformed(index, detail);
        let line: Line = serde_json::from_slice(line).map_err(|error| wrong(error.to_string()))?;
        let name: ServiceName =
            line.service.parse().map_err(|_| wrong("its service has no name".to_owned()))?;
        let seen = humantime::parse_rfc3339(&line.seen).map_err(|error| wrong(error.to_string()))?;
        let read = |stored: Stored| Provider::try_from(stored).map(Arc::new);
        let providers: Vec<_> =
            line.providers.into_iter().map(read).collect::<Result<_, _>>().map_err(wrong)?;
        services.insert(name, Kept { providers, seen });
    }
    Ok(services)
}

fn json(value: &impl Serialize) -> String {
    let mut line = serde_json::to_string(value).expect("texts and numbers under texts are always JSON");
    line.push('\n');
    line
}

fn shown(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

#[cfg(test)]
mod tests;
