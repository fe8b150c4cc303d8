//! Admit: lets no request more be in flight than may be; the next ones wait in line a while, or are refused at once.

use std::rc::Rc;

use tokio::time::{Instant, timeout_at};

use super::middleware::{Answer, Middleware, Serve, refused};
use crate::proxy::admission::{Entry, Ticket};
use crate::proxy::error::ProxyError;
use crate::proxy::request::Routed;
use crate::proxy::worker::Worker;

/// Bounds the requests in flight.
#[derive(Clone, Debug)]
pub struct Admit {
    /// Whose requests are counted, together with its siblings'.
    pub worker: Rc<Worker>,
}

impl Middleware for Admit {
    type Request = Routed;
    type Error = ProxyError;
    type InnerRequest = Routed;
    type InnerError = ProxyError;

    fn call(&self, routed: Routed, inner: &mut impl Serve<Routed, ProxyError>) -> Answer<ProxyError> {
        match self.worker.shared.admission.enter() {
            Entry::Free => inner.call(routed),
            Entry::Full => {
                let limit = self.worker.shared.settings.requests_max;
                refused(ProxyError::Overloaded { limit })
            }
            Entry::Wait(ticket) => {
                let (mut inner, worker) = (inner.clone(), Rc::clone(&self.worker));
                Box::pin(async move {
                    wait(ticket, &worker).await?;
                    inner.call(routed).await
                })
            }
        }
    }
}

/// Waits in line until it is called, for no longer than it may.
///
/// # Errors
/// When that takes too long.
pub async fn wait(ticket: Ticket, worker: &Worker) -> Result<(), ProxyError> {
    let metrics = &worker.shared.metrics.proxy;
    let limit = worker.shared.settings.queue_timeout;
    let begun = Instant::now();
    let called = timeout_at(begun + limit, ticket).await;
    metrics.admission_wait_seconds.observe(begun.elapsed().as_secs_f64());
    called.map_err(|_| {
        metrics.admission_timeouts_total.inc();
        ProxyError::QueueTimeout { limit }
    })
}

#[cfg(test)]
mod tests {
    use tower::{Layer as _, Service as _};

    use super::*;
    use crate::proxy::Settings;
    use crate::proxy::layer::bed::{Bed, Played, answer};
    use crate::proxy::layer::middleware::Wrap;

    #[tokio::test]
    async fn one_too_many_goes_no_further_and_room_is_made_by_the_end_of_another() {
        let bed = Bed::with(Settings { requests_max: 2, ..Settings::default() });
        let inner = Played::new();
        let mut admit = Wrap(Admit { worker: Rc::clone(&bed.worker) }).layer(inner.clone());
        let (first, second) = (bed.get(), bed.get());
        let third = admit.call(bed.get()).await.unwrap_err();
        assert!(matches!(third, ProxyError::Overloaded { limit: 2 }), "{third}");
        drop(first);
        inner.then(|_| Ok(answer(200)));
        assert_eq!(admit.call(second).await.unwrap().status(), 200);
        assert_eq!(bed.metrics().proxy.requests_in_flight.get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_called_when_another_ends_or_told_that_it_took_too_long() {
        let settings = Settings { requests_max: 1, queue_max: 2, ..Settings::default() };
        let patience = settings.queue_timeout;
        let bed = Bed::with(settings);
        let inner = Played::new();
        let mut admit = Wrap(Admit { worker: Rc::clone(&bed.worker) }).layer(inner.clone());
        let first = bed.get();
        let (second, third) = (admit.call(bed.get()), admit.call(bed.get()));
        let fourth = admit.call(bed.get()).await.unwrap_err();
        assert!(matches!(fourth, ProxyError::Overloaded { limit: 1 }), "{fourth}");
        let begun = Instant::now();
        let late = second.await.unwrap_err();
        assert!(matches!(late, ProxyError::QueueTimeout { limit } if limit == patience), "{late}");
        assert!(begun.elapsed() >= patience);
        drop(first);
        inner.then(|_| Ok(answer(200)));
        assert_eq!(third.await.unwrap().status(), 200);
        let metrics = &bed.metrics().proxy;
        assert_eq!((metrics.admission_waiting.get(), metrics.admission_timeouts_total.get()), (0, 1));
        assert_eq!(metrics.admission_wait_seconds.get_sample_count(), 2);
    }

    #[tokio::test]
    async fn a_client_that_goes_away_leaves_the_line() {
        let bed = Bed::with(Settings { requests_max: 1, queue_max: 2, ..Settings::default() });
        let inner = Played::new();
        let mut admit = Wrap(Admit { worker: Rc::clone(&bed.worker) }).layer(inner.clone());
        let first = bed.get();
        let (second, third) = (admit.call(bed.get()), admit.call(bed.get()));
        drop(second);
        assert_eq!(bed.metrics().proxy.admission_waiting.get(), 1);
        drop(first);
        inner.then(|_| Ok(answer(200)));
        assert_eq!(third.await.unwrap().status(), 200);
    }
}
