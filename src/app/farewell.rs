//! Farewell: how a process takes its leave. What it announces is withdrawn, and what is under way is finished.

use std::time::Duration;

use crate::announce::Announcements;
use crate::config::Config;
use crate::drain::Drain;

/// How long everything else waits for announcements to be withdrawn. What is left then goes with its lease.
pub(super) const WITHDRAWING: Duration = Duration::from_secs(5);

/// How long the end takes; a reload replaces it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Farewell {
    lame_duck: Duration,
    drain_timeout: Duration,
    /// How long clients of Go Micro keep a connection that nobody uses.
    go_micro_keep: Duration,
}

impl Farewell {
    /// As this configuration says.
    pub(super) fn of(config: &Config) -> Self {
        let (lame_duck, drain_timeout) = (config.lame_duck, config.drain_timeout);
        Self { lame_duck, drain_timeout, go_micro_keep: config.proxy.go_micro_keep }
    }

    /// Once another process has taken over: nobody has to wait for this one, so its clients may keep what they have for as long as
    /// they do.
    pub(super) fn unhurried(self) -> Self {
        Self { lame_duck: Duration::ZERO, drain_timeout: self.drain_timeout + self.go_micro_keep, ..self }
    }

    /// Serves on while others learn that it is not ready, then drains.
    pub(super) async fn finish(self, traffic: &Drain) {
        let Self { lame_duck, drain_timeout, .. } = self;
        tracing::info!(?lame_duck, ?drain_timeout, "stopping: draining");
        tokio::time::sleep(lame_duck).await;
        let left = traffic.finish(drain_timeout).await;
        if left > 0 {
            tracing::warn!(left, "tasks were dropped that did not finish in time");
        }
        tracing::info!("stopped");
    }
}

/// Withdraws what is announced, as far as that can be done in time.
pub(super) async fn withdraw(announcements: &Announcements) {
    if announcements.is_empty() {
        announcements.close(WITHDRAWING).await;
        return;
    }
    tracing::info!("stopping: withdrawing what is announced");
    if !announcements.close(WITHDRAWING).await {
        tracing::warn!("not all could be withdrawn in time; what is left goes with its ttl");
    }
}
