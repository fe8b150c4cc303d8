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
        let retries = routed.limits.retries;
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
