//! `wayside run`: the proxy, until it is told to stop.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::check::refused;
use super::descriptors;
use super::flags::Flags;
use super::{FAILED, USAGE, complain, told};
use crate::app::{
    self, App, Purpose, Reload, Restart, SocketError, Sockets, StartError, SuccessionError, Surroundings,
};
use crate::config::{self, Config, Overrides};
use crate::provider::ServiceName;
use crate::proxy::{UnixError, UnixName};
use crate::telemetry::log;

/// What is said where nothing tells which registry to follow.
const NO_REGISTRY: &str = "\
wayside: there is no registry to follow; give one, or a file that names one:
    wayside run --registry zookeeper://127.0.0.1:2181
    wayside run --registry fixed:greeter=127.0.0.1:8080,127.0.0.1:8081
    wayside run --config wayside.toml
or see it at work with nothing installed: wayside demo";

const CODES: &str = "\
Exit codes: 0 ended as told; 1 it could not start, or the configuration is wrong; 2 the command line is wrong, or the file cannot be read.";

/// Follow a registry, and send requests to the providers that live
///
/// Flags win over the environment, and the environment over the file. Credentials for the registry are given by the variable
/// WAYSIDE_REGISTRY_AUTH, as user:password, those for the second registry by WAYSIDE_REGISTRY_AUTH_2. SIGTERM lets what runs finish; SIGHUP reads the file again; SIGUSR2 has another process of
/// the program take over, where the file names a socket for it as succession.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = CODES)]
pub(super) struct Run {
    #[command(flatten)]
    flags: Flags,
}

impl Run {
    pub(super) fn run(&self, variable: &dyn Fn(&str) -> Option<String>) -> ExitCode {
        let file = self.flags.file(variable);
        let overrides = self.flags.overrides(variable);
        if file.is_none() && !overrides.name_registries() {
            complain(NO_REGISTRY);
            return ExitCode::from(USAGE);
        }
        match config::load(file.as_deref(), &overrides) {
            Ok(config) => serve(config, file.map(|file| reload(file, overrides))),
            Err(error) => refused(&error),
        }
    }
}

/// Reads the file again, under what flags and environment said at the start.
fn reload(file: PathBuf, overrides: Overrides) -> Reload {
    let path = file.clone();
    let load = move || config::load(Some(&path), &overrides);
    Reload { file, load: Box::new(load) }
}

/// Runs the proxy until it has ended; the exit code for how.
fn serve(config: Config, reload: Option<Reload>) -> ExitCode {
    // Kept until the end: what waits to be written is written when it goes.
    // Before there is any other thread.
    let sockets = match Sockets::of_process() {
        Ok(sockets) => sockets,
        Err(error) => return failed(&error),
    };
    let restart = std::env::current_exe().ok().map(|program| {
        let arguments = std::env::args_os().skip(1).collect();
        Restart { program, arguments }
    });
    let log = match log::init(&config.log) {
        Ok(log) => log,
        Err(error) => return failed(&error),
    };
    descriptors::raise(config.proxy.connections_max);
    let sources = config.open_sources();
    let raw = |is_socket| {
        let listeners =
            config.listeners.iter().filter(move |listener| listener.address.ip().is_none() == is_socket);
        listeners.map(|listener| listener.raw.clone()).collect::<Vec<_>>()
    };
    let (raw, raw_sockets) = (raw(false), raw(true));
    let surroundings = Surroundings {
        log: Some(log.control()),
        reload,
        signals: true,
        sockets,
        restart,
        ..Surroundings::default()
    };
    match app::build(config, sources, surroundings).and_then(App::start) {
        Ok(running) => {
            running.metrics.watch_dropped_lines("log", log.dropped_lines());
            for (address, raw) in running.listeners.iter().zip(&raw) {
                tell_of_listener(address, raw.as_ref());
            }
            for (socket, raw) in running.sockets.iter().zip(&raw_sockets) {
                tell_of_listener(socket, raw.as_ref());
            }
            if let Some(address) = running.admin {
                tracing::info!(%address, "operators are answered");
            }
            running.wait();
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error),
    }
}

