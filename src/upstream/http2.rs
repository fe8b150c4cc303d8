//! An HTTP/2 connection to a provider as it runs, and what its peer says of single streams.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use hyper::client::conn::http2::{Builder, Connection};
use hyper_util::rt::{TokioIo, TokioTimer};

use super::wire::{Signs, Wire};
use crate::body::Body;
use crate::drain::{Drain, LocalTasks};
use crate::gather::Gather;

/// Streams in flight on one connection before another is made, if its peer allows as many.
pub(super) const STREAMS_MAX: usize = 100;

/// Bytes of an answer's body that are taken before its client has taken them: what a provider within the same data centre,
/// two milliseconds away, may send with 128 MiB a second.
const STREAM_WINDOW: u32 = 256 * 1024;

/// The same of a whole connection: as much as of all its streams together. Many clients share it, and none is to wait for
/// another that does not read.
const CONNECTION_WINDOW: u32 = STREAMS_MAX as u32 * STREAM_WINDOW;

/// Bytes of a request's body that wait to be written, beside the piece that came last.
const SEND_BUFFER: usize = 64 * 1024;

/// How connections are made, with answers whose heads may have so many bytes.
///
/// The windows stay as they are: to learn how large they had better be, the library would have to ping, which providers
/// take for an attack.
pub(super) fn builder(drain: Drain, header_bytes_max: usize) -> Builder<LocalTasks> {
    let mut builder = Builder::new(LocalTasks(drain));
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(u32::try_from(header_bytes_max).unwrap_or(u32::MAX));
    builder
}

/// Runs a connection and notes how many streams its peer allows.
///
/// The library looks at a new limit only when it is about to open a stream; so that the first requests of a connection
/// already keep to it, this runs once more when the peer's first words have come, which are its settings (RFC 9113, 3.4).
pub(super) struct Running {
    pub(super) connection: Connection<TokioIo<Gather<Wire>>, Body, LocalTasks>,
    pub(super) signs: Arc<Signs>,
}

impl Future for Running {
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let has_begun = self.signs.await_first_bytes(cx);
        let polled = Pin::new(&mut self.connection).poll(cx);
        let most = self.connection.current_max_send_streams();
        self.signs.streams_max.store(most, Ordering::Relaxed);
        let takes_connect = self.connection.is_extended_connect_protocol_enabled();
        self.signs.takes_connect.store(takes_connect, Ordering::Relaxed);
        if has_begun || polled.is_ready() {
            self.signs.begun.notify_one();
        }
        polled
    }
}

/// What the peer says of a stream that it did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It did not look at the request and refuses it.
    Refused,
    /// It takes no more streams on this connection, and did not look at this one.
    TooLate,
}

/// What the peer said of the stream whose failure this is. What was refused, or came after the last stream that a GOAWAY
/// names, was not processed in any way (RFC 9113, 8.7 and 6.8).
pub(super) fn verdict(error: &hyper::Error) -> Option<Verdict> {
    let source = std::error::Error::source(error)?;
    let error: &h2::Error = source.downcast_ref()?;
    if !error.is_remote() {
        None
    } else if error.is_go_away() {
        // The library tells this of the streams above the last one only.
        Some(Verdict::TooLate)
    } else {
        (error.reason() == Some(h2::Reason::REFUSED_STREAM)).then_some(Verdict::Refused)
    }
}
