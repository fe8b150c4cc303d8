//! The app: everything built from a configuration, run on its threads, drained at its end.

mod certificates;
mod changes;
mod control;
mod farewell;
mod files;
mod listeners;
mod pulse;
mod reload;
mod restart;
mod signals;
mod sockets;
mod succession;
mod supervisor;
mod worker;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use rand::RngExt as _;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Readiness};
use crate::announce::Announcements;
use crate::catalog::{Catalog, Source, SubscribeError};
use crate::clock::Clock;
use crate::config::Config;
use crate::drain::Drain;
use crate::health::Health;
use crate::proxy::{
    Admission, Disclosure, ListenAddress, Pasts, Pseudonym, Shared, UnixError, UnixName, UnixShare,
};
use crate::route::Table;
use crate::telemetry::access::{AccessLog, OpenError};
use crate::telemetry::log;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::{Queue, Tracer};
use crate::upstream::Dialler;
use listeners::{Listeners, bind_admin, bind_succession};
use pulse::Pulse;
pub use reload::Reload;
pub use restart::Restart;
pub use sockets::{SocketError, Sockets};
pub use succession::SuccessionError;
use succession::{Estate, Heir};

/// What metrics call the access log.
const ACCESS_LOG: &str = "access_log";

/// A proxy that is built and bound, but does not run yet. Until it runs, connections wait in the listeners.
#[derive(Debug)]
pub struct App {
    config: Config,
    announcements: Arc<Announcements>,
    health: Arc<Health>,
    shared: Arc<Shared>,
    listeners: Listeners,
    admin: Option<(TcpListener, SocketAddr, admin::Settings)>,
    /// Where a successor asks, and what it gets; `None` where none may come.
    succession: Option<(UnixShare, Estate)>,
    /// What is to be told to the process whose place this one takes, if there is one.
    heir: Option<Heir>,
    /// Spans that are to be sent, where there are such.
    spans: Option<Queue>,
    surroundings: Surroundings,
}

/// What a process gives to the proxy that runs in it; nothing when it is one of several, as in tests.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// The log, so that admin can change its level.
    pub log: Option<log::Control>,
    /// How the configuration is read again.
    pub reload: Option<Reload>,
    /// Whether the signals of the process are meant for this proxy: TERM and INT drain it, HUP reloads, USR2 has another process
    /// take its place; and whether the process's supervisor is told how it is.
    pub signals: bool,
    /// The sockets that the process was given to listen on.
    pub sockets: Sockets,
    /// How the program is started once more, to take the place of this process.
    pub restart: Option<Restart>,
    /// Whether HUP, where there is nothing to reload, ends the process as the system has it: with its terminal.
    pub ends_with_terminal: bool,
}

impl Surroundings {
    fn hears_hangup(&self) -> bool {
        self.reload.is_some() || self.signals && !self.ends_with_terminal
    }
}

/// Why a proxy could not be built.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address could not be bound.
    #[error("cannot listen on {address} for {purpose}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What for.
        purpose: Purpose,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// A Unix socket could not be listened on.
    #[error("cannot listen on {name} for {purpose}")]
    Unix {
        /// The socket.
        name: UnixName,
        /// What for.
        purpose: Purpose,
        /// The cause.
        #[source]
        source: UnixError,
    },
    /// A socket that this process was given is of no use.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// A socket that this process was given cannot be listened on, or not be shared.
    #[error("cannot listen on the socket for {address} that this process was given, or share it")]
    Adopt {
        /// The address.
        address: ListenAddress,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The process that runs stays in its place.
    #[error("cannot take the place of the process that runs, which serves on")]
    Succession(#[from] SuccessionError),
    /// A thread or its runtime could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// More services are declared than may be followed.
    #[error("cannot follow declared service {service}")]
    Declare {
        /// The service.
        service: String,
        /// The bound.
        #[source]
        source: SubscribeError,
    },
    /// The access log could not be opened.
    #[error(transparent)]
    AccessLog(#[from] OpenError),
}

/// What an address is bound for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Requests.
    Requests,
    /// Operators.
    Admin,
    /// The control of the demo.
    Demo,
    /// A process that takes over.
    Succession,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requests => "requests",
            Self::Admin => "admin",
            Self::Demo => "the control of the demo",
            Self::Succession => "a successor",
        })
    }
}

/// A proxy that runs. Dropping it stops it at once.
#[derive(Debug)]
pub struct Running {
    /// The addresses on which requests are taken, in the order of the configuration.
    pub listeners: Vec<SocketAddr>,
    /// The Unix sockets on which they are taken, in the order of the configuration.
    pub sockets: Vec<UnixName>,
    /// The address on which operators ask.
    pub admin: Option<SocketAddr>,
    /// What is known of services.
    pub catalog: Arc<Catalog>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    leave: CancellationToken,
    traffic: Drain,
    threads: Vec<JoinHandle<()>>,
}

