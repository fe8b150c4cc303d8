//! Tests of bodies that pass, over real sockets.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;

use futures_util::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::body::{End, Incoming};
use crate::http1::{Bounds, Connection, Form, PIECE, Sending, Unsent, begin_answer, poll_answer};

const BOUNDS: Bounds = Bounds { bytes: 1000, fields: 10, strict: false };

/// Longer than any pipe and any piece.
const LONG: usize = 3 * 1024 * 1024 + 5;

async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

/// An answer on its way from a provider to a client, as far as its head.
struct Course {
    link: Rc<Connection<TcpStream>>,
    connection: Rc<Connection<TcpStream>>,
    sending: Sending<Body>,
    ends: Rc<Cell<Option<End>>>,
    provider: TcpStream,
    client: TcpStream,
}

impl Course {
    async fn of(length: usize) -> Self {
        let ((near, mut provider), (out, client)) = (sockets().await, sockets().await);
        let link = Rc::new(Connection::new(near, ()));
        let connection = Rc::new(Connection::new(out, ()));
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        provider.write_all(head.as_bytes()).await.unwrap();
        let head = poll_fn(|cx| poll_answer(&link, cx, BOUNDS)).await.unwrap();
        let (received, _) = begin_answer(&link, &head, false).unwrap();
        let mut body = Body::received(Incoming::Http1(received));
        let ends = Rc::new(Cell::new(None));
        let sink = Rc::clone(&ends);
        body.on_end(move |end| sink.set(Some(end)));
        connection.write(|to| to.extend_from_slice(b"head|"));
        let sending = Sending::of_answer(body, Form::Length(length as u64), true).passing(Body::PASS);
        Self { link, connection, sending, ends, provider, client }
    }

    async fn send(&mut self) -> Result<(), Unsent<BodyError>> {
        poll_fn(|cx| self.sending.poll(&self.connection, cx)).await
    }

    /// Sends what can be sent at this moment; whether that was all.
    fn send_some(&mut self) -> bool {
        self.send().now_or_never().is_some()
    }
}

fn words() -> Vec<u8> {
    (0..LONG).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

#[tokio::test]
async fn a_long_body_passes_whole_and_what_follows_it_is_left() {
    let mut course = Course::of(LONG).await;
    let said = words();
    let Course { connection, sending, provider, client, .. } = &mut course;
    let (sent, (), heard) = tokio::join!(
        poll_fn(|cx| sending.poll(connection, cx)),
        async {
            provider.write_all(&said).await.unwrap();
            provider.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        },
        async {
            let mut heard = vec![0; 5 + LONG];
            for piece in heard.chunks_mut(70_001) {
                client.read_exact(piece).await.unwrap();
            }
            heard
        }
    );
    sent.unwrap();
    assert!(heard.starts_with(b"head|") && heard[5..] == said, "all of it came, in order");
    let expected = End { complete: true, broken: false, bytes: LONG as u64, grpc_status: None };
    assert_eq!((course.ends.get(), course.connection.written()), (Some(expected), 5 + LONG as u64));
    assert_eq!(Pipe::counts(), (0, 1), "it came through a pipe, which is kept for the next");
    let next = poll_fn(|cx| poll_answer(&course.link, cx, BOUNDS)).await.unwrap();
    assert_eq!(next.status, http::StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn what_came_before_it_broke_off_reaches_the_client() {
    let mut course = Course::of(LONG).await;
    course.provider.write_all(&words()[..PIECE]).await.unwrap();
    course.provider.shutdown().await.unwrap();
    let sent = course.send().await;
    assert!(matches!(sent, Err(Unsent::Body(BodyError::Broken(_)))), "{sent:?}");
    let expected = End { complete: false, broken: true, bytes: PIECE as u64, grpc_status: None };
    assert_eq!((course.ends.get(), course.link.is_broken()), (Some(expected), true));
    let mut heard = vec![0; 5 + PIECE];
    course.client.read_exact(&mut heard).await.unwrap();
    assert!(heard[5..] == words()[..PIECE]);
}

#[tokio::test]
async fn a_head_does_not_wait_for_its_body_nor_a_pipe_for_bytes() {
    let mut course = Course::of(LONG).await;
    assert!(!course.send_some());
    let mut heard = [0; 5];
    course.client.read_exact(&mut heard).await.unwrap();
    assert_eq!((&heard, Pipe::counts()), (b"head|", (0, 1)));
}

#[tokio::test]
async fn whoever_has_it_pass_learns_that_its_connection_goes_elsewhere() {
    let Course { link, connection, mut sending, provider: _stays, mut client, .. } = Course::of(LONG).await;
    let local = tokio::task::LocalSet::new();
    let told = local.spawn_local(async move { poll_fn(|cx| sending.poll(&connection, cx)).await.is_err() });
    local
        .run_until(async {
            client.read_exact(&mut [0; 5]).await.unwrap();
            // The upload that this answers broke off, as the task that sends it finds out.
            drop(link.take().unwrap());
            let told = tokio::time::timeout(std::time::Duration::from_secs(60), told).await;
            assert!(told.unwrap().unwrap(), "it breaks off");
        })
        .await;
}

#[tokio::test]
async fn what_nobody_takes_is_held_in_a_pipe_and_goes_with_it() {
    let mut course = Course::of(usize::MAX / 2).await;
    let piece = words();
    while Pipe::counts() != (1, 0) {
        assert!(!course.send_some());
        let _ = course.provider.write(&piece).now_or_never();
        tokio::task::yield_now().await;
    }
    drop(course);
    assert_eq!(Pipe::counts(), (0, 0), "one with something in it is nobody else's");
}

#[tokio::test]
async fn without_a_pipe_it_is_copied() {
    let pipes: Vec<_> = std::iter::repeat_with(Pipe::take).take_while(|pipe| !pipe.is_none()).collect();
    let mut course = Course::of(LONG).await;
    let said = words();
    let mut heard = vec![0; 5 + LONG];
    let Course { connection, sending, provider, client, .. } = &mut course;
    let (sent, said_all, heard_all) = tokio::join!(
        poll_fn(|cx| sending.poll(connection, cx)),
        provider.write_all(&said),
        client.read_exact(&mut heard)
    );
    assert!(sent.is_ok() && said_all.is_ok() && heard_all.is_ok() && heard[5..] == said);
    assert_eq!(Pipe::counts().0, pipes.len());
}
