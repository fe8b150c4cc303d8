//! An explanation, as JSON.

use std::collections::BTreeMap;

use http::Method;
use serde::{Deserialize, Serialize};

use super::super::layer::route::Destination;
use crate::balance::{Named, Wish};
use crate::body::Body;
use crate::catalog::Claim;
use crate::proxy::telling::MadeDocument;
use crate::route::{Hedge, Retries, Rules};

/// Where a request would go, and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The method.
    pub method: String,
    /// The host.
    pub host: Option<String>,
    /// The path.
    pub path: String,
    /// The address it would go to; none where it would go nowhere.
    pub picked: Option<String>,
    /// The service that stands in, where the picked endpoint is of another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands_in: Option<String>,
    /// Why nobody was picked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nothing: Option<RefusedDocument>,
    /// Why it would not get as far as a service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusedDocument>,
    /// What all luck follows from, in hexadecimal digits.
    pub draw: String,
    /// The routes looked at, in order; the last is the one that is for it, if one is.
    pub routes: Vec<RouteDocument>,
    /// What led to the service: `route`, `host`, `path` and so on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// The route it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The part of the route's split that it falls to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// The service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Whether that is followed; if not, the first request for it sees to that.
    pub is_followed: bool,
    /// How far what is known of it can be trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freshness: Option<String>,
    /// What its providers have to announce.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub subset: BTreeMap<String, String>,
    /// How one of them is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The key of the request, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What that was hashed of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_of: Option<String>,
    /// Where the request itself wants to go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wish: Option<String>,
    /// What else is laid down for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<RulesDocument>,
    /// The tiers, nearest first.
    pub tiers: Vec<TierDocument>,
    /// Who could have been picked.
    pub candidates: Vec<CandidateDocument>,
    /// Who could not, though a registry names it.
    pub left_out: Vec<LeftOutDocument>,
    /// The picks that were made, in order: of several, the last one decided.
    pub choices: Vec<MadeDocument>,
    /// What would be done if the attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<String>,
}

/// Why a request goes nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedDocument {
    /// One word for it, as in metrics.
    pub reason: String,
    /// The sentence that its caller would read.
    pub error: String,
}

/// One route that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteDocument {
    /// Its name.
    pub name: String,
    /// The first condition that the request does not meet; none where it meets all.
    pub why_not: Option<String>,
}

/// What is laid down for a request, in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RulesDocument {
    /// How long all of it may take until the head of an answer.
    pub request_timeout_ms: u64,
    /// How long one attempt may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_timeout_ms: Option<u64>,
    /// Attempts after the first.
    pub retries: u8,
    /// When a second provider is asked beside the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hedge: Option<String>,
    /// How many may pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<String>,
    /// The services that stand in while nothing of this one is available.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failover: Vec<String>,
    /// The service that gets copies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<String>,
    /// The cookie that holds sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<String>,
    /// Whether the request may say which provider it wants.
    pub overrides: bool,
    /// Whether requests are disturbed on purpose.
    pub fault: bool,
}

/// One tier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TierDocument {
    /// What its endpoints have in common.
    pub name: String,
    /// How many they are.
    pub endpoints: usize,
    /// How many of them are available.
    pub available: usize,
    /// The part of the traffic that goes there at present, from 0 to 1.
    pub share: f64,
    /// Whether too few are available.
    pub panic: bool,
}

/// One endpoint that could have been picked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CandidateDocument {
    /// Where it listens.
    pub address: String,
    /// The registry's name for it.
    pub id: String,
    /// Whether it was picked.
    pub picked: bool,
    /// Its tier.
    pub tier: Option<String>,
    /// Its share of traffic; 1 is usual.
    pub weight: f64,
    /// How it is, in one word.
    pub state: String,
    /// Attempts in flight.
    pub in_flight: u32,
    /// How many may be.
    pub in_flight_max: u32,
    /// How long an answer is expected to take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// What keeps it from being picked; none where nothing does but the draw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
}

/// One provider, or record, that could not be picked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOutDocument {
    /// Its address, or where its record lies.
    pub name: String,
    /// Why.
    pub why: String,
}

