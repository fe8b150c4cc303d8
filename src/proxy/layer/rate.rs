//! Rate: refuses at once what is more than the route may have in its time.

use std::rc::Rc;
use std::task::{Context, Poll};

use http::Response;
use tower::{Layer, Service};

use super::{Answer, always_ready};
use crate::body::Body;
use crate::proxy::error::ProxyError;
use crate::proxy::request::Routed;
use crate::proxy::worker::Worker;

/// Holds routes to their rates.
#[derive(Clone, Debug)]
pub struct RateLayer {
    /// Whose clock.
    pub worker: Rc<Worker>,
}

impl<S> Layer<S> for RateLayer {
    type Service = RateGate<S>;

    fn layer(&self, inner: S) -> RateGate<S> {
        RateGate { inner, worker: Rc::clone(&self.worker) }
    }
}

/// See [`RateLayer`].
#[derive(Clone, Debug)]
pub struct RateGate<S> {
    inner: S,
    worker: Rc<Worker>,
}

impl<S> Service<Routed> for RateGate<S>
where
    S: Service<
            Routed,
            Response = Response<Body>,
            Error = ProxyError,
            Future = Answer<Response<Body>, ProxyError>,
        >,
{
    type Response = Response<Body>;
    type Error = ProxyError;
    type Future = Answer<Response<Body>, ProxyError>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        always_ready(cx)
    }

    fn call(&mut self, routed: Routed) -> Self::Future {
        if let Some(rate) = &routed.rules.rate
            && let Err(pause) = rate.take(self.worker.shared.clock.run_at(routed.record.begun()))
        {
            let (requests, per) = (rate.limit.requests, rate.limit.per);
            return Box::pin(std::future::ready(Err(ProxyError::RateLimited { requests, per, pause })));
        }
        self.inner.call(routed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;
    use crate::proxy::layer::bed::{Bed, Played, answer};
    use crate::route::{Rate, RateLimit};

    #[tokio::test(start_paused = true)]
    async fn what_is_too_much_is_refused_until_its_time_has_come() {
        let mut bed = Bed::new();
        let limit = RateLimit { requests: 1, per: Duration::from_secs(2), burst: 2 };
        bed.rules.rate = Some(Arc::new(Rate::new(limit)));
        let inner = Played::new();
        let mut rate = RateLayer { worker: Rc::clone(&bed.worker) }.layer(inner.clone());
        for _ in 0..2 {
            inner.then(|_| Ok(answer(200)));
            rate.call(bed.get()).await.unwrap();
        }
        advance(Duration::from_millis(500)).await;
        let error = rate.call(bed.get()).await.unwrap_err();
        let ProxyError::RateLimited { pause, .. } = error else { panic!("{error}") };
        assert_eq!(pause, Duration::from_millis(1500));
        advance(pause).await;
        inner.then(|_| Ok(answer(200)));
        rate.call(bed.get()).await.unwrap();
        assert_eq!(inner.left(), 0);
    }
}
