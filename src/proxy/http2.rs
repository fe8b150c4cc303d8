//! HTTP/2 on one client connection (RFC 9113): how much of it there may be at once, and how it comes to its end.
//!
//! What one connection can hold is bounded by these, whatever its client does: of each request's body at most one window that
//! the provider has not taken yet, of each answer's at most one buffer and one piece that the client has not taken yet, and of
//! heads what the settings allow. The library itself bounds, and ends the connection with `ENHANCE_YOUR_CALM` over, what costs
//! memory otherwise: CONTINUATION frames of one head, heads of several times the size allowed, small and empty DATA frames,
//! requests that were reset before they were looked at, and resets for errors. Pings and settings cost none: the library reads
//! no further until its last reply has found room.

mod stream;

use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use h2::server::Builder;

use super::Settings;
use super::client::{Client, ClientStream, Order};
use super::http1::Entrance;
use super::stack::Stack;
use super::worker::Worker;

/// Streams that one client may have open at once.
const STREAMS_MAX: u32 = 250;

/// Bytes of a request's body that are taken before its provider has taken them. Clients are near: on the way to this proxy
/// such a window is worth far more than any application sends.
const STREAM_WINDOW: u32 = 64 * 1024;

/// The same of a whole connection: as much as of all its streams together, so that none waits for another's provider.
const CONNECTION_WINDOW: u32 = STREAMS_MAX * STREAM_WINDOW;

/// Bytes of an answer that wait to be written, beside the piece that came last.
const SEND_BUFFER: usize = 64 * 1024;

/// Requests that were reset before they were looked at and are still listed. Whoever keeps to the number of streams may give
/// them all up at once.
const RESETS_MAX: usize = STREAMS_MAX as usize;

/// Resets for what clients do wrong, on one connection: a client that goes on like that is not listened to any longer.
const ERRORS_MAX: usize = 1024;

/// Streams that were reset here within the last second and are still known. What was on its way to them is passed over; what comes
/// for one that is known no more counts as the client's error, and those are counted as long as the connection lasts. A request that
/// is refused by its head, as many are while a service is away, is such a stream when the rest of it comes.
const RESET_KNOWN_MAX: usize = 4096;

/// Serves a connection until it ends.
pub async fn serve<S: Stack>(
    worker: &Worker,
    entrance: Entrance<S>,
    stream: ClientStream,
    client: &Rc<Client>,
) {
    let mut handshake = builder(&worker.shared.settings).handshake(stream);
    let mut connection = None;
    let (mut is_closing, mut is_drained) = (false, false);
    let serving = std::future::poll_fn(|cx| {
        let order = client.take_order(cx);
        // A client is told that this is the end, and what was not looked at; told once more to close, it had its time.
        let is_over = match order {
            Some(Order::Close) => is_closing,
            Some(Order::Timeout) => true,
            Some(Order::Drain) | None => false,
        };
        is_drained |= order.is_some();
        is_closing |= order == Some(Order::Close);
        let polled = loop {
            let Some(connection) = &mut connection else {
                match Pin::new(&mut handshake).poll(cx) {
                    Poll::Ready(Ok(begun)) => connection = Some(begun),
                    Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                    Poll::Pending => break Poll::Pending,
                }
                continue;
            };
            if is_drained {
                connection.graceful_shutdown();
            }
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, reply)))) => {
                    stream::begin(request, reply, &entrance, client, &worker.shared.drain);
                }
                Poll::Ready(Some(Err(error))) => break Poll::Ready(Err(error)),
                Poll::Ready(None) => break Poll::Ready(Ok(())),
                Poll::Pending => break Poll::Pending,
            }
        };
        if is_over { Poll::Ready(Ok(())) } else { polled }
    });
    if let Err(error) = serving.await {
        tracing::debug!(client = %client.peer, %error, "an HTTP/2 client connection ended");
    }
}

fn builder(settings: &Settings) -> Builder {
    let mut builder = Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(Some(ERRORS_MAX))
        .max_concurrent_reset_streams(RESET_KNOWN_MAX)
        .max_header_list_size(u32::try_from(settings.header_bytes_max).unwrap_or(u32::MAX))
        // WebSocket comes that way (RFC 8441).
        .enable_connect_protocol();
    builder
}
