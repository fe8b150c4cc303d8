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
    S: Service<Attempt, Response = Response<Body>, Error = Failure<Returned>> + Clone + 'static,
    S::Future: 'static,
{
    type Response = Response<Body>;
    type Error = Failure<Routed>;
    type Future = Answer<Response<Body>, Failure<Routed>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure<Routed>>> {
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
    S: Service<Attempt, Response = Response<Body>, Error = Failure<Returned>>,
    S::Future: 'static,
{
    /// Sends a request to an endpoint.
    fn attempt(
        &mut self,
        routed: Routed,
        endpoint: Endpoint,
        begun: Instant,
    ) -> Answer<Response<Body>, Failure<Routed>> {
        let Routed { message, traits, client, record, bound, rules, key, wish, exchange, mut tried, reuse } =
            routed;
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
            begun,
            limit: rules.limits.attempt_timeout,
        });
        Box::pin(async move {
            answer.await.map_err(|Failure { error, again }| {
                let again = again.and_then(|returned| {
                    let Returned { message, elsewhere, never_arrived } = returned;
                    let repeatable = never_arrived || rules.limits.retry_idempotent;
                    if !repeatable || (elsewhere && tried.try_push(number).is_err()) {
                        return None;
                    }
                    let reuse = if elsewhere { Reuse::Idle } else { Reuse::Fresh };
                    Some(Routed {
                        message,
                        traits,
                        client,
                        record,
                        bound,
                        rules,
                        key,
                        wish,
                        exchange,
                        tried,
                        reuse,
                    })
                });
                Failure { error, again }
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Wish;
    use crate::proxy::layer::bed::{Bed, Played, answer};
    use crate::upstream::SendCause;

    type Inner = Played<Attempt, Failure<Returned>>;

    fn select(bed: &Bed) -> (Select<Inner>, Inner) {
        let inner = Inner::new();
        (SelectLayer { worker: Rc::clone(&bed.worker) }.layer(inner.clone()), inner)
    }

    /// An attempt that failed, with its message given back.
    fn returned(attempt: Attempt, elsewhere: bool, never_arrived: bool) -> Failure<Returned> {
        let cause = SendCause::Full { address: attempt.endpoint.memory.address.clone(), limit: 1 };
        let message = attempt.message;
        Failure { error: cause.into(), again: Some(Returned { message, elsewhere, never_arrived }) }
    }

    #[tokio::test]
    async fn each_attempt_goes_to_another_endpoint() {
        let bed = Bed::new();
        let endpoints = bed.list(&[1, 2, 3]);
        let (mut select, inner) = select(&bed);
        let mut routed = bed.routed(http::Request::get("/kept"));
        for _ in 0..3 {
            inner.then(|attempt| {
                assert_eq!(attempt.message.uri(), "/kept");
                Err(returned(attempt, true, true))
            });
            routed = select.call(routed).await.unwrap_err().again.unwrap();
        }
        assert!(endpoints.iter().all(|endpoint| endpoint.memory.attempts() == 1));
        assert!(endpoints.iter().all(|endpoint| endpoint.memory.in_flight() == 0));
        assert_eq!((routed.record.attempts.get(), routed.tried.len()), (3, 3));
    }

    #[tokio::test]
    async fn a_stale_connection_is_no_reason_to_leave_its_endpoint() {
        let bed = Bed::new();
        bed.list(&[1]);
        let (mut select, inner) = select(&bed);
        inner.then(|attempt| Err(returned(attempt, false, true)));
        let routed = select.call(bed.get()).await.unwrap_err().again.unwrap();
        assert_eq!((routed.reuse, routed.tried.len()), (Reuse::Fresh, 0));
        inner.then(|attempt| {
            assert_eq!(attempt.reuse, Reuse::Fresh);
            Ok(answer(200))
        });
        select.call(routed).await.unwrap();
    }

    #[tokio::test]
    async fn what_may_have_arrived_is_given_back_only_where_that_is_allowed() {
        for allowed in [true, false] {
            let mut bed = Bed::new();
            bed.limits.retry_idempotent = allowed;
            bed.list(&[1]);
            let (mut select, inner) = select(&bed);
            inner.then(|attempt| Err(returned(attempt, true, false)));
            assert_eq!(select.call(bed.get()).await.unwrap_err().again.is_some(), allowed);
        }
    }

    #[tokio::test]
    async fn a_wish_is_obeyed_on_every_attempt() {
        let bed = Bed::new();
        let endpoints = bed.list(&[1, 2, 3]);
        let (mut select, inner) = select(&bed);
        let wish = |name: &str| Some(Box::new(Wish::only(name)));
        let mut routed = Routed { wish: wish("127.0.0.1:2"), ..bed.get() };
        for elsewhere in [false, true] {
            inner.then(move |attempt| Err(returned(attempt, elsewhere, true)));
            routed = select.call(routed).await.unwrap_err().again.unwrap();
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
