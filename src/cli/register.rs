//! `wayside register`: an app announced as long as the command runs, without a proxy.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::check::refused;
use super::flags::set;
use super::run::failed;
use super::{FAILED, USAGE, complain};
use crate::announce::{Announcements, Wish};
use crate::clock::Clock;
use crate::config::{self, ConfigError, Given, Overrides};
use crate::drain::Drain;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::{LineFormat, log};

/// How long withdrawing may take; what is left then goes with its ttl.
const WITHDRAWING: Duration = Duration::from_secs(5);
/// How long what still runs may take to end.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// What is said where nothing tells where to announce.
const NO_REGISTRY: &str = "\
wayside: there is no registry to announce in; give one:
    wayside register --registry zookeeper://127.0.0.1:2181 --service greeter --address :8080";

const CODES: &str = "\
Exit codes: 0 withdrawn as told; 1 it could not begin, or not all could be withdrawn in time; 2 the command line is wrong.";

/// Announce an app in a registry while it is well, until told to stop
///
/// The record is put back when somebody deletes it, follows the app's health, and is withdrawn at SIGTERM or Ctrl-C.
/// Credentials for the registry are given by the variable WAYSIDE_REGISTRY_AUTH, as user:password.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = CODES)]
pub(super) struct Register {
    /// Announce in this registry: zookeeper://HOST:PORT,…/CHROOT, etcd://HOST:PORT,… or file:FOLDER [env: WAYSIDE_REGISTRY]
    #[arg(long, value_name = "URL")]
    registry: Option<String>,
    /// The service that the app provides
    #[arg(long, value_name = "NAME")]
    service: String,
    /// Where others reach the app: HOST:PORT, or :PORT for an address that is found
    #[arg(long, value_name = "ADDR")]
    address: String,
    /// Take the address of this network interface [default: the one towards the registry]
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// How it is found whether the app is well: tcp, http:/PATH, grpc, go-micro or none [default: tcp]
    #[arg(long, value_name = "CHECK")]
    check: Option<String>,
    /// How often the app is asked [default: 5s]
    #[arg(long, value_name = "TIME")]
    interval: Option<String>,
    /// The id of the record [default: the service, a dash and a random UUID]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// The version of the app
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// Its share of traffic, from 0 to 1000 [default: 1]
    #[arg(long, value_name = "WEIGHT")]
    weight: Option<String>,
    /// Where it runs
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// What is spoken with it: http1, h2c or mucp [default: http1]
    #[arg(long, value_name = "NAME")]
    protocol: Option<String>,
    /// What else the record says; can be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    metadata: Vec<String>,
    /// How the record is spelled [default: as the registry's URL says]
    #[arg(long, value_name = "NAME")]
    format: Option<String>,
    /// How long the record may outlive this command when it is killed [default: 30s]
    #[arg(long, value_name = "TIME")]
    ttl: Option<String>,
    /// Log from this level on: off, error, warn, info, debug or trace [env: WAYSIDE_LOG_LEVEL] [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Log in JSON, one event a line
    #[arg(long)]
    json: bool,
}

impl Register {
    pub(super) fn run(&self, variable: &dyn Fn(&str) -> Option<String>) -> ExitCode {
        let given = |origin, value: &Option<String>| value.clone().map(|text| Given { origin, text });
        let registry = given("--registry", &self.registry).or_else(|| set("WAYSIDE_REGISTRY", variable));
        if registry.is_none() {
            complain(NO_REGISTRY);
            return ExitCode::from(USAGE);
        }
        let overrides = Overrides {
            registries: registry.into_iter().collect(),
            registry_auth: set("WAYSIDE_REGISTRY_AUTH", variable).map(|auth| (0, auth)).into_iter().collect(),
            log_level: given("--log-level", &self.log_level).or_else(|| set("WAYSIDE_LOG_LEVEL", variable)),
            announce: self.announcement(),
            ..Overrides::default()
        };
        let mut config = match config::read(None, "", &overrides) {
            Ok(config) => config,
            Err(mistakes) => return refused(&ConfigError::Mistakes(mistakes)),
        };
        if self.json {
            config.log.format = LineFormat::Json;
        }
        // Kept until the end: what waits to be written is written when it goes.
        let _log = match log::init(&config.log) {
            Ok(log) => log,
            Err(error) => return failed(&error),
        };
        match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                let ended = runtime.block_on(announce(&config.announce));
                // A name that is still looked up does not hold up the end.
                runtime.shutdown_background();
                ended.unwrap_or_else(|error| failed(&error))
            }
            Err(error) => failed(&error),
        }
    }

    /// The section `[[announce]]` that the flags amount to.
    fn announcement(&self) -> Vec<(Vec<String>, Given)> {
        let mut section = Vec::new();
        let mut say = |path: &[&str], origin: &'static str, text: Option<&str>| {
            let path = path.iter().map(|key| (*key).to_owned()).collect();
            section.extend(text.map(|text| (path, Given { origin, text: text.to_owned() })));
        };
        say(&["service"], "--service", Some(&self.service));
        say(&["address"], "--address", Some(&self.address));
        say(&["interface"], "--interface", self.interface.as_deref());
        say(&["id"], "--id", self.id.as_deref());
        say(&["version"], "--version", self.version.as_deref());
        say(&["weight"], "--weight", self.weight.as_deref());
        say(&["zone"], "--zone", self.zone.as_deref());
        say(&["protocol"], "--protocol", self.protocol.as_deref());
        say(&["format"], "--format", self.format.as_deref());
        say(&["ttl"], "--ttl", self.ttl.as_deref());
        for pair in &self.metadata {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            say(&["metadata", key], "--metadata", Some(value));
        }
        say(&["check", "interval"], "--interval", self.interval.as_deref());
        let (kind, path) = self.check.as_deref().map_or((None, None), |check| match check.split_once(':') {
            Some((kind, path)) => (Some(kind), Some(path)),
            None => (Some(check), None),
        });
        say(&["check", "kind"], "--check", kind);
        say(&["check", "path"], "--check", path);
        section
    }
}

/// Announces until told to stop; the exit code for how that ended.
async fn announce(wishes: &[Wish]) -> io::Result<ExitCode> {
    let mut orders = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let tasks = Drain::new();
    let announcements = Announcements::new(Metrics::new(), Clock::start());
    announcements.configure(wishes);
    tasks.spawn("announcing", Arc::clone(&announcements).run());
    for wish in wishes {
        let announcer = &wish.target.announcer;
        let (service, address, check) = (&wish.service, &wish.address, &wish.check.kind);
        let (registry, location) = (announcer.kind(), announcer.location());
        tracing::info!(%service, %address, %check, registry, location, "to be announced once it is well");
    }
    told(&mut orders).await;
    tracing::info!("stopping: withdrawing what is announced");
    let withdrawn = tokio::select! {
        withdrawn = announcements.close(WITHDRAWING) => withdrawn,
        () = told(&mut orders) => false,
    };
    tasks.finish(LAST_WORDS).await;
    if withdrawn {
        return Ok(ExitCode::SUCCESS);
    }
    complain("wayside: not all could be withdrawn in time; what is left goes with its ttl");
    Ok(ExitCode::from(FAILED))
}

/// Waits until somebody says that it is to end.
async fn told((terminate, interrupt): &mut (Signal, Signal)) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
