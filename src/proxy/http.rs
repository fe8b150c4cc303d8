//! HTTP on one client connection: requests one by one, until it ends or its bytes are taken over raw.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::Settings;
use super::client::{Client, ClientStream, Order, Refused, Stream};
use super::http2;
use super::layer::middleware::Answer;
use super::layer::observe::Arrived;
use super::stack::Stack;
use super::takeover::{Open, Within};
use super::worker::Worker;
use crate::body::{Body, Incoming};

/// Bytes of bodies that are read at once from an HTTP/1 connection, and that wait to be written to one; more only where heads
/// may be larger. The library's own bound is six times as much, which a client that reads nothing could hold three times over.
const BUFFER_BYTES: usize = 64 * 1024;

/// How long a connection may still take once HTTP is over on it: to take what is said last, and to say what it is still saying.
const LINGER: Duration = Duration::from_secs(2);

/// Hands requests of one client to the stack.
#[derive(Clone, Debug)]
pub struct Entrance<S> {
    stack: S,
    client: Rc<Client>,
}

impl<S: Stack> Entrance<S> {
    /// Hands over a request that came within HTTP/2.
    pub fn call_within(
        &self,
        message: Request<Incoming>,
        stream: Rc<Stream>,
        tunnel: Option<Within>,
    ) -> Answer<Infallible> {
        let (client, stream) = (Rc::clone(&self.client), Some(stream));
        self.stack.clone().call(Arrived { message, client, stream, tunnel })
    }
}

impl<S: Stack> hyper::service::Service<Request<hyper::body::Incoming>> for Entrance<S> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer<Infallible>;

    fn call(&self, message: Request<hyper::body::Incoming>) -> Self::Future {
        let (client, message) = (Rc::clone(&self.client), message.map(Incoming::from));
        self.stack.clone().call(Arrived { message, client, stream: None, tunnel: None })
    }
}

/// How HTTP/1 on a connection came to its end.
enum Ended {
    /// As HTTP has it.
    Done,
    /// The client went away, or sent what is no HTTP.
    Broken,
    /// The client speaks HTTP/2.
    Http2,
    /// Its bytes go elsewhere from now on.
    TakenOver,
    /// The head of a request took too long.
    Late,
    /// It was told to close.
    Closed,
}

/// Serves a client connection until it ends.
pub async fn serve<S: Stack>(worker: &Worker, stack: S, stream: ClientStream, client: Rc<Client>) {
    let entrance = Entrance { stack, client: Rc::clone(&client) };
    let settings = &worker.shared.settings;
    let mut connection = http1_builder(settings).serve_connection(TokioIo::new(stream), entrance.clone());
    let ended = std::future::poll_fn(|cx| poll_http1(&mut connection, &client, cx)).await;
    // Whatever becomes of it: as long as it lies there, it and the client hold each other.
    let takeover = client.takeover.take();
    if let Some(refused) = client.refused().or(matches!(ended, Ended::Late).then_some(Refused::Late)) {
        // No layer has seen it.
        worker.unrouted.record(refused.status().as_u16(), Some(refused.reason()), client.waited());
    }
    // Boxed, so that the many connections that speak HTTP/1 have no room for what few of them come to.
    let next = async {
        // The request in flight ends here.
        let parts = connection.into_parts();
        let mut stream = parts.io.into_inner();
        let early: Bytes = parts.read_buf;
        let is_more_there = !early.is_empty() || stream.has_more() || client.is_unread();
        match (ended, takeover) {
            (Ended::Http2, _) => {
                client.begin_http2(&early);
                http2::serve(worker, entrance, stream.rewound(early), &client).await;
            }
            (Ended::Closed, _) if client.is_cut() || client.is_writing() => stream.abort(),
            (Ended::Closed, _) => {}
            (_, Some(takeover)) => {
                let _open = Open::begin(&worker.shared.metrics.proxy);
                let orders = std::future::poll_fn(|cx| poll_close(&client, cx));
                tokio::select! {
                    () = takeover.run(stream.rewound(early), ClientStream::abort) => {}
                    () = orders => {}
                }
            }
            (Ended::Late, None) => take_leave(stream.rewound(early), &Refused::Late.answer()).await,
            (Ended::Broken, None) if client.is_cut() => stream.abort(),
            (Ended::Broken, None) => linger(stream.rewound(early)).await,
            (Ended::Done, None) if is_more_there => linger(stream.rewound(early)).await,
            (Ended::Done | Ended::TakenOver, None) => {
                let _ = timeout(LINGER, stream.shutdown()).await;
            }
        }
    };
    Box::pin(next).await;
}

/// Ends this side, and for a while takes what still comes: closing at once would reset the connection, and the client,
/// busy with sending, might never see the answer.
pub(super) async fn linger(stream: impl AsyncRead + AsyncWrite + Unpin) {
    take_leave(stream, &[]).await;
}

/// The same, with these words before.
async fn take_leave(mut stream: impl AsyncRead + AsyncWrite + Unpin, words: &[u8]) {
    let last = async {
        let _ = stream.write_all(words).await;
        let _ = stream.shutdown().await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    };
    let _ = timeout(LINGER, last).await;
}

fn http1_builder(settings: &Settings) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // The worker's clean-up watches the time, for all connections at once.
        .header_read_timeout(None)
        .max_headers(settings.headers_max)
        .max_header_size(settings.header_bytes_max)
        .max_buf_size(settings.header_bytes_max.max(BUFFER_BYTES));
    builder
}

fn poll_http1<S: Stack>(
    connection: &mut http1::Connection<TokioIo<ClientStream>, Entrance<S>>,
    client: &Client,
    cx: &mut Context<'_>,
) -> Poll<Ended> {
    match client.take_order(cx) {
        Some(Order::Drain) => Pin::new(&mut *connection).graceful_shutdown(),
        Some(Order::Timeout) => return Poll::Ready(Ended::Late),
        Some(Order::Close) => return Poll::Ready(Ended::Closed),
        None => {}
    }
    match connection.poll_without_shutdown(cx) {
        Poll::Ready(Ok(())) => Poll::Ready(Ended::Done),
        Poll::Ready(Err(error)) if error.is_parse_version_h2() => Poll::Ready(Ended::Http2),
        Poll::Ready(Err(error)) => {
            tracing::debug!(client = %client.peer, %error, "a client connection ended");
            Poll::Ready(Ended::Broken)
        }
        Poll::Pending if client.takeover.borrow().as_ref().is_some_and(|takeover| takeover.is_due()) => {
            Poll::Ready(Ended::TakenOver)
        }
        Poll::Pending => Poll::Pending,
    }
}

/// Ready once the connection is told to close; what runs raw cannot be drained.
fn poll_close(client: &Client, cx: &mut Context<'_>) -> Poll<()> {
    match client.take_order(cx) {
        Some(Order::Close) => Poll::Ready(()),
        Some(Order::Drain | Order::Timeout) | None => Poll::Pending,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::io::ReadBuf;

    use super::*;

    /// What takes nothing, says nothing, and does not end.
    struct Stuck;

    impl AsyncRead for Stuck {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Stuck {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_not_waited_for_for_long() {
        let begun = tokio::time::Instant::now();
        take_leave(Stuck, b"last words").await;
        assert_eq!(begun.elapsed(), LINGER);
    }
}
