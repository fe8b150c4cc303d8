//! Select: chooses the endpoint of one attempt, by the balancer of the subscription's latest snapshot.

use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use super::line::Line;
use super::middleware::{Answer, Middleware, Serve, refused};
use crate::catalog::Claim;
use crate::proxy::error::ProxyError;
use crate::proxy::headers;
use crate::proxy::pick::{Picked, Sought};
use crate::proxy::record::Target;
use crate::proxy::request::{Attempt, Exchange, Failure, Returned, Routed};
use crate::proxy::worker::Worker;
use crate::upstream::Reuse;

/// Chooses endpoints.
#[derive(Clone, Debug)]
pub struct Select {
    /// Whose luck and clock.
    pub worker: Rc<Worker>,
}

impl Select {
    /// Chooses an endpoint.
    fn pick(&self, routed: &Routed, begun: Instant) -> Result<Picked, ProxyError> {
        if routed.reuse == Reuse::Fresh
            && let Some(picked) = pick_again(routed)
        {
            return Ok(picked);
        }
        let part = routed.record.part.borrow();
        let failover: &[Claim] = part.as_ref().map_or(&routed.rules.failover, |part| &part.failover);
        let mut raw = Vec::new();
        let failover = if routed.exchange == Exchange::Tunnel && !failover.is_empty() {
            raw.extend(failover.iter().cloned().map(Claim::raw));
            &raw
        } else {
            failover
        };
        let sought = Sought { failover, ..sought(routed) };
        sought.pick(&self.worker, self.worker.shared.clock.at(begun))
    }
}

/// Whom a request looks for, but for what stands in.
fn sought(routed: &Routed) -> Sought<'_> {
    Sought {
        bound: &routed.bound,
        failover: &[],
        tried: &routed.tried,
        elsewhere: routed.elsewhere,
        key: routed.key,
        wish: routed.wish.as_deref(),
        telling: routed.record.past().map(|past| &past.telling),
    }
}

/// The endpoint that had the attempt before this one, on a connection that proved stale: that is no reason to leave it.
fn pick_again(routed: &Routed) -> Option<Picked> {
    let target = routed.record.target.borrow();
    let Target { memory, bound, .. } = target.as_ref()?;
    let endpoint = bound.look(|snapshot| {
        let endpoint = snapshot.all().find(|endpoint| Arc::ptr_eq(&endpoint.memory, memory))?;
        (endpoint.is_available() && endpoint.memory.has_room(&snapshot.care)).then(|| endpoint.clone())
    });
    endpoint.map(|endpoint| (endpoint, Rc::clone(bound)))
}

impl Middleware for Select {
    type Request = Routed;
    type Error = Failure<Returned>;
    type InnerRequest = Attempt;
    type InnerError = Failure<Returned>;

    fn call(
        &self,
        routed: Routed,
        inner: &mut impl Serve<Attempt, Failure<Returned>>,
    ) -> Answer<Failure<Returned>> {
        let begun = Instant::now();
        let full = || ProxyError::EndpointsFull { service: routed.bound.service().clone() };
        // A further attempt has had its turn, also one that goes where the one before went and so has tried nobody.
        let waits = routed.record.attempts.get() == 0;
        let is_behind = waits && Line::is_before(&sought(&routed));
        let picked = if is_behind { Err(full()) } else { self.pick(&routed, begun) };
        let error = match picked {
            Ok(picked) => return attempt(inner, routed, picked, begun),
            Err(error) => error,
        };
        let is_full = matches!(error, ProxyError::EndpointsFull { .. });
        let line = (waits && is_full).then(|| Line::join(&sought(&routed))).flatten();
        let Some(line) = line else { return refused(error.into()) };
        let (this, mut inner) = (self.clone(), inner.clone());
        Box::pin(async move {
            let metrics = &this.worker.shared.metrics.proxy;
            let (picked, begun) = line.wait(metrics, &routed.bound, |now| this.pick(&routed, now)).await?;
            let answer = attempt(&mut inner, routed, picked, begun);
            // Who is next looks for room after what this one took is counted.
            drop(line);
            answer.await
        })
    }
}

/// Sends a request to an endpoint.
fn attempt(
    inner: &mut impl Serve<Attempt, Failure<Returned>>,
    routed: Routed,
    (endpoint, bound): Picked,
    begun: Instant,
) -> Answer<Failure<Returned>> {
    let Routed { mut message, traits, client, record, rules, exchange, reuse, deadline, .. } = routed;
    let retries = &rules.limits.retries;
    // A body may be longer than what is kept of it.
    let repeats = retries.max > 0
        && retries.idempotent
        && (retries.harmless || message.method().is_idempotent())
        && message.body().is_empty();
    record.attempts.set(record.attempts.get().saturating_add(1));
    if let Some(past) = record.past() {
        past.begin(record.attempts.get(), &endpoint, bound.service(), begun - record.begun());
    }
    let memory = Arc::clone(&endpoint.memory);
    let provider = record.answering.borrow().is_some().then(|| Arc::clone(&endpoint.provider));
    record.target.replace(Some(Target { memory, bound: Rc::clone(&bound), provider }));
    if rules.host_of_provider {
        headers::ask_for_its_own_host(message.headers_mut(), &endpoint.provider);
    }
    let number = record.attempts.get();
    let span = record
        .trace()
        .and_then(|trace| trace.attempt(&endpoint, bound.service(), number, &mut message, begun));
    inner.call(Attempt {
        message,
        traits,
        client,
        number,
        span,
        record,
        guard: Rc::new(endpoint.memory.begin()),
        endpoint,
        bound,
        exchange,
        reuse,
        repeats,
        begun,
        limit: rules.limits.attempt_timeout,
        deadline,
    })
}

