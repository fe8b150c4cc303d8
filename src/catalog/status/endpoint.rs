//! What an operator is told of one endpoint: its state and why and since when, its record, and how requests went.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::millis;
use crate::clock::Moment;
use crate::endpoint::{Care, Checking, Ejecting, EjectionState, Endpoint, ReachState, Said};

/// One endpoint.
#[derive(Clone, Debug, Serialize)]
pub struct EndpointStatus {
    /// The registry's name for it.
    pub id: String,
    /// Where it listens.
    pub address: String,
    /// The registries that name it, where several are followed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub registries: Vec<String>,
    /// `available`, `aside`, `unwell`, `unreachable`, `ejected`, `limbo` or `ghost`.
    pub state: &'static str,
    /// For how long it has been, as far as that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
    /// Why it is in that state, unless it is available.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Where its record lies, where the registry tells.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub record: String,
    /// For how long it has been listed, or the process that is there now, as far as this one saw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listed_for_ms: Option<u64>,
    /// How long that record stays once whoever wrote it has died: `kept`, `lasting` or `leased`.
    pub tenure: &'static str,
    /// Failures to connect in a row, while unreachable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_failures: Option<u32>,
    /// Ejections, as far as not forgotten.
    #[serde(skip_serializing_if = "is_zero")]
    pub ejections: u32,
    /// Time until a request or a probe may try it again, while unreachable or ejected; until it takes turns again, while aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_ms: Option<u64>,
    /// How long ago it answered last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_ms_ago: Option<u64>,
    /// What was learnt of how long it keeps idle connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<IdleStatus>,
    /// What checks find, where it is checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckStatus>,
    /// While it is not listed any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limbo: Option<LimboStatus>,
    /// Its share of traffic at present; 1 is usual.
    pub weight: f64,
    /// Where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// How near it is, where there are several tiers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// Its version; empty when it announces none.
    pub version: String,
    /// What is spoken with it.
    pub protocol: &'static str,
    /// Whether that is spoken over TLS.
    pub tls: bool,
    /// What else it announces.
    pub metadata: BTreeMap<String, String>,
    /// How long an answer is expected to take; none before the first attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// Attempts in flight.
    pub in_flight: u32,
    /// How many may be in flight.
    pub in_flight_max: u32,
    /// How many should be in flight at most so far, while it is new or just back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramp: Option<u32>,
    /// Attempts since it was first announced.
    pub attempts: u64,
    /// Attempts that failed since then.
    pub failures: u64,
    /// How the last of those did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
    /// How attempts went lately; none where there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lately: Option<LatelyStatus>,
}

/// How attempts at an endpoint went lately.
#[derive(Clone, Debug, Serialize)]
pub struct LatelyStatus {
    /// Within so much time.
    pub within_ms: u64,
    /// Those that went well.
    pub well: u64,
    /// Those that failed.
    pub failed: u64,
}

/// What was learnt of how long an endpoint keeps idle connections.
#[derive(Clone, Debug, Serialize)]
pub struct IdleStatus {
    /// How long we let them idle at most, with a margin.
    pub limit_ms: u64,
    /// What taught it.
    pub why: &'static str,
}

/// What checks find of an endpoint.
#[derive(Clone, Debug, Serialize)]
pub struct CheckStatus {
    /// How the last one ended: `well` or `failed`.
    pub result: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long ago it was.
    pub ms_ago: u64,
    /// Checks in a row that ended so.
    pub in_a_row: u32,
    /// How long it has been unwell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unwell_for_ms: Option<u64>,
}

impl From<Checking> for CheckStatus {
    fn from(checking: Checking) -> Self {
        Self {
            result: if checking.cause.is_none() { "well" } else { "failed" },
            reason: checking.cause.map(Into::into),
            ms_ago: millis(checking.last),
            in_a_row: checking.in_a_row,
            unwell_for_ms: checking.unwell.map(millis),
        }
    }
}

/// How an endpoint that is not listed any more is used on.
#[derive(Clone, Debug, Serialize)]
pub struct LimboStatus {
    /// One word for why: `session`, `mass`, `doubt` or `last`.
    pub cause: &'static str,
    /// How long it has not been listed.
    pub for_ms: u64,
    /// How long it will be used at most; none while its going is not confirmed, or nobody else is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_ms: Option<u64>,
    /// Whether it is picked only when no other is available.
    pub spare: bool,
    /// Whether the registry is still to be asked a second time.
    pub unconfirmed: bool,
}

