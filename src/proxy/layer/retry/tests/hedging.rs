//! When a second provider is asked, whose answer is taken, and what becomes of the other attempt.

use super::*;
use crate::route::Hedge;
use crate::telemetry::metrics::HedgeResult;

const MS: Duration = Duration::from_millis(1);

fn hedging(hedge: Hedge) -> Bed {
    let mut bed = bed(3, &[]);
    bed.limits.retries.hedge = Some(hedge);
    bed.limits.retries.max = 0;
    bed
}

fn count(bed: &Bed, result: HedgeResult) -> u64 {
    bed.metrics().proxy.hedges_total.of(result).get()
}

fn in_flight(bed: &Bed) -> u32 {
    bed.endpoints().iter().map(|endpoint| endpoint.memory.in_flight()).sum()
}

#[tokio::test(start_paused = true)]
async fn a_second_provider_is_asked_once_the_first_is_late_and_the_loser_is_dropped() {
    let bed = hedging(Hedge::After(20 * MS));
    let (mut retry, inner) = retry(&bed);
    inner.then_after(19 * MS, |_| Ok(answer(200)));
    retry.call(bed.get()).await.unwrap();
    assert_eq!(retries(&bed), 0);
    for (first, second, took, result) in [
        (None, 5, 25, HedgeResult::Won),
        (Some(40), 5, 25, HedgeResult::Won),
        (Some(22), 5, 22, HedgeResult::Lost),
    ] {
        match first {
            None => inner.then_never(),
            Some(first) => inner.then_after(first * MS, |_| Ok(answer(201))),
        }
        inner.then_after(second * MS, |_| Ok(answer(202)));
        let before = count(&bed, result);
        let (begun, routed) = (Instant::now(), bed.get());
        let record = Rc::clone(&routed.record);
        let taken = retry.call(routed).await.unwrap().status().as_u16();
        assert_eq!(begun.elapsed().as_millis(), took);
        assert_eq!(taken, if result == HedgeResult::Won { 202 } else { 201 });
        assert_eq!((count(&bed, result), record.attempts.get()), (before + 1, 2));
        assert_eq!(in_flight(&bed), 0, "both attempts are over");
    }
    let attempts: Vec<u64> = bed.endpoints().iter().map(|endpoint| endpoint.memory.attempts()).collect();
    assert!(attempts.iter().all(|attempts| (2..=3).contains(attempts)), "two of each pair: {attempts:?}");
}

