//! How programs are asked whether they are well: the app that is announced, and the providers of services.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::file::{Entry, Node};
use super::reader::Section;
use super::units::Time;
use super::value::{Flag, List, Number, Parsed, Problems, Shape, Word, quoted, text};
use crate::check::{Check, CheckKind, Place, Statuses};
use crate::health::{Checks, ServiceCheck};
use crate::provider::Address;

/// How often a program is asked, and how long it may take.
const INTERVALS: Time = Time(Duration::from_millis(100)..=Duration::from_mins(10));
/// Checks in a row.
const IN_A_ROW: Number<u32> = Number(1..=100);
/// What an app may be asked.
const OF_APP: Word<&str> = Word(&["tcp", "http", "grpc", "go-micro", "none"], |kind| kind);
/// What a provider may be asked.
const OF_SERVICE: Word<&str> = Word(&["none", "tcp", "http", "grpc", "go-micro"], |kind| kind);
const ADDRESS: Parsed<Address> =
    Parsed::new("an address", "127.0.0.1:8080", read_address, Address::to_string);
const PATH: Parsed<String> = Parsed::new("a path", "/health", read_path, String::clone);
const HOST: Parsed<String> = Parsed::new("a host", "greeter.internal", read_host, String::clone);
const STATUSES: List<Range> = List(Range);
const GRPC_SERVICE: Parsed<String> = text("the name of a gRPC service", "greeter.Greeter");
const PORT: Number<u16> = Number(1..=u16::MAX);

/// Reads the statuses of a good answer.
fn statuses(section: &mut Section<'_>, absent: &'static str) -> Option<Vec<RangeInclusive<u16>>> {
    let statuses = section.optional("status", &STATUSES, absent)?;
    if statuses.is_empty() {
        section.wrong(
            "status",
            "with no good status every check fails; write one such as \"200-299\", or leave it out",
        );
    }
    Some(statuses)
}

/// Reads the check of an announcement.
pub(super) fn of_app(section: &mut Section<'_>) -> Check {
    let default = Check::default();
    let kind = section.sound("kind", &OF_APP, "tcp");
    let written = Written {
        path: section.optional("path", &PATH, "/"),
        status: statuses(section, "any from 200 to 299"),
        host: None,
        grpc_service: section.optional("grpc_service", &GRPC_SERVICE, "the app as a whole"),
    };
    written.must_fit(section, kind);
    let kind = kind.unwrap_or("tcp");
    let address = section.optional("address", &ADDRESS, "the one that is announced");
    Check {
        kind: written.kind(kind),
        place: address.map(Place::At),
        interval: section.get("interval", &INTERVALS, default.interval),
        timeout: section.get("timeout", &INTERVALS, default.timeout),
        rise: section.get("rise", &IN_A_ROW, default.rise),
        fall: section.get("fall", &IN_A_ROW, default.fall),
    }
}

/// What is written of the checks of all services, and of one.
#[derive(Clone)]
pub(super) struct ServiceChecks {
    kind: &'static str,
    /// Whether that is what was meant; else a mistake was noted, and nothing is concluded from it.
    is_sound: bool,
    written: Written,
    port: Option<u16>,
    tls: Option<bool>,
    interval: Duration,
    timeout: Duration,
    rise: u32,
    fall: u32,
}

/// Reads `[services.check]`.
pub(super) fn of_all(section: &mut Section<'_>) -> ServiceChecks {
    let default = Check::default();
    let kind = section.sound("kind", &OF_SERVICE, "none");
    let written = Written {
        path: section.optional("path", &PATH, "/"),
        status: statuses(section, "any from 200 to 299"),
        host: section.optional("host", &HOST, "the name of the service"),
        grpc_service: section.optional("grpc_service", &GRPC_SERVICE, "the provider as a whole"),
    };
    ServiceChecks {
        kind: kind.unwrap_or("none"),
        is_sound: kind.is_some(),
        written,
        port: section.optional("port", &PORT, "the one that the record says"),
        tls: section.optional("tls", &Flag, "as the record says"),
        interval: section.get("interval", &INTERVALS, default.interval),
        timeout: section.get("timeout", &INTERVALS, default.timeout),
        rise: section.get("rise", &IN_A_ROW, default.rise),
        fall: section.get("fall", &IN_A_ROW, default.fall),
    }
}

