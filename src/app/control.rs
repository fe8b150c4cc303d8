//! Control: the thread beside the traffic, on which the registry is followed, operators are answered, and the end begins.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Surroundings;
use super::certificates::{expose, remind};
use super::farewell::{Farewell, WITHDRAWING, withdraw};
use super::files::Looks;
use super::listeners::Fronts;
use super::pulse;
use super::reload::Reloader;
use super::restart;
use super::signals::{Orders, heard, look_for_files, nothing_to_reload};
use super::succession::{Estate, Heir, SuccessionError, Testator, Will};
use super::supervisor::Supervisor;
use super::worker::Start;
use crate::admin::{self, Readiness};
use crate::announce::Announcements;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::drain::Drain;
use crate::health::Health;
use crate::proxy::explain::Explainer;
use crate::proxy::{Shared, UnixShare};
use crate::telemetry::history::History;
#[cfg(feature = "otlp")]
use crate::telemetry::traces;
use crate::telemetry::traces::Queue;

/// How long operators' connections may take to end, once the traffic has.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// How long all that may take where spans of the last requests are still to be sent.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// How often is looked whether that is there which was waited for.
const READINESS_LOOK: Duration = Duration::from_secs(1);

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
    /// When the workers begin to take connections, and how they are.
    pub(super) start: Start,
    pub(super) succession: Option<(UnixShare, Estate)>,
    pub(super) heir: Option<Heir>,
    /// Where it is told that connections are taken, or why they will not be.
    pub(super) told: SyncSender<Result<(), SuccessionError>>,
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
        let hangup = self.surroundings.hears_hangup().then(|| heard(SignalKind::hangup())).flatten();
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

    async fn run(mut self, mut orders: Orders, hangup: Option<Signal>, seen: Option<Looks>) {
        let supervisor =
            if self.surroundings.signals { Supervisor::of_process() } else { Supervisor::default() };
        // What runs here outlasts the traffic, so that operators can watch its end.
        let control = Drain::telling_of_panics(self.shared.metrics.count_panics());
        let traffic = self.shared.drain.clone();
        let (announcements, catalog) = (Arc::clone(&self.announcements), Arc::clone(&self.shared.catalog));
        let readiness = Arc::clone(&self.readiness);
        let farewell = Arc::new(ArcSwap::from_pointee(Farewell::of(&self.config)));
        let text = Arc::new(ArcSwap::from_pointee(self.config.annotated(&[])));
        self.follow(&control);
        let tracer = Arc::clone(&self.shared.tracer);
        send_spans(&self.config, self.spans.take(), &self.shared, &control);
        let succeeded = CancellationToken::new();
        self.answer_operators(&control, &text, &succeeded);
        let (estate, mut wills) = self.wait_for_successor(&control);
        self.announce(&control, supervisor, Arc::clone(&estate));
        self.look_after_workers(&control, supervisor);
        let leave = self.leave.clone();
        self.reload(&control, text, Arc::clone(&farewell), seen, hangup, supervisor);
        let (will, is_told) = tokio::select! {
            () = leave.cancelled() => (None, false),
            () = orders.next() => (None, true),
            () = traffic.stopped() => (None, false),
            Some(will) = wills.recv() => (Some(will), false),
        };
        // From here on nothing is handed over, so that no socket stays open that nobody accepts on.
        let estate = estate.swap(None);
        // Who has them already waits no longer.
        drop(wills);
        let finished = async {
            if let Some(will) = will {
                // Before it is let go of.
                let last = announcements.bequests();
                announcements.leave(&will.announcements, WITHDRAWING).await;
                estate.inspect(|estate| estate.leave_files());
                succeeded.cancel();
                catalog.leave_store();
                traffic.begin();
                will.process.inspect(|process| supervisor.succeeded_by(*process));
                will.execute(&last).await;
                farewell.load().unhurried().finish(&traffic).await;
            } else {
                if announcements.is_handed_over() {
                    // Another process has the sockets already, and nobody could find them without their files.
                    estate.as_ref().inspect(|estate| estate.leave_files());
                }
                drop(estate);
                // Before the record is gone, so that whoever sees it gone finds nobody ready either. With a successor there is
                // somebody.
                readiness.leaving();
                supervisor.stopping("stopping: what runs is finished");
                // Before anything ends, so that nobody sends the apps anything that would meet their end.
                withdraw(&announcements).await;
                farewell.load().finish(&traffic).await;
            }
        };
        tokio::select! {
            () = finished => {}
            () = orders.twice(is_told) => tracing::warn!("told twice to stop; dropping what still runs"),
            () = traffic.stopped() => {}
        }
        traffic.stop();
        control.finish(if tracer.is_on() { LAST_SPANS } else { LAST_ANSWERS }).await;
    }

    /// Begins to follow the registries, and to probe what is in doubt.
    fn follow(&self, control: &Drain) {
        let shared = &self.shared;
        for number in 0..shared.catalog.sources() {
            let (catalog, drain) = (Arc::clone(&shared.catalog), control.clone());
            control.spawn_anew("registry", move || catalog.follow(number, drain.clone()));
        }
        control.spawn("store", shared.catalog.keep_store(control.clone()));
        control.spawn("handover", shared.catalog.keep_handover(control.clone()));
        let (health, drain) = (Arc::clone(&self.health), control.clone());
        control.spawn_anew("health", move || Arc::clone(&health).watch_over(drain.clone()));
        expose(&self.fronts, &shared.dialler, &shared.metrics.config);
        let (fronts, dialler) = (self.fronts.clone(), Arc::clone(&shared.dialler));
        until_end(control, "certificates", async move { remind(&fronts, &dialler).await });
    }

    /// Announces, and has connections taken: at once, or once another process has made room.
    fn announce(&mut self, control: &Drain, supervisor: Supervisor, estate: Arc<ArcSwapOption<Estate>>) {
        let (heir, told, open) = (self.heir.take(), self.told.clone(), self.start.open.clone());
        let (announcements, readiness) = (Arc::clone(&self.announcements), Arc::clone(&self.readiness));
        let (catalog, clock) = (Arc::clone(&self.shared.catalog), self.shared.clock);
        let target = self.config.target.clone().ok();
        readiness.listening();
        let announcing = CancellationToken::new();
        let begin = announcing.clone();
        let succeed = async move {
            if let Some(heir) = heir {
                heir.lists(&catalog, clock, &readiness).await?;
                announcing.cancel();
                heir.succeed(&announcements, target.as_ref()).await?;
                estate.load_full().inspect(|estate| estate.take_files());
            }
            announcing.cancel();
            open.cancel();
            Ok::<_, SuccessionError>((catalog, readiness))
        };
        until_end(control, "start", async move {
            let (result, ready) = match succeed.await {
                Ok(ready) => (Ok(()), Some(ready)),
                Err(error) => (Err(error), None),
            };
            // Whoever waits for it is there, or this process ends.
            let _ = told.send(result);
            if let Some((catalog, readiness)) = ready {
                supervisor.ready();
                tell_of_readiness(supervisor, &catalog, &readiness).await;
            }
        });
        let announcements = Arc::clone(&self.announcements);
        until_end(control, "announcing", async move {
            // Told to stop before it may begin, it has nothing to withdraw, which somebody waits to hear.
            tokio::select! {
                () = begin.cancelled() => {}
                () = announcements.closing() => {}
            }
            announcements.run().await;
        });
    }

    /// Answers operators as long as anything runs, unless another process does from some time on.
    fn answer_operators(
        &mut self,
        control: &Drain,
        text: &Arc<ArcSwap<String>>,
        succeeded: &CancellationToken,
    ) {
        let Some((listener, settings)) = self.admin.take() else { return };
        let state = admin::State {
            catalog: Arc::clone(&self.shared.catalog),
            metrics: Arc::clone(&self.shared.metrics),
            history: remember(&self.shared, control),
            readiness: Arc::clone(&self.readiness),
            config_text: Arc::clone(text),
            log: self.surroundings.log.clone(),
            clock: self.shared.clock,
            announcements: Arc::clone(&self.announcements),
            target: self.config.target.clone(),
            leave: self.leave.clone(),
            explainer: Explainer::new(Arc::clone(&self.shared)),
        };
        let router = admin::router(&settings, state);
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "operators cannot be answered");
                return;
            }
        };
        let (open, succeeded, drain) = (self.start.open.clone(), succeeded.clone(), control.clone());
        until_end(control, "admin", async move {
            open.cancelled().await;
            admin::serve(listener, router, drain, succeeded).await;
        });
    }

    /// Waits for another process that takes the place of this one, once this one has taken its own. What is held for it, and where it
    /// is told that it is ready.
    fn wait_for_successor(&mut self, control: &Drain) -> (Arc<ArcSwapOption<Estate>>, mpsc::Receiver<Will>) {
        let (wills, receiver) = mpsc::channel(1);
        let Some((share, estate)) = self.succession.take() else { return (Arc::default(), receiver) };
        let estate = Arc::new(ArcSwapOption::from_pointee(estate));
        let (file, socket) = share.into_parts();
        let listener = match tokio::net::UnixListener::from_std(socket) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "no other process can take over");
                return (estate, receiver);
            }
        };
        let testator = Testator {
            listener,
            estate: Arc::clone(&estate),
            catalog: Arc::clone(&self.shared.catalog),
            leaves_experience: !self.config.handover.is_zero(),
            announcements: Arc::clone(&self.announcements),
            drain: control.clone(),
            wills,
        };
        let open = self.start.open.clone();
        until_end(control, "succession", async move {
            // Dropped last, with its process, unless it is left to another one.
            let _file = file;
            open.cancelled().await;
            testator.run().await;
            std::future::pending().await
        });
        (estate, receiver)
    }

    /// Tells the supervisor that all goes on, where it wants to be told, and starts the program once more when it is asked to.
    fn look_after_workers(&self, control: &Drain, supervisor: Supervisor) {
        if let Some(patience) = supervisor.patience() {
            let (pulse, traffic) = (Arc::clone(&self.start.pulse), self.shared.drain.clone());
            until_end(control, "watchdog", async move {
                pulse::tell(&pulse, patience, &traffic, || supervisor.alive()).await;
            });
        }
        if !self.surroundings.signals {
            return;
        }
        if let Some(rotated) = heard(SignalKind::user_defined1()) {
            until_end(control, "rotation", look_for_files(rotated, Arc::clone(&self.shared)));
        }
        if let Some(asked) = heard(SignalKind::user_defined2()) {
            let restart = self.surroundings.restart.clone().filter(|_| self.config.succession.is_some());
            until_end(control, "restart", restart::when_asked(asked, restart));
        }
    }

    fn reload(
        self,
        control: &Drain,
        text: Arc<ArcSwap<String>>,
        farewell: Arc<ArcSwap<Farewell>>,
        seen: Option<Looks>,
        hangup: Option<Signal>,
        supervisor: Supervisor,
    ) {
        let Self { config, announcements, health, shared, fronts, surroundings, .. } = self;
        let Surroundings { log, reload, .. } = surroundings;
        if let Some((reload, seen)) = reload.zip(seen) {
            let (started, retired) = (config.wording().clone(), Vec::new());
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
                farewell,
                hangup,
                supervisor,
            };
            until_end(control, "reload", reloader.run());
        } else if let Some(hangup) = hangup {
            until_end(control, "hangup", nothing_to_reload(hangup));
        }
    }
}

/// Begins to keep how requests went, for operators.
fn remember(shared: &Shared, control: &Drain) -> Arc<History> {
    let history = Arc::new(History::default());
    let (kept, metrics) = (Arc::clone(&history), Arc::clone(&shared.metrics));
    until_end(control, "history", async move { kept.follow(&metrics).await });
    history
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

/// Tells the supervisor what is waited for, until nothing is.
async fn tell_of_readiness(supervisor: Supervisor, catalog: &Catalog, readiness: &Readiness) {
    let mut told = None;
    while supervisor.is_there() {
        let why = readiness.why_not(catalog).join(", ");
        let is_ready = why.is_empty();
        let status = if is_ready { "taking requests".to_owned() } else { format!("waiting: {why}") };
        if told.as_ref() != Some(&status) {
            supervisor.status(&status);
            told = Some(status);
        }
        if is_ready {
            break;
        }
        tokio::time::sleep(READINESS_LOOK).await;
    }
}
