//! `wayside demo`: a registry, three providers and the proxy in one process, and what to type next.

mod control;
mod fleet;
mod greeter;
mod words;

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Mutex;

use super::run::failed;
use super::{FAILED, complain, say};
use crate::app::{self, App, Running, StartError, Surroundings};
use crate::config::{self, Config, Given, Overrides};
use crate::drain::Drain;
use crate::telemetry::log;
use control::Shared;
use fleet::{Command, Fleet};

/// Providers at the start.
const PROVIDERS: usize = 3;
/// How long what the control port answers may take to end, once the proxy has.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// See it at work: a registry, three providers that come and go, and the proxy, all in this process
///
/// Nothing has to be installed or configured, and nothing stays behind. It prints what to type next.
#[derive(Clone, Debug, Args)]
pub(super) struct Demo {
    /// Take requests on this address; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4140")]
    listen: SocketAddr,
    /// Answer operators on this address
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4141")]
    admin: SocketAddr,
    /// Let providers come and go by requests to this address
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4142")]
    control: SocketAddr,
    /// Log from this level on: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: String,
}

impl Demo {
    pub(super) fn run(&self) -> ExitCode {
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return failed(&StartError::Thread(error)),
        };
        let code = self.run_on(&runtime);
        // A thread that waits for a key would be waited for; it ends with the process.
        runtime.shutdown_background();
        code
    }

    fn run_on(&self, runtime: &Runtime) -> ExitCode {
        // Removed when this returns.
        let folder = match tempfile::Builder::new().prefix("wayside-demo-").tempdir() {
            Ok(folder) => folder,
            Err(error) => {
                let place = std::env::temp_dir();
                complain(format!("wayside: cannot make a folder in {}: {error}", place.display()));
                complain("name one that can be written to: TMPDIR=/elsewhere wayside demo");
                return ExitCode::from(FAILED);
            }
        };
        match self.config(&folder) {
            Ok(config) => runtime.block_on(self.show(config, &folder)),
            Err(mistakes) => {
                complain(mistakes.to_string());
                ExitCode::from(FAILED)
            }
        }
    }

    /// The configuration that the demo runs with: that of `wayside run` with these flags.
    fn config(&self, folder: &TempDir) -> Result<Config, config::Mistakes> {
        let given = |origin, text: String| Given { origin, text };
        let overrides = Overrides {
            registries: vec![given("the demo", format!("file:{}", Fleet::file_in(folder.path()).display()))],
            listen: vec![given("--listen", self.listen.to_string())],
            admin: Some(given("--admin", self.admin.to_string())),
            log_level: Some(given("--log-level", self.log_level.clone())),
            ..Overrides::default()
        };
        // The service is followed from the start, so that the page has something to show.
        let text = format!("[[service]]\nname = \"{}\"\n", fleet::SERVICE);
        config::read(None, &text, &overrides)
    }

    /// Starts everything, says what to type, and waits for the end.
    async fn show(&self, config: Config, folder: &TempDir) -> ExitCode {
        let log = match log::init(&config.log) {
            Ok(log) => log,
            Err(error) => return failed(&error),
        };
        let hangup = hangup();
        let fleet = match populate(folder).await {
            Ok(fleet) => Arc::new(Mutex::new(fleet)),
            Err(error) => {
                complain(format!("wayside: the providers of the demo cannot start: {error}"));
                return ExitCode::from(FAILED);
            }
        };
        let started = async {
            let control = self.bind_control().await?;
            let sources = config.open_sources();
            let surroundings = Surroundings {
                log: Some(log.control()),
                signals: true,
                ends_with_terminal: true,
                ..Surroundings::default()
            };
            Ok((control, app::build(config, sources, surroundings).and_then(App::start)?))
        };
        let ((listener, control), running) = match started.await {
            Ok(started) => started,
            Err(error) => return failed::<StartError>(&error),
        };
        running.metrics.watch_dropped_lines("log", log.dropped_lines());
        let tasks = Drain::new();
        let router = control::router(Arc::clone(&fleet));
        let nobody = tokio_util::sync::CancellationToken::new();
        tasks.spawn("demo control", crate::admin::serve(listener, router, tasks.clone(), nobody));
        say(words::Places {
            requests: running.listeners[0],
            admin: running.admin.unwrap_or(self.admin),
            control,
            registry: Fleet::file_in(folder.path()),
            has_keys: control::may_read_terminal(),
        }
        .to_string());
        watch(&running, fleet, hangup).await;
        tasks.finish(LAST_ANSWERS).await;
        running.wait();
        say("The demo has ended; nothing stays behind.");
        ExitCode::SUCCESS
    }

    async fn bind_control(&self) -> Result<(TcpListener, SocketAddr), StartError> {
        let address = self.control;
        let failed = |source| StartError::Bind { address, purpose: app::Purpose::Demo, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        Ok((listener, bound))
    }
}

/// The first providers, announced in a file of this folder.
async fn populate(folder: &TempDir) -> io::Result<Fleet> {
    let mut fleet = Fleet::new(folder.path())?;
    for _ in 0..PROVIDERS {
        fleet.obey(Command::Add).await;
    }
    Ok(fleet)
}

/// Obeys until the user has enough, or a signal says so; then waits until the last request is answered.
async fn watch(running: &Running, fleet: Shared, mut hangup: Option<Signal>) {
    tokio::select! {
        () = control::terminal(fleet, say) => {}
        Some(()) = async { hangup.as_mut()?.recv().await } => {}
        () = running.traffic_ended() => return,
    }
    running.leave();
    running.traffic_ended().await;
}

/// The signal that the terminal is gone; none where nobody is to hear of that, as under `nohup`.
fn hangup() -> Option<Signal> {
    // A mask in hexadecimal, of which the lowest bit is this signal, which has number 1.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    if ignored.is_some_and(|mask| mask & 1 == 1) {
        return None;
    }
    signal(SignalKind::hangup()).ok()
}

#[cfg(test)]
mod tests;
