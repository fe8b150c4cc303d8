//! Whom a request goes to again, what is kept meanwhile, and who is named in the end.

use super::*;
use crate::endpoint::Care;

#[tokio::test(start_paused = true)]
async fn the_record_names_whose_answer_is_passed_on() {
    let mut bed = bed(2, &[503]);
    bed.limits.retries.max = 1;
    let (mut retry, inner) = retry(&bed);
    let went = Rc::new(std::cell::Cell::new(0));
    let sink = Rc::clone(&went);
    inner.then(move |attempt| {
        sink.set(attempt.endpoint.memory.number);
        Ok(answer(503))
    });
    inner.then(|attempt| Err(refused(attempt)));
    let routed = bed.get();
    let record = Rc::clone(&routed.record);
    assert_eq!(retry.call(routed).await.unwrap().status(), 503);
    assert_eq!(record.target.borrow().as_ref().unwrap().memory.number, went.get());
}

#[tokio::test(start_paused = true)]
async fn who_is_asked_anew_has_room_for_it() {
    let mut bed = bed(0, &[503]);
    bed.care = Care { in_flight_max: 1, ..Care::default() };
    let memory = std::sync::Arc::clone(&bed.list(&[1])[0].memory);
    let (mut retry, inner) = retry(&bed);
    for status in [503, 503, 200] {
        inner.then(move |attempt| {
            let mut answer = answer(status).map(|_| Body::from(bytes::Bytes::from_static(b"words")));
            answer.body_mut().on_end(move |_| drop(attempt.guard));
            Ok(answer)
        });
    }
    let answer = retry.call(bed.get()).await.unwrap();
    assert_eq!((answer.status().as_u16(), inner.left(), memory.in_flight()), (200, 0, 1));
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "words");

    // What is told in the end is all there.
    for _ in 0..4 {
        let words = || Body::from(bytes::Bytes::from_static(b"busy"));
        inner.then(move |_| Ok(answer_of(503, words())));
    }
    let last = retry.call(bed.get()).await.unwrap();
    assert_eq!((last.status().as_u16(), inner.left()), (503, 0));
    assert_eq!(last.into_body().collect().await.unwrap().to_bytes(), "busy");
}

fn answer_of(status: u16, body: Body) -> http::Response<Body> {
    answer(status).map(|_| body)
}

#[tokio::test(start_paused = true)]
async fn who_goes_away_before_it_is_sent_again_takes_nothing_from_the_budget() {
    let mut bed = bed(2, &[503]);
    bed.limits.retries.allowance = Allowance { percent: 0, per_second: 1 };
    (bed.limits.retries.back_off, bed.limits.retries.back_off_max) =
        (Duration::from_mins(1), Duration::from_mins(1));
    let (mut retry, inner) = retry(&bed);
    for _ in 0..50 {
        inner.then(|_| Ok(answer(503)));
        assert!(timeout(Duration::from_millis(1), retry.call(bed.get())).await.is_err());
    }
    assert_eq!(bed.metrics().proxy.retry_budget_exhausted_total.get(), 0);
    bed.limits.retries.allowance = Allowance { percent: 0, per_second: 0 };
    inner.then(|_| Ok(answer(503)));
    let begun = Instant::now();
    assert_eq!(retry.call(bed.get()).await.unwrap().status(), 503);
    assert_eq!(begun.elapsed(), Duration::ZERO, "nobody waits for what will not be granted");
    assert_eq!(bed.metrics().proxy.retry_budget_exhausted_total.get(), 1);
}

#[tokio::test]
async fn a_stale_connection_leads_back_to_its_endpoint_among_many() {
    let bed = bed(5, &[]);
    let (mut retry, inner) = retry(&bed);
    for _ in 0..10 {
        let went = Rc::new(std::cell::Cell::new(0));
        let sink = Rc::clone(&went);
        inner.then(move |attempt| {
            sink.set(attempt.endpoint.memory.number);
            Err(stale(attempt))
        });
        inner.then(move |attempt| {
            assert_eq!(attempt.endpoint.memory.number, went.get());
            Ok(answer(200))
        });
        retry.call(bed.get()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_grpc_server_says_when_and_whether_to_come_again() {
    for (pushback, again) in [("-1", false), ("100", true)] {
        let mut bed = bed(1, &[503]);
        bed.limits.retries.harmless = true;
        let (mut retry, inner) = retry(&bed);
        inner.then(move |_| {
            let mut answer = answer(200);
            for (name, value) in [
                ("content-type", "application/grpc"),
                ("grpc-status", "14"),
                ("grpc-retry-pushback-ms", pushback),
            ] {
                answer.headers_mut().insert(name, http::HeaderValue::from_static(value));
            }
            Ok(answer)
        });
        if again {
            inner.then(|_| Ok(answer(200)));
        }
        let begun = Instant::now();
        let call = http::Request::post("/svc.Say/Hello").header("content-type", "application/grpc");
        retry.call(bed.routed(call)).await.unwrap();
        assert_eq!((inner.left(), begun.elapsed() >= Duration::from_millis(100)), (0, again));
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_of_an_early_answer_is_taken_in_before_its_request_is_sent_again() {
    let bed = bed(2, &[503]);
    let (mut retry, inner) = retry(&bed);
    for is_early in [true, false] {
        let (upload, body) = played();
        upload.say("one");
        // Without it the body has ended.
        let upload = is_early.then_some(upload);
        let mut routed = bed.routed(http::Request::put("/"));
        *routed.message.body_mut() = body;
        let is_read = Rc::new(std::cell::Cell::new(false));
        let read = Rc::clone(&is_read);
        inner.then(move |mut attempt| {
            while let Some(Some(Ok(_))) = attempt.message.body_mut().frame().now_or_never() {}
            let mut answer = answer_of(503, Body::from(bytes::Bytes::from_static(b"busy")));
            answer.body_mut().on_end(move |_| read.set(true));
            Ok(answer)
        });
        inner.then(move |_| {
            assert_eq!(is_read.get(), is_early, "what is sent to its end may be read later");
            Ok(answer(200))
        });
        assert_eq!(retry.call(routed).await.unwrap().status(), 200);
        drop(upload);
    }
}
