//! Control: the thread beside the traffic, on which the registry is followed, operators are answered, and the end begins.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Surroundings;
use super::certificates::remind;
use super::files::Looks;
use super::listeners::Fronts;
use super::reload::Reloader;
use crate::admin::{self, Readiness};
use crate::announce::Announcements;
use crate::config::Config;
use crate::drain::Drain;
use crate::health::Health;
use crate::proxy::Shared;
use crate::telemetry::history::History;

/// How long operators' connections may take to end, once the traffic has.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// How long everything else waits for announcements to be withdrawn. What is left then goes with its lease.
const WITHDRAWING: Duration = Duration::from_secs(5);

/// What the control thread takes care of.
pub(super) struct Control {
    pub(super) config: Config,
    pub(super) announcements: Arc<Announcements>,
    pub(super) health: Arc<Health>,
    pub(super) shared: Arc<Shared>,
    pub(super) fronts: Fronts,
    pub(super) admin: Option<(TcpListener, admin::Settings)>,
    pub(super) surroundings: Surroundings,
    pub(super) leave: CancellationToken,
    pub(super) readiness: Arc<Readiness>,
}

impl Control {
    /// Starts the control thread.
    ///
    /// # Errors
    /// When it or its runtime cannot be made.
    pub(super) fn start(self) -> io::Result<JoinHandle<()>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        // Heard from here on: whoever is told that the proxy has started may send one at once.
        let entered = runtime.enter();
        let orders = if self.surroundings.signals { Orders::of_process() } else { Orders::default() };
        let hangup = self.surroundings.hears_hangup().then(hangup).flatten();
        drop(entered);
        // Before anybody is told that the proxy has started, and may change a file.
        let seen =
            self.surroundings.reload.as_ref().map(|reload| Looks::at(&reload.file, &self.config.files));
        let run = move || {
            runtime.block_on(self.run(orders, hangup, seen));
            // A disk that hangs does not hold up the end.
            runtime.shutdown_timeout(LAST_ANSWERS);
        };
        std::thread::Builder::new().name("control".to_owned()).spawn(run)
    }

    async fn run(self, mut orders: Orders, hangup: Option<Signal>, seen: Option<Looks>) {
        let Self { config, announcements, health, shared, fronts, admin, surroundings, leave, readiness } =
            self;
        let Surroundings { log, reload, .. } = surroundings;
        // What runs here outlasts the traffic, so that operators can watch its end.
        let control = Drain::telling_of_panics(shared.metrics.count_panics());
        let traffic = shared.drain.clone();
        let text = Arc::new(ArcSwap::from_pointee(config.to_toml().to_owned()));
        follow(&shared, &announcements, &health, &control);
        until_end(&control, "certificates", {
            let (fronts, dialler) = (fronts.clone(), Arc::clone(&shared.dialler));
            async move { remind(&fronts, &dialler).await }
        });
        if let Some((listener, settings)) = admin {
            let history = remember(&shared, &control);
            let state = admin::State {
                catalog: Arc::clone(&shared.catalog),
                metrics: Arc::clone(&shared.metrics),
                history,
                readiness: Arc::clone(&readiness),
                config_text: Arc::clone(&text),
                log: log.clone(),
                clock: shared.clock,
                announcements: Arc::clone(&announcements),
                target: config.target.clone(),
            };
            let router = admin::router(&settings, state);
            match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => control.spawn("admin", admin::serve(listener, router, control.clone())),
                Err(error) => tracing::error!(%error, "operators cannot be answered"),
            }
        }
        let (drain_timeout, lame_duck) = (config.drain_timeout, config.lame_duck);
        if let Some((reload, seen)) = reload.zip(seen) {
            let (shared, announcements) = (Arc::clone(&shared), Arc::clone(&announcements));
            let reloader =
                Reloader { reload, seen, config, text, shared, fronts, announcements, health, log, hangup };
            until_end(&control, "reload", reloader.run());
        } else if let Some(hangup) = hangup {
            until_end(&control, "hangup", nothing_to_reload(hangup));
        }
        readiness.listening();
        tokio::select! {
            () = leave.cancelled() => {}
            () = orders.next() => {}
            () = traffic.stopped() => {}
        }
        // Before the record is gone, so that whoever sees it gone finds nobody ready either.
        readiness.leaving();
        let finished = async {
            // Before anything ends, so that nobody sends the apps anything that would meet their end.
            withdraw(&announcements).await;
            finish(&traffic, lame_duck, drain_timeout).await;
        };
        tokio::select! {
            () = finished => {}
            () = orders.next() => tracing::warn!("told twice to stop; dropping what still runs"),
            () = traffic.stopped() => {}
        }
        traffic.stop();
        control.finish(LAST_ANSWERS).await;
    }
}

