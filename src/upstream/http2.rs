//! An HTTP/2 connection to a provider as it runs, the requests on it, and what its peer says of single ones.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use tokio::sync::oneshot;

use super::fault::Fault;
use super::interim::{Count, Hear, Interim};
use super::wire::{Signs, Wire};
use crate::body::http2::{Carries, Received, Sending, Unsent};
use crate::body::{Body, Incoming};
use crate::drain::Drain;
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

/// Resets for what a provider does wrong, on one connection.
const ERRORS_MAX: usize = 1024;

/// Requests that were taken back and are still known, and for how long. What a provider says to one that is known no more counts as
/// its error, and those are counted as long as the connection lasts: one that stood still for a moment answers many at once whose
/// time was over.
const RESET_KNOWN_MAX: usize = 4096;
const RESET_KNOWN_FOR: Duration = Duration::from_secs(3);

/// Begins a connection on which answers' heads may have so many bytes.
///
/// The windows stay as they are: to learn how large they had better be, one would have to ping, which providers take for an
/// attack.
pub(super) async fn begin(
    wire: Gather<Wire>,
    signs: Arc<Signs>,
    header_bytes_max: usize,
) -> Result<(SendRequest<Bytes>, Running), h2::Error> {
    let (sender, connection) = Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .initial_max_send_streams(STREAMS_MAX)
        .max_local_error_reset_streams(Some(ERRORS_MAX))
        .max_concurrent_reset_streams(RESET_KNOWN_MAX)
        .reset_stream_duration(RESET_KNOWN_FOR)
        .max_header_list_size(u32::try_from(header_bytes_max).unwrap_or(u32::MAX))
        .enable_push(false)
        .handshake(wire)
        .await?;
    Ok((sender, Running { connection, signs }))
}

/// Runs a connection, and tells when the peer's first words have come, which are its settings (RFC 9113, 3.4): requests that wait
/// for them keep to the number of streams that it allows.
pub(super) struct Running {
    connection: Connection<Gather<Wire>, Bytes>,
    signs: Arc<Signs>,
}

impl Future for Running {
    type Output = Result<(), h2::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = Pin::new(&mut self.connection).poll(cx);
        if self.signs.reads() > 0 || polled.is_ready() {
            self.signs.begun.notify_one();
        }
        polled
    }
}

/// Whether a connection takes no more requests: it has ended, or its peer has said that it will.
pub(super) fn is_closed(sender: &mut SendRequest<Bytes>) -> bool {
    matches!(check(sender), Poll::Ready(Err(_)))
}

/// Asks without waiting; who asks is woken by the request that it sends.
fn check(sender: &mut SendRequest<Bytes>) -> Poll<Result<(), h2::Error>> {
    sender.poll_ready(&mut Context::from_waker(Waker::noop()))
}

/// A request that came back, in whole where nothing of it was used up.
pub(super) type Returned = (Fault, Option<Request<Body>>);

/// Sends a request and waits for the head of its answer. What is left of its body then is sent by a task of its own; given up
/// before the end of the answer, it takes its stream along.
pub(super) async fn send(
    sender: &mut SendRequest<Bytes>,
    request: Request<Body>,
    hear: Hear<'_>,
    drain: &Drain,
) -> Result<Response<Incoming>, Returned> {
    if let Poll::Ready(Err(error)) = check(sender) {
        return Err((error.into(), Some(request)));
    }
    let (mut parts, body) = request.into_parts();
    let asks_for_tunnel = parts.method == Method::CONNECT;
    let has_length = |length: &u64| *length > 0 || has_body_by_nature(&parts.method);
    if let Some(length) = body.size_hint().exact().filter(has_length) {
        parts.headers.entry(CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    let is_whole = body.is_end_stream() && !asks_for_tunnel;
    let sent = sender.send_request(Request::from_parts(parts, ()), is_whole);
    let (answer, to) = sent.map_err(|error| (error.into(), None))?;
    let (mut sending, back) = if asks_for_tunnel {
        (None, Some(to))
    } else {
        ((!is_whole).then(|| Sending::new(Carries::Request, body, to)), None)
    };
    let response = Exchange { answer, hear, count: Count::default() }.wait(&mut sending).await;
    let (parts, from) = response.map_err(|fault| (fault, None))?.into_parts();
    let is_answered = from.is_end_stream();
    let mut received = match back.filter(|_| parts.status.is_success()) {
        Some(back) => Received::behind_connect(from, back),
        None => Received::new(from, &parts.headers),
    };
    if let Some(sending) = sending {
        let (answer, answered) = oneshot::channel();
        drain.spawn_local("http2 stream", finish(sending, answered));
        if is_answered {
            let _ = answer.send(());
        } else {
            received = received.telling(answer);
        }
    }
    Ok(Response::from_parts(parts, Incoming::Http2(received)))
}

/// Sends the rest of a request whose answer has begun, unless that is given up before its end: where the provider takes nothing
/// at present, neither it nor the client would learn of that otherwise, and the request would stay in flight.
async fn finish(sending: Sending, answered: oneshot::Receiver<()>) {
    let given_up = async {
        if answered.await.is_ok() {
            std::future::pending::<()>().await;
        }
    };
    let sent = tokio::select! {
        biased;
        sent = sending => sent,
        // Both ways of the stream are dropped with this, which resets it.
        () = given_up => return,
    };
    if let Err(error) = sent {
        tracing::debug!(%error, "a request's body was not sent to its end");
    }
}

/// Whether requests by this method usually have a body, so that one without says so (RFC 9110, 8.6).
fn has_body_by_nature(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::DELETE | Method::CONNECT)
}

/// The wait for an answer.
struct Exchange<'a> {
    answer: ResponseFuture,
    hear: Hear<'a>,
    count: Count,
}

impl Exchange<'_> {
    /// The head of the answer; meanwhile sends the body, which is gone once that has come to an end.
    async fn wait(mut self, sending: &mut Option<Sending>) -> Result<Response<h2::RecvStream>, Fault> {
        poll_fn(|cx| {
            self.hear(cx)?;
            if let Poll::Ready(answer) = Pin::new(&mut self.answer).poll(cx) {
                return Poll::Ready(answer.map_err(Fault::from));
            }
            if let Some(Poll::Ready(sent)) = sending.as_mut().map(|sending| Pin::new(sending).poll(cx)) {
                *sending = None;
                if let Err(Unsent::Broken(error)) = sent {
                    return Poll::Ready(Err(error.into()));
                }
                // Whoever takes no more of it says why with the answer, or without.
            }
            Poll::Pending
        })
        .await
    }

    /// Tells of the interim answers that have come.
    fn hear(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        while let Poll::Ready(Some(interim)) = self.answer.poll_informational(cx) {
            let (parts, ()) = interim?.into_parts();
            let interim = Interim { status: parts.status, version: parts.version, headers: parts.headers };
            if !self.count.add(interim.bytes()) {
                return Err(Fault::Flooded);
            }
            // There is no such thing in HTTP/2 (RFC 9113, 8.6).
            if interim.status != StatusCode::SWITCHING_PROTOCOLS {
                (self.hear.0)(interim);
            }
        }
        Ok(())
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
pub(super) fn verdict(fault: &Fault) -> Option<Verdict> {
    let Fault::Http2(error) = fault else { return None };
    if !error.is_remote() {
        None
    } else if error.is_go_away() {
        // The library tells this of the streams above the last one only.
        Some(Verdict::TooLate)
    } else {
        (error.reason() == Some(h2::Reason::REFUSED_STREAM)).then_some(Verdict::Refused)
    }
}