#[tokio::test(start_paused = true)]
async fn the_record_names_who_answered() {
    let bed = hedging(Hedge::After(20 * MS));
    let (mut retry, inner) = retry(&bed);
    for first in [30, 100] {
        let went = Rc::new(std::cell::RefCell::new(Vec::new()));
        for after in [first, 50] {
            let went = Rc::clone(&went);
            inner.then_after(after * MS, move |attempt| {
                went.borrow_mut().push(attempt.endpoint.memory.number);
                Ok(answer(200))
            });
        }
        let routed = bed.get();
        let record = Rc::clone(&routed.record);
        retry.call(routed).await.unwrap();
        assert_eq!([record.target.borrow().as_ref().unwrap().memory.number], went.borrow()[..]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_answer_does_not_win_while_the_other_may() {
    for (first, second, status, result) in [
        (Ok(503), Ok(200), 200, HedgeResult::Won),
        (Err(()), Ok(200), 200, HedgeResult::Won),
        (Ok(200), Err(()), 200, HedgeResult::Lost),
        (Err(()), Ok(503), 503, HedgeResult::Failed),
        (Ok(500), Err(()), 500, HedgeResult::Failed),
    ] {
        let bed = hedging(Hedge::After(20 * MS));
        let (mut retry, inner) = retry(&bed);
        let said = move |after: u32, told: Result<u16, ()>| {
            inner.then_after(after * MS, move |attempt| match told {
                Ok(status) => Ok(answer(status)),
                Err(()) => Err(refused(attempt)),
            });
        };
        // The one that fails is the first to end.
        let is_first_bad = first != Ok(200);
        said(if is_first_bad { 25 } else { 60 }, first);
        said(if is_first_bad { 40 } else { 5 }, second);
        assert_eq!(retry.call(bed.get()).await.unwrap().status().as_u16(), status);
        assert_eq!((count(&bed, result), in_flight(&bed)), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_can_be_repeated_is_asked_of_two() {
    let late = |inner: &Inner| inner.then_after(100 * MS, |_| Ok(answer(200)));
    let bed = hedging(Hedge::After(20 * MS));
    let (mut retry, inner) = retry(&bed);
    late(&inner);
    retry.call(bed.routed(http::Request::post("/"))).await.unwrap();
    // A body that is still coming.
    let (_player, body) = played();
    let mut routed = bed.routed(http::Request::put("/"));
    *routed.message.body_mut() = body;
    late(&inner);
    retry.call(routed).await.unwrap();
    // A body that is there, and is read by both.
    let mut routed = bed.routed(http::Request::put("/"));
    *routed.message.body_mut() = Body::from(bytes::Bytes::from_static(b"hello"));
    for after in [100, 5] {
        inner.then_read(|body| assert_eq!(body, "hello"), after * MS);
    }
    retry.call(routed).await.unwrap();
    assert_eq!((count(&bed, HedgeResult::Won), inner.left()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn hedges_are_of_the_budget_and_need_somebody_else() {
    let mut bed = hedging(Hedge::After(20 * MS));
    bed.limits.retries.allowance = Allowance { percent: 0, per_second: 0 };
    let (mut retry, inner) = retry(&bed);
    inner.then_after(100 * MS, |_| Ok(answer(200)));
    retry.call(bed.get()).await.unwrap();
    assert_eq!(count(&bed, HedgeResult::Unaffordable), 1);

    bed.limits.retries.allowance = Allowance { percent: 0, per_second: 1 };
    bed.list(&[1]);
    for _ in 0..20 {
        inner.then_after(100 * MS, |_| Ok(answer(200)));
        retry.call(bed.get()).await.unwrap();
    }
    assert_eq!(count(&bed, HedgeResult::Unaffordable), 1, "what was not made is given back");
}

#[tokio::test(start_paused = true)]
async fn a_percentile_is_learnt_from_the_latest() {
    let bed = hedging(Hedge::Percentile(95));
    let (mut retry, inner) = retry(&bed);
    for _ in 0..40 {
        inner.then_after(10 * MS, |_| Ok(answer(200)));
        retry.call(bed.get()).await.unwrap();
    }
    inner.then_never();
    inner.then_after(5 * MS, |_| Ok(answer(200)));
    let begun = Instant::now();
    retry.call(bed.get()).await.unwrap();
    assert!((15..=18).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_away_takes_both_attempts_along() {
    let bed = hedging(Hedge::After(20 * MS));
    let (mut retry, inner) = retry(&bed);
    inner.then_never();
    inner.then_never();
    assert!(timeout(100 * MS, retry.call(bed.get())).await.is_err());
    assert_eq!((in_flight(&bed), inner.left()), (0, 0));
    assert_eq!(bed.metrics().proxy.requests_in_flight.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_there_is_not_given_up_for_one_that_may_come() {
    let bed = hedging(Hedge::After(20 * MS));
    let (mut retry, inner) = retry(&bed);
    for is_first in [true, false] {
        let went = Rc::new(std::cell::Cell::new(0));
        let sink = Rc::clone(&went);
        let fail = |inner: &Inner| {
            inner.then_after(30 * MS, move |attempt| {
                sink.set(attempt.endpoint.memory.number);
                Ok(answer(503))
            });
        };
        if is_first {
            fail(&inner);
            inner.then_never();
        } else {
            inner.then_never();
            fail(&inner);
        }
        let begun = Instant::now();
        let routed = Routed { deadline: Some(begun + 1000 * MS), ..bed.get() };
        let record = Rc::clone(&routed.record);
        assert_eq!(retry.call(routed).await.unwrap().status(), 503);
        assert_eq!((begun.elapsed(), record.overdue.get()), (1000 * MS - LAST_MOMENT, true));
        assert_eq!(record.target.borrow().as_ref().unwrap().memory.number, went.get());
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_stays_where_it_is() {
    let bed = hedging(Hedge::After(20 * MS));
    let (mut retry, inner) = retry(&bed);
    inner.then_after(100 * MS, |_| Ok(answer(200)));
    let wish = Some(Box::new(crate::balance::Wish::Prefer(bed.endpoints()[0].token())));
    retry.call(Routed { wish, ..bed.get() }).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_body_in_chunks_is_whole_once_it_was_read() {
    let bed = hedging(Hedge::After(20 * MS));
    let (mut retry, inner) = retry(&bed);
    let (player, body) = crate::body::played::chunked();
    player.say("hello");
    player.end();
    let mut routed = bed.routed(http::Request::put("/"));
    *routed.message.body_mut() = body;
    for after in [100, 5] {
        inner.then_read(|body| assert_eq!(body, "hello"), after * MS);
    }
    retry.call(routed).await.unwrap();
    assert_eq!((count(&bed, HedgeResult::Won), inner.left()), (1, 0));
}
