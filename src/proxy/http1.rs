//! HTTP/1 on one client connection: requests one by one, until it ends or its bytes are taken over raw.

mod conversation;

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use http::Request;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::client::{Client, ClientStream, Order, Stream};
use super::http2;
use super::layer::middleware::Answer;
use super::layer::observe::Arrived;
use super::stack::Stack;
use super::takeover::{Open, Within};
use super::worker::Worker;
use crate::body::Incoming;
use conversation::{Conversation, Ended};

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

    /// Hands over a request that came in HTTP/1.
    fn call(&mut self, message: Request<Incoming>) -> Answer<Infallible> {
        let client = Rc::clone(&self.client);
        self.stack.call(Arrived { message, client, stream: None, tunnel: None })
    }
}

/// Serves a client connection until it ends.
pub async fn serve<S: Stack>(worker: &Worker, stack: S, stream: ClientStream, client: Rc<Client>) {
    let entrance = Entrance { stack, client: Rc::clone(&client) };
    let is_fresh = stream.is_fresh();
    let mut conversation = Conversation::new(stream, entrance, Rc::clone(&client), &worker.shared.settings);
    if is_fresh {
        // What it was opened for is about to come.
        yield_now().await;
    }
    let ended = std::future::poll_fn(|cx| {
        let polled = conversation.poll(cx);
        worker.unwatched.heed(&client);
        polled
    })
    .await;
    // Whatever becomes of it: as long as it lies there, it and the client hold each other.
    let takeover = client.takeover.take();
    if let Ended::Refused(refused) = ended {
        // No layer has seen it.
        worker.unrouted.record(refused.status().as_u16(), Some(refused.reason()), client.waited());
    }
    // Boxed, so that the many connections that speak HTTP/1 have no room for what few of them come to.
    let next = async {
        // The request in flight ends here.
        let Some((entrance, mut stream)) = conversation.into_parts() else { return };
        let is_more_there = stream.has_more() || client.is_unread();
        match (ended, takeover) {
            (Ended::Http2, _) => {
                client.begin_http2(stream.early());
                http2::serve(worker, entrance, stream, &client).await;
            }
            (Ended::Closed, _) if client.is_cut() || client.is_writing() => stream.abort(),
            (Ended::Closed, _) => {}
            (_, Some(takeover)) => {
                let _open = Open::begin(&worker.shared.metrics.proxy);
                let orders = std::future::poll_fn(|cx| match client.take_order(cx) {
                    Some(Order::Close) => std::task::Poll::Ready(()),
                    // What runs raw cannot be drained.
                    Some(Order::Drain | Order::Timeout) | None => std::task::Poll::Pending,
                });
                tokio::select! {
                    () = takeover.run(stream, ClientStream::abort) => {}
                    () = orders => {}
                }
            }
            (Ended::Refused(refused), None) => take_leave(stream, &refused.answer()).await,
            (Ended::Broken, None) if client.is_cut() => stream.abort(),
            (Ended::Broken, None) => linger(stream).await,
            (Ended::Done, None) if is_more_there => linger(stream).await,
            (Ended::Done | Ended::TakenOver, None) if stream.is_clear() => {}
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

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

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
