//! Sections become the settings of each room, and are held against each other.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::announce::announce;
use super::announced::Known;
use super::care::{Treatment, cares};
use super::checks::ServiceChecks;
use super::declared::Services;
use super::explain::explain;
use super::file::{Entry, Node};
use super::include::include;
use super::listeners::{admin, listeners};
use super::logs::{access, log};
use super::raw;
use super::reader::Section;
use super::retries::retries;
use super::routes;
use super::services::services;
use super::sources::{Followed, restriction, sources};
use super::tiers::{Here, Tiers};
use super::tls;
use super::tracing::tracing;
use super::units::{Bytes, Time};
use super::value::{Auto, Flag, Number, Parsed, Problems, Shape, parsed, text};
use super::{Config, Wording};
use crate::catalog::{Cares, Layouts, Restrictions};
use crate::health::Checks;
use crate::provider::ServiceName;
use crate::proxy::{Forwarding, ListenerSettings, UNIX, UnixName};
use crate::route::{Limits, Naming, Table};
use crate::{proxy, upstream};

/// Threads that serve requests where the number is left to us: on two cores the rest belongs to the app beside us.
const WORKERS_AUTO: usize = 2;
/// More threads than any machine has use for.
const WORKERS_MAX: usize = 256;

/// A day: no duration is longer.
pub(super) const DAY: Duration = Duration::from_hours(24);
const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
/// Durations that may be none at all.
pub(super) const ANY_TIME: Time = Time(Duration::ZERO..=DAY);
/// Durations that bound something, and so must let something happen.
pub(super) const SOME_TIME: Time = Time(ms(1)..=DAY);
/// How long experience may be handed over: longer ago, nobody knows whether it still holds.
const HANDOVER_TIME: Time = Time(Duration::ZERO..=Duration::from_mins(10));
/// Numbers that bound something.
pub(super) const COUNT: RangeInclusive<usize> = 1..=1_000_000;
/// Attempts after the first.
pub(super) const RETRIES: Number<u8> = Number(0..=7);
/// The name of a service.
pub(super) const SERVICE: Parsed<ServiceName> = parsed("a service name", "greeter");

/// The file of a Unix socket.
const SUCCESSION: Parsed<PathBuf> = Parsed::new(
    "the path of a Unix socket",
    "/run/wayside/succession.sock",
    |text| match text.strip_prefix(UNIX).unwrap_or(text).parse::<UnixName>() {
        Ok(UnixName::Path(path)) => Ok(path),
        Ok(UnixName::Abstract(_)) => Err("everybody could take it; write the path of a file".to_owned()),
        Err(error) => Err(error.to_string()),
    },
    |path| path.display().to_string(),
);

/// Reads everything; `None` where a mistake was noted that leaves no value.
pub(super) fn config(top: &mut Section<'_>) -> Option<Config> {
    include(top);
    let workers = workers(top);
    let here = Here::of(top);
    let drain_timeout = top.get("drain_timeout", &ANY_TIME, Duration::from_secs(30));
    let lame_duck = top.get("lame_duck", &ANY_TIME, Duration::ZERO);
    let succession = top.optional("succession", &SUCCESSION, "no other process can take over");
    let sources = sources(top);
    let known = Known::of(sources.iter().flatten().map(|source| &source.registry));
    let listeners = listeners(top, &known);
    let admin = top.section("admin", |section| admin(section, &listeners));
    let ((catalog, choice, key, treatment, usual_check), tiers) =
        top.section("services", |section| services(section, here));
    let mut naming = top.section("naming", naming);
    naming.choice = choice;
    let services = Services::new(choice, key);
    let (services, said) =
        said_of_services(top, services, &treatment, &usual_check, tiers, sources.as_deref());
    let (store, handover) = top.section("store", store);
    let mut proxy = proxy::Settings::default();
    let mut limits = Limits::default();
    let connect_timeout = top.section("timeouts", |section| timeouts(section, &mut proxy, &mut limits));
    let upstream = top.section("upstream", |section| upstream(section, connect_timeout, &said.tls));
    let upstream = upstream::Settings { allowed: catalog.allowed.clone(), ..upstream };
    top.section("limits", |section| limits_of(section, &mut proxy));
    limits.retries = top.section("retries", retries);
    top.section("headers", |section| headers(section, &mut proxy));
    let routes = routes::routes(top, &services, &known, &limits);
    let (log, access) = (top.section("log", log), top.section("access_log", access));
    let (explain, traces) = (top.section("explain", explain), top.section("tracing", tracing));
    let (announce, target) = announce(top, sources.as_deref(), &catalog.allowed);

    let listeners: Vec<ListenerSettings> = listeners.into_iter().collect::<Option<_>>()?;
    let routes = routes?;
    let bound = listeners.iter().filter_map(|listener| listener.service.as_ref());
    let raw = listeners.iter().filter_map(|listener| listener.raw.as_ref());
    let declared = services.followed(&routes, bound, raw);
    (naming.rules, naming.declared) = services.into_declared(&limits);
    let config = Config {
        workers,
        drain_timeout,
        lame_duck,
        succession,
        listeners,
        admin,
        sources: sources?,
        restrictions: said.restrictions,
        store,
        handover,
        catalog,
        cares: said.cares,
        layouts: said.layouts,
        checks: Checks { openings: raw::openings(&naming), ..said.checks },
        routes: Arc::new(Table::new(routes, naming)),
        declared,
        announce,
        target,
        proxy,
        upstream,
        log,
        access,
        explain,
        traces,
        files: BTreeSet::new(),
        wording: Wording::default(),
        in_force: Arc::from([]),
    };
    held_together(top, &config);
    Some(config)
}

