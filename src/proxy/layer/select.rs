//! Select: chooses the endpoint of one attempt, by the balancer of the subscription's latest snapshot.

use std::rc::Rc;
use std::task::{Context, Poll};

use http::Response;
use tokio::time::Instant;
use tower::{Layer, Service};

use super::line::Line;
use super::{Answer, always_ready};
use crate::balance::Ask;
use crate::body::Body;
use crate::catalog::NoEndpoint;
use crate::endpoint::Endpoint;
use crate::proxy::error::ProxyError;
use crate::proxy::request::{Attempt, Failure, Returned, Routed};
use crate::proxy::worker::Worker;

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
    pub(super) worker: Rc<Worker>,
}

impl<S> Select<S> {
    /// Chooses an endpoint.
    pub(super) fn pick(&self, routed: &Routed, begun: Instant) -> Result<Endpoint, ProxyError> {
        let now = self.worker.shared.clock.at(begun);
        let bound = &routed.bound;
        bound.look(|snapshot| {
            let picked = self.worker.with_luck(|rng| {
                snapshot.pick(&mut Ask {
                    tried: &routed.tried,
                    key: routed.key,
                    wish: routed.wish.as_deref(),
                    ..Ask::new(now, rng)
                })
            });
            if picked.is_ok_and(|endpoint| !endpoint.is_available())
                && !snapshot.all().any(Endpoint::is_available)
            {
                self.worker.shared.metrics.proxy.desperate_picks_total.inc();
            }
            // What was tried is picked only where nothing else is left.
            let had_it = |endpoint: &Endpoint| routed.tried.contains(&endpoint.memory.number);
            let picked = match picked {
                Ok(endpoint) if routed.elsewhere && had_it(endpoint) => Err(NoEndpoint::AllTried),
                picked => picked,
            };
            picked.cloned().map_err(|why| match why {
                NoEndpoint::NotListed => ProxyError::NotListed { service: bound.service().clone() },
                NoEndpoint::Absent => ProxyError::Absent { service: bound.service().clone() },
                NoEndpoint::OutOfReach => {
                    let (service, count) = (bound.service().clone(), snapshot.out_of_reach);
                    ProxyError::OutOfReach { service, count }
                }
                NoEndpoint::Unknown => ProxyError::Unwanted { service: bound.service().clone() },
                NoEndpoint::Full => ProxyError::EndpointsFull { service: bound.service().clone() },
                NoEndpoint::Empty | NoEndpoint::AllTried => {
                    ProxyError::NoProvider { service: bound.service().clone(), known: snapshot.known }
                }
            })
        })
    }
}

impl<S> Service<Routed> for Select<S>
where
    S: Service<
            Attempt,
            Response = Response<Body>,
            Error = Failure<Returned>,
            Future = Answer<Response<Body>, Failure<Returned>>,
        > + Clone
        + 'static,
{
    type Response = Response<Body>;
    type Error = Failure<Returned>;
    type Future = Answer<Response<Body>, Failure<Returned>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure<Returned>>> {
        always_ready(cx)
    }

    fn call(&mut self, routed: Routed) -> Self::Future {
        let begun = Instant::now();
        let full = || ProxyError::EndpointsFull { service: routed.bound.service().clone() };
        let picked = if Line::is_before(&routed) { Err(full()) } else { self.pick(&routed, begun) };
        let error = match picked {
            Ok(endpoint) => return self.attempt(routed, endpoint, begun),
            Err(error) => error,
        };
        let line = matches!(error, ProxyError::EndpointsFull { .. }).then(|| Line::join(&routed)).flatten();
        let Some(line) = line else { return Box::pin(std::future::ready(Err(error.into()))) };
        let mut this = self.clone();
        Box::pin(async move {
            let (endpoint, begun) = line.wait(&this, &routed).await?;
            let answer = this.attempt(routed, endpoint, begun);
            // Who is next looks for room after what this one took is counted.
            drop(line);
            answer.await
        })
    }
}

