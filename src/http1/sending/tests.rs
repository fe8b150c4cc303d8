//! Tests of bodies on their way out.

use std::convert::Infallible;
use std::future::poll_fn;

use futures_util::FutureExt as _;
use futures_util::{StreamExt as _, stream};
use http::HeaderValue;
use http_body_util::StreamBody;
use tokio::io::{AsyncReadExt as _, DuplexStream};

use super::*;
use crate::http1::write_together;

/// A body of these pieces, which may break off.
fn body(
    pieces: Vec<Result<Frame<Bytes>, &'static str>>,
) -> impl Body<Data = Bytes, Error = &'static str> + Unpin {
    StreamBody::new(stream::iter(pieces))
}

fn data(text: &'static str) -> Result<Frame<Bytes>, &'static str> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

fn trailers() -> Result<Frame<Bytes>, &'static str> {
    Ok(Frame::trailers(HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static("x"))])))
}

fn connection(room: usize) -> (Rc<Connection<DuplexStream>>, DuplexStream) {
    let (near, far) = tokio::io::duplex(room);
    (Rc::new(Connection::new(near, ())), far)
}

/// What leaves of a body behind a head, and how it ends.
async fn sent<B: Body<Data = Bytes, Error = &'static str> + Unpin>(
    mut sending: Sending<B>,
) -> (String, Result<(), String>) {
    let (connection, mut far) = connection(7);
    connection.write(|to| to.put_slice(b"head|"));
    let writing = async {
        let sent = poll_fn(|cx| sending.poll(&connection, cx)).await;
        drop((connection, sending));
        sent.map_err(|unsent| format!("{unsent:?}"))
    };
    let mut heard = String::new();
    let (sent, read) = tokio::join!(writing, far.read_to_string(&mut heard));
    read.unwrap();
    (heard, sent)
}

#[tokio::test]
async fn each_form_is_written_as_it_is_read() {
    let pieces = || vec![data("one"), data(""), data("two"), trailers()];
    for (form, expected) in [
        (Form::Empty, "head|"),
        (Form::Length(6), "head|onetwo"),
        (Form::ToEnd, "head|onetwo"),
        (Form::Chunked { trailers: false }, "head|3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"),
        (Form::Chunked { trailers: true }, "head|3\r\none\r\n3\r\ntwo\r\n0\r\netag: x\r\n\r\n"),
    ] {
        let heard = sent(Sending::of_answer(body(pieces()), form, false)).await;
        assert_eq!(heard, (expected.to_owned(), Ok(())), "{form:?}");
    }
}

#[tokio::test]
async fn a_body_is_as_long_as_was_said() {
    let (heard, sent_short) = sent(Sending::of_answer(body(vec![data("one")]), Form::Length(6), false)).await;
    assert_eq!((heard.as_str(), sent_short), ("head|one", Err("Length".to_owned())));
    let long = sent(Sending::of_answer(body(vec![data("one"), data("two")]), Form::Length(4), false)).await;
    assert_eq!(long, ("head|onet".to_owned(), Ok(())), "nothing comes behind its end");
}

#[tokio::test]
async fn a_body_is_heard_to_its_end_though_all_of_its_bytes_have_come() {
    let (connection, mut far) = connection(100);
    let (end, ends) = tokio::sync::oneshot::channel::<()>();
    let ends = stream::once(ends).filter_map(|_| std::future::ready(None));
    let body = StreamBody::new(Box::pin(stream::iter([data("hello")]).chain(ends)));
    let mut sending = Sending::of_answer(body, Form::Length(5), true);
    assert!(poll_fn(|cx| sending.poll(&connection, cx)).now_or_never().is_none());
    let mut heard = [0; 5];
    far.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"hello", "the client does not wait for it");
    drop(end);
    poll_fn(|cx| sending.poll(&connection, cx)).await.unwrap();
}

