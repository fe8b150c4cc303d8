//! What is sent again, when, and how often.

mod again;
mod hedging;

use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;

use tower::{Layer as _, Service as _};

use super::*;
use crate::body::played::played;
use crate::catalog::Allowance;
use crate::proxy::layer::bed::{Bed, Played, answer};
use crate::proxy::layer::middleware::{Wrap, Wrapped};
use crate::proxy::layer::select::Select;
use crate::proxy::request::Attempt;
use crate::upstream::{ConnectError, Reuse, SendCause};

type Inner = Played<Attempt, Failure<Returned>>;

fn retry(bed: &Bed) -> (Wrapped<Retry, Wrapped<Select, Inner>>, Inner) {
    let inner = Inner::new();
    let select = Wrap(Select { worker: Rc::clone(&bed.worker) }).layer(inner.clone());
    (Wrap(Retry { worker: Rc::clone(&bed.worker) }).layer(select), inner)
}

/// A bed with so many providers, and with these statuses to try elsewhere after.
fn bed(providers: u16, statuses: &[u16]) -> Bed {
    let mut bed = Bed::new();
    bed.limits.retries.statuses = statuses.into();
    bed.list(&(1..=providers).collect::<Vec<_>>());
    bed
}

/// An attempt whose provider refuses connections.
fn refused(attempt: Attempt) -> Failure<Returned> {
    let memory = &attempt.endpoint.memory;
    let address = memory.address.clone();
    memory.fail_to_connect(crate::clock::Moment::START, 0.5);
    let message = Some(attempt.message);
    let again = Some(Returned { message, elsewhere: true, never_arrived: true });
    Failure { error: SendCause::Connect(ConnectError::Refused { address }).into(), again }
}

/// An attempt that broke after the message was used up.
fn broken() -> Failure<Returned> {
    let again = Some(Returned { message: None, elsewhere: false, never_arrived: false });
    Failure { error: ProxyError::Switch, again }
}

/// One on an idle connection that proved stale.
fn stale(attempt: Attempt) -> Failure<Returned> {
    let again = Some(Returned { message: Some(attempt.message), elsewhere: false, never_arrived: true });
    Failure { error: ProxyError::Switch, again }
}

fn retries(bed: &Bed) -> u64 {
    bed.metrics().proxy.retries_total.get()
}

fn busy(after: &'static str) -> http::Response<Body> {
    let mut busy = answer(503);
    busy.headers_mut().insert("retry-after", http::HeaderValue::from_static(after));
    busy
}

/// The port of the provider that an error is about.
fn port(error: &ProxyError) -> u16 {
    let ProxyError::Send(SendCause::Connect(ConnectError::Refused { address })) = error else {
        panic!("{error}")
    };
    address.port()
}

#[tokio::test(start_paused = true)]
async fn what_never_arrived_is_sent_elsewhere_at_once_until_it_is_answered() {
    let bed = bed(4, &[]);
    let (mut retry, inner) = retry(&bed);
    let begun = Instant::now();
    for _ in 0..3 {
        inner.then(|attempt| Err(refused(attempt)));
    }
    inner.then(|attempt| {
        assert_eq!((attempt.number, attempt.message.uri().path()), (4, "/kept"));
        Ok(answer(200))
    });
    let routed = bed.routed(http::Request::post("/kept"));
    assert_eq!(retry.call(routed).await.unwrap().status(), 200);
    assert_eq!((inner.left(), retries(&bed), begun.elapsed()), (0, 3, Duration::ZERO));
    assert_eq!(bed.metrics().proxy.retries_total.of(RetryCause::Unreachable).get(), 3);
    let endpoints = bed.endpoints();
    assert!(
        endpoints.iter().all(|endpoint| endpoint.memory.attempts() == 1 && endpoint.memory.in_flight() == 0)
    );
}

#[tokio::test]
async fn retries_have_their_number_and_the_first_failure_is_told() {
    for max in [0, 1, 3] {
        let mut bed = bed(5, &[]);
        bed.limits.retries.max = max;
        let (mut retry, inner) = retry(&bed);
        let first = Rc::new(std::cell::Cell::new(0));
        for number in 0..=max {
            let first = Rc::clone(&first);
            inner.then(move |attempt| {
                if number == 0 {
                    first.set(attempt.endpoint.memory.address.port());
                }
                Err(refused(attempt))
            });
        }
        let error = retry.call(bed.get()).await.unwrap_err();
        assert_eq!((port(&error), inner.left(), retries(&bed)), (first.get(), 0, u64::from(max)));
    }
}

