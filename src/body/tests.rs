//! What passes, what happens at its end, and what breaks it off.

use std::cell::Cell;

use http_body_util::BodyExt as _;

use super::*;
use crate::clock::{Clock, Tick};

fn watched(mut body: Body) -> (Body, Rc<Cell<Option<End>>>) {
    let seen = Rc::new(Cell::new(None));
    let sink = Rc::clone(&seen);
    body.on_end(move |end| sink.set(Some(end)));
    (body, seen)
}

#[tokio::test]
async fn ends_with_its_last_byte() {
    let (body, seen) = watched(Body::from(Bytes::from_static(b"hello")));
    let mut body = Box::pin(body);
    body.frame().await.unwrap().unwrap();
    assert_eq!(
        seen.get(),
        Some(End { complete: true, broken: false, bytes: 5, grpc_status: None }),
        "no one may ask for another frame"
    );
}

#[tokio::test]
async fn a_tap_sees_what_passes_before_the_end_is_told() {
    let (mut body, seen) = watched(Body::from(Bytes::from_static(b"hello")));
    let tapped = Rc::new(Cell::new(None));
    let (sink, ended) = (Rc::clone(&tapped), Rc::clone(&seen));
    body.tap(move |data| sink.set(Some((data.clone(), ended.get().is_some()))));
    body.frame().await.unwrap().unwrap();
    assert_eq!(tapped.take(), Some((Bytes::from_static(b"hello"), false)));
    assert!(seen.get().is_some());
}

#[tokio::test]
async fn a_pulse_beats_with_each_piece_and_breaks_the_body_off_once_it_is_stopped() {
    let tick = Rc::new(Tick::new(Clock::start()));
    let pulse = Rc::new(Pulse::new(Rc::clone(&tick)));
    let (player, mut body) = played::chunked();
    body.beat(Rc::clone(&pulse));
    player.say("hello");
    body.frame().await.unwrap().unwrap();
    let (next, ()) = tokio::join!(body.frame(), async { pulse.stop() });
    assert!(matches!(next, Some(Err(BodyError::Stalled))));
}

#[tokio::test]
async fn what_does_not_know_of_its_end_has_ended_all_the_same() {
    let (player, mut body) = played::chunked();
    player.say("hello");
    player.end();
    body.frame().await.unwrap().unwrap();
    assert!(!body.is_empty(), "more might come");
    assert!(body.frame().await.is_none() && body.is_empty());
}

#[tokio::test]
async fn what_is_read_ahead_is_there_to_be_read() {
    let (player, body) = played::played();
    let (mut body, seen) = watched(body);
    player.say("one");
    body.read_ahead(1000, std::future::ready(())).await;
    assert_eq!(seen.get(), None, "the rest may come later");
    player.say("two");
    player.end();
    body.read_ahead(1, std::future::pending()).await;
    assert_eq!(seen.get(), None, "one piece is enough");
    body.read_ahead(1000, std::future::pending()).await;
    assert!(seen.get().is_some_and(|end| end.complete && end.bytes == 6));
    assert_eq!(body.collect().await.unwrap().to_bytes(), "onetwo");
    let (mut empty, seen) = watched(Body::empty());
    empty.read_ahead(1000, std::future::pending()).await;
    assert!(seen.get().is_some_and(|end| end.complete));
}

#[test]
fn is_as_small_as_a_pointer() {
    assert_eq!(size_of::<Body>(), size_of::<usize>());
}

#[test]
fn a_body_nobody_reads_ends_incomplete() {
    let (body, seen) = watched(Body::from(Bytes::from_static(b"hello")));
    drop(body);
    assert_eq!(seen.get(), Some(End { complete: false, broken: false, bytes: 0, grpc_status: None }));
}

#[test]
fn an_empty_body_is_complete_from_the_start() {
    let (body, seen) = watched(Body::empty());
    assert!(body.is_empty());
    drop(body);
    assert_eq!(seen.get(), Some(End { complete: true, broken: false, bytes: 0, grpc_status: None }));
}