#[tokio::test]
async fn what_breaks_off_reaches_a_client_and_no_provider() {
    let pieces = || vec![data("one"), Err("broken")];
    let broken = Err("Body(\"broken\")".to_owned());
    let chunked = Form::Chunked { trailers: false };
    let answer = sent(Sending::of_answer(body(pieces()), chunked, true)).await;
    assert_eq!(answer, ("head|3\r\none\r\n".to_owned(), broken.clone()));
    let request = sent(Sending::of_request(body(pieces()), chunked, true)).await;
    assert_eq!(request, (String::new(), broken));
}

#[tokio::test]
async fn no_more_is_taken_than_there_is_room_for() {
    let (connection, _far) = connection(10);
    let taken = std::cell::Cell::new(0);
    let endless = stream::repeat_with(|| {
        taken.set(taken.get() + 1);
        Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b'x'; 1024])))
    });
    let mut sending = Sending::of_answer(StreamBody::new(endless), Form::ToEnd, false);
    assert!(poll_fn(|cx| sending.poll(&connection, cx)).now_or_never().is_none());
    assert!(taken.get() <= 17, "{} KiB were taken, and nobody reads", taken.get());
}

#[tokio::test]
async fn heads_without_bodies_do_not_pile_up_either() {
    let (connection, _far) = connection(10);
    tokio::task::LocalSet::new()
        .run_until(async {
            let writer = tokio::task::spawn_local(write_together());
            tokio::task::yield_now().await;
            let mut heads = 0;
            loop {
                connection.write(|to| to.put_slice(&[b'x'; 1024]));
                let mut sending = Sending::of_answer(body(Vec::new()), Form::Empty, true);
                if poll_fn(|cx| sending.poll(&connection, cx)).now_or_never().is_none() {
                    break;
                }
                heads += 1;
                assert!(heads < 17, "{heads} KiB wait, and nobody reads");
            }
            assert!(heads > 0, "a few may wait");
            writer.abort();
        })
        .await;
}

#[tokio::test]
async fn what_nobody_looks_after_is_written_by_whoever_sends_it() {
    let (stuck, mut far) = connection(2);
    tokio::task::LocalSet::new()
        .run_until(async {
            let writer = tokio::task::spawn_local(write_together());
            tokio::task::yield_now().await;
            let sending = Sending::of_request(body(vec![data("hello")]), Form::Length(5), true);
            let (mut sending, mut heard) = (sending.alone(), [0; 5]);
            let sent = poll_fn(|cx| sending.poll(&stuck, cx));
            let (sent, read) = tokio::join!(sent, far.read_exact(&mut heard));
            read.unwrap();
            assert!(sent.is_ok() && stuck.is_written() && &heard == b"hello");
            writer.abort();
        })
        .await;
}

#[tokio::test]
async fn what_may_wait_leaves_with_what_others_have_to_say() {
    let (first, mut first_far) = connection(100);
    let (stuck, mut stuck_far) = connection(2);
    tokio::task::LocalSet::new()
        .run_until(async {
            let writer = tokio::task::spawn_local(write_together());
            tokio::task::yield_now().await;
            for connection in [&first, &stuck] {
                let mut sending = Sending::of_answer(body(vec![data("hello")]), Form::Length(5), true);
                poll_fn(|cx| sending.poll(connection, cx)).await.unwrap();
                assert!(!connection.is_stalled() && connection.written() == 0, "it waits");
            }
            let mut heard = [0; 5];
            first_far.read_exact(&mut heard).await.unwrap();
            assert_eq!((&heard, first.written()), (b"hello", 5));
            // Of the other only a part was taken: whoever drives it is woken, and goes on.
            while !stuck.is_stalled() {
                tokio::task::yield_now().await;
            }
            let rest = async { poll_fn(|cx| stuck.poll_write(cx)).await.unwrap() };
            let (read, ()) = tokio::join!(stuck_far.read_exact(&mut heard), rest);
            read.unwrap();
            assert_eq!(&heard, b"hello");
            writer.abort();
            let _ = writer.await;
            let mut sending = Sending::of_answer(body(vec![data("alone")]), Form::Length(5), true);
            poll_fn(|cx| sending.poll(&first, cx)).await.unwrap();
            assert_eq!(first.written(), 10, "nobody writes together any more");
        })
        .await;
}