fn tell_of_listener(address: impl fmt::Display, raw: Option<&ServiceName>) {
    match raw {
        None => tracing::info!(%address, "requests are taken"),
        Some(service) => tracing::info!(%service, %address, "connections are passed on raw"),
    }
}

/// Tells why it could not start, and the cure where one is known; the exit code for it.
pub(super) fn failed<E: Error + 'static>(error: &E) -> ExitCode {
    complain(format!("wayside: {}", told(error)));
    match <dyn Error>::downcast_ref(error) {
        Some(StartError::Bind { address, purpose, source }) => {
            complain(bind_cure(*address, *purpose, source.kind()));
        }
        Some(StartError::Unix { name, purpose, source }) => complain(unix_cure(name, *purpose, source)),
        Some(StartError::Socket(SocketError::Unclaimed(address))) => complain(format!(
            "write a [[listener]] with address = \"{address}\", or take the socket out of its .socket unit; one for operators is \
             named by FileDescriptorName=admin"
        )),
        Some(StartError::Succession(error)) => complain(succession_cure(error)),
        Some(
            StartError::Thread(_)
            | StartError::Declare { .. }
            | StartError::AccessLog(_)
            | StartError::Adopt { .. }
            | StartError::Socket(SocketError::Unusable { .. }),
        )
        | None => {}
    }
    ExitCode::from(FAILED)
}

/// What to do about a process that stays in its place.
fn succession_cure(cause: &SuccessionError) -> String {
    match cause {
        SuccessionError::Silent { path, .. } => format!(
            "see the log of the process that listens there (`ss -lxp src {}` names it): it has to run as the same user; or end it first",
            path.display()
        ),
        SuccessionError::NotReady { .. } => "see whether the registry answers, and try again then".to_owned(),
        SuccessionError::TooLate | SuccessionError::Stopped => "try again".to_owned(),
    }
}

/// What to do about a Unix socket that cannot be listened on.
fn unix_cure(name: &UnixName, purpose: Purpose, cause: &UnixError) -> String {
    let elsewhere = match purpose {
        Purpose::Succession => "write another path as succession",
        Purpose::Requests | Purpose::Admin | Purpose::Demo => "choose another path with --listen unix:PATH",
    };
    let at = name.path().map(|path| path.display().to_string()).unwrap_or_default();
    let kind = match cause {
        UnixError::Answered => {
            return format!(
                "another program listens there, maybe another wayside (`ss -lxp` names it): end it, or {elsewhere}"
            );
        }
        UnixError::NoSocket => {
            return format!(
                "look at what it is (`ls -l {at}`) and remove it if nobody needs it, or {elsewhere}"
            );
        }
        UnixError::Io(error) => error.kind(),
    };
    if kind == io::ErrorKind::NotFound {
        return format!("the folder has to be there before (`mkdir -p \"$(dirname {at})\"`); or {elsewhere}");
    }
    if kind == io::ErrorKind::PermissionDenied {
        return format!(
            "this user may not make or reach files there: change the folder's permissions, or {elsewhere}"
        );
    }
    elsewhere.to_owned()
}

/// What to do about an address that cannot be bound.
fn bind_cure(address: SocketAddr, purpose: Purpose, kind: io::ErrorKind) -> String {
    let port = address.port();
    let flag = match purpose {
        Purpose::Requests => "--listen",
        Purpose::Admin => "--admin",
        Purpose::Demo => "--control",
        Purpose::Succession => "succession",
    };
    let elsewhere = format!("choose another address with {flag}; port 0 takes a free one");
    if kind == io::ErrorKind::AddrInUse {
        return format!(
            "another program listens there, maybe another wayside (`ss -ltnp 'sport = :{port}'` names it): end it, or {elsewhere}"
        );
    }
    if kind == io::ErrorKind::PermissionDenied {
        return format!("ports below 1024 are for root or CAP_NET_BIND_SERVICE: {elsewhere}");
    }
    if kind == io::ErrorKind::AddrNotAvailable {
        return format!("this machine does not have {}: {elsewhere}", address.ip());
    }
    elsewhere
}
