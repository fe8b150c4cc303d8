//! Signals: what this process is told by them.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::proxy::Shared;

/// A signal of this process from here on.
pub(super) fn heard(kind: SignalKind) -> Option<Signal> {
    signal(kind).inspect_err(|error| tracing::error!(?kind, %error, "a signal is not heard")).ok()
}

/// The signals by which a process is told to stop; never any if they are not for this proxy.
#[derive(Default)]
pub(super) struct Orders(Option<(Signal, Signal)>);

impl Orders {
    /// Those of this process.
    pub(super) fn of_process() -> Self {
        let pair =
            || Ok::<_, io::Error>((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?));
        Self(pair().inspect_err(|error| tracing::error!(%error, "signals cannot be heard")).ok())
    }

    /// Waits for the next of them.
    pub(super) async fn next(&mut self) {
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

    /// Waits until it is told twice. What ends for another reason than a signal was not told yet: whoever stops the process tells
    /// it once, and what is under way is finished then, as ever.
    pub(super) async fn twice(&mut self, is_told: bool) {
        if !is_told {
            self.next().await;
            tracing::info!("told to stop; what runs is being finished already");
        }
        self.next().await;
    }
}

/// Says each time that there is no file: HUP would end the process otherwise, with all that is under way.
pub(super) async fn nothing_to_reload(mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        tracing::warn!(
            "HUP asks to read the configuration again, and there is no file of it; nothing is done"
        );
    }
}

/// Looks for the file of the access log whenever USR1 says that it was moved away, as nginx has it. A busy one has noticed by itself.
pub(super) async fn look_for_files(mut rotated: Signal, shared: Arc<Shared>) {
    while rotated.recv().await.is_some() {
        tracing::debug!("USR1 says that logs were moved away; the access log is looked for");
        shared.access.load().look_for_file();
    }
}
