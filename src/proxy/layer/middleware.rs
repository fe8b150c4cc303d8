//! How a layer is written: a value and what it does to a request around the service within.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use tower::{Layer, Service};

use crate::body::Body;

/// An answer to come; it stays on its worker.
pub type Answer<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>>>>;

/// An answer that is there at once: an error.
pub(super) fn refused<E: 'static>(error: E) -> Answer<E> {
    Box::pin(std::future::ready(Err(error)))
}

/// What every layer and all within it are to the one around: a service that answers such requests, or fails with such errors.
///
/// It is always ready: capacity is answered at once, by an error.
pub trait Serve<R, E>:
    Service<R, Response = Response<Body>, Error = E, Future = Answer<E>> + Clone + 'static
{
}

impl<S, R, E> Serve<R, E> for S where
    S: Service<R, Response = Response<Body>, Error = E, Future = Answer<E>> + Clone + 'static
{
}

/// What one layer does; [`Wrap`] makes tower's layer of it.
pub trait Middleware: Clone + 'static {
    /// What it is called with.
    type Request;
    /// How it fails.
    type Error;
    /// What it calls the service within with.
    type InnerRequest;
    /// How the service within fails.
    type InnerError;

    /// Answers a request, if need be by what the service within answers.
    fn call(
        &self,
        request: Self::Request,
        inner: &mut impl Serve<Self::InnerRequest, Self::InnerError>,
    ) -> Answer<Self::Error>;
}

/// The layer of a middleware.
#[derive(Clone, Debug)]
pub struct Wrap<M>(pub M);

impl<M: Clone, S> Layer<S> for Wrap<M> {
    type Service = Wrapped<M, S>;

    fn layer(&self, inner: S) -> Wrapped<M, S> {
        Wrapped { middleware: self.0.clone(), inner }
    }
}

/// A service with a middleware around it.
#[derive(Clone, Debug)]
pub struct Wrapped<M, S> {
    middleware: M,
    inner: S,
}

impl<M, S> Service<M::Request> for Wrapped<M, S>
where
    M: Middleware,
    S: Serve<M::InnerRequest, M::InnerError>,
{
    type Response = Response<Body>;
    type Error = M::Error;
    type Future = Answer<M::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: M::Request) -> Self::Future {
        self.middleware.call(request, &mut self.inner)
    }
}