/// Builds a proxy that follows these registries: binds every address, opens every log, declares every service; nothing runs yet.
///
/// # Errors
/// When any of that fails.
pub fn build(
    config: Config,
    sources: Vec<Source>,
    mut surroundings: Surroundings,
) -> Result<App, StartError> {
    let mut heir = config.succession.as_deref().map(Heir::ask).transpose()?.flatten();
    let mut given = std::mem::take(&mut surroundings.sockets);
    if let Some(heir) = &mut heir {
        given.preceded_by(heir.take_sockets());
    }
    let clock = Clock::start();
    let metrics = Metrics::new();
    let seed = rand::rng().random();
    let catalog = Catalog::new(config.catalog.clone(), sources, Arc::clone(&metrics), clock, seed);
    if let Some(folder) = &config.store {
        catalog.open_store(folder);
        if !config.handover.is_zero() {
            catalog.open_handover(folder, config.handover);
        }
    }
    if let Some(heir) = &mut heir {
        heir.tell(&catalog, config.handover);
    }
    catalog.restrict(config.restrictions.clone());
    catalog.tend(config.cares.clone());
    catalog.lay_out(config.layouts.clone());
    for claim in &config.declared {
        catalog.declare(claim).map_err(|source| {
            let service = claim.service.to_string();
            StartError::Declare { service, source }
        })?;
    }
    let mut estate = config.succession.is_some().then(Estate::default);
    let listeners = Listeners::bind(&config, &mut given, estate.as_mut())?;
    let admin = config.admin.as_ref().map(|settings| bind_admin(settings, &mut given, estate.as_mut()));
    let admin = admin.transpose()?;
    let succession = estate.map(|estate| bind_succession(&config, &mut given, estate)).transpose()?;
    given.close_rest(heir.is_some())?;
    let access = AccessLog::open(&config.access)?;
    metrics.watch_dropped_lines(ACCESS_LOG, access.dropped_lines());
    warn_of_faults(&config.routes);
    let announcements = Announcements::new(Arc::clone(&metrics), clock);
    if let Some(heir) = &mut heir {
        announcements.inherit(heir.take_announcements(), config.target.as_ref().ok());
    }
    announcements.configure(&config.announce);
    let drain = Drain::telling_of_panics(metrics.count_panics());
    let (tracer, spans) = Tracer::new(&config.traces, &metrics);
    let (requests_max, queue_max) = (config.proxy.requests_max, config.proxy.queue_max);
    let shared = Arc::new(Shared {
        settings: config.proxy.clone(),
        disclosure: Disclosure::new(&config.proxy),
        admission: Admission::new(requests_max, queue_max, Arc::clone(&metrics)),
        dialler: Dialler::new(config.upstream.clone(), drain.clone(), Arc::clone(&metrics)),
        table: ArcSwap::new(Arc::clone(&config.routes)),
        catalog,
        metrics,
        access: ArcSwap::from_pointee(access),
        tracer,
        pasts: Pasts::new(config.explain.clone(), config.workers),
        clock,
        drain,
        seed,
        pseudonym: Pseudonym::random(rand::rng().random()),
    });
    let (dialler, catalog) = (Arc::clone(&shared.dialler), Arc::clone(&shared.catalog));
    let health = Arc::new(Health::new(catalog, Arc::clone(&shared.metrics), clock, dialler));
    health.configure(config.checks.clone());
    Ok(App { config, announcements, health, shared, listeners, admin, succession, heir, spans, surroundings })
}

/// Says which requests are disturbed on purpose, so that nobody looks for the cause elsewhere.
fn warn_of_faults(table: &Table) {
    for (name, rules) in table.rules() {
        let Some(fault) = &rules.fault else { continue };
        let delay = fault.delay.map(|(delay, share)| format!("{share} are delayed by {delay:?}"));
        let abort =
            fault.abort.map(|(status, share)| format!("{share} are answered with {}", status.as_u16()));
        let done: Vec<String> = delay.into_iter().chain(abort).collect();
        tracing::warn!(of = name, "requests are disturbed on purpose: {}", done.join(", "));
    }
}

fn failed(address: SocketAddr, purpose: Purpose) -> impl Fn(io::Error) -> StartError {
    move |source| StartError::Bind { address, purpose, source }
}

impl App {
    /// Runs the proxy on threads of its own. Where it takes the place of another process, waits until it has.
    ///
    /// # Errors
    /// When a thread cannot be started, and when the other process stays in its place.
    pub fn start(self) -> Result<Running, StartError> {
        let Self { config, announcements, health, shared, listeners, admin, .. } = self;
        let Self { succession, heir, spans, surroundings, .. } = self;
        let Listeners { by_worker, addresses, sockets, fronts } = listeners;
        let mut running = Running {
            listeners: addresses,
            sockets,
            admin: admin.as_ref().map(|(_, address, _)| *address),
            catalog: Arc::clone(&shared.catalog),
            metrics: Arc::clone(&shared.metrics),
            leave: CancellationToken::new(),
            traffic: shared.drain.clone(),
            threads: Vec::new(),
        };
        let start = worker::Start { open: CancellationToken::new(), pulse: Pulse::of(config.workers) };
        for (number, listeners) in by_worker.into_iter().enumerate() {
            let thread = worker::start(number, Arc::clone(&shared), listeners, start.clone());
            running.threads.push(thread.map_err(StartError::Thread)?);
        }
        let (told, begun) = mpsc::sync_channel(1);
        let control = control::Control {
            config,
            announcements,
            health,
            shared,
            fronts,
            admin: admin.map(|(listener, _, settings)| (listener, settings)),
            spans,
            surroundings,
            leave: running.leave.clone(),
            readiness: Arc::new(Readiness::default()),
            start,
            succession,
            heir,
            told,
        };
        running.threads.push(control.start().map_err(StartError::Thread)?);
        begun.recv().unwrap_or(Err(SuccessionError::Stopped))?;
        Ok(running)
    }
}

impl Running {
    /// Begins to leave: not ready any more, then draining, then gone. [`Running::wait`] waits for it.
    pub fn leave(&self) {
        self.leave.cancel();
    }

    /// Waits until the last request is answered or dropped, and no further one is taken.
    pub async fn traffic_ended(&self) {
        self.traffic.stopped().await;
    }

    /// Waits until the proxy has ended.
    pub fn wait(mut self) {
        self.join();
    }

    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the proxy panicked; please report this");
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.traffic.stop();
            self.join();
        }
    }
}
