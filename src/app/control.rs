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
use super::certificates::{expose, remind};
use super::files::Looks;
use super::listeners::Fronts;
use super::reload::Reloader;
use crate::admin::{self, Readiness};
use crate::announce::Announcements;
use crate::config::Config;
use crate::drain::Drain;
use crate::health::Health;
use crate::proxy::Shared;
#[cfg(feature = "otlp")]
use crate::telemetry::traces;
use crate::telemetry::traces::Queue;

/// How long operators' connections may take to end, once the traffic has.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// How long all that may take where spans of the last requests are still to be sent.
const LAST_SPANS: Duration = Duration::from_secs(2);

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
    /// Spans that are to be sent, where there are such.
    pub(super) spans: Option<Queue>,
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
        let rotated = self.surroundings.signals.then(rotated).flatten();
        drop(entered);
        // Before anybody is told that the proxy has started, and may change a file.
        let seen =
            self.surroundings.reload.as_ref().map(|reload| Looks::at(&reload.file, &self.config.files));
        let run = move || {
            runtime.block_on(self.run(orders, hangup, rotated, seen));
            // A disk that hangs does not hold up the end.
            runtime.shutdown_timeout(LAST_ANSWERS);
        };
        std::thread::Builder::new().name("control".to_owned()).spawn(run)
    }

    async fn run(
        mut self,
        mut orders: Orders,
        hangup: Option<Signal>,
        rotated: Option<Signal>,
        seen: Option<Looks>,
    ) {
        // What runs here outlasts the traffic, so that operators can watch its end.
        let control = Drain::telling_of_panics(self.shared.metrics.count_panics());
        let text = Arc::new(ArcSwap::from_pointee(self.config.to_toml().to_owned()));
        self.begin(&control);
        self.answer_operators(&text, &control);
        let Self { config, announcements, health, shared, fronts, surroundings, leave, readiness, .. } = self;
        let Surroundings { log, reload, .. } = surroundings;
        let traffic = shared.drain.clone();
        if let Some(rotated) = rotated {
            until_end(&control, "rotation", look_for_files(rotated, Arc::clone(&shared)));
        }
        let (drain_timeout, lame_duck) = (config.drain_timeout, config.lame_duck);
        if let Some((reload, seen)) = reload.zip(seen) {
            let (shared, announcements) = (Arc::clone(&shared), Arc::clone(&announcements));
            let (started, retired) = (config.clone(), Vec::new());
            let reloader = Reloader {
                reload,
                seen,
                config,
                started,
                retired,
                text,
                shared,
                fronts,
                announcements,
                health,
                log,
                hangup,
            };
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
        until_over(finished, orders, &traffic).await;
        traffic.stop();
        let last = if shared.tracer.is_on() { LAST_SPANS } else { LAST_ANSWERS };
        control.finish(last).await;
    }

    /// Begins what needs nobody to ask for it.
    fn begin(&mut self, control: &Drain) {
        follow(&self.shared, &self.announcements, &self.health, control);
        expose(&self.fronts, &self.shared.dialler, &self.shared.metrics.config);
        send_spans(&self.config, self.spans.take(), &self.shared, control);
        let (fronts, dialler) = (self.fronts.clone(), Arc::clone(&self.shared.dialler));
        until_end(control, "certificates", async move { remind(&fronts, &dialler).await });
    }

    /// Begins to answer operators, where they are.
    fn answer_operators(&mut self, text: &Arc<ArcSwap<String>>, control: &Drain) {
        let Some((listener, settings)) = self.admin.take() else { return };
        let state = admin::State {
            catalog: Arc::clone(&self.shared.catalog),
            metrics: Arc::clone(&self.shared.metrics),
            readiness: Arc::clone(&self.readiness),
            config_text: Arc::clone(text),
            log: self.surroundings.log.clone(),
            clock: self.shared.clock,
            announcements: Arc::clone(&self.announcements),
            target: self.config.target.clone(),
        };
        let router = admin::router(&settings, state);
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => control.spawn("admin", admin::serve(listener, router, control.clone())),
            Err(error) => tracing::error!(%error, "operators cannot be answered"),
        }
    }
}

/// Waits until all has ended that runs, unless it is told again to stop.
async fn until_over(finished: impl Future<Output = ()>, mut orders: Orders, traffic: &Drain) {
    tokio::select! {
        () = finished => {}
        () = orders.next() => tracing::warn!("told twice to stop; dropping what still runs"),
        () = traffic.stopped() => {}
    }
}

/// Begins to send spans, where there is a collector.
#[cfg(feature = "otlp")]
fn send_spans(config: &Config, spans: Option<Queue>, shared: &Shared, control: &Drain) {
    let Some(spans) = spans else { return };
    let (settings, metrics) = (config.traces.clone(), shared.metrics.traces.clone());
    control.spawn("spans", traces::export(settings, spans, metrics, control.clone()));
}

/// Nothing sends spans: there are none.
#[cfg(not(feature = "otlp"))]
fn send_spans(_: &Config, _: Option<Queue>, _: &Shared, _: &Drain) {}

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

/// The signal by which a process is told that its logs were moved away, as nginx has it.
fn rotated() -> Option<Signal> {
    signal(SignalKind::user_defined1()).inspect_err(|error| tracing::error!(%error, "USR1 is not heard")).ok()
}

/// Looks for the file of the access log whenever it is told that it was moved away. A busy one has noticed by itself.
async fn look_for_files(mut rotated: Signal, shared: Arc<Shared>) {
    while rotated.recv().await.is_some() {
        tracing::debug!("USR1 says that logs were moved away; the access log is looked for");
        shared.access.load().look_for_file();
    }
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
