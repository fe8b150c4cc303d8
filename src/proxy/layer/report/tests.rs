//! What endpoints are told of attempts, and what follows.

use std::time::Duration;

use tower::{Layer as _, Service as _};

use super::*;
use crate::body::played::played;
use crate::endpoint::{Care, Ejecting, Turn};
use crate::proxy::layer::bed::{Bed, Played, answer};
use crate::proxy::layer::middleware::Wrap;
use crate::proxy::layer::select::Select;
use crate::proxy::request::Routed;
use crate::proxy::worker::Shared;
use crate::telemetry::traces::{Kind, Settings, Tracer};
use crate::upstream::{ConnectError, SendCause};

type Inner = Played<Attempt, Failure<Returned>>;

async fn attempt(bed: &Bed, result: Result<Response<Body>, ProxyError>) -> Option<Response<Body>> {
    let inner = Inner::new();
    let report = Wrap(Report { worker: Rc::clone(&bed.worker) }).layer(inner.clone());
    inner.then(|_| result.map_err(Failure::from));
    Wrap(Select { worker: Rc::clone(&bed.worker) }).layer(report).call(bed.get()).await.ok()
}

#[tokio::test]
async fn an_attempt_is_in_flight_until_the_body_of_its_answer_has_ended() {
    let bed = Bed::new();
    let memory = Arc::clone(&bed.list(&[1])[0].memory);
    let response = answer(200).map(|_| Body::from(bytes::Bytes::from_static(b"hello")));
    let response = attempt(&bed, Ok(response)).await.unwrap();
    assert_eq!((memory.in_flight(), memory.attempts(), memory.failures()), (1, 1, 0));
    drop(response);
    assert_eq!(memory.in_flight(), 0);
}

#[tokio::test]
async fn an_answer_that_goes_on_is_not_awaited_any_more() {
    let bed = Bed::new();
    let memory = Arc::clone(&bed.list(&[1])[0].memory);
    memory.begin_slowly();
    for kind in ["text/event-stream", "application/grpc"] {
        let mut response = answer(200).map(|_| Body::from(bytes::Bytes::from_static(b"hello")));
        response.headers_mut().insert("content-type", kind.parse().unwrap());
        let stream = attempt(&bed, Ok(response)).await.unwrap();
        assert_eq!((memory.in_flight(), memory.awaited()), (1, 0), "{kind}");
        drop(stream);
    }
    assert_eq!(memory.in_flight(), 0);
}

