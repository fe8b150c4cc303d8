//! What was experienced with an endpoint as it is written down; what is usual is left out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::endpoint::{Checking, Ejected, EjectionState, Ghost, Grounds, Remembered, Unreachable};
use crate::provider::Address;

/// What was experienced with an endpoint. All times are in milliseconds, as of the writing.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredMemory {
    address: String,
    id: Box<str>,
    /// How long ago it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answered_ms: Option<u64>,
    /// How long it was expected to take, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    latency_us: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unreachable: Option<StoredUnreachable>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ejected: Option<StoredEjection>,
    /// How much should be in flight there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ramp: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "ghost_word")]
    ghost: Option<Ghost>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    check: Option<StoredCheck>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredUnreachable {
    failures: u32,
    pause_ms: u64,
    failing_ms: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredEjection {
    #[serde(with = "GroundsWord", flatten)]
    grounds: Grounds,
    times: u32,
    pause_ms: u64,
    whole_ms: u64,
}

/// The words for [`Grounds`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Grounds", rename_all = "snake_case", tag = "grounds")]
enum GroundsWord {
    InARow { failures: u32 },
    Rate { failures: u32, attempts: u32 },
    Trial,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredCheck {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unwell_ms: Option<u64>,
    last_ms: u64,
    in_a_row: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<Box<str>>,
}

impl StoredMemory {
    pub(super) fn new(address: &Address, id: &str, remembered: &Remembered) -> Self {
        let Remembered { answered, latency, unreachable, ejected, ramp, ghost, check } = remembered;
        Self {
            address: address.to_string(),
            id: id.into(),
            answered_ms: answered.map(millis),
            latency_us: latency.map(|latency| u64::try_from(latency.as_micros()).unwrap_or(u64::MAX)),
            unreachable: unreachable.map(|it| StoredUnreachable {
                failures: it.failures,
                pause_ms: millis(it.pause),
                failing_ms: millis(it.failing),
            }),
            ejected: ejected.map(|Ejected { state, whole }| StoredEjection {
                grounds: state.grounds,
                times: state.times,
                pause_ms: millis(state.pause),
                whole_ms: millis(whole),
            }),
            ramp: *ramp,
            ghost: *ghost,
            check: check.as_ref().map(|check| StoredCheck {
                unwell_ms: check.unwell.map(millis),
                last_ms: millis(check.last),
                in_a_row: check.in_a_row,
                cause: check.cause.clone(),
            }),
        }
    }

    /// Where it is, the id it was announced with, and what is remembered of it.
    pub(super) fn read(self) -> Result<(Address, (Box<str>, Remembered)), String> {
        let address =
            self.address.parse().map_err(|error: crate::provider::AddressError| error.to_string())?;
        let time = Duration::from_millis;
        let remembered = Remembered {
            answered: self.answered_ms.map(time),
            latency: self.latency_us.map(Duration::from_micros),
            unreachable: self.unreachable.map(|it| Unreachable {
                failures: it.failures,
                pause: time(it.pause_ms),
                failing: time(it.failing_ms),
            }),
            ejected: self.ejected.map(|StoredEjection { grounds, times, pause_ms, whole_ms }| Ejected {
                state: EjectionState { grounds, times, pause: time(pause_ms) },
                whole: time(whole_ms),
            }),
            ramp: self.ramp,
            ghost: self.ghost,
            check: self.check.map(|check| Checking {
                unwell: check.unwell_ms.map(time),
                last: time(check.last_ms),
                in_a_row: check.in_a_row,
                cause: check.cause,
            }),
        };
        Ok((address, (self.id, remembered)))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The words for [`Ghost`].
mod ghost_word {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::endpoint::Ghost;

    const SILENT: &str = "silent";
    const STRANGER: &str = "stranger";

    #[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
    pub(super) fn serialize<S: Serializer>(ghost: &Option<Ghost>, serializer: S) -> Result<S::Ok, S::Error> {
        match ghost {
            Some(Ghost::Silent) => serializer.serialize_str(SILENT),
            Some(Ghost::Stranger) => serializer.serialize_str(STRANGER),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Ghost>, D::Error> {
        match Option::<String>::deserialize(deserializer)?.as_deref() {
            None => Ok(None),
            Some(SILENT) => Ok(Some(Ghost::Silent)),
            Some(STRANGER) => Ok(Some(Ghost::Stranger)),
            Some(_) => Err(serde::de::Error::custom("there is no such ghost")),
        }
    }
}
