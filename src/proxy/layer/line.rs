//! The line before a pick: a request, or a raw connection, waits until an endpoint of its service has room, where its operator
//! wants that.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::balance::Wish;
use crate::endpoint::{Group, Place};
use crate::proxy::directory::Bound;
use crate::proxy::error::ProxyError;
use crate::proxy::pick::{Picked, Sought};
use crate::telemetry::metrics::ProxyMetrics;

/// The place of a request, or of a raw connection, in the line of its service.
pub struct Line {
    place: Place,
    limit: Duration,
}

impl Line {
    /// Whether others wait already for what this one wants: it stands behind them, and does not look for room.
    pub fn is_before(sought: &Sought<'_>) -> bool {
        waits_at(sought).is_some_and(|(group, ..)| group.is_lined_up(lane(sought)))
    }

    /// Takes a place, where there is a line and room in it.
    pub fn join(sought: &Sought<'_>) -> Option<Self> {
        let (group, max, limit) = waits_at(sought)?;
        Some(Self { place: group.line_up(lane(sought), max)?, limit })
    }

    /// Waits for an endpoint of a service; gives it with the time it was found.
    ///
    /// # Errors
    /// When none had room in time, or there is none any more.
    pub async fn wait(
        &self,
        metrics: &ProxyMetrics,
        bound: &Bound,
        pick: impl Fn(Instant) -> Result<Picked, ProxyError>,
    ) -> Result<(Picked, Instant), ProxyError> {
        let _counted = Counted::new(metrics);
        let deadline = Instant::now() + self.limit;
        loop {
            if timeout_at(deadline, self.place.called()).await.is_err() {
                metrics.queue_timeouts_total.inc();
                let (service, limit) = (bound.service().clone(), self.limit);
                return Err(ProxyError::EndpointQueueTimeout { service, limit });
            }
            let now = Instant::now();
            match pick(now) {
                Err(ProxyError::EndpointsFull { .. }) => {}
                picked => return Ok((picked?, now)),
            }
        }
    }
}

/// What has the line one may wait in, how many may, and how long.
///
/// A further attempt does not wait, nor one that wants certain endpoints: it could not go where the room may be, and would
/// stand in the way of those behind it.
fn waits_at(sought: &Sought<'_>) -> Option<(Arc<Group>, u32, Duration)> {
    if !sought.tried.is_empty() || sought.wish.is_some_and(Wish::is_strict) {
        return None;
    }
    sought.bound.look(|snapshot| {
        let queue = snapshot.care.queue;
        let first = snapshot.endpoints.first().filter(|_| queue.max > 0)?;
        Some((Arc::clone(first.memory.group()), queue.max, queue.timeout))
    })
}

/// Those of one subscription want the same, and wait one behind the other.
fn lane(sought: &Sought<'_>) -> usize {
    Arc::as_ptr(&sought.bound.subscription).addr()
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

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use futures_util::poll;
    use tower::{Layer as _, Service as _};

    use super::*;
    use crate::endpoint::{Care, Endpoint, Queue};
    use crate::proxy::layer::bed::{Bed, Played, answer};
    use crate::proxy::layer::middleware::{Answer, Wrap};
    use crate::proxy::layer::select::Select;
    use crate::proxy::request::{Attempt, Failure, Returned, Routed};
    use crate::upstream::Reuse;

    const TIMEOUT: Duration = Duration::from_secs(1);

    type Sent = Answer<Failure<Returned>>;

    /// A bed with one endpoint of room for one attempt, and a line of two.
    fn bed() -> (Bed, Endpoint) {
        let mut bed = Bed::new();
        let queue = Queue { max: 2, timeout: TIMEOUT };
        bed.care = Care { in_flight_max: 1, queue, ..Care::default() };
        let endpoint = bed.list(&[1])[0].clone();
        (bed, endpoint)
    }

    /// Sends a request; its attempt is answered when it comes.
    fn send(bed: &Bed) -> Sent {
        let inner = Played::<Attempt, Failure<Returned>>::new();
        inner.then(|_| Ok(answer(200)));
        Wrap(Select { worker: Rc::clone(&bed.worker) }).layer(inner).call(bed.get())
    }

    fn reason(failure: &Failure<Returned>) -> &'static str {
        failure.error.reason()
    }

    #[tokio::test(start_paused = true)]
    async fn requests_wait_in_their_order_and_no_more_than_may() {
        let (bed, endpoint) = bed();
        let guard = endpoint.memory.begin();
        let (mut first, mut second) = (send(&bed), send(&bed));
        assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
        assert_eq!(bed.metrics().proxy.queue_waiting.get(), 2);
        assert_eq!(reason(&send(&bed).await.unwrap_err()), "endpoints_full");
        drop(guard);
        assert!(poll!(&mut second).is_pending(), "the first comes first");
        first.await.unwrap();
        second.await.unwrap();
        assert_eq!((bed.metrics().proxy.queue_waiting.get(), endpoint.memory.group().waiting()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_later_does_not_pass_by_those_who_wait() {
        let (bed, endpoint) = bed();
        let guard = endpoint.memory.begin();
        let mut first = send(&bed);
        assert!(poll!(&mut first).is_pending());
        drop(guard);
        let mut later = send(&bed);
        assert!(poll!(&mut later).is_pending(), "there is room, but not for it");
        first.await.unwrap();
        later.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_had_its_turn_and_met_a_stale_connection_does_not_stand_behind_the_others() {
        let (bed, endpoint) = bed();
        let guard = endpoint.memory.begin();
        let (mut first, mut second) = (send(&bed), send(&bed));
        assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
        // The line is full, and its room is free for a moment.
        drop(guard);
        let inner = Played::<Attempt, Failure<Returned>>::new();
        inner.then(|_| Ok(answer(200)));
        let again = Routed { reuse: Reuse::Fresh, ..bed.get() };
        again.record.attempts.set(1);
        let mut select = Wrap(Select { worker: Rc::clone(&bed.worker) }).layer(inner);
        let begun = Instant::now();
        assert_eq!(select.call(again).await.unwrap().status(), 200);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        first.await.unwrap();
        second.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_in_vain_is_told_so_and_who_goes_away_leaves_the_line() {
        let (bed, endpoint) = bed();
        let _guard = endpoint.memory.begin();
        let mut gone = send(&bed);
        assert!(poll!(&mut gone).is_pending());
        drop(gone);
        assert_eq!(endpoint.memory.group().waiting(), 0);
        let begun = Instant::now();
        assert_eq!(reason(&send(&bed).await.unwrap_err()), "endpoint_queue_timeout");
        assert!(begun.elapsed() >= TIMEOUT && begun.elapsed() < TIMEOUT * 2);
        assert_eq!(bed.metrics().proxy.queue_timeouts_total.get(), 1);
        assert_eq!(endpoint.memory.group().waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_line_nobody_waits() {
        let (mut bed, _) = bed();
        bed.care.queue = Queue::NONE;
        let _guard = bed.list(&[1])[0].memory.begin();
        assert_eq!(reason(&send(&bed).await.unwrap_err()), "endpoints_full");
    }
}