fn workers(top: &mut Section<'_>) -> usize {
    let auto = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(WORKERS_AUTO);
    top.get("workers", &Auto(1..=WORKERS_MAX), None).unwrap_or_else(auto)
}

/// What is said of services by their names, but for where their requests go.
struct Said {
    restrictions: Restrictions,
    cares: Cares,
    layouts: Layouts,
    checks: Checks,
    tls: Vec<(ServiceName, tls::Written)>,
}

/// Reads every `[[service]]`, where nothing else is said than what is usual.
fn said_of_services(
    top: &mut Section<'_>,
    mut services: Services,
    treatment: &Treatment,
    check: &ServiceChecks,
    mut tiers: Tiers,
    sources: Option<&[Followed]>,
) -> (Services, Said) {
    let known = Known::of(sources.unwrap_or_default().iter().map(|source| &source.registry));
    let mut restrictions = Restrictions::new();
    let mut treatments = Vec::new();
    let mut tls = Vec::new();
    let mut checks = Checks { usual: check.check(), ..Checks::default() };
    top.sections("service", |section| {
        let service = services.declare(section, &known);
        tiers.of(section, service.as_ref());
        restriction(section, service.clone(), sources, &mut restrictions);
        let treatment = Treatment::read(section, Some(treatment));
        treatments.extend(service.clone().map(|service| (service, treatment)));
        let check = section.section("check", |section| check.of_one(section)).check();
        checks.by_service.extend(service.clone().map(|service| (service, check)));
        let terms = section.section("tls", tls::of_one);
        tls.extend(service.clone().map(|service| (service, terms)));
        services.lay_down(section, service.as_ref(), &known);
    });
    services.settle();
    check.must_be_of_use(top, &checks);
    let (cares, layouts) = (cares(treatment, treatments), tiers.into_layouts());
    (services, Said { restrictions, cares, layouts, checks, tls })
}

/// What several sections have to agree on.
fn held_together(top: &Section<'_>, config: &Config) {
    raw::proxy_protocol_is_used(top, config);
    let (followed, most) = (config.followed().len(), config.catalog.services_max);
    if followed > most {
        let message = format!(
            "{followed} services are followed from the start, but max is {most}; write max = {followed} or more"
        );
        top.wrong("services", message);
    }
    if followed == 0 && !config.catalog.on_demand {
        let message =
            "on_demand is off and no service is declared, so no request can be answered; write a [[service]]";
        top.wrong("services", message);
    }
}

fn store(section: &mut Section<'_>) -> (Option<PathBuf>, Duration) {
    let is_enabled = section.get("enabled", &Flag, true);
    let folder = text("the path of a folder", "/var/lib/wayside");
    let folder =
        section.optional("folder", &folder, "what STATE_DIRECTORY says, as systemd sets it, else none");
    let handover = section.get("handover", &HANDOVER_TIME, Duration::from_mins(1));
    (folder.filter(|_| is_enabled).map(PathBuf::from), handover)
}

fn naming(section: &mut Section<'_>) -> Naming {
    let default = Naming::default();
    let suffix = section.optional("host_suffix", &HOST_SUFFIX, "none");
    Naming {
        headers: section.get("headers", &Flag, default.headers),
        host: section.get("host", &Flag, default.host),
        host_suffix: suffix.map(Arc::from),
        grpc_path: section.get("grpc_path", &Flag, default.grpc_path),
        path: section.get("path", &Flag, default.path),
        strip_path: section.get("strip_path", &Flag, default.strip_path),
        ..default
    }
}

/// A domain as it stands at the end of host names.
const HOST_SUFFIX: Parsed<String> = Parsed::new("a domain", "svc.local", domain, String::clone);

pub(super) fn domain(text: &str) -> Result<String, String> {
    if text.starts_with('.') {
        return Err(format!("the dot before it is understood; write {:?}", text.trim_start_matches('.')));
    }
    // A domain is what a name may be followed by, so a name of it reads as an address.
    match crate::provider::Address::new(text, 1) {
        Ok(_) => Ok(text.trim_end_matches('.').to_ascii_lowercase()),
        Err(_) => Err("it is no host name".to_owned()),
    }
}