impl ServiceChecks {
    /// Reads `[service.check]`, in which everything is optional.
    pub(super) fn of_one(&self, section: &mut Section<'_>) -> Self {
        const USUAL: &str = "as in [services.check]";
        let said = section.optional("kind", &OF_SERVICE, USUAL);
        let sound = if section.has("kind") { said } else { Some(self.kind) };
        let kind = sound.unwrap_or(self.kind);
        let written = Written {
            path: section.optional("path", &PATH, USUAL),
            status: statuses(section, USUAL),
            host: section.optional("host", &HOST, USUAL),
            grpc_service: section.optional("grpc_service", &GRPC_SERVICE, USUAL),
        };
        written.must_fit(section, sound);
        Self {
            kind,
            is_sound: sound.is_some(),
            written: written.or(&self.written),
            port: section.optional("port", &PORT, USUAL).or(self.port),
            tls: section.optional("tls", &Flag, USUAL).or(self.tls),
            interval: section.optional("interval", &INTERVALS, USUAL).unwrap_or(self.interval),
            timeout: section.optional("timeout", &INTERVALS, USUAL).unwrap_or(self.timeout),
            rise: section.optional("rise", &IN_A_ROW, USUAL).unwrap_or(self.rise),
            fall: section.optional("fall", &IN_A_ROW, USUAL).unwrap_or(self.fall),
        }
    }

    /// Notes a mistake where this says how all are asked, and nobody is, or nobody in that way.
    pub(super) fn must_be_of_use(&self, top: &Section<'_>, checks: &Checks) {
        if !self.is_sound {
            return;
        }
        let kinds = checks.by_service.values().chain([&checks.usual]).flatten().map(|it| &it.check.kind);
        let is_used = kinds.clone().next().is_some();
        let says_how = self.written.says_something() || self.port.is_some() || self.tls.is_some();
        if says_how && is_used {
            for (key, only) in self.written.keys() {
                let has_one = |kind: &CheckKind| match only {
                    "http" => matches!(kind, CheckKind::Http { .. }),
                    _ => matches!(kind, CheckKind::Grpc { .. }),
                };
                if !kinds.clone().any(has_one) {
                    let message = format!(
                        "check says a {key}, and no check is of the kind that has one; write kind = {} in \
                         [services.check], or in [service.check] of one service, or leave {key} out",
                        quoted(only)
                    );
                    top.wrong("services", message);
                }
            }
        }
        if says_how && !is_used {
            let message = "check says how providers are asked, but not what; write kind = \"http\" in [services.check], or in [service.check] of one service";
            top.wrong("services", message);
        }
    }

    /// The check that this says; `None` where there is to be none.
    pub(super) fn check(&self) -> Option<Arc<ServiceCheck>> {
        let kind = self.written.clone().kind(self.kind);
        if kind == CheckKind::None {
            return None;
        }
        let Self { interval, timeout, rise, fall, .. } = *self;
        let place = self.port.map(Place::Port);
        let check = Check { kind, place, interval, timeout, rise, fall };
        Some(Arc::new(ServiceCheck { check, tls: self.tls }))
    }
}

/// What only some kinds of checks have.
#[derive(Clone)]
struct Written {
    path: Option<String>,
    status: Option<Vec<RangeInclusive<u16>>>,
    host: Option<String>,
    grpc_service: Option<String>,
}

