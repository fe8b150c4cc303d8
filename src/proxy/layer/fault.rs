//! Fault: holds requests up, or answers them with an error, where the configuration asks for that.

use std::rc::Rc;
use std::sync::Arc;

use super::middleware::{Answer, Middleware, Serve};
use crate::proxy::error::ProxyError;
use crate::proxy::request::Routed;
use crate::proxy::worker::Worker;

/// What is written down of a request that was held up.
const DELAY: &str = "delay";
/// What is written down of a request that was answered with an error.
const ABORT: &str = "abort";

/// Disturbs requests on purpose.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Whose luck.
    pub worker: Rc<Worker>,
}

impl Middleware for Fault {
    type Request = Routed;
    type Error = ProxyError;
    type InnerRequest = Routed;
    type InnerError = ProxyError;

    fn call(&self, routed: Routed, inner: &mut impl Serve<Routed, ProxyError>) -> Answer<ProxyError> {
        let concerned = |fault: &&Arc<crate::route::Fault>| fault.concerns(routed.message.headers());
        let Some(fault) = routed.rules.fault.as_ref().filter(concerned) else {
            return inner.call(routed);
        };
        let (delay, abort) = (fault.delay(self.worker.luck()), fault.abort(self.worker.luck()));
        for (fault, strikes) in [(DELAY, delay.is_some()), (ABORT, abort.is_some())] {
            if strikes {
                routed.record.fault.set(Some(fault));
                self.worker.shared.metrics.traffic.fault(fault).inc();
            }
        }
        let mut inner = inner.clone();
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

    use tower::{Layer as _, Service as _};

    use super::*;
    use crate::proxy::layer::bed::{Bed, Played, answer};
    use crate::proxy::layer::deadline::Deadline;
    use crate::proxy::layer::middleware::Wrap;
    use crate::route::{self, HeaderPattern, Share};

    fn bed(delay: Option<Duration>, abort: Option<u16>) -> Bed {
        let mut bed = Bed::new();
        bed.rules.fault = Some(Arc::new(route::Fault {
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
        let mut layer = Wrap(Fault { worker: Rc::clone(&bed.worker) }).layer(inner.clone());
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
        let layer = Wrap(Fault { worker: Rc::clone(&bed.worker) }).layer(Played::new());
        let error = Wrap(Deadline { worker: Rc::clone(&bed.worker) })
            .layer(layer)
            .call(struck(&bed))
            .await
            .unwrap_err();
        assert_eq!(error.reason(), "deadline");
    }
}
