//! The relay: bytes pass between a client and a provider until both have ended, one breaks off, or nothing moves any more.

use std::cell::Cell;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf, ReadHalf, WriteHalf, copy, split};

use super::account::{Account, End};
use super::course::Connected;
use crate::endpoint::Outcome;
use crate::proxy::client::{Client, ClientStream, Order};
use crate::proxy::error::ProxyError;
use crate::upstream::{SendCause, Stream};

/// A client and a provider whose bytes are passed on, in each direction no more than a buffer of 8 KiB at a time: who reads
/// slowly slows down who writes.
///
/// The end of what one side sends is passed on as such, and the other side may go on. Anything else is a break: both sides
/// are reset, since what either has of the other's words may not be all. That holds as well when the relay is dropped.
pub(super) struct Relay<'a> {
    client: ClientStream,
    provider: Connected,
    account: &'a Account,
    is_whole: bool,
}

impl<'a> Relay<'a> {
    pub(super) fn new(client: ClientStream, provider: Connected, account: &'a Account) -> Self {
        provider.noting.worker.shared.metrics.proxy.upstream_connections_open.inc();
        Self { client, provider, account, is_whole: false }
    }

    /// Passes bytes on; how that ended.
    pub(super) async fn run(mut self, orders: &Client) -> End {
        let Connected { stream, noting, took } = &mut self.provider;
        let (account, breaks) = (self.account, Breaks::default());
        let client = Side::new(&mut self.client, Who::Client, &breaks, |bytes| account.received(bytes));
        let provider = Side::new(stream, Who::Provider, &breaks, |bytes| {
            if !account.is_heard() {
                // Whoever speaks is well, however long it goes on.
                noting.note_raw(Outcome::Success, *took);
            }
            account.sent(bytes);
        });
        let end = tokio::select! {
            biased;
            () = pass_both(client, provider, &breaks) => match breaks.first.get() {
                None => End::Whole,
                Some(Who::Provider) => End::ProviderBroke,
                Some(Who::Client) => End::ClientBroke,
            },
            () = std::future::poll_fn(|cx| poll_close(orders, cx)) => End::Idle,
        };
        self.is_whole = end == End::Whole;
        self.judge(end);
        if end == End::ProviderBroke { self.refused().unwrap_or(end) } else { end }
    }

    /// How it ended where the provider refuses who we are, of which it tells only once we believe that TLS has begun.
    fn refused(&self) -> Option<End> {
        let error = ProxyError::from(SendCause::from(self.provider.stream.refused()?));
        self.provider.noting.worker.complaints.tell(self.account, &error);
        Some(End::Failed(error.reason()))
    }

    /// Tells the endpoint how it went, if it never said a word.
    fn judge(&self, end: End) {
        let Connected { noting, took, .. } = &self.provider;
        let is_heard = self.account.is_heard();
        match end {
            End::ProviderBroke => {
                noting.worker.shared.metrics.proxy.upstream_resets_total.inc();
                if !is_heard {
                    noting.note_raw(Outcome::Broken, *took);
                }
            }
            End::Whole if !is_heard => noting.note_raw(Outcome::Success, *took),
            // It was not given the time to show how it is.
            End::ClientBroke | End::Idle | End::Stopped | End::Failed(_) if !is_heard => {
                noting.leave_untold()
            }
            End::Whole | End::ClientBroke | End::Idle | End::Stopped | End::Failed(_) => {}
        }
    }
}

impl Drop for Relay<'_> {
    fn drop(&mut self) {
        self.provider.noting.worker.shared.metrics.proxy.upstream_connections_open.dec();
        if !self.is_whole {
            self.client.abort();
            Stream::abort(&self.provider.stream);
        }
    }
}

/// Ready once the connection is told to close.
fn poll_close(client: &Client, cx: &mut Context<'_>) -> Poll<()> {
    match client.take_order(cx) {
        Some(Order::Close) => Poll::Ready(()),
        Some(Order::Drain | Order::Timeout) | None => Poll::Pending,
    }
}

/// Passes bytes both ways, until neither side has anything to say, or to be told, any more.
///
/// A side that takes no more may have said more than was read so far: that is passed on before the end, as it would have arrived
/// without anybody in between. One that cannot be read any more has no use for the other's words.
async fn pass_both(
    client: impl AsyncRead + AsyncWrite,
    provider: impl AsyncRead + AsyncWrite,
    breaks: &Breaks,
) {
    let (from_client, to_client) = split(client);
    let (from_provider, to_provider) = split(provider);
    let mut there = pin!(pass(from_client, to_provider, breaks));
    let mut back = pin!(pass(from_provider, to_client, breaks));
    let (mut is_there, mut is_back) = (false, false);
    while !(is_there && is_back || breaks.is_unreadable.get()) {
        tokio::select! {
            biased;
            () = &mut there, if !is_there => is_there = true,
            () = &mut back, if !is_back => is_back = true,
        }
    }
}

