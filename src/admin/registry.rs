//! The registry over HTTP, as Go Micro's sidecar had it: what is known of services, and programs that have themselves announced.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State as From};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::State;
use super::answer::Refusal;
use crate::announce::status::Status;
use crate::announce::{self, Advertised, Target, Wish};
use crate::balance::Policy;
use crate::catalog::{Claim, Freshness, SubscribeError};
use crate::check::{Check, CheckKind};
use crate::provider::{Provider, ServiceName};
use crate::registry::format::{Entry, Format as _, GoMicro};

/// The largest body that is read.
pub(super) const BODY_BYTES_MAX: usize = 1024 * 1024;
/// How long a program waits for its registry's word on all that it sent; what has not come by then comes later.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a first list is waited for at most, whatever requests would wait: less than a request here may take.
const LIST_PATIENCE: Duration = Duration::from_secs(8);
/// The times in which a program may have to register again.
const TTL_MIN: Duration = Duration::from_secs(1);
const TTL_MAX: Duration = Duration::from_hours(24);
/// The shortest time that the record of a program that registers again may outlive this process.
const LEASE_MIN: Duration = Duration::from_secs(5);
/// What a body has to be.
const BODY_CURE: &str = "send a service as Go Micro writes it: \
     {\"name\":\"greeter\",\"version\":\"1.0\",\"nodes\":[{\"id\":\"greeter-1\",\"address\":\"10.0.0.5:8080\",\"metadata\":{}}]}";

/// A service as Go Micro's clients read it; no key is ever left out.
#[derive(Debug, Serialize)]
pub(super) struct Service {
    name: String,
    version: String,
    metadata: Option<BTreeMap<String, String>>,
    endpoints: Option<Vec<Value>>,
    nodes: Option<Vec<Node>>,
}

#[derive(Debug, Serialize)]
struct Node {
    id: String,
    address: String,
    metadata: BTreeMap<String, String>,
}

/// What can be asked of `/registry`.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    service: Option<String>,
    ttl: Option<String>,
}

/// What `GET /announcements` and `POST /registry` answer.
#[derive(Debug, Serialize)]
pub(super) struct Announced {
    announcements: Vec<Status>,
}

/// What `DELETE /registry` answers.
#[derive(Debug, Serialize)]
pub(super) struct Withdrawn {
    withdrawn: usize,
}

pub(super) async fn announcements(From(state): From<State>) -> Json<Announced> {
    Json(Announced { announcements: state.announcements.status() })
}

pub(super) async fn list(
    From(state): From<State>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Vec<Service>>, Refusal> {
    let asked = said(asked)?;
    match asked.service.filter(|service| !service.is_empty()) {
        None => Ok(Json(names(&state))),
        Some(service) => providers(&state, &service).await.map(Json),
    }
}

/// The names of all services that are known to exist.
fn names(state: &State) -> Vec<Service> {
    let exists = |freshness: &Freshness| matches!(freshness, Freshness::Live | Freshness::Stale { .. });
    let known = state.catalog.known().into_iter().filter(|known| exists(&known.freshness));
    let mut names: BTreeSet<String> = known.map(|known| known.service.to_string()).collect();
    let announced = state.announcements.status().into_iter().filter(|status| status.state == "announced");
    names.extend(announced.map(|status| status.service));
    let named = |name| Service { name, version: String::new(), metadata: None, endpoints: None, nodes: None };
    names.into_iter().map(named).collect()
}

/// A service with its providers, one entry for each version.
async fn providers(state: &State, name: &str) -> Result<Vec<Service>, Refusal> {
    let service = service_name(name)?;
    let claim = Claim::on(service, Policy::default());
    let subscription = state.catalog.subscribe(&claim).map_err(|error| {
        let (status, cure) = match error {
            SubscribeError::TooMany { .. } => (StatusCode::SERVICE_UNAVAILABLE, "raise services.max"),
            SubscribeError::NotDeclared => {
                (StatusCode::NOT_FOUND, "declare it, or turn services.on_demand on")
            }
        };
        Refusal::new(status, error.to_string(), cure)
    })?;
    subscription.touch(state.clock.now());
    subscription.listed(state.catalog.settings().first_list_timeout.min(LIST_PATIENCE)).await;
    let snapshot = subscription.snapshot().load_full();
    if !snapshot.listed {
        let error = format!("it is not known yet who provides {name}");
        return Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            error,
            "see why the registry is silent at /readyz",
        ));
    }
    let mut versions = BTreeMap::<String, Vec<Node>>::new();
    for endpoint in &*snapshot.endpoints {
        let provider = &endpoint.provider;
        versions.entry(provider.version.to_string()).or_default().push(node(provider));
    }
    if versions.is_empty() {
        let error = format!("nobody provides {name}");
        return Err(Refusal::new(StatusCode::NOT_FOUND, error, "names are exact, case included"));
    }
    let of_version = |(version, nodes)| Service {
        name: name.to_owned(),
        version,
        metadata: None,
        endpoints: None,
        nodes: Some(nodes),
    };
    Ok(versions.into_iter().map(of_version).collect())
}