fn timeouts(section: &mut Section<'_>, proxy: &mut proxy::Settings, limits: &mut Limits) -> Duration {
    limits.request_timeout = section.get("request", &SOME_TIME, limits.request_timeout);
    limits.attempt_timeout = section.optional("attempt", &SOME_TIME, "as long as the request");
    // It may be longer than most requests have, for a route whose requests have more.
    let connect = section.get("connect", &SOME_TIME, upstream::Settings::default().connect_timeout);
    proxy.header_timeout = section.get("header", &SOME_TIME, proxy.header_timeout);
    proxy.stream_idle_timeout = section.get("stream_idle", &SOME_TIME, proxy.stream_idle_timeout);
    proxy.raw_idle_timeout = section.get("tcp_idle", &SOME_TIME, proxy.raw_idle_timeout);
    proxy.client_idle_timeout = section.get("client_idle", &SOME_TIME, proxy.client_idle_timeout);
    proxy.go_micro_keep = section.get("go_micro_keep", &ANY_TIME, proxy.go_micro_keep);
    shorter_than_request(section, "attempt", limits.attempt_timeout, limits.request_timeout);
    connect
}

/// A part of a request that may take longer than the whole never times out.
pub(super) fn shorter_than_request(
    section: &Section<'_>,
    key: &str,
    part: Option<Duration>,
    request: Duration,
) {
    // What was not written there is simply cut short by the whole.
    if let Some(part) = part.filter(|part| *part > request && section.has(key)) {
        let (part, request) = (Time::shown(part), Time::shown(request));
        section
            .wrong(key, format!("{part} is longer than the whole request may take; write {request} or less"));
    }
}

fn upstream(
    section: &mut Section<'_>,
    connect_timeout: Duration,
    by_service: &[(ServiceName, tls::Written)],
) -> upstream::Settings {
    let default = upstream::Settings::default();
    let connections_max = section.get("connections_max", &Number(COUNT), default.connections_max);
    let idle_default = default.idle_max.min(connections_max);
    let idle_max = section.get("idle_max", &Number(0..=*COUNT.end()), idle_default);
    let idle_timeout = section.get("idle_timeout", &ANY_TIME, default.idle_timeout);
    let idle_learnt = section.get("idle_learnt", &Flag, default.idle_learnt);
    if idle_max > connections_max {
        let message = format!("{idle_max} is more than connections_max; write {connections_max} or less");
        section.wrong("idle_max", message);
    }
    // The HTTP library reads at least 8 KiB at a time.
    let header_bytes_max =
        section.get("header_bytes", &Bytes(8 * 1024..=1024 * 1024), default.header_bytes_max);
    let usual = section.section("tls", tls::of_all);
    upstream::Settings {
        connect_timeout,
        idle_timeout,
        idle_learnt,
        idle_max,
        connections_max,
        header_bytes_max,
        allowed: default.allowed,
        tls: tls::settings(&usual, by_service),
    }
}

fn limits_of(section: &mut Section<'_>, proxy: &mut proxy::Settings) {
    proxy.connections_max = section.get("connections", &Number(COUNT), proxy.connections_max);
    proxy.requests_max = section.get("requests", &Number(COUNT), proxy.requests_max);
    proxy.queue_max = section.get("queue", &Number(0..=*COUNT.end()), proxy.queue_max);
    proxy.queue_timeout = section.get("queue_timeout", &SOME_TIME, proxy.queue_timeout);
    // The HTTP library reads at least 8 KiB at a time.
    proxy.header_bytes_max =
        section.get("header_bytes", &Bytes(8 * 1024..=1024 * 1024), proxy.header_bytes_max);
    proxy.headers_max = section.get("headers", &Number(1..=1000), proxy.headers_max);
    proxy.uri_bytes_max = section.get("uri_bytes", &Bytes(256..=64 * 1024), proxy.uri_bytes_max);
}

fn headers(section: &mut Section<'_>, proxy: &mut proxy::Settings) {
    proxy.forwarding = section.get("forwarded", &Forwarded, proxy.forwarding);
    proxy.request_id = section.get("request_id", &Flag, proxy.request_id);
}

/// How providers are told whom a request comes from: a flag, or a word.
struct Forwarded;

impl Shape for Forwarded {
    type Out = Forwarding;

    fn read(&self, entry: &Entry, problems: &mut Problems) -> Option<Forwarding> {
        match &entry.node {
            Node::Flag(true) => return Some(Forwarding::Usual),
            Node::Flag(false) => return Some(Forwarding::None),
            Node::Text(word) if word == "standard" => return Some(Forwarding::Standard),
            Node::Text(word) if word == "both" => return Some(Forwarding::Both),
            Node::Text(_)
            | Node::Integer(_)
            | Node::Fraction(_)
            | Node::Date(_)
            | Node::List(_)
            | Node::Table(_) => {}
        }
        let shown = entry.node.shown();
        let cure =
            "write true for X-Forwarded-For and its like, \"standard\" for Forwarded, \"both\", or false";
        problems.push((entry.place, format!("{shown} is none of the ways; {cure}")));
        None
    }

    fn write(&self, value: &Forwarding) -> String {
        match value {
            Forwarding::None => "false",
            Forwarding::Usual => "true",
            Forwarding::Standard => "\"standard\"",
            Forwarding::Both => "\"both\"",
        }
        .to_owned()
    }

    fn schema(&self) -> Value {
        json!({ "enum": [true, false, "standard", "both"] })
    }
}