impl Written {
    /// Notes a mistake for each key that a check of this kind does not have; none where it is not known which kind is meant.
    fn must_fit(&self, section: &Section<'_>, kind: Option<&str>) {
        for (kind, (key, only)) in kind.into_iter().flat_map(|kind| self.keys().map(move |key| (kind, key))) {
            if kind != only {
                let (kind, only) = (quoted(kind), quoted(only));
                section.wrong(key, format!("a check of the kind {kind} has none; write kind = {only}"));
            }
        }
    }

    /// The keys that are there, each with the only kind that has it.
    fn keys(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let keys = [
            ("path", self.path.is_some(), "http"),
            ("status", self.status.is_some(), "http"),
            ("host", self.host.is_some(), "http"),
            ("grpc_service", self.grpc_service.is_some(), "grpc"),
        ];
        keys.into_iter().filter(|(_, is_there, _)| *is_there).map(|(key, _, only)| (key, only))
    }

    fn says_something(&self) -> bool {
        self.keys().next().is_some()
    }

    fn or(self, other: &Self) -> Self {
        Self {
            path: self.path.or_else(|| other.path.clone()),
            status: self.status.or_else(|| other.status.clone()),
            host: self.host.or_else(|| other.host.clone()),
            grpc_service: self.grpc_service.or_else(|| other.grpc_service.clone()),
        }
    }

    fn kind(self, kind: &str) -> CheckKind {
        match kind {
            "http" => CheckKind::Http {
                path: self.path.unwrap_or_else(|| "/".to_owned()),
                status: self.status.map(Statuses::new).unwrap_or_default(),
                host: self.host,
            },
            "grpc" => CheckKind::Grpc { service: self.grpc_service.unwrap_or_default() },
            "go-micro" => CheckKind::GoMicro,
            "none" => CheckKind::None,
            _ => CheckKind::Tcp,
        }
    }
}

/// A status, or a range of them as a text.
struct Range;

impl Shape for Range {
    type Out = RangeInclusive<u16>;

    fn read(&self, entry: &Entry, problems: &mut Problems) -> Option<RangeInclusive<u16>> {
        let read = |text: &str| text.trim().parse::<u16>().ok().filter(|status| (100..=599).contains(status));
        let range = match (&entry.node, entry.node.as_text()) {
            (Node::Integer(Ok(status)), _) => read(&status.to_string()).map(|status| status..=status),
            (_, Some(text)) => match text.split_once('-') {
                Some((first, last)) => read(first).zip(read(last)).map(|(first, last)| first..=last),
                None => read(text).map(|status| status..=status),
            },
            (_, None) => None,
        };
        let range = range.filter(|range| !range.is_empty());
        if range.is_none() {
            let shown = entry.node.shown();
            problems.push((
                entry.place,
                format!("{shown} is no status; write one from 100 to 599, or a range such as \"200-299\""),
            ));
        }
        range
    }

    fn write(&self, value: &RangeInclusive<u16>) -> String {
        match (value.start(), value.end()) {
            (one, same) if one == same => one.to_string(),
            (first, last) => quoted(&format!("{first}-{last}")),
        }
    }

    fn schema(&self) -> Value {
        json!({ "anyOf": [
            { "type": "integer", "minimum": 100, "maximum": 599 },
            { "type": "string", "pattern": "^ *[1-5][0-9]{2} *(- *[1-5][0-9]{2} *)?$", "examples": ["200-299"] },
        ] })
    }
}

fn read_address(text: &str) -> Result<Address, String> {
    text.parse::<Address>().map_err(|error| error.to_string())
}

fn read_host(text: &str) -> Result<String, String> {
    match text.parse::<http::uri::Authority>() {
        Ok(_) if !text.contains('@') => Ok(text.to_owned()),
        Ok(_) | Err(_) => Err("it is no host name, with or without a port".to_owned()),
    }
}

fn read_path(text: &str) -> Result<String, String> {
    match text.parse::<http::uri::PathAndQuery>() {
        Ok(_) if text.starts_with('/') => Ok(text.to_owned()),
        Ok(_) | Err(_) => {
            Err("it does not begin with a slash, or has characters that a path cannot have".to_owned())
        }
    }
}
