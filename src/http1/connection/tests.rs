//! Tests of a connection.

use std::future::poll_fn;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufWriter, DuplexStream};

use super::*;
use crate::http1::Received;
use crate::http1::chunks::Chunks;
use crate::http1::decoder::Decoder;

const BOUNDS: Bounds = Bounds { bytes: 1000, fields: 10, strict: true };

fn pair() -> (Rc<Connection<DuplexStream>>, DuplexStream) {
    let (near, far) = tokio::io::duplex(1 << 16);
    (Rc::new(Connection::new(near, ())), far)
}

async fn head(connection: &Connection<DuplexStream>) -> Option<Bytes> {
    poll_fn(|cx| connection.poll_head(cx, BOUNDS, |_| Ok(()))).await.unwrap()
}

async fn piece(received: &mut Received) -> Option<Result<Bytes, String>> {
    let frame = poll_fn(|cx| received.poll_frame(cx)).await?;
    Some(frame.map(|frame| frame.into_data().unwrap()).map_err(|error| error.to_string()))
}

#[tokio::test]
async fn nothing_is_held_while_it_idles() {
    let (connection, mut far) = pair();
    far.write_all(b"GET / HTTP/1.1\r\n\r\nhello").await.unwrap();
    assert!(head(&connection).await.is_some());
    let mut received = connection.begin(Decoder::length(5));
    assert_eq!(piece(&mut received).await, Some(Ok("hello".into())));
    assert!(piece(&mut received).await.is_none() && received.is_end_stream());
    connection.write(|to| to.extend_from_slice(b"answer"));
    poll_fn(|cx| connection.poll_write(cx)).await.unwrap();
    assert!(head(&connection).now_or_never().is_none());
    let reading = connection.reading.borrow();
    assert!(reading.is_empty() && reading.ahead.is_empty() && connection.outbox.borrow().is_empty());
    assert!(size_of::<Connection<DuplexStream>>() - size_of::<DuplexStream>() < 400);
}

#[tokio::test]
async fn a_body_that_was_given_up_never_reads_the_next_message() {
    let (connection, mut far) = pair();
    let mut first = connection.begin(Decoder::length(5));
    let mut second = connection.begin(Decoder::length(3));
    far.write_all(b"two").await.unwrap();
    assert!(piece(&mut first).await.unwrap().unwrap_err().contains("given up"));
    assert_eq!(piece(&mut second).await, Some(Ok("two".into())));
}

#[tokio::test]
async fn whoever_reads_a_body_learns_that_its_connection_goes_elsewhere() {
    let (connection, _far) = pair();
    let mut received = connection.begin(Decoder::length(5));
    // Asks again only what was woken.
    let mut reading: FuturesUnordered<_> = std::iter::once(piece(&mut received)).collect();
    assert!(reading.next().now_or_never().is_none());
    let _stream = connection.take().unwrap();
    let told = reading.next().now_or_never().flatten().flatten().unwrap();
    assert!(told.unwrap_err().contains("given up"));
}

#[tokio::test]
async fn the_end_of_the_peer_is_seen_while_it_is_answered_and_what_it_says_is_kept() {
    let (connection, mut far) = pair();
    let mut gone = Box::pin(poll_fn(|cx| connection.poll_gone(cx)));
    assert!(gone.as_mut().now_or_never().is_none());
    drop(gone);
    far.write_all(b"next").await.unwrap();
    assert!(poll_fn(|cx| connection.poll_gone(cx)).now_or_never().is_none());
    assert!(connection.has_more());
    assert_eq!(connection.take().unwrap().1, "next");
    let (connection, far) = pair();
    drop(far);
    assert!(poll_fn(|cx| connection.poll_gone(cx)).now_or_never().is_some());
}

#[tokio::test]
async fn a_body_nobody_wants_is_passed_over_where_it_has_come() {
    for (text, decoder, is_over) in [
        ("hello", Decoder::length(5), true),
        ("hell", Decoder::length(5), false),
        ("5\r\nhello\r\n0\r\n\r\n", Decoder::chunked(Chunks::default()), true),
        ("x", Decoder::chunked(Chunks::default()), false),
    ] {
        let (connection, mut far) = pair();
        let received = connection.begin(decoder);
        assert!(poll_fn(|cx| connection.poll_body_end(cx)).now_or_never().is_none(), "somebody has it");
        far.write_all(text.as_bytes()).await.unwrap();
        drop(received);
        assert_eq!(poll_fn(|cx| connection.poll_body_end(cx)).await, is_over, "{text:?}");
    }
}

#[tokio::test]
async fn a_body_is_asked_for_when_it_is_read() {
    let (connection, mut far) = pair();
    let mut received = connection.begin_asking(Decoder::length(2), true);
    assert!(piece(&mut received).now_or_never().is_none());
    let mut heard = [0; 25];
    far.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"HTTP/1.1 100 Continue\r\n\r\n");
    far.write_all(b"ok").await.unwrap();
    assert_eq!(piece(&mut received).await, Some(Ok("ok".into())));
}

#[tokio::test]
async fn a_body_is_asked_for_no_more_once_there_is_an_answer() {
    let (connection, mut far) = pair();
    let mut received = connection.begin_asking(Decoder::length(2), true);
    assert!(connection.ask_no_more() && !connection.ask_no_more());
    assert!(piece(&mut received).now_or_never().is_none());
    far.write_all(b"ok").await.unwrap();
    assert_eq!(piece(&mut received).await, Some(Ok("ok".into())), "it may come all the same");
    drop((received, connection));
    let mut heard = String::new();
    far.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "");
}

/// Takes what is written to it before that leaves, as TLS does.
impl Transport for BufWriter<DuplexStream> {}

#[tokio::test]
async fn what_was_taken_and_has_not_left_is_still_to_be_written() {
    let (near, mut far) = tokio::io::duplex(2);
    let connection = Rc::new(Connection::new(BufWriter::new(near), ()));
    connection.write(|to| to.extend_from_slice(b"hello"));
    assert!(poll_fn(|cx| connection.poll_write(cx)).now_or_never().is_none());
    assert!(connection.is_stalled() && !connection.is_written() && !connection.is_between());
    let mut heard = [0; 5];
    let (written, read) = tokio::join!(poll_fn(|cx| connection.poll_write(cx)), far.read_exact(&mut heard));
    assert!(written.is_ok() && read.is_ok() && connection.is_written() && connection.is_between());
    assert_eq!(&heard, b"hello");
}

#[tokio::test]
async fn whoever_keeps_it_is_told_of_news_and_nobody_else_is_kept() {
    let (connection, mut far) = pair();
    connection.driver.replace(Some(Waker::noop().clone()));
    assert!(poll_fn(|cx| connection.poll_news(cx)).now_or_never().is_none());
    assert!(connection.driver.borrow().is_none());
    far.write_all(b"x").await.unwrap();
    assert!(poll_fn(|cx| connection.poll_news(cx)).now_or_never().is_some());
}

#[tokio::test]
async fn a_connection_that_is_over_when_it_is_looked_at_is_not_written_to() {
    for (is_over, heard) in [(true, ""), (false, "request")] {
        let (connection, mut far) = pair();
        connection.look_first(if is_over { |_| true } else { |_| false });
        connection.write(|to| to.extend_from_slice(b"request"));
        let written = poll_fn(|cx| connection.poll_write(cx)).await;
        assert_eq!((written.is_err(), connection.is_broken()), (is_over, is_over));
        drop(connection);
        let mut said = String::new();
        far.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, heard);
    }
}