#[tokio::test]
async fn when_nobody_is_left_nothing_is_taken_from_the_budget() {
    let bed = bed(1, &[]);
    let (mut retry, inner) = retry(&bed);
    for _ in 0..500 {
        inner.then(|attempt| Err(refused(attempt)));
        let routed = bed.get();
        let record = Rc::clone(&routed.record);
        assert_eq!(port(&retry.call(routed).await.unwrap_err()), 1);
        assert_eq!((record.attempts.get(), record.not_again.get()), (1, None));
    }
    assert_eq!((retries(&bed), bed.metrics().proxy.retry_budget_exhausted_total.get()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_may_have_arrived_is_sent_again_only_where_that_is_harmless() {
    for (method, harmless, idempotent, again) in [
        ("GET", false, true, true),
        ("PUT", false, true, true),
        ("GET", false, false, false),
        ("POST", false, true, false),
        ("POST", true, true, true),
    ] {
        let mut bed = bed(3, &[]);
        (bed.limits.retries.harmless, bed.limits.retries.idempotent) = (harmless, idempotent);
        let (mut retry, inner) = retry(&bed);
        inner.then(|_| Err(broken()));
        if again {
            inner.then(|attempt| {
                assert_eq!(attempt.reuse, Reuse::Fresh);
                Err(broken())
            });
            inner.then(|attempt| {
                assert_eq!(attempt.reuse, Reuse::Idle, "a new connection that broke is no stale one");
                Ok(answer(200))
            });
        }
        let answer = retry.call(bed.routed(http::Request::builder().method(method))).await;
        assert_eq!((answer.is_ok(), inner.left()), (again, 0), "{method}");
    }
}

#[tokio::test]
async fn a_stale_connection_is_no_reason_to_leave_its_endpoint_and_costs_nothing() {
    let mut bed = bed(1, &[]);
    bed.limits.retries.allowance = Allowance { percent: 0, per_second: 0 };
    let (mut retry, inner) = retry(&bed);
    inner.then(|attempt| Err(stale(attempt)));
    inner.then(|attempt| {
        assert_eq!(attempt.reuse, Reuse::Fresh);
        Ok(answer(200))
    });
    retry.call(bed.routed(http::Request::post("/"))).await.unwrap();
    assert_eq!(retries(&bed), 0);
}

#[tokio::test]
async fn the_budget_bounds_attempts_and_the_first_failure_is_told() {
    let bed = bed(4, &[]);
    let (mut retry, inner) = retry(&bed);
    let attempts = Rc::new(std::cell::Cell::new(0_u64));
    let requests = 1000_u64;
    for _ in 0..requests * 4 {
        let attempts = Rc::clone(&attempts);
        inner.then(move |attempt| {
            attempts.set(attempts.get() + 1);
            Err(refused(attempt))
        });
    }
    let mut untold = 0;
    for _ in 0..requests {
        let routed = bed.get();
        let record = Rc::clone(&routed.record);
        assert!(matches!(retry.call(routed).await.unwrap_err(), ProxyError::Send(_)));
        untold += u64::from(record.not_again.get().is_none());
    }
    assert_eq!(attempts.get(), requests + requests / 5 + 100);
    assert_eq!(bed.metrics().proxy.retry_budget_exhausted_total.get(), requests - untold);
}

#[tokio::test(start_paused = true)]
async fn some_answers_are_asked_for_elsewhere_after_a_pause() {
    let bed = bed(4, &[502, 503]);
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let (mut retry, inner) = retry(&bed);
        for status in [503, 502, 503, 200] {
            inner.then(move |_| Ok(answer(status)));
        }
        let begun = Instant::now();
        assert_eq!(retry.call(bed.get()).await.unwrap().status(), 200);
        slowest = slowest.max(begun.elapsed());
    }
    assert_eq!(bed.metrics().proxy.retries_total.of(RetryCause::Answer).get(), 60);
    let most = Duration::from_millis(25 + 50 + 100 + 3);
    assert!(slowest > Duration::from_millis(50) && slowest <= most, "{slowest:?}");
    assert!(bed.endpoints().iter().all(|endpoint| endpoint.memory.in_flight() == 0));
}

#[tokio::test(start_paused = true)]
async fn other_answers_and_other_methods_are_passed_on() {
    let bed = bed(4, &[503]);
    for (method, status) in [("GET", 500), ("GET", 502), ("GET", 200), ("POST", 503)] {
        let (mut retry, inner) = retry(&bed);
        inner.then(move |_| Ok(answer(status)));
        let routed = bed.routed(http::Request::builder().method(method));
        assert_eq!(retry.call(routed).await.unwrap().status(), status);
    }
    assert_eq!(retries(&bed), 0);
}

#[tokio::test(start_paused = true)]
async fn the_last_answer_of_a_provider_is_worth_more_than_our_own_error() {
    let bed = bed(4, &[502, 503]);
    let (mut retry, inner) = retry(&bed);
    inner.then(|attempt| Err(refused(attempt)));
    inner.then(|_| Ok(answer(502)));
    inner.then(|_| Ok(answer(503)));
    inner.then(|attempt| Err(refused(attempt)));
    assert_eq!(retry.call(bed.get()).await.unwrap().status(), 503);
    assert!(bed.endpoints().iter().all(|endpoint| endpoint.memory.in_flight() == 0));

    // In the last moment before the deadline, too.
    inner.then(|_| Ok(answer(503)));
    inner.then_never();
    let begun = Instant::now();
    let deadline = Some(begun + Duration::from_secs(2));
    let routed = Routed { deadline, ..bed.get() };
    let record = Rc::clone(&routed.record);
    let last = retry.call(routed).await.unwrap();
    assert_eq!((last.status().as_u16(), begun.elapsed().as_millis() / 10), (503, 199));
    assert!(record.overdue.get(), "who did not answer in time is told so");
}

#[tokio::test(start_paused = true)]
async fn who_names_a_time_is_not_asked_before_it() {
    let bed = bed(2, &[503]);
    let (mut retry, inner) = retry(&bed);
    inner.then(|_| Ok(busy("5")));
    inner.then(|_| Ok(busy("2")));
    let busiest = Rc::new(std::cell::Cell::new(0));
    let went = Rc::clone(&busiest);
    inner.then(move |attempt| {
        went.set(attempt.endpoint.memory.attempts());
        Ok(answer(200))
    });
    let begun = Instant::now();
    let deadline = Some(begun + Duration::from_secs(15));
    assert_eq!(retry.call(Routed { deadline, ..bed.get() }).await.unwrap().status(), 200);
    assert_eq!(begun.elapsed().as_secs(), 2, "the one that is back sooner");
    assert_eq!(busiest.get(), 2);

    inner.then(|_| Ok(busy("20")));
    inner.then(|_| Ok(busy("30")));
    let begun = Instant::now();
    let deadline = Some(begun + Duration::from_secs(15));
    let last = retry.call(Routed { deadline, ..bed.get() }).await.unwrap();
    assert_eq!((last.status().as_u16(), last.headers()["retry-after"].as_bytes()), (503, &b"30"[..]));
    assert!(begun.elapsed() < Duration::from_millis(100), "there is nothing to wait for");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_begun_for_which_no_time_is_left() {
    let mut bed = bed(4, &[503]);
    (bed.limits.retries.back_off, bed.limits.retries.back_off_max) =
        (Duration::from_mins(1), Duration::from_mins(1));
    let (mut retry, inner) = retry(&bed);
    inner.then(|_| Ok(answer(503)));
    let begun = Instant::now();
    let deadline = Some(begun + Duration::from_millis(1));
    assert_eq!(retry.call(Routed { deadline, ..bed.get() }).await.unwrap().status(), 503);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    inner.then_after(Duration::from_secs(1), |attempt| Err(refused(attempt)));
    let deadline = Some(begun + Duration::from_secs(1));
    retry.call(Routed { deadline, ..bed.get() }).await.unwrap_err();
    assert_eq!(retries(&bed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_is_sent_again_from_its_beginning_while_it_comes() {
    let bed = bed(3, &[503]);
    let (mut retry, inner) = retry(&bed);
    let (player, body) = played();
    player.say("one");
    player.say("two");
    let mut routed = bed.routed(http::Request::put("/"));
    *routed.message.body_mut() = body;
    let half = Rc::new(std::cell::RefCell::new(None));
    let keep = Rc::clone(&half);
    inner.then(move |attempt| {
        let mut body = attempt.message.into_body();
        let piece = body.frame().now_or_never().unwrap().unwrap().unwrap();
        assert_eq!(piece.into_data().unwrap(), "one");
        keep.borrow_mut().replace(body);
        Ok(answer(503))
    });
    inner.then(|attempt| {
        let whole = attempt.message.into_body().collect().now_or_never().unwrap();
        assert_eq!(whole.unwrap().to_bytes(), "onetwo");
        Ok(answer(200))
    });
    player.end();
    assert_eq!(retry.call(routed).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_body_too_large_to_keep_is_sent_once() {
    let mut bed = bed(3, &[503]);
    bed.limits.retries.kept_max = 10;
    let (mut retry, inner) = retry(&bed);
    for (is_read, status) in [(true, 503), (false, 200)] {
        let mut routed = bed.routed(http::Request::put("/"));
        *routed.message.body_mut() = Body::from(bytes::Bytes::from_static(b"more than ten bytes"));
        inner.then(move |mut attempt| {
            if is_read {
                attempt.message.body_mut().frame().now_or_never().unwrap();
            }
            Ok(answer(503))
        });
        if !is_read {
            inner.then(|_| Ok(answer(200)));
        }
        assert_eq!((retry.call(routed).await.unwrap().status().as_u16(), inner.left()), (status, 0));
    }
}

#[tokio::test]
async fn a_call_counts_its_attempts_once_whatever_came_back() {
    let bed = bed(4, &[]);
    let (mut retry, inner) = retry(&bed);
    for _ in 0..3 {
        inner.then(|mut attempt| {
            crate::proxy::headers::add_attempt(attempt.message.headers_mut(), attempt.traits, attempt.number);
            Err(refused(attempt))
        });
    }
    inner.then(|attempt| {
        assert_eq!(attempt.message.headers().get("grpc-previous-rpc-attempts").unwrap(), "5");
        Ok(answer(200))
    });
    let call = http::Request::post("/svc.Say/Hello")
        .header("content-type", "application/grpc")
        .header("grpc-previous-rpc-attempts", "5");
    retry.call(bed.routed(call)).await.unwrap();
}
