//! The app: everything built from a configuration, run on its threads, drained at its end.

mod control;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use rand::RngExt as _;
use thiserror::Error;

use crate::catalog::{Catalog, SubscribeError};
use crate::clock::Clock;
use crate::config::Config;
use crate::drain::Drain;
use crate::proxy::{self, Pseudonym, Shared};
use crate::registry::Registry;
use crate::telemetry::access::{AccessLog, OpenError};
use crate::telemetry::metrics::Metrics;

/// A proxy that is built and bound, but does not run yet. Until it runs, connections wait in the listeners.
#[derive(Debug)]
pub struct App {
    config: Config,
    registry: Arc<dyn Registry>,
    shared: Arc<Shared>,
    /// What runs beside the traffic: the registry, admin. It outlasts the traffic.
    control: Drain,
    /// For each worker its listeners, in the order of the configuration.
    listeners: Vec<Vec<std::net::TcpListener>>,
    addresses: Vec<SocketAddr>,
}

/// Why a proxy could not be built.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address could not be bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// A thread or its runtime could not be started.
    #[error("cannot start a worker")]
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

/// A proxy that runs. Dropping it stops it at once.
#[derive(Debug)]
pub struct Running {
    /// The addresses bound, in the order of the configuration.
    pub listeners: Vec<SocketAddr>,
    /// What is known of services.
    pub catalog: Arc<Catalog>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    traffic: Drain,
    control: Drain,
    threads: Vec<JoinHandle<()>>,
}

/// Builds a proxy that follows a registry: binds every address, opens every log, declares every service; nothing runs yet.
///
/// # Errors
/// When any of that fails.
pub fn build(config: Config, registry: Arc<dyn Registry>) -> Result<App, StartError> {
    let clock = Clock::start();
    let metrics = Metrics::new();
    let seed = rand::rng().random();
    let catalog = Catalog::new(config.catalog.clone(), Arc::clone(&metrics), clock, seed);
    for claim in &config.declared {
        catalog.declare(claim).map_err(|source| {
            let service = claim.service.to_string();
            StartError::Declare { service, source }
        })?;
    }
    let shared = Arc::new(Shared {
        settings: config.proxy.clone(),
        upstream: config.upstream.clone(),
        table: ArcSwap::new(Arc::clone(&config.routes)),
        catalog,
        metrics,
        access: AccessLog::open(&config.access)?,
        clock,
        drain: Drain::new(),
        seed,
        pseudonym: Pseudonym::random(rand::rng().random()),
    });
    let (listeners, addresses) = bind(&config)?;
    Ok(App { config, registry, shared, control: Drain::new(), listeners, addresses })
}

type Bound = (Vec<Vec<std::net::TcpListener>>, Vec<SocketAddr>);

fn bind(config: &Config) -> Result<Bound, StartError> {
    let mut by_worker: Vec<Vec<_>> = (0..config.workers).map(|_| Vec::new()).collect();
    let mut addresses = Vec::new();
    for settings in &config.listeners {
        // A free port is chosen by the first worker; the others take the same.
        let mut address = settings.address;
        for listeners in &mut by_worker {
            let failed = |source| StartError::Bind { address, source };
            let listener = proxy::bind(address).map_err(failed)?;
            address = listener.local_addr().map_err(failed)?;
            listeners.push(listener);
        }
        addresses.push(address);
    }
    Ok((by_worker, addresses))
}

impl App {
    /// Runs the proxy on threads of its own.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(self) -> Result<Running, StartError> {
        let Self { config, registry, shared, control, listeners, addresses } = self;
        let mut running = Running {
            listeners: addresses,
            catalog: Arc::clone(&shared.catalog),
            metrics: Arc::clone(&shared.metrics),
            traffic: shared.drain.clone(),
            control: control.clone(),
            threads: Vec::new(),
        };
        for (number, listeners) in listeners.into_iter().enumerate() {
            let listeners = listeners.into_iter().zip(config.listeners.iter().cloned()).collect();
            let thread = worker::start(number, Arc::clone(&shared), listeners);
            running.threads.push(thread.map_err(StartError::Thread)?);
        }
        let thread = control::start(registry, shared, control).map_err(StartError::Thread)?;
        running.threads.push(thread);
        Ok(running)
    }
}

impl Running {
    /// Waits until the proxy has ended.
    pub fn wait(mut self) {
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the proxy panicked; please report this");
            }
        }
    }

    /// Ends the proxy at once: what runs is dropped.
    pub fn stop(&self) {
        self.traffic.stop();
        self.control.stop();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.stop();
            for thread in self.threads.drain(..) {
                let _ = thread.join();
            }
        }
    }
}
