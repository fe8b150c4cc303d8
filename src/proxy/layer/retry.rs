//! Retry: sends again, elsewhere, what provably never arrived or may harmlessly be repeated.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::Response;
use tower::{Layer, Service};

use super::{Answer, always_ready};
use crate::body::Body;
use crate::proxy::error::ProxyError;
use crate::proxy::request::{Failure, Routed};
use crate::telemetry::metrics::Metrics;

/// Sends again what may be sent again.
#[derive(Clone, Debug)]
pub struct RetryLayer {
    /// Where retries are counted.
    pub metrics: Arc<Metrics>,
}

impl<S> Layer<S> for RetryLayer {
    type Service = Retry<S>;

    fn layer(&self, inner: S) -> Retry<S> {
        Retry { inner, metrics: Arc::clone(&self.metrics) }
    }
}

/// See [`RetryLayer`].
#[derive(Clone, Debug)]
pub struct Retry<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S> Service<Routed> for Retry<S>
where
    S: Service<Routed, Response = Response<Body>, Error = Failure<Routed>> + Clone + 'static,
{
    type Response = Response<Body>;
    type Error = ProxyError;
    type Future = Answer<Response<Body>, ProxyError>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        always_ready(cx)
    }

    fn call(&mut self, routed: Routed) -> Self::Future {
        let retries = routed.rules.limits.retries;
        let mut inner = self.inner.clone();
        let metrics = Arc::clone(&self.metrics);
        let mut answer = inner.call(routed);
        Box::pin(async move {
            let mut left = retries;
            let mut first = None;
            loop {
                let Failure { error, again } = match answer.await {
                    Ok(response) => return Ok(response),
                    Err(failure) => failure,
                };
                match again {
                    Some(routed) if left > 0 => {
                        tracing::debug!(service = %routed.bound.service(), %error, "sending again");
                        metrics.proxy.retries_total.inc();
                        left -= 1;
                        first.get_or_insert(error);
                        answer = inner.call(routed);
                    }
                    // "Nothing is left to try" is no answer to why: the first failure is.
                    _ => return Err(first.unwrap_or(error)),
                }
            }
        })
    }
}

#[cfg(test)]
#[expect(clippy::result_large_err, reason = "a request that failed is given back whole, as the layers do")]
mod tests {
    use super::*;
    use crate::proxy::layer::bed::{Bed, Played, answer};
    use crate::upstream::SendCause;

    type Inner = Played<Routed, Failure<Routed>>;

    /// A failure that tells itself apart by a number.
    fn failure(number: usize, again: Option<Routed>) -> Failure<Routed> {
        let address = "127.0.0.1:1".parse().unwrap();
        Failure { error: SendCause::Full { address, limit: number }.into(), again }
    }

    fn number(error: &ProxyError) -> usize {
        let ProxyError::Send(SendCause::Full { limit, .. }) = error else { panic!("{error}") };
        *limit
    }

    fn retry(bed: &Bed) -> (Retry<Inner>, Inner) {
        let inner = Inner::new();
        (RetryLayer { metrics: Arc::clone(&bed.worker.shared.metrics) }.layer(inner.clone()), inner)
    }

    #[tokio::test]
    async fn what_may_be_sent_again_is_until_it_is_answered() {
        let bed = Bed::new();
        let (mut retry, inner) = retry(&bed);
        inner.then(|routed| Err(failure(1, Some(routed))));
        inner.then(|routed| Err(failure(2, Some(routed))));
        inner.then(|_| Ok(answer(200)));
        assert_eq!(retry.call(bed.get()).await.unwrap().status(), 200);
        assert_eq!((inner.left(), bed.metrics().proxy.retries_total.get()), (0, 2));
    }

    #[tokio::test]
    async fn retries_have_their_number_and_the_first_failure_is_told() {
        for retries in [0, 1, 3] {
            let mut bed = Bed::new();
            bed.limits.retries = retries;
            let (mut retry, inner) = retry(&bed);
            for number in 0..=usize::from(retries) {
                inner.then(move |routed| Err(failure(number, Some(routed))));
            }
            assert_eq!(number(&retry.call(bed.get()).await.unwrap_err()), 0);
            assert_eq!(inner.left(), 0);
            assert_eq!(bed.metrics().proxy.retries_total.get(), u64::from(retries));
        }
    }

    #[tokio::test]
    async fn what_may_not_be_sent_again_is_not() {
        let bed = Bed::new();
        let (mut retry, inner) = retry(&bed);
        inner.then(|_| Err(failure(1, None)));
        assert_eq!(number(&retry.call(bed.get()).await.unwrap_err()), 1);
        inner.then(|routed| Err(failure(2, Some(routed))));
        inner.then(|_| Err(failure(3, None)));
        assert_eq!(number(&retry.call(bed.get()).await.unwrap_err()), 2);
        assert_eq!(bed.metrics().proxy.requests_in_flight.get(), 0);
    }
}