impl Explanation {
    pub(super) fn begin(message: &http::Request<Body>, draw: u64) -> Self {
        let host = message.headers().get(http::header::HOST);
        Self {
            method: message.method().to_string(),
            host: host.map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned()),
            path: message.uri().path().to_owned(),
            draw: format!("{draw:016x}"),
            ..Self::default()
        }
    }

    /// Tells where it goes, and by which rules.
    pub(super) fn tell_of(&mut self, destination: &Destination, key_of: Option<String>, method: &Method) {
        let Destination { aim, rules, key, route, .. } = destination;
        let Claim { service, subset, choice } = aim.bound.subscription.claim();
        let version = subset.version.iter().map(|version| ("version".to_owned(), version.to_string()));
        self.route = route.as_deref().map(str::to_owned);
        self.part = aim.part.as_ref().map(|part| part.name.to_string());
        self.service = Some(service.to_string());
        self.subset = version.chain(subset.metadata.clone()).collect();
        self.policy = Some(choice.policy.to_string());
        self.key = key.map(|key| format!("{key:016x}"));
        self.key_of = key_of;
        self.wish = aim.wish.as_deref().map(wished);
        self.retries = Some(retries(&rules.limits.retries, method));
        let failover = aim.part.as_ref().map_or(&rules.failover, |part| &part.failover);
        self.rules = Some(RulesDocument::of(rules, failover));
    }
}

impl RulesDocument {
    fn of(rules: &Rules, failover: &[Claim]) -> Self {
        let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let limits = &rules.limits;
        let hedge = limits.retries.hedge.map(|hedge| match hedge {
            Hedge::After(time) => format!("after {time:?}"),
            Hedge::Percentile(percent) => format!("after the time in which {percent}% are answered"),
        });
        let rate = rules.rate.as_ref().map(|rate| rate.limit);
        Self {
            request_timeout_ms: millis(limits.request_timeout),
            attempt_timeout_ms: limits.attempt_timeout.map(millis),
            retries: limits.retries.max,
            hedge,
            rate_limit: rate.map(|rate| format!("{} per {:?}", rate.requests, rate.per)),
            failover: failover.iter().map(|claim| claim.service.to_string()).collect(),
            mirror: rules.mirror.as_ref().map(|mirror| mirror.claim.service.to_string()),
            sticky: rules.sticky.as_ref().map(|sticky| sticky.cookie.to_string()),
            overrides: rules.overrides,
            fault: rules.fault.is_some(),
        }
    }
}

/// Where a request itself wants to go, in words.
fn wished(wish: &Wish) -> String {
    match wish {
        Wish::Prefer(token) => {
            format!("the endpoint {token}, which its cookie names, while that can take it")
        }
        Wish::Only(Named::Address(address)) => format!("only {address}"),
        Wish::Only(Named::Token(token)) => format!("only the endpoint {token}"),
        Wish::Only(Named::Id(id)) => format!("only {id}"),
        Wish::Such { version, metadata } => {
            let version = version.iter().map(|version| format!("version={version}"));
            let metadata = metadata.iter().map(|(key, value)| format!("{key}={value}"));
            format!("only those with {}", version.chain(metadata).collect::<Vec<_>>().join(", "))
        }
    }
}

/// What would be done if an attempt failed, in words.
fn retries(retries: &Retries, method: &Method) -> String {
    if retries.max == 0 {
        return "no second attempt: retries are off".to_owned();
    }
    let statuses: Vec<String> = retries.statuses.iter().map(ToString::to_string).collect();
    let statuses = statuses.join(", ");
    let repeated = match (retries.idempotent, statuses.as_str()) {
        (false, "") => None,
        (true, "") => Some("what was not answered".to_owned()),
        (true, statuses) => Some(format!("what was not answered, or answered with {statuses}")),
        (false, statuses) => Some(format!("what was answered with {statuses}")),
    };
    let also = match repeated {
        None => "only what provably never arrived".to_owned(),
        Some(repeated) if retries.harmless || method.is_idempotent() => {
            format!("what provably never arrived, and {repeated}, since {method} may be repeated")
        }
        Some(_) => format!("only what provably never arrived, since {method} is not idempotent"),
    };
    let most = retries.max;
    format!("up to {most} more, each at another provider, as far as the service's budget goes: {also}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_asked_for_elsewhere_whatever_is_done_with_what_was_not_answered() {
        let cases: [(bool, &[u16], Method, &str); 5] = [
            (true, &[], Method::GET, "what was not answered, since GET may be repeated"),
            (true, &[502, 503], Method::GET, "what was not answered, or answered with 502, 503, since GET"),
            (false, &[503], Method::GET, "and what was answered with 503, since GET may be repeated"),
            (false, &[503], Method::POST, "only what provably never arrived, since POST is not idempotent"),
            (false, &[], Method::GET, "only what provably never arrived"),
        ];
        for (idempotent, statuses, method, told) in cases {
            let limits = Retries { idempotent, statuses: statuses.into(), ..Retries::default() };
            assert!(retries(&limits, &method).contains(told), "{}", retries(&limits, &method));
        }
    }
}
