//! Report: on the way back, tells the endpoint how the attempt went, and holds its load until the body has ended.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Response;
use tower::{Layer, Service};

use super::{Answer, always_ready};
use crate::body::Body;
use crate::endpoint::Memory;
use crate::proxy::error::ProxyError;
use crate::proxy::request::{Attempt, Failure, Returned};
use crate::proxy::worker::Worker;
use crate::upstream::SendCause;

/// Tells endpoints how attempts went.
#[derive(Clone, Debug)]
pub struct ReportLayer {
    /// Whose clock and luck.
    pub worker: Rc<Worker>,
}

impl<S> Layer<S> for ReportLayer {
    type Service = Report<S>;

    fn layer(&self, inner: S) -> Report<S> {
        Report { inner, worker: Rc::clone(&self.worker) }
    }
}

/// See [`ReportLayer`].
#[derive(Clone, Debug)]
pub struct Report<S> {
    inner: S,
    worker: Rc<Worker>,
}

impl<S> Service<Attempt> for Report<S>
where
    S: Service<Attempt, Response = Response<Body>, Error = Failure<Returned>>,
    S::Future: 'static,
{
    type Response = Response<Body>;
    type Error = Failure<Returned>;
    type Future = Answer<Response<Body>, Failure<Returned>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure<Returned>>> {
        always_ready(cx)
    }

    fn call(&mut self, attempt: Attempt) -> Self::Future {
        let guard = Rc::clone(&attempt.guard);
        let worker = Rc::clone(&self.worker);
        let answer = self.inner.call(attempt);
        Box::pin(async move {
            match answer.await {
                Ok(mut response) => {
                    guard.memory().reach.succeed();
                    response.body_mut().on_end(move |_| drop(guard));
                    Ok(response)
                }
                Err(failure) => {
                    note(guard.memory(), &failure.error, &worker);
                    Err(failure)
                }
            }
        })
    }
}

/// What a failed attempt says about its endpoint; failures of the caller's making say nothing.
fn note(memory: &Arc<Memory>, error: &ProxyError, worker: &Worker) {
    let ProxyError::Send(cause) = error else { return };
    match cause {
        SendCause::Connect(cause) => {
            memory.count_failure();
            if memory.reach.fail(worker.shared.clock.now(), worker.luck()) {
                tracing::warn!(endpoint = %memory.address, %cause, "an endpoint cannot be reached; it is left alone for a while");
            }
        }
        SendCause::Closed { .. } | SendCause::Malformed { .. } => memory.count_failure(),
        SendCause::Full { .. } | SendCause::RequestBody { .. } => {}
    }
}