#[tokio::test]
async fn a_failure_to_connect_puts_an_endpoint_aside_and_an_answer_brings_it_back() {
    let bed = Bed::new();
    let memory = Arc::clone(&bed.list(&[1])[0].memory);
    let refused = ConnectError::Refused { address: memory.address.clone() };
    attempt(&bed, Err(SendCause::from(refused).into())).await;
    assert_eq!((memory.reach.is_available(), memory.failures(), memory.in_flight()), (false, 1, 0));
    attempt(&bed, Ok(answer(500))).await.unwrap();
    assert!(memory.reach.is_available(), "whatever it answers, it was reached");
    let news = memory.group().news();
    assert_eq!(news.iter().map(|it| it.turn).collect::<Vec<_>>(), [Turn::Unreachable, Turn::Back]);
    assert!(news[0].cause.contains("refuse") && &*news[1].cause == "it answered a request", "{news:?}");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_whose_caller_goes_away_took_at_least_so_long() {
    let bed = Bed::new();
    let memory = Arc::clone(&bed.list(&[1])[0].memory);
    let never = Inner::new();
    never.then_never();
    let report = Wrap(Report { worker: Rc::clone(&bed.worker) }).layer(never);
    let mut select = Wrap(Select { worker: Rc::clone(&bed.worker) }).layer(report);
    let waited = std::time::Duration::from_secs(2);
    tokio::time::timeout(waited, select.call(bed.get())).await.unwrap_err();
    assert_eq!(memory.latency.expected(bed.worker.shared.clock.now()), waited);
    assert_eq!((memory.in_flight(), memory.failures()), (0, 0));
}

#[test]
fn who_lacks_a_handler_of_its_own_record_is_somebody_else() {
    let mut called = Provider::new("p", "10.0.0.1:80".parse().unwrap());
    called.handlers = ["Say".into(), "Users".into()].into();
    for (error, denies) in [
        (r#"{"id":"go.micro.server","code":500,"detail":"rpc: can't find service Say","status":"x"}"#, true),
        ("rpc: can't find service Users.Get", true),
        ("rpc: can't find service Sayings", false),
        ("rpc: can't find service Orders", false),
        ("rpc: can't find method Say.Bye", false),
        ("the caller said: Say", false),
    ] {
        let headers = HeaderMap::from_iter([(
            http::HeaderName::from_static("micro-error"),
            http::HeaderValue::from_static(error),
        )]);
        assert_eq!(denies_itself(&headers, &called), denies, "{error}");
    }
    assert!(!denies_itself(&HeaderMap::new(), &called));
}

/// Lists endpoints and lets the first fail until it is ejected; gives how many failures that took.
async fn eject(bed: &Bed, make: impl Fn() -> Result<Response<Body>, ProxyError>) -> usize {
    let endpoints = bed.list(&[1, 2, 3]);
    let memory = Arc::clone(&endpoints[0].memory);
    for attempts in 0..100 {
        if memory.is_ejected() {
            let news = memory.group().news();
            let told =
                |news: &crate::endpoint::News| news.turn == Turn::Ejected && news.cause.contains("in a row");
            assert!(news.iter().any(told), "{news:?}");
            return usize::try_from(memory.attempts()).unwrap();
        }
        let is_first = |memory: &Memory| memory.number == 1;
        let inner = Inner::new();
        let report = Wrap(Report { worker: Rc::clone(&bed.worker) }).layer(inner.clone());
        let answered = make();
        inner.then(move |attempt| {
            if is_first(&attempt.endpoint.memory) { answered.map_err(Failure::from) } else { Ok(answer(200)) }
        });
        let _ = Wrap(Select { worker: Rc::clone(&bed.worker) }).layer(report).call(bed.get()).await;
        assert!(attempts < 99, "it is not ejected");
    }
    unreachable!()
}

#[tokio::test]
async fn whatever_fails_ejects_and_is_counted() {
    let late = || Err(ProxyError::AttemptTimeout { limit: Duration::from_secs(1) });
    let micro = || {
        let mut response = answer(200);
        response.headers_mut().insert("micro-error", r#"{"code":500}"#.parse().unwrap());
        Ok(response)
    };
    let grpc = || {
        let mut response = answer(200);
        response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        response.headers_mut().insert("grpc-status", "14".parse().unwrap());
        Ok(response)
    };
    for make in [&late as &dyn Fn() -> _, &micro, &grpc, &|| Ok(answer(500))] {
        let bed = Bed::new();
        assert_eq!(eject(&bed, make).await, 5);
        assert_eq!(bed.metrics().proxy.ejections("in_a_row").get(), 1);
    }
}

#[tokio::test]
async fn what_cannot_be_ejected_is_counted_too() {
    let bed = Bed::new();
    bed.list(&[1]);
    for _ in 0..20 {
        attempt(&bed, Ok(answer(500))).await;
    }
    // All within the moment for which nobody asks again.
    assert_eq!(bed.metrics().proxy.ejections_withheld_total.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_given_up_for_the_time_was_late_and_one_given_up_by_the_caller_was_not() {
    for (overdue, spent, failures) in [(true, 0, 1), (true, 11, 0), (false, 0, 0)] {
        let bed = Bed::new();
        let memory = Arc::clone(&bed.list(&[1])[0].memory);
        let routed = bed.get();
        tokio::time::advance(Duration::from_secs(spent)).await;
        let record = Rc::clone(&routed.record);
        let inner = Inner::new();
        inner.then_never();
        let report = Wrap(Report { worker: Rc::clone(&bed.worker) }).layer(inner);
        let mut answer = Wrap(Select { worker: Rc::clone(&bed.worker) }).layer(report).call(routed);
        assert!(futures_util::poll!(&mut answer).is_pending());
        tokio::time::advance(Duration::from_secs(10)).await;
        record.overdue.set(overdue);
        drop(answer);
        assert_eq!((memory.failures(), memory.in_flight()), (failures, 0), "after {spent} s for others");
    }
}

#[tokio::test]
async fn what_is_not_its_fault_is_not_held_against_it() {
    let bed = Bed::new();
    let memory = Arc::clone(&bed.list(&[1])[0].memory);
    let full = SendCause::Full { address: memory.address.clone(), limit: 1 };
    for error in [full.into(), ProxyError::Switch, ProxyError::BadRequest("no")] {
        attempt(&bed, Err(error)).await;
    }
    assert_eq!((memory.reach.is_available(), memory.failures(), memory.in_flight()), (true, 0, 0));
}

#[tokio::test]
async fn who_stands_in_for_another_service_is_judged_among_its_own() {
    let mut bed = Bed::new();
    let out = bed.list(&[1]);
    let claim = crate::catalog::Claim::on("far".parse().unwrap(), crate::balance::Policy::RoundRobin);
    let shared = &bed.worker.shared;
    let far = bed.worker.directory.claimed(&claim, &shared.catalog, &shared.metrics).unwrap();
    let standing_in = bed.list_at(&far, &[3, 4]);
    bed.rules.failover = [claim].into();
    out[0].memory.fail_to_connect(bed.worker.shared.clock.now(), 0.5);
    for _ in 0..12 {
        attempt(&bed, Ok(answer(500))).await.unwrap();
    }
    let ejected = standing_in.iter().filter(|endpoint| endpoint.memory.is_ejected()).count();
    assert_eq!(ejected, 1, "half of those two, and not none because nobody is left of the service asked for");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_failure() {
    let bed = Bed::new();
    let memories: Vec<_> = bed.list(&[1, 2]).iter().map(|endpoint| Arc::clone(&endpoint.memory)).collect();
    for _ in 0..6 {
        let (player, body) = played();
        player.break_off();
        let mut response = attempt(&bed, Ok(answer(200).map(|_| body))).await.unwrap();
        let _ = http_body_util::BodyExt::collect(response.body_mut()).await;
    }
    let failures: u64 = memories.iter().map(|memory| memory.failures()).sum();
    assert_eq!((failures, memories[0].last_failure()), (6, Said::Broken));
    assert!(memories.iter().any(|memory| memory.is_ejected()));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_late_who_waits_for_the_rest_of_the_request() {
    for (uploading, failures) in [(true, 0), (false, 1)] {
        let bed = Bed::new();
        let memory = Arc::clone(&bed.list(&[1])[0].memory);
        let inner = Inner::new();
        let limit = Duration::from_secs(1);
        inner.then_after(limit, move |_| Err(ProxyError::AttemptTimeout { limit }.into()));
        let report = Wrap(Report { worker: Rc::clone(&bed.worker) }).layer(inner);
        let routed = bed.get();
        routed.record.uploading.set(uploading);
        let sent = Wrap(Select { worker: Rc::clone(&bed.worker) }).layer(report).call(routed).await;
        assert!(sent.is_err());
        assert_eq!(memory.failures(), failures);
        assert!(memory.latency.expected(bed.worker.shared.clock.now()) >= limit);
    }
}

#[tokio::test]
async fn a_tunnel_that_came_about_shows_that_its_provider_is_there_and_not_that_it_is_well() {
    let mut bed = Bed::new();
    let by = Ejecting { success_percent: 0, ..Ejecting::USUAL };
    bed.care = Care { ejecting: Some(by), ..Care::default() };
    let memory = Arc::clone(&bed.list(&[1])[0].memory);
    let tunnel = async || {
        let inner = Inner::new();
        let report = Wrap(Report { worker: Rc::clone(&bed.worker) }).layer(inner.clone());
        inner.then(|_| Ok(answer(200)));
        let routed = Routed { exchange: Exchange::Tunnel, ..bed.get() };
        Wrap(Select { worker: Rc::clone(&bed.worker) }).layer(report).call(routed).await.unwrap();
    };
    memory.fail_to_connect(bed.worker.shared.clock.now(), 0.5);
    tunnel().await;
    assert_eq!((memory.reach.is_available(), memory.answered()), (true, None));
    for _ in 0..5 {
        assert_eq!(bed.metrics().proxy.ejections_withheld_total.get(), 0);
        attempt(&bed, Ok(answer(500))).await.unwrap();
        tunnel().await;
    }
    assert_eq!(bed.metrics().proxy.ejections_withheld_total.get(), 1, "five failures in a row");
}

#[tokio::test]
async fn what_this_machine_lacks_is_held_against_no_endpoint() {
    use crate::upstream::tls::TlsError;
    let bed = Bed::new();
    let memory = Arc::clone(&bed.list(&[1])[0].memory);
    let address = memory.address.clone();
    let source = Arc::new(TlsError::NoRoots { cause: None });
    let lacking = ConnectError::Tls { address, id: "p".into(), source };
    attempt(&bed, Err(SendCause::from(lacking).into())).await;
    assert_eq!((memory.attempts(), memory.failures(), memory.reach.is_available()), (1, 0, true));
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_told_nothing_gives_way_to_another() {
    let bed = Bed::new();
    let memory = Arc::clone(&bed.list(&[1])[0].memory);
    memory.fail_to_connect(bed.worker.shared.clock.now(), 0.5);
    tokio::time::advance(Duration::from_secs(2)).await;
    let now = bed.worker.shared.clock.now();
    assert!(memory.is_due(now));
    let full = SendCause::Full { address: memory.address.clone(), limit: 1 };
    attempt(&bed, Err(full.into())).await;
    assert!(memory.attempts() == 1 && memory.is_due(now));
}

#[tokio::test]
async fn a_stream_whose_bytes_pass_raw_was_not_given_up() {
    let mut bed = Bed::new();
    let settings = Settings { endpoint: "http://127.0.0.1:1".parse().ok(), ..Settings::default() };
    let (tracer, spans) = Tracer::new(&settings, bed.metrics());
    let Shared { catalog, metrics, clock, .. } = &*bed.worker.shared;
    let (catalog, metrics) = (Arc::clone(catalog), Arc::clone(metrics));
    let alone = Shared::alone(crate::proxy::Settings::default(), catalog, metrics, *clock);
    bed.worker = Worker::new(Arc::new(Shared { tracer, ..alone }), 0);
    bed.list(&[1]);
    for is_taken_over in [true, false] {
        let routed = bed.get();
        let record = Rc::clone(&routed.record);
        let inner = Inner::new();
        inner.then_never();
        let report = Wrap(Report { worker: Rc::clone(&bed.worker) }).layer(inner);
        let mut answer = Wrap(Select { worker: Rc::clone(&bed.worker) }).layer(report).call(routed);
        assert!(futures_util::poll!(&mut answer).is_pending());
        if is_taken_over {
            record.answer(&Response::new(()));
        }
        drop(answer);
    }
    let mut spans = spans.unwrap();
    let of_attempts = std::iter::from_fn(|| spans.try_recv().ok()).filter(|span| span.kind == Kind::Client);
    assert_eq!(of_attempts.map(|span| span.failed).collect::<Vec<_>>(), [false, true]);
}