fn node(provider: &Provider) -> Node {
    Node {
        id: provider.id.to_string(),
        address: provider.address.to_string(),
        metadata: provider.metadata.clone(),
    }
}

pub(super) async fn register(
    From(state): From<State>,
    asked: Result<Query<Asked>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Announced>, Refusal> {
    let asked = said(asked)?;
    let target = target(&state)?;
    let lasts = asked.ttl.as_deref().map(ttl).transpose()?.flatten();
    let wishes = wishes(&read(body)?, target, lasts)?;
    let allowed = &state.catalog.settings().allowed;
    if let Some((wish, reserved)) =
        wishes.iter().find_map(|wish| Some((wish, wish.address.reserved(allowed)?)))
    {
        let error = format!("{} is {reserved}, so nobody would call it", wish.address);
        let cure = "register an address that others reach, or list its network in services.allow_addresses";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, error, cure));
    }
    let mut keys = Vec::new();
    for wish in wishes {
        keys.push(state.announcements.ask(wish, lasts).map_err(refused)?);
    }
    let mut announcements = Vec::new();
    let until = Instant::now() + PATIENCE;
    for key in keys {
        let left = until.saturating_duration_since(Instant::now());
        announcements.extend(state.announcements.settled(&key, left).await);
    }
    Ok(Json(Announced { announcements }))
}

pub(super) async fn deregister(
    From(state): From<State>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Withdrawn>, Refusal> {
    let target = target(&state)?;
    let posted = Posted::read(&read(body)?)?;
    let mut gone = Vec::new();
    for provider in &posted.providers {
        if state.announcements.withdraw(&posted.service, &provider.id, target).map_err(refused)? {
            gone.push(&provider.id);
        }
    }
    let until = Instant::now() + PATIENCE;
    for id in &gone {
        let left = until.saturating_duration_since(Instant::now());
        state.announcements.gone(&posted.service, id, target, left).await;
    }
    Ok(Json(Withdrawn { withdrawn: gone.len() }))
}

/// What is said behind the path.
fn said(asked: Result<Query<Asked>, QueryRejection>) -> Result<Asked, Refusal> {
    asked.map(|Query(asked)| asked).map_err(|error| {
        let cure = "write /registry?service=greeter to ask, or /registry?ttl=30s to register, each once";
        Refusal::new(error.status(), error.body_text(), cure)
    })
}

/// Where it is announced what programs ask for.
fn target(state: &State) -> Result<&Target, Refusal> {
    state.target.as_ref().map_err(|why| {
        let (error, cure) = why.split_once("; ").unwrap_or((why, "follow another registry"));
        Refusal::new(StatusCode::NOT_IMPLEMENTED, error, cure)
    })
}

fn read(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Refusal> {
    body.map_err(|error| {
        let cure = format!("send at most {BODY_BYTES_MAX} bytes");
        Refusal::new(error.status(), error.body_text(), cure)
    })
}

fn refused(refusal: announce::Refusal) -> Refusal {
    let status = match refusal {
        announce::Refusal::TooMany | announce::Refusal::Configured { .. } => StatusCode::CONFLICT,
        announce::Refusal::Stopping => StatusCode::SERVICE_UNAVAILABLE,
    };
    let text = refusal.to_string();
    let (error, cure) = text.split_once("; ").unwrap_or((&text, "register with another one"));
    Refusal::new(status, error, cure)
}

/// The time in which a program has to register again; none where it says that it need not.
fn ttl(text: &str) -> Result<Option<Duration>, Refusal> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Ok(None),
        Ok(ttl) if (TTL_MIN..=TTL_MAX).contains(&ttl) => Ok(Some(ttl)),
        Ok(_) | Err(_) => {
            let error = format!("the ttl {text:?} is no time from 1s to 24h");
            Err(Refusal::new(StatusCode::BAD_REQUEST, error, "write one such as ttl=30s, or leave it out"))
        }
    }
}

