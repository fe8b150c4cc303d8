//! Observe: begins the record of a request, and has it ended by the end of the answer's body.

use std::convert::Infallible;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::Response;
use hyper::body::Incoming;
use tower::{Layer, Service};

use super::{Answer, always_ready};
use crate::body::Body;
use crate::proxy::client::Client;
use crate::proxy::record::Record;
use crate::proxy::request::Request;
use crate::proxy::traits::Traits;
use crate::proxy::worker::Worker;

/// A request as the HTTP server hands it over.
#[derive(Debug)]
pub struct Arrived {
    /// The message.
    pub message: http::Request<Incoming>,
    /// Who sent it.
    pub client: Rc<Client>,
}

/// Begins records.
#[derive(Clone, Debug)]
pub struct ObserveLayer {
    /// Whose records.
    pub worker: Rc<Worker>,
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        Observe { inner, worker: Rc::clone(&self.worker) }
    }
}

/// See [`ObserveLayer`].
#[derive(Clone, Debug)]
pub struct Observe<S> {
    inner: S,
    worker: Rc<Worker>,
}

impl<S> Service<Arrived> for Observe<S>
where
    S: Service<Request, Response = Response<Body>, Error = Infallible>,
    S::Future: 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer<Response<Body>, Infallible>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        always_ready(cx)
    }

    fn call(&mut self, arrived: Arrived) -> Self::Future {
        let Arrived { message, client } = arrived;
        let record = Record::begin(&self.worker, &client, &message);
        let mut message = Box::new(message.map(Body::from));
        if !message.body().is_empty() {
            // As long as its body comes in, a request is not over, not even when it is answered.
            let record = Rc::clone(&record);
            message.body_mut().on_end(move |end| record.received(end));
        }
        let answer = self.inner.call(Request {
            traits: Traits::of(message.headers()),
            message,
            client,
            record: Rc::clone(&record),
        });
        Box::pin(async move {
            let mut response = answer.await?;
            record.answer(response.status().as_u16());
            response.body_mut().on_end(move |end| record.ended(end));
            Ok(response)
        })
    }
}
