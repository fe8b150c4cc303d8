//! Copies on their way: which are made, what they are, and what becomes of them.

use std::time::Duration;

use tokio::task::LocalSet;
use tokio::time::Instant;
use tower::{Layer as _, Service as _};

use super::*;
use crate::balance::Policy;
use crate::body::played::played;
use crate::catalog::Claim;
use crate::endpoint::Said;
use crate::proxy::layer::bed::{Bed, Played, answer};
use crate::proxy::layer::middleware::Wrap;
use crate::proxy::layer::report::Report;
use crate::proxy::layer::retry::Retry;
use crate::proxy::layer::select::Select;
use crate::proxy::request::{Attempt, Failure, Returned};
use crate::route::{self, Hedge, Share};

type Aside = Played<Routed, ProxyError>;

/// A bed whose requests are copied for `svc`, which has an endpoint.
fn bed() -> Bed {
    let mut bed = Bed::new();
    bed.list(&[1]);
    let claim = bed.get().bound.subscription.claim().clone();
    bed.rules.mirror = Some(Arc::new(route::Mirror { claim, share: Share::ALL }));
    bed
}

fn counted(bed: &Bed, result: Mirrored) -> u64 {
    bed.metrics().traffic.mirrored(&"svc".parse().unwrap(), result).get()
}

/// Sends a request, whose provider reads its body, through the layer; then waits until no copy is left.
async fn pass(bed: &Bed, aside: &Aside, routed: Routed) {
    let inner = Played::new();
    inner.then(|routed: Routed| {
        let body = routed.message.into_body();
        Ok(answer(200).map(|_| body))
    });
    let layer = Wrap(Mirror::new(Rc::clone(&bed.worker), aside.clone()));
    let response = layer.layer(inner).call(routed).await.unwrap();
    let _ = response.into_body().collect().await;
    while bed.metrics().traffic.mirrors_in_flight.get() > 0 {
        tokio::task::yield_now().await;
        tokio::time::advance(Duration::from_secs(1)).await;
    }
}

fn with_body(bed: &Bed, bytes: usize) -> Routed {
    let mut routed = bed.routed(http::Request::post("/x?y").header("x-a", "1"));
    *routed.message.body_mut() = Body::from(Bytes::from(vec![7; bytes]));
    routed
}

