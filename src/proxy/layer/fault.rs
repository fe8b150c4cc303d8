//! Fault: holds requests up, or answers them with an error, where the configuration asks for that.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Response;
use tower::{Layer, Service};

use super::{Answer, always_ready};
use crate::body::Body;
use crate::proxy::error::ProxyError;
use crate::proxy::request::Routed;
use crate::proxy::worker::Worker;

/// What is written down of a request that was held up.
const DELAY: &str = "delay";
/// What is written down of a request that was answered with an error.
const ABORT: &str = "abort";

/// Disturbs requests on purpose.
#[derive(Clone, Debug)]
pub struct FaultLayer {
    /// Whose luck.
    pub worker: Rc<Worker>,
}

impl<S> Layer<S> for FaultLayer {
    type Service = Disturb<S>;

    fn layer(&self, inner: S) -> Disturb<S> {
        Disturb { inner, worker: Rc::clone(&self.worker) }
    }
}

/// See [`FaultLayer`].
#[derive(Clone, Debug)]
pub struct Disturb<S> {
    inner: S,
    worker: Rc<Worker>,
}

impl<S> Service<Routed> for Disturb<S>
where
    S: Service<
            Routed,
            Response = Response<Body>,
            Error = ProxyError,
            Future = Answer<Response<Body>, ProxyError>,
        > + Clone
        + 'static,
{
    type Response = Response<Body>;
    type Error = ProxyError;
    type Future = Answer<Response<Body>, ProxyError>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        always_ready(cx)
    }

    fn call(&mut self, routed: Routed) -> Self::Future {
        let concerned = |fault: &&Arc<crate::route::Fault>| fault.concerns(routed.message.headers());
        let Some(fault) = routed.rules.fault.as_ref().filter(concerned) else {
            return self.inner.call(routed);
        };
        let (delay, abort) = (fault.delay(self.worker.luck()), fault.abort(self.worker.luck()));
        for (fault, strikes) in [(DELAY, delay.is_some()), (ABORT, abort.is_some())] {
            if strikes {
                routed.record.fault.set(Some(fault));
                self.worker.shared.metrics.traffic.fault(fault).inc();
            }
        }
        let mut inner = self.inner.clone();
        Box::pin(async move {
            if let Some(delay) = delay {
                tokio::time::sleep(delay).await;
            }
            match abort {
                Some(status) => Err(ProxyError::Fault { status }),
                None => inner.call(routed).await,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderName, StatusCode};
    use tokio::time::Instant;

    use super::*;
    use crate::proxy::layer::bed::{Bed, Played, answer};
    use crate::proxy::layer::deadline::DeadlineLayer;
    use crate::route::{Fault, HeaderPattern, Share};

    fn bed(delay: Option<Duration>, abort: Option<u16>) -> Bed {
        let mut bed = Bed::new();
        bed.rules.fault = Some(Arc::new(Fault {
            delay: delay.map(|delay| (delay, Share::ALL)),
            abort: abort.map(|status| (StatusCode::from_u16(status).unwrap(), Share::ALL)),
            headers: vec![HeaderPattern { name: HeaderName::from_static("x-game-day"), value: None }],
        }));
        bed
    }

    fn struck(bed: &Bed) -> Routed {
        bed.routed(http::Request::get("/").header("x-game-day", "1"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_holds_up_and_an_abort_answers_those_it_concerns() {
        let bed = bed(Some(Duration::from_secs(2)), Some(418));
        let inner = Played::new();
        let mut layer = FaultLayer { worker: Rc::clone(&bed.worker) }.layer(inner.clone());
        let begun = Instant::now();
        inner.then(|_| Ok(answer(200)));
        layer.call(bed.get()).await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO, "it lacks the header");
        let routed = struck(&bed);
        let record = Rc::clone(&routed.record);
        let error = layer.call(routed).await.unwrap_err();
        assert_eq!((error.reason(), error.telling().status.as_u16()), ("fault_abort", 418));
        assert_eq!((begun.elapsed().as_secs(), record.fault.get()), (2, Some(ABORT)));
        let counted = |fault| bed.metrics().traffic.fault(fault).get();
        assert_eq!((counted(DELAY), counted(ABORT)), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_counts_against_the_deadline() {
        let mut bed = bed(Some(Duration::from_secs(2)), None);
        bed.limits.request_timeout = Duration::from_secs(1);
        let layer = FaultLayer { worker: Rc::clone(&bed.worker) }.layer(Played::new());
        let error = DeadlineLayer.layer(layer).call(struck(&bed)).await.unwrap_err();
        assert_eq!(error.reason(), "deadline");
    }
}