impl EndpointStatus {
    /// An endpoint, told at this moment.
    pub fn of(endpoint: &Endpoint, care: &Care, now: Moment) -> Self {
        let Endpoint { provider, memory, weight, limbo } = endpoint;
        let (connect_failures, pause) = match memory.reach.state(now) {
            ReachState::Reachable => (None, None),
            ReachState::Unreachable { failures, pause } => (Some(failures), Some(pause)),
        };
        let ejection = memory.ejection(now);
        let checking = memory.checked.state(now);
        let state = state(endpoint, now);
        let aside = (state == ASIDE).then(|| memory.aside_for(now));
        let pause = pause.max(ejection.map(|ejection| ejection.pause)).max(aside);
        Self {
            id: provider.id.to_string(),
            address: provider.address.to_string(),
            registries: Vec::new(),
            state,
            for_ms: since(endpoint, state, checking.as_ref(), now).map(millis),
            why: why(endpoint, checking.as_ref(), connect_failures, ejection).or(aside.map(set_aside)),
            record: provider.record.to_string(),
            listed_for_ms: memory.listed().map(|listed| millis(now.since(listed))),
            tenure: provider.tenure.as_str(),
            connect_failures,
            ejections: memory.ejections(),
            pause_ms: pause.map(millis),
            answered_ms_ago: memory.answered().map(|answered| millis(now.since(answered))),
            idle: memory
                .idling()
                .learnt(now)
                .map(|(limit, teacher)| IdleStatus { limit_ms: millis(limit), why: teacher.as_str() }),
            check: checking.map(CheckStatus::from),
            limbo: limbo.as_deref().map(|limbo| LimboStatus {
                cause: limbo.cause.as_str(),
                for_ms: millis(now.since(limbo.since)),
                left_ms: limbo.until.map(|until| millis(until.since(now))),
                spare: limbo.is_spare,
                unconfirmed: limbo.is_unconfirmed,
            }),
            weight: f64::from(weight.hundredths()) / 100.0,
            zone: provider.zone.as_deref().map(str::to_owned),
            tier: None,
            version: provider.version.to_string(),
            protocol: provider.protocol.as_str(),
            tls: provider.secure,
            metadata: provider.metadata.clone(),
            latency_ms: (memory.attempts() > 0)
                .then(|| (f64::from(memory.latency.expected_ms(now)) * 1000.0).round() / 1000.0),
            in_flight: memory.in_flight(),
            in_flight_max: memory.in_flight_max(care),
            ramp: memory.ramp().filter(|_| care.slow_start),
            attempts: memory.attempts(),
            failures: memory.failures(),
            last_failure: (memory.failures() > 0).then(|| memory.last_failure().to_string()),
            lately: lately(endpoint, care, now),
        }
    }
}

/// The word for one that asked for less.
const ASIDE: &str = "aside";

/// How it is, in one word: as metrics have it, and whether it is set aside.
pub(super) fn state(endpoint: &Endpoint, now: Moment) -> &'static str {
    match endpoint.state() {
        "available" if !endpoint.memory.aside_for(now).is_zero() => ASIDE,
        state => state,
    }
}

/// For how long it has been in this state, as far as that is known.
fn since(endpoint: &Endpoint, state: &str, checking: Option<&Checking>, now: Moment) -> Option<Duration> {
    let memory = &endpoint.memory;
    let ago = |moment: Moment| now.since(moment);
    match state {
        "ghost" | "unreachable" => Some(memory.reach.failing_for(now)),
        "unwell" => checking.and_then(|checking| checking.unwell),
        "ejected" => memory.ejected_since().map(ago),
        "limbo" => endpoint.limbo.as_ref().map(|limbo| ago(limbo.since)),
        _ => memory.turned().max(memory.listed()).map(ago),
    }
}

fn lately(endpoint: &Endpoint, care: &Care, now: Moment) -> Option<LatelyStatus> {
    let window = care.ejecting.as_ref().map_or(Ejecting::USUAL.window, |by| by.window);
    let (well, failed) = endpoint.memory.lately(now, window);
    (well + failed > 0).then(|| LatelyStatus { within_ms: millis(window), well, failed })
}

fn set_aside(left: Duration) -> String {
    format!("it asked for less, and comes after all others for {:.1} s more", left.as_secs_f64())
}

/// Why an endpoint is not simply available, in a sentence.
fn why(
    endpoint: &Endpoint,
    checking: Option<&Checking>,
    connect_failures: Option<u32>,
    ejection: Option<EjectionState>,
) -> Option<String> {
    if let Some(ghost) = endpoint.memory.ghost() {
        return Some(ghost.as_str().to_owned());
    }
    if let Some(checking) = checking.filter(|checking| checking.unwell.is_some()) {
        return Some(match &checking.cause {
            Some(cause) => format!("its check fails: {cause}"),
            None => "its check failed, and has not passed often enough since".to_owned(),
        });
    }
    match (connect_failures, ejection, &endpoint.limbo) {
        (Some(failures), ..) => Some(format!("connections failed, {failures} in a row")),
        (None, Some(ejection), _) => Some(ejected(ejection, endpoint.memory.last_failure())),
        (None, None, Some(limbo)) => Some(limbo.cause.sentence().to_owned()),
        (None, None, None) => None,
    }
}

fn ejected(EjectionState { grounds, times, pause }: EjectionState, last: Said) -> String {
    let until = if pause.is_zero() {
        "one request at a time tries it until one succeeds".to_owned()
    } else {
        format!("out for {:.1} s more", pause.as_secs_f64())
    };
    let times = if times == 1 { "once".to_owned() } else { format!("{times} times") };
    format!("{grounds}, the last: {last}; {until}, ejected {times}")
}

const fn is_zero(count: &u32) -> bool {
    *count == 0
}