/// Passes bytes one way, and at last their end, unless somebody broke off: an end after that would look like a good one.
async fn pass<R: AsyncRead, W: AsyncWrite>(mut from: ReadHalf<R>, mut to: WriteHalf<W>, breaks: &Breaks) {
    if copy(&mut from, &mut to).await.is_ok() && breaks.first.get().is_none() {
        // That it fails is among the breaks.
        let _ = to.shutdown().await;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Client,
    Provider,
}

/// What broke.
#[derive(Debug, Default)]
struct Breaks {
    /// Who was the first to break off.
    first: Cell<Option<Who>>,
    /// Whether nothing can be read any more from somebody who had not ended.
    is_unreadable: Cell<bool>,
}

impl Breaks {
    fn note<T>(&self, who: Who, result: &io::Result<T>) {
        if result.is_err() && self.first.get().is_none() {
            self.first.set(Some(who));
        }
    }
}

/// One side: what it says is counted, and it is noted when it breaks off.
struct Side<'s, S, H> {
    stream: &'s mut S,
    who: Who,
    breaks: &'s Breaks,
    hear: H,
}

impl<'s, S, H: FnMut(u64)> Side<'s, S, H> {
    const fn new(stream: &'s mut S, who: Who, breaks: &'s Breaks, hear: H) -> Self {
        Self { stream, who, breaks, hear }
    }
}

impl<S: AsyncRead + Unpin, H: FnMut(u64) + Unpin> AsyncRead for Side<'_, S, H> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut *this.stream).poll_read(cx, buffer));
        let count = buffer.filled().len() - before;
        if count > 0 {
            (this.hear)(count as u64);
        }
        this.breaks.note(this.who, &read);
        if read.is_err() {
            this.breaks.is_unreadable.set(true);
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin, H: FnMut(u64) + Unpin> AsyncWrite for Side<'_, S, H> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut *this.stream).poll_write(cx, bytes));
        this.breaks.note(this.who, &written);
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = ready!(Pin::new(&mut *this.stream).poll_flush(cx));
        this.breaks.note(this.who, &flushed);
        Poll::Ready(flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = ready!(Pin::new(&mut *this.stream).poll_shutdown(cx));
        this.breaks.note(this.who, &shut);
        Poll::Ready(shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, DuplexStream, Join, duplex, join};

    use super::*;

    /// A side that takes nothing, and whose last words are still to be read.
    struct Deaf;

    impl AsyncWrite for Deaf {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
        }
    }

    /// Passes bytes between these, with a small buffer behind them; who broke off first.
    async fn passed<P: AsyncRead + AsyncWrite + Unpin>(
        mut client: DuplexStream,
        mut provider: P,
    ) -> Option<Who> {
        let breaks = Breaks::default();
        let client = Side::new(&mut client, Who::Client, &breaks, |_| ());
        let provider = Side::new(&mut provider, Who::Provider, &breaks, |_| ());
        pass_both(client, provider, &breaks).await;
        breaks.first.get()
    }

    #[tokio::test]
    async fn what_was_said_before_a_side_took_no_more_is_passed_on_without_an_end() {
        let words: &[u8] = &[b'x'; 100_000];
        let deaf: Join<&[u8], Deaf> = join(words, Deaf);
        let (mut near, client) = duplex(1000);
        let (first, heard) = tokio::join!(passed(client, deaf), async {
            near.write_all(b"in vain").await.unwrap();
            let mut heard = vec![0; words.len()];
            near.read_exact(&mut heard).await.unwrap();
            heard
        });
        assert_eq!((first, heard.as_slice()), (Some(Who::Provider), words));
    }

    #[tokio::test]
    async fn both_ends_are_passed_on_each_by_itself() {
        let ((mut near, client), (mut far, provider)) = (duplex(10), duplex(10));
        let (first, ()) = tokio::join!(passed(client, provider), async {
            let mut heard = String::new();
            near.write_all(b"question").await.unwrap();
            near.shutdown().await.unwrap();
            far.read_to_string(&mut heard).await.unwrap();
            assert_eq!(std::mem::take(&mut heard), "question");
            far.write_all(b"answer").await.unwrap();
            far.shutdown().await.unwrap();
            near.read_to_string(&mut heard).await.unwrap();
            assert_eq!(heard, "answer");
        });
        assert_eq!(first, None);
    }
}
