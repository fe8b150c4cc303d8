//! Select: chooses the endpoint of one attempt, by the balancer of the subscription's latest snapshot.

use std::rc::Rc;
use std::task::{Context, Poll};

use http::Response;
use tower::{Layer, Service};

use super::{Answer, always_ready};
use crate::body::Body;
use crate::catalog::NoEndpoint;
use crate::endpoint::Endpoint;
use crate::proxy::error::ProxyError;
use crate::proxy::request::{Attempt, Failure, Returned, Routed};
use crate::proxy::worker::Worker;
use crate::upstream::Reuse;

/// Chooses endpoints.
#[derive(Clone, Debug)]
pub struct SelectLayer {
    /// Whose luck and clock.
    pub worker: Rc<Worker>,
}

impl<S> Layer<S> for SelectLayer {
    type Service = Select<S>;

    fn layer(&self, inner: S) -> Select<S> {
        Select { inner, worker: Rc::clone(&self.worker) }
    }
}

/// See [`SelectLayer`].
#[derive(Clone, Debug)]
pub struct Select<S> {
    inner: S,
    worker: Rc<Worker>,
}

impl<S> Select<S> {
    fn pick(&self, routed: &Routed) -> Result<Endpoint, ProxyError> {
        let now =
            if routed.tried.is_empty() { routed.record.moment() } else { self.worker.shared.clock.now() };
        let bound = &routed.bound;
        bound.look(|snapshot| {
            let picked = self.worker.with_luck(|rng| snapshot.pick(now, &routed.tried, rng));
            picked.cloned().map_err(|why| match why {
                NoEndpoint::NotListed => ProxyError::NotListed { service: bound.service().clone() },
                NoEndpoint::Absent => ProxyError::Absent { service: bound.service().clone() },
                NoEndpoint::Empty | NoEndpoint::AllTried => {
                    ProxyError::NoProvider { service: bound.service().clone(), known: snapshot.known }
                }
            })
        })
    }
}

impl<S> Service<Routed> for Select<S>
where
    S: Service<Attempt, Response = Response<Body>, Error = Failure<Returned>>,
    S::Future: 'static,
{
    type Response = Response<Body>;
    type Error = Failure<Routed>;
    type Future = Answer<Response<Body>, Failure<Routed>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure<Routed>>> {
        always_ready(cx)
    }

    fn call(&mut self, routed: Routed) -> Self::Future {
        let endpoint = match self.pick(&routed) {
            Ok(endpoint) => endpoint,
            Err(error) => return Box::pin(std::future::ready(Err(error.into()))),
        };
        let Routed { message, traits, client, record, bound, limits, exchange, mut tried, reuse } = routed;
        record.attempts.set(record.attempts.get().saturating_add(1));
        record.endpoint.replace(Some(endpoint.memory.clone()));
        let number = endpoint.memory.number;
        let answer = self.inner.call(Attempt {
            message,
            client: Rc::clone(&client),
            record: Rc::clone(&record),
            guard: Rc::new(endpoint.memory.begin()),
            endpoint,
            exchange,
            reuse,
            limit: limits.attempt_timeout,
        });
        Box::pin(async move {
            answer.await.map_err(|Failure { error, again }| {
                let again = again.and_then(|returned| {
                    let Returned { message, elsewhere, never_arrived } = returned;
                    let repeatable = never_arrived || limits.retry_idempotent;
                    if !repeatable || (elsewhere && tried.try_push(number).is_err()) {
                        return None;
                    }
                    let reuse = if elsewhere { Reuse::Idle } else { Reuse::Fresh };
                    Some(Routed { message, traits, client, record, bound, limits, exchange, tried, reuse })
                });
                Failure { error, again }
            })
        })
    }
}
