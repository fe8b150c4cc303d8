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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::layer::bed::{Bed, Played, answer};

    #[tokio::test]
    async fn errors_become_answers_and_answers_stay() {
        let bed = Bed::new();
        let inner = Played::<Request, ProxyError>::new();
        let mut rescue = RescueLayer { worker: Rc::clone(&bed.worker) }.layer(inner.clone());
        for (answered, status, reason) in
            [(Ok(answer(404)), 404, None), (Err(ProxyError::Loop), 508, Some("loop"))]
        {
            inner.then(|_| answered);
            let routed = bed.get();
            let record = Rc::clone(&routed.record);
            let request = Request {
                message: routed.message,
                traits: routed.traits,
                client: routed.client,
                record: routed.record,
            };
            let response = rescue.call(request).await.unwrap();
            assert_eq!((response.status().as_u16(), record.reason.get()), (status, reason));
            assert_eq!(response.headers().contains_key("proxy-status"), reason.is_some());
        }
    }
}
