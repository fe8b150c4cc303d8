//! A body on its way out on a stream of HTTP/2, at the pace of whoever receives it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body as _;
use thiserror::Error;

use crate::body::{Body, BodyError};

/// Sends a body, with its trailers, until it has ended or breaks off; dropped before, it leaves the stream without an end.
#[derive(Debug)]
pub struct Sending {
    stream: SendStream<Bytes>,
    body: Body,
    /// A piece that waits until there is room for any of it, and whether it is the last.
    piece: Option<(Bytes, bool)>,
}

/// Why a body did not arrive in whole.
#[derive(Debug, Error)]
pub enum Unsent {
    /// It broke off on its way in; its receiver was told so.
    #[error(transparent)]
    Broken(BodyError),
    /// Its receiver, or the connection, takes no more of it.
    #[error(transparent)]
    Refused(#[from] h2::Error),
}

impl Sending {
    /// Sends a body on a stream.
    pub const fn new(body: Body, stream: SendStream<Bytes>) -> Self {
        Self { stream, body, piece: None }
    }

    /// Ready once there is room for any of what waits. Room is asked for once there is something to put there: whoever holds
    /// room for what may never come could keep all other streams of the connection waiting.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(cx)) {
                Some(room) => room?,
                None => return Poll::Ready(Err(Reason::STREAM_CLOSED.into())),
            };
        }
        Poll::Ready(Ok(()))
    }
}

impl Future for Sending {
    type Output = Result<(), Unsent>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            if let Poll::Ready(reset) = this.stream.poll_reset(cx) {
                return Poll::Ready(Err(h2::Error::from(reset?).into()));
            }
            if this.piece.as_ref().is_some_and(|(data, _)| !data.is_empty()) {
                ready!(this.poll_room(cx))?;
            }
            if let Some((data, is_last)) = this.piece.take() {
                // What there is no room for yet waits in the library, which asks for as much.
                this.stream.send_data(data, is_last)?;
                if is_last {
                    return Poll::Ready(Ok(()));
                }
            }
            let frame = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    this.stream.send_reset(error.reset());
                    return Poll::Ready(Err(Unsent::Broken(error)));
                }
                None => return Poll::Ready(this.stream.send_data(Bytes::new(), true).map_err(Unsent::from)),
            };
            match frame.into_data() {
                Ok(data) => {
                    let is_last = this.body.is_end_stream();
                    if !data.is_empty() {
                        this.stream.reserve_capacity(1);
                    }
                    // A piece without bytes would only be looked at as an attack.
                    if is_last || !data.is_empty() {
                        this.piece = Some((data, is_last));
                    }
                }
                Err(frame) => {
                    let Ok(trailers) = frame.into_trailers() else { continue };
                    this.stream.reserve_capacity(0);
                    return Poll::Ready(this.stream.send_trailers(trailers).map_err(Unsent::from));
                }
            }
        }
    }
}