/// Begins to follow the registries, to probe what is in doubt, and to announce.
fn follow(shared: &Arc<Shared>, announcements: &Arc<Announcements>, health: &Arc<Health>, control: &Drain) {
    for number in 0..shared.catalog.sources() {
        control.spawn("registry", shared.catalog.follow(number, control.clone()));
    }
    control.spawn("store", shared.catalog.keep_store(control.clone()));
    control.spawn("handover", shared.catalog.keep_handover(control.clone()));
    control.spawn("health", Arc::clone(health).watch_over(control.clone()));
    until_end(control, "announcing", Arc::clone(announcements).run());
}

/// Begins to keep how requests went, for operators.
fn remember(shared: &Shared, control: &Drain) -> Arc<History> {
    let history = Arc::new(History::default());
    let (kept, metrics) = (Arc::clone(&history), Arc::clone(&shared.metrics));
    until_end(control, "history", async move { kept.follow(&metrics).await });
    history
}

/// Runs what has no end of its own, until all that runs here begins to end.
fn until_end(control: &Drain, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
    let end = control.clone();
    control.spawn(name, async move {
        tokio::select! {
            () = end.begun() => {}
            () = task => {}
        }
    });
}

/// Says each time that there is no file: HUP would end the process otherwise, with all that is under way.
async fn nothing_to_reload(mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        tracing::warn!(
            "HUP asks to read the configuration again, and there is no file of it; nothing is done"
        );
    }
}

async fn withdraw(announcements: &Announcements) {
    if announcements.is_empty() {
        announcements.close(WITHDRAWING).await;
        return;
    }
    tracing::info!("stopping: withdrawing what is announced");
    if !announcements.close(WITHDRAWING).await {
        tracing::warn!("not all could be withdrawn in time; what is left goes with its ttl");
    }
}

/// Serves on while others learn that it is not ready, then drains.
async fn finish(traffic: &Drain, lame_duck: Duration, drain_timeout: Duration) {
    tracing::info!(?lame_duck, ?drain_timeout, "stopping: draining");
    tokio::time::sleep(lame_duck).await;
    let left = traffic.finish(drain_timeout).await;
    if left > 0 {
        tracing::warn!(left, "tasks were dropped that did not finish in time");
    }
    tracing::info!("stopped");
}

/// The signal by which a process is told to read its configuration again.
fn hangup() -> Option<Signal> {
    signal(SignalKind::hangup()).inspect_err(|error| tracing::error!(%error, "HUP is not heard")).ok()
}

/// The signals by which a process is told to stop; never any if they are not for this proxy.
#[derive(Default)]
struct Orders(Option<(Signal, Signal)>);

impl Orders {
    fn of_process() -> Self {
        let pair =
            || Ok::<_, io::Error>((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?));
        Self(pair().inspect_err(|error| tracing::error!(%error, "signals cannot be heard")).ok())
    }

    async fn next(&mut self) {
        match &mut self.0 {
            Some((terminate, interrupt)) => {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            }
            None => std::future::pending().await,
        }
    }
}
