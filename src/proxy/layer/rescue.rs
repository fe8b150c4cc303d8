//! Rescue: on the way back, turns an error into the answer that this caller understands.

use std::convert::Infallible;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::Response;
use tower::{Layer, Service};

use super::{Answer, always_ready};
use crate::body::Body;
use crate::proxy::answer::Form;
use crate::proxy::error::ProxyError;
use crate::proxy::request::Request;
use crate::proxy::worker::Worker;

/// Turns errors into answers.
#[derive(Clone, Debug)]
pub struct RescueLayer {
    /// Whose catalog tells how things are.
    pub worker: Rc<Worker>,
}

impl<S> Layer<S> for RescueLayer {
    type Service = Rescue<S>;

    fn layer(&self, inner: S) -> Rescue<S> {
        Rescue { inner, worker: Rc::clone(&self.worker) }
    }
}

/// See [`RescueLayer`].
#[derive(Clone, Debug)]
pub struct Rescue<S> {
    inner: S,
    worker: Rc<Worker>,
}

impl<S> Service<Request> for Rescue<S>
where
    S: Service<Request, Response = Response<Body>, Error = ProxyError>,
    S::Future: 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer<Response<Body>, Infallible>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        always_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let form = Form::of(request.traits);
        let record = Rc::clone(&request.record);
        let worker = Rc::clone(&self.worker);
        let answer = self.inner.call(request);
        Box::pin(async move {
            Ok(match answer.await {
                Ok(response) => response,
                Err(error) => {
                    record.reason.set(Some(error.reason()));
                    form.tell(&error, &record, &worker)
                }
            })
        })
    }
}