fn service_name(name: &str) -> Result<ServiceName, Refusal> {
    name.parse().map_err(|error: crate::provider::ServiceNameError| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            error.to_string(),
            "give the name of a service, such as greeter",
        )
    })
}

/// What a program sent.
struct Posted {
    service: ServiceName,
    metadata: BTreeMap<String, String>,
    endpoints: Vec<Value>,
    providers: Vec<Provider>,
}

impl Posted {
    fn read(body: &[u8]) -> Result<Self, Refusal> {
        let bad = |error: String| Refusal::new(StatusCode::BAD_REQUEST, error, BODY_CURE);
        let written: Value =
            serde_json::from_slice(body).map_err(|error| bad(format!("the body is no JSON: {error}")))?;
        // Go writes its keys in lower case, and reads them in any.
        let find = |key: &str| {
            let pairs = written.as_object().into_iter().flatten();
            pairs.filter(|(known, _)| known.eq_ignore_ascii_case(key)).map(|(_, value)| value).next_back()
        };
        let Some(name) = find("name").and_then(Value::as_str) else {
            return Err(bad("the body names no service".to_owned()));
        };
        let service = service_name(name)?;
        let decoded = GoMicro.decode(Entry::of(&service, "", body));
        if let Some(unusable) = decoded.unusable.first() {
            return Err(bad(unusable.detail.clone()));
        }
        let metadata = find("metadata").and_then(Value::as_object).into_iter().flatten();
        let metadata = metadata.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
        let endpoints = find("endpoints").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(Self { metadata: metadata.collect(), endpoints, providers: decoded.providers, service })
    }
}

/// What a program wants announced. Who has to register again shows that it lives; any other is asked for a connection.
fn wishes(body: &[u8], target: &Target, lasts: Option<Duration>) -> Result<Vec<Wish>, Refusal> {
    let posted = Posted::read(body)?;
    let kind = if lasts.is_some() { CheckKind::None } else { CheckKind::Tcp };
    let wish = |provider: Provider| Wish {
        id: Some(provider.id).filter(|id| !id.is_empty()),
        version: provider.version,
        weight: provider.weight,
        zone: provider.zone,
        protocol: provider.protocol,
        secure: provider.secure,
        metadata: provider.metadata,
        service_metadata: posted.metadata.clone(),
        endpoints: posted.endpoints.clone(),
        ttl: lasts.map_or(announce::TTL, |lasts| lasts.clamp(LEASE_MIN, announce::TTL)),
        check: Check { kind: kind.clone(), ..Check::default() },
        ..Wish::new(posted.service.clone(), Advertised::As(provider.address), target.clone())
    };
    Ok(posted.providers.into_iter().map(wish).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"name":"greeter","Version":"1.2","metadata":{"team":"a"},"endpoints":[{"name":"Say.Hello"}],"nodes":[{"id":"g-1","address":"10.0.0.5","port":80,"metadata":{"protocol":"mucp","weight":"2"}},{"address":"[::1]:81"}]}"#;

    #[test]
    fn every_generation_of_go_micro_can_register() {
        let posted = Posted::read(BODY.as_bytes()).map_err(|_| "refused").unwrap();
        assert_eq!((posted.service.as_str(), &*posted.metadata["team"]), ("greeter", "a"));
        assert_eq!(posted.endpoints.len(), 1);
        let said: Vec<String> = posted
            .providers
            .iter()
            .map(|p| format!("{} {} {} {}", p.id, p.address, p.version, p.weight))
            .collect();
        assert_eq!(said, ["g-1 10.0.0.5:80 1.2 2", " [::1]:81 1.2 1"]);
    }

    #[test]
    fn what_is_no_service_is_refused() {
        for body in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"name":"a b","nodes":[]}"#,
            r#"{"name":"a"}"#,
            r#"{"name":"a","nodes":[{"id":"x"}]}"#,
        ] {
            assert!(Posted::read(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn times_are_those_of_go() {
        let read = |text| ttl(text).map_err(|_| ());
        assert_eq!(read("1m30s"), Ok(Some(Duration::from_secs(90))));
        assert_eq!(read("0s"), Ok(None));
        for wrong in ["10", "", "-1s", "500ms", "25h"] {
            assert_eq!(read(wrong), Err(()), "{wrong}");
        }
    }
}
