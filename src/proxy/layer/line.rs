//! The line before `select`: a request waits until an endpoint of its service has room, where its operator wants that.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::select::Select;
use crate::endpoint::{Endpoint, Group, Place};
use crate::proxy::error::ProxyError;
use crate::proxy::request::Routed;
use crate::telemetry::metrics::ProxyMetrics;

/// The place of a request in the line of its service.
pub(super) struct Line {
    place: Place,
    limit: Duration,
}

impl Line {
    /// Whether others wait already for what this request wants: it stands behind them, and does not look for room.
    pub(super) fn is_before(routed: &Routed) -> bool {
        waits_at(routed).is_some_and(|(group, ..)| group.is_lined_up(lane(routed)))
    }

    /// Takes a place, where there is a line and room in it.
    pub(super) fn join(routed: &Routed) -> Option<Self> {
        let (group, max, limit) = waits_at(routed)?;
        Some(Self { place: group.line_up(lane(routed), max)?, limit })
    }

    /// Waits for an endpoint; gives it with the time it was found.
    ///
    /// # Errors
    /// When none had room in time, or there is none any more.
    pub(super) async fn wait<S>(
        &self,
        select: &Select<S>,
        routed: &Routed,
    ) -> Result<(Endpoint, Instant), ProxyError> {
        let metrics = &select.worker.shared.metrics.proxy;
        let _counted = Counted::new(metrics);
        let deadline = Instant::now() + self.limit;
        loop {
            if timeout_at(deadline, self.place.called()).await.is_err() {
                metrics.queue_timeouts_total.inc();
                let (service, limit) = (routed.bound.service().clone(), self.limit);
                return Err(ProxyError::EndpointQueueTimeout { service, limit });
            }
            let now = Instant::now();
            match select.pick(routed, now) {
                Err(ProxyError::EndpointsFull { .. }) => {}
                picked => return Ok((picked?, now)),
            }
        }
    }
}

/// What has the line a request may wait in, how many may, and how long.
///
/// A further attempt does not wait, nor one that wants certain endpoints: it could not go where the room may be, and would
/// stand in the way of those behind it.
fn waits_at(routed: &Routed) -> Option<(Arc<Group>, u32, Duration)> {
    if !routed.tried.is_empty() || routed.wish.as_ref().is_some_and(|wish| wish.is_strict()) {
        return None;
    }
    routed.bound.look(|snapshot| {
        let queue = snapshot.care.queue;
        let first = snapshot.endpoints.first().filter(|_| queue.max > 0)?;
        Some((Arc::clone(first.memory.group()), queue.max, queue.timeout))
    })
}

/// Requests of one subscription want the same, and wait one behind the other.
fn lane(routed: &Routed) -> usize {
    Arc::as_ptr(&routed.bound.subscription).addr()
}

/// Counts one that waits, while it does.
struct Counted<'m>(&'m ProxyMetrics);

impl<'m> Counted<'m> {
    fn new(metrics: &'m ProxyMetrics) -> Self {
        metrics.queue_waiting.inc();
        Self(metrics)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.queue_waiting.dec();
    }
}
