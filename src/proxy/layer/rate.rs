//! Rate: refuses at once what is more than the route may have in its time.

use std::rc::Rc;

use super::middleware::{Answer, Middleware, Serve, refused};
use crate::proxy::error::ProxyError;
use crate::proxy::request::Routed;
use crate::proxy::worker::Worker;

/// Holds routes to their rates.
#[derive(Clone, Debug)]
pub struct Rate {
    /// Whose clock.
    pub worker: Rc<Worker>,
}

impl Middleware for Rate {
    type Request = Routed;
    type Error = ProxyError;
    type InnerRequest = Routed;
    type InnerError = ProxyError;

    fn call(&self, routed: Routed, inner: &mut impl Serve<Routed, ProxyError>) -> Answer<ProxyError> {
        if let Some(rate) = &routed.rules.rate
            && let Err(pause) = rate.take(self.worker.shared.clock.run_at(routed.record.begun()))
        {
            let (requests, per) = (rate.limit.requests, rate.limit.per);
            return refused(ProxyError::RateLimited { requests, per, pause });
        }
        inner.call(routed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::advance;

    use tower::{Layer as _, Service as _};

    use super::*;
    use crate::proxy::layer::bed::{Bed, Played, answer};
    use crate::proxy::layer::middleware::Wrap;
    use crate::route::{self, RateLimit};

    #[tokio::test(start_paused = true)]
    async fn what_is_too_much_is_refused_until_its_time_has_come() {
        let mut bed = Bed::new();
        let limit = RateLimit { requests: 1, per: Duration::from_secs(2), burst: 2 };
        bed.rules.rate = Some(Arc::new(route::Rate::new(limit)));
        let inner = Played::new();
        let mut rate = Wrap(Rate { worker: Rc::clone(&bed.worker) }).layer(inner.clone());
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