#[cfg(test)]
mod tests {
    use tower::{Layer as _, Service as _};

    use super::*;
    use crate::balance::{Policy, Wish};
    use crate::clock::Moment;
    use crate::proxy::layer::bed::{Bed, Played, answer};
    use crate::proxy::layer::middleware::{Wrap, Wrapped};
    use crate::route::Part;

    type Inner = Played<Attempt, Failure<Returned>>;

    fn select(bed: &Bed) -> (Wrapped<Select, Inner>, Inner) {
        let inner = Inner::new();
        (Wrap(Select { worker: Rc::clone(&bed.worker) }).layer(inner.clone()), inner)
    }

    #[tokio::test]
    async fn each_attempt_goes_to_an_endpoint_not_tried_before() {
        let bed = Bed::new();
        let endpoints = bed.list(&[1, 2, 3]);
        let (mut select, inner) = select(&bed);
        let record = bed.get().record;
        let mut tried = Vec::new();
        for number in 1..=3 {
            inner.then(move |attempt| {
                assert_eq!((attempt.message.uri().path(), attempt.number), ("/kept", number));
                Ok(answer(200))
            });
            let routed = bed.routed(http::Request::get("/kept"));
            select.call(Routed { record: Rc::clone(&record), tried: tried.clone(), ..routed }).await.unwrap();
            tried.push(record.target.borrow().as_ref().unwrap().memory.number);
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
    async fn another_service_stands_in_while_nothing_is_available() {
        let mut bed = Bed::new();
        let endpoints = bed.list(&[1, 2]);
        let claim = |name: &str| Claim::on(name.parse().unwrap(), Policy::RoundRobin);
        let bind = |name| {
            let shared = &bed.worker.shared;
            bed.worker.directory.claimed(&claim(name), &shared.catalog, &shared.metrics).unwrap()
        };
        let far = bed.list_at(&bind("far"), &[3]);
        bed.list_at(&bind("nobody"), &[]);
        bed.rules.failover = [claim("nobody"), claim("far")].into();
        let (mut select, inner) = select(&bed);
        let mut goes_to = async |routed: Routed, port: u64| {
            let (record, asked) = (Rc::clone(&routed.record), Rc::clone(&routed.bound));
            inner.then(move |attempt| {
                assert_eq!(attempt.endpoint.memory.number, port);
                Ok(answer(200))
            });
            select.call(routed).await.unwrap();
            let target = record.target.take().unwrap();
            target.standing_in(&asked).map(ToString::to_string)
        };
        endpoints[0].memory.fail_to_connect(Moment::START, 0.5);
        assert_eq!(goes_to(bed.get(), 2).await, None, "one is available");
        endpoints[1].memory.fail_to_connect(bed.worker.shared.clock.now(), 0.5);
        let tried = Routed { tried: [1].into_iter().collect(), ..bed.get() };
        assert_eq!(goes_to(tried, 3).await.as_deref(), Some("far"));
        let only = Routed { wish: Some(Box::new(Wish::only("127.0.0.1:2"))), ..bed.get() };
        assert_eq!(goes_to(only, 2).await, None, "a wish is for one service");
        far[0].memory.fail_to_connect(bed.worker.shared.clock.now(), 0.5);
        let tried = Routed { tried: [1].into_iter().collect(), ..bed.get() };
        assert_eq!(goes_to(tried, 2).await, None, "nothing is available there either");
        endpoints[1].memory.reached();
        assert_eq!(goes_to(bed.get(), 2).await, None);
    }

    #[tokio::test]
    async fn who_takes_the_place_of_a_part_is_its_own_matter() {
        let mut bed = Bed::new();
        let endpoints = bed.list(&[1]);
        let claim = |name: &str| Claim::on(name.parse().unwrap(), Policy::RoundRobin);
        for (name, port) in [("far", 3), ("near", 4)] {
            let shared = &bed.worker.shared;
            let bound = bed.worker.directory.claimed(&claim(name), &shared.catalog, &shared.metrics).unwrap();
            bed.list_at(&bound, &[port]);
        }
        bed.rules.failover = [claim("far")].into();
        let (mut select, inner) = select(&bed);
        endpoints[0].memory.fail_to_connect(bed.worker.shared.clock.now(), 0.5);
        let part = Part::new(claim("a"), 1.0).with_failover([claim("near")]);
        for (part, port) in [(None, 3), (Some(part), 4)] {
            let routed = bed.get();
            routed.record.part.replace(part.map(std::sync::Arc::new));
            inner.then(move |attempt| {
                assert_eq!(attempt.endpoint.memory.number, port);
                Ok(answer(200))
            });
            select.call(routed).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_due_is_tried_before_another_service_stands_in() {
        let mut bed = Bed::new();
        let endpoints = bed.list(&[1]);
        let claim = Claim::on("far".parse().unwrap(), Policy::RoundRobin);
        let shared = &bed.worker.shared;
        let far = bed.worker.directory.claimed(&claim, &shared.catalog, &shared.metrics).unwrap();
        bed.list_at(&far, &[3]);
        bed.rules.failover = [claim].into();
        let (mut select, inner) = select(&bed);
        endpoints[0].memory.fail_to_connect(bed.worker.shared.clock.now(), 0.5);
        let mut numbers = Vec::new();
        for pause in [0, 2, 0] {
            tokio::time::advance(std::time::Duration::from_secs(pause)).await;
            let (seen, number) = tokio::sync::oneshot::channel();
            inner.then(|attempt| {
                seen.send(attempt.endpoint.memory.number).unwrap();
                Ok(answer(200))
            });
            select.call(bed.get()).await.unwrap();
            numbers.push(number.await.unwrap());
        }
        assert_eq!(numbers, [3, 1, 3]);
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