#[tokio::test(start_paused = true)]
async fn a_copy_says_the_same_and_that_it_is_one() {
    let check = async {
        let bed = bed();
        for bytes in [0, 1, BODY_MAX] {
            let aside = Aside::new();
            aside.then(move |routed: Routed| {
                let message = &routed.message;
                assert_eq!((message.method().as_str(), message.uri().to_string().as_str()), ("POST", "/x?y"));
                assert!(message.headers()["x-a"] == "1" && message.headers()[X_WAYSIDE_MIRROR] == "1");
                assert_eq!(message.body().size_hint().exact(), Some(bytes as u64));
                Ok(answer(if bytes == 1 { 503 } else { 404 }))
            });
            pass(&bed, &aside, with_body(&bed, bytes)).await;
            assert_eq!(aside.left(), 0);
        }
        assert_eq!((counted(&bed, Mirrored::Answered), counted(&bed, Mirrored::Failed)), (2, 1));
        assert_eq!(bed.metrics().proxy.requests_in_flight.get(), 0, "copies are no requests");
    };
    LocalSet::new().run_until(check).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_to_be_copied_is_not() {
    let check = async {
        let bed = bed();
        let aside = Aside::new();
        pass(&bed, &aside, bed.routed(http::Request::get("/").header("x-wayside-mirror", "1"))).await;
        pass(&bed, &aside, Routed { exchange: Exchange::Upgrade, ..bed.get() }).await;
        pass(&bed, &aside, with_body(&bed, BODY_MAX + 1)).await;
        assert_eq!(counted(&bed, Mirrored::TooLarge), 1);
        bed.metrics().traffic.mirrors_in_flight.set(COPIES_MAX);
        let inner = Played::new();
        inner.then(|_| Ok(answer(200)));
        let layer = Wrap(Mirror::new(Rc::clone(&bed.worker), aside.clone()));
        layer.layer(inner).call(bed.get()).await.unwrap();
        assert_eq!(counted(&bed, Mirrored::NoRoom), 1);
    };
    LocalSet::new().run_until(check).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_is_not_copied() {
    let check = async {
        let bed = bed();
        let inner = Played::new();
        inner.then(|_unread| Ok(answer(200)));
        let layer = Wrap(Mirror::new(Rc::clone(&bed.worker), Aside::new()));
        layer.layer(inner).call(with_body(&bed, 5)).await.unwrap();
        assert_eq!(counted(&bed, Mirrored::Incomplete), 1);
        assert_eq!(bed.metrics().traffic.mirrors_in_flight.get(), 0);
    };
    LocalSet::new().run_until(check).await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_fails_is_counted_and_has_its_time() {
    let check = async {
        let bed = bed();
        let aside = Aside::new();
        aside.then(|_| Err(ProxyError::Switch));
        pass(&bed, &aside, bed.get()).await;
        assert_eq!((aside.left(), counted(&bed, Mirrored::Failed)), (0, 1));
        aside.then_never();
        let begun = Instant::now();
        pass(&bed, &aside, bed.get()).await;
        assert_eq!(counted(&bed, Mirrored::Late), 1);
        assert!(begun.elapsed() >= bed.limits.request_timeout);
    };
    LocalSet::new().run_until(check).await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_drops_what_is_under_way_and_begins_nothing() {
    let check = async {
        let bed = bed();
        let aside = Aside::new();
        aside.then_never();
        let inner = Played::new();
        for _ in 0..2 {
            inner.then(|_| Ok(answer(200)));
        }
        let layer = Wrap(Mirror::new(Rc::clone(&bed.worker), aside.clone()));
        let mut mirroring = layer.layer(inner);
        mirroring.call(bed.get()).await.unwrap();
        tokio::task::yield_now().await;
        assert_eq!((aside.left(), bed.metrics().traffic.mirrors_in_flight.get()), (0, 1));
        assert_eq!(bed.worker.shared.drain.finish(Duration::from_secs(1)).await, 0, "nobody had to wait");
        mirroring.call(bed.get()).await.unwrap();
        assert_eq!(bed.metrics().traffic.mirrors_in_flight.get(), 0);
    };
    LocalSet::new().run_until(check).await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_goes_to_its_own_service_alone() {
    let check = async {
        let mut bed = bed();
        bed.rules.failover = [Claim::on("first".parse().unwrap(), Policy::RoundRobin)].into();
        bed.limits.retries.hedge = Some(Hedge::After(Duration::from_millis(1)));
        let aside = Aside::new();
        aside.then(|copy: Routed| {
            assert!(copy.rules.failover.is_empty() && copy.rules.limits.retries.hedge.is_none());
            Ok(answer(200))
        });
        pass(&bed, &aside, bed.get()).await;
        assert_eq!(counted(&bed, Mirrored::Answered), 1);
    };
    LocalSet::new().run_until(check).await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_lets_copies_hang_is_ejected() {
    let check = async {
        let mut bed = bed();
        let endpoints = bed.list(&[1, 2, 3]);
        bed.limits.retries.max = 0;
        let attempts = tower::service_fn(|attempt: Attempt| -> Answer<Failure<Returned>> {
            let is_first = attempt.endpoint.memory.number == 1;
            Box::pin(async move {
                let _held = attempt;
                if is_first { std::future::pending().await } else { Ok(answer(200)) }
            })
        });
        let worker = || Rc::clone(&bed.worker);
        let report = Wrap(Report { worker: worker() }).layer(attempts);
        let select = Wrap(Select { worker: worker() }).layer(report);
        let layer = Wrap(Mirror::new(worker(), Wrap(Retry { worker: worker() }).layer(select)));
        for _ in 0..15 {
            let inner = Played::new();
            inner.then(|_| Ok(answer(200)));
            layer.layer(inner).call(bed.get()).await.unwrap();
            while bed.metrics().traffic.mirrors_in_flight.get() > 0 {
                tokio::task::yield_now().await;
                tokio::time::advance(Duration::from_secs(1)).await;
            }
        }
        let failures: Vec<u64> = endpoints.iter().map(|endpoint| endpoint.memory.failures()).collect();
        assert!(failures[0] > 0 && failures[1..] == [0, 0], "{failures:?}");
        assert!(endpoints[0].memory.last_failure() == Said::Late);
    };
    LocalSet::new().run_until(check).await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_failed_however_that_is_told() {
    let check = async {
        let bed = bed();
        for (name, value, at_end, result) in [
            ("micro-error", r#"{"code":500}"#, None, Mirrored::Failed),
            ("micro-error", r#"{"code":404}"#, None, Mirrored::Answered),
            ("grpc-status", "14", None, Mirrored::Failed),
            ("x-a", "1", Some("14"), Mirrored::Failed),
            ("x-a", "1", Some("0"), Mirrored::Answered),
        ] {
            let aside = Aside::new();
            aside.then(move |_| {
                let (player, body) = played();
                if let Some(status) = at_end {
                    let status = ("grpc-status".parse().unwrap(), HeaderValue::from_static(status));
                    player.end_with(http::HeaderMap::from_iter([status]));
                }
                let mut answer = answer(200).map(|_| body);
                answer.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
                answer.headers_mut().insert(name, HeaderValue::from_static(value));
                Ok(answer)
            });
            let before = counted(&bed, result);
            pass(&bed, &aside, bed.get()).await;
            assert_eq!(counted(&bed, result), before + 1, "{name}: {value}, {at_end:?}");
        }
    };
    LocalSet::new().run_until(check).await;
}
