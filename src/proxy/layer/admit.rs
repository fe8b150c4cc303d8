//! Admit: refuses at once what would be one request in flight too many.

use std::rc::Rc;
use std::task::{Context, Poll};

use http::Response;
use tower::{Layer, Service};

use super::{Answer, always_ready};
use crate::body::Body;
use crate::proxy::error::ProxyError;
use crate::proxy::request::Routed;
use crate::proxy::worker::Worker;

/// Bounds the requests in flight.
#[derive(Clone, Debug)]
pub struct AdmitLayer {
    /// Whose requests are counted, together with its siblings'.
    pub worker: Rc<Worker>,
}

impl<S> Layer<S> for AdmitLayer {
    type Service = Admit<S>;

    fn layer(&self, inner: S) -> Admit<S> {
        Admit { inner, worker: Rc::clone(&self.worker) }
    }
}

/// See [`AdmitLayer`].
#[derive(Clone, Debug)]
pub struct Admit<S> {
    inner: S,
    worker: Rc<Worker>,
}

impl<S> Service<Routed> for Admit<S>
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
        let limit = self.worker.shared.settings.requests_max;
        let in_flight = self.worker.shared.metrics.proxy.requests_in_flight.get();
        if usize::try_from(in_flight).is_ok_and(|in_flight| in_flight > limit) {
            return Box::pin(std::future::ready(Err(ProxyError::Overloaded { limit })));
        }
        self.inner.call(routed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::Settings;
    use crate::proxy::layer::bed::{Bed, Played, answer};

    #[tokio::test]
    async fn one_too_many_goes_no_further_and_room_is_made_by_the_end_of_another() {
        let bed = Bed::with(Settings { requests_max: 2, ..Settings::default() });
        let inner = Played::new();
        let mut admit = AdmitLayer { worker: Rc::clone(&bed.worker) }.layer(inner.clone());
        let (first, second) = (bed.get(), bed.get());
        let third = admit.call(bed.get()).await.unwrap_err();
        assert!(matches!(third, ProxyError::Overloaded { limit: 2 }), "{third}");
        drop(first);
        inner.then(|_| Ok(answer(200)));
        assert_eq!(admit.call(second).await.unwrap().status(), 200);
        assert_eq!(bed.metrics().proxy.requests_in_flight.get(), 0);
    }
}
