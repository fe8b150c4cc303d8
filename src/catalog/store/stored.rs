//! A provider as it is written down: all that its value says, in words that a person can read.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::provider::{Protocol, Provider, Tenure, WarmUp, Weight};

/// A provider as it is written down. What is usual is left out.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    address: String,
    id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    record: String,
    #[serde(with = "TenureWord", default, skip_serializing_if = "is_usual")]
    tenure: Tenure,
    /// In hundredths of the usual one.
    #[serde(default = "usual_weight", skip_serializing_if = "is_usual_weight")]
    weight: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    warm_up: Option<StoredWarmUp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    version: String,
    #[serde(with = "ProtocolWord")]
    protocol: Protocol,
    #[serde(default, skip_serializing_if = "is_usual")]
    secure: bool,
    #[serde(default, skip_serializing_if = "is_usual")]
    handlers: Box<[Box<str>]>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredWarmUp {
    /// Milliseconds since 1970.
    since_ms: u64,
    over_ms: u64,
}

/// The words for [`Protocol`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Protocol", rename_all = "lowercase")]
enum ProtocolWord {
    Http1,
    H2c,
    Mucp,
    Tcp,
}

/// The words for [`Tenure`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Tenure", rename_all = "lowercase")]
enum TenureWord {
    Kept,
    Lasting,
    Leased(u64),
}

impl From<&Provider> for Stored {
    fn from(provider: &Provider) -> Self {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            address: provider.address.to_string(),
            id: provider.id.to_string(),
            record: provider.record.to_string(),
            tenure: provider.tenure,
            weight: provider.weight.hundredths(),
            warm_up: provider.warm_up.map(|warm_up| StoredWarmUp {
                since_ms: millis(warm_up.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()),
                over_ms: millis(warm_up.over),
            }),
            zone: provider.zone.as_deref().map(str::to_owned),
            version: provider.version.to_string(),
            protocol: provider.protocol,
            secure: provider.secure,
            handlers: provider.handlers.clone(),
            metadata: provider.metadata.clone(),
        }
    }
}

impl TryFrom<Stored> for Provider {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let address =
            stored.address.parse().map_err(|error: crate::provider::AddressError| error.to_string())?;
        let warm_up = |warm_up: StoredWarmUp| {
            let since = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(warm_up.since_ms))?;
            let over = Duration::from_millis(warm_up.over_ms);
            (!over.is_zero()).then_some(WarmUp { since, over })
        };
        Ok(Self {
            record: stored.record.into(),
            tenure: stored.tenure,
            weight: Weight::from_hundredths(stored.weight),
            warm_up: stored.warm_up.and_then(warm_up),
            zone: stored.zone.map(Into::into),
            version: stored.version.into(),
            protocol: stored.protocol,
            secure: stored.secure,
            handlers: stored.handlers,
            metadata: stored.metadata,
            ..Self::new(stored.id, address)
        })
    }
}

fn is_usual<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

const fn usual_weight() -> u32 {
    Weight::ONE.hundredths()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_usual_weight(weight: &u32) -> bool {
    *weight == usual_weight()
}