impl<S> Select<S>
where
    S: Service<
            Attempt,
            Response = Response<Body>,
            Error = Failure<Returned>,
            Future = Answer<Response<Body>, Failure<Returned>>,
        >,
{
    /// Sends a request to an endpoint.
    fn attempt(
        &mut self,
        routed: Routed,
        endpoint: Endpoint,
        begun: Instant,
    ) -> Answer<Response<Body>, Failure<Returned>> {
        let Routed { message, traits, client, record, rules, exchange, reuse, deadline, .. } = routed;
        record.attempts.set(record.attempts.get().saturating_add(1));
        record.endpoint.replace(Some(endpoint.memory.clone()));
        self.inner.call(Attempt {
            message,
            traits,
            client,
            number: record.attempts.get(),
            record,
            guard: Rc::new(endpoint.memory.begin()),
            endpoint,
            exchange,
            reuse,
            begun,
            limit: rules.limits.attempt_timeout,
            deadline,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Wish;
    use crate::proxy::layer::bed::{Bed, Played, answer};

    type Inner = Played<Attempt, Failure<Returned>>;

    fn select(bed: &Bed) -> (Select<Inner>, Inner) {
        let inner = Inner::new();
        (SelectLayer { worker: Rc::clone(&bed.worker) }.layer(inner.clone()), inner)
    }

    #[tokio::test]
    async fn each_attempt_goes_to_an_endpoint_not_tried_before() {
        let bed = Bed::new();
        let endpoints = bed.list(&[1, 2, 3]);
        let (mut select, inner) = select(&bed);
        let record = bed.get().record;
        let mut tried = arrayvec::ArrayVec::new();
        for number in 1..=3 {
            inner.then(move |attempt| {
                assert_eq!((attempt.message.uri().path(), attempt.number), ("/kept", number));
                Ok(answer(200))
            });
            let routed = bed.routed(http::Request::get("/kept"));
            select.call(Routed { record: Rc::clone(&record), tried: tried.clone(), ..routed }).await.unwrap();
            tried.push(record.endpoint.borrow().as_ref().unwrap().number);
        }
        assert!(endpoints.iter().all(|endpoint| endpoint.memory.attempts() == 1));
        assert!(endpoints.iter().all(|endpoint| endpoint.memory.in_flight() == 0));
        let failure = select.call(Routed { tried, elsewhere: true, ..bed.get() }).await.unwrap_err();
        assert_eq!((failure.error.reason(), record.attempts.get()), ("no_provider", 3));
    }

    #[tokio::test]
    async fn a_wish_is_obeyed_on_every_attempt() {
        let bed = Bed::new();
        let endpoints = bed.list(&[1, 2, 3]);
        let (mut select, inner) = select(&bed);
        let wish = |name: &str| Some(Box::new(Wish::only(name)));
        for tried in [[1], [2]] {
            inner.then(|_| Ok(answer(200)));
            let tried = tried.into_iter().collect();
            select.call(Routed { tried, wish: wish("127.0.0.1:2"), ..bed.get() }).await.unwrap();
        }
        assert_eq!(endpoints[1].memory.attempts(), 2);
        let nobody = Routed { wish: wish("127.0.0.1:4"), ..bed.get() };
        assert_eq!(select.call(nobody).await.unwrap_err().error.reason(), "no_such_provider");
    }

    #[tokio::test]
    async fn without_an_endpoint_the_reason_is_told() {
        let bed = Bed::new();
        let (mut select, _) = select(&bed);
        let reason = select.call(bed.get()).await.unwrap_err().error.reason();
        assert_eq!(reason, "not_listed");
        bed.list(&[]);
        let failure = select.call(bed.get()).await.unwrap_err();
        assert_eq!((failure.error.reason(), failure.again.is_some()), ("no_provider", false));
    }
}
