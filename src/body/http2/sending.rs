//! A body on its way out on a stream of HTTP/2, at the pace of whoever receives it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::{Reason, SendStream};
use http::HeaderMap;
use http_body::Body as _;
use thiserror::Error;

use crate::body::{Body, BodyError};

/// Bytes of a piece below which others that are there already are joined to it: each would be a frame of its own, and whoever
/// receives many small ones may take that for an attack.
const SMALL: usize = 1024;

/// Bytes of what is joined.
const JOINED: usize = 16 * 1024;

/// Sends a body, with its trailers, until it has ended or breaks off; dropped before, it leaves the stream without an end.
#[derive(Debug)]
pub struct Sending {
    stream: SendStream<Bytes>,
    body: Body,
    carries: Carries,
    /// A piece that waits until there is room for any of it.
    piece: Bytes,
    /// What comes behind that, where it is known.
    next: Option<Next>,
}

/// What a body is that of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// A request; if it breaks off, that was its client's wish.
    Request,
    /// An answer.
    Answer,
}

#[derive(Debug)]
enum Next {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
    Broken(BodyError),
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
    pub const fn new(carries: Carries, body: Body, stream: SendStream<Bytes>) -> Self {
        Self { stream, body, carries, piece: Bytes::new(), next: None }
    }

    /// What the body has next.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        loop {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Next::Broken(error)),
                None => return Poll::Ready(Next::End),
            };
            match frame.into_data() {
                // Without bytes, it would only be looked at as an attack.
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Poll::Ready(Next::Data(data)),
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        return Poll::Ready(Next::Trailers(trailers));
                    }
                }
            }
        }
    }

    /// Joins to a small piece those that are there already, and finds out whether it is the last.
    fn join(&mut self, cx: &mut Context<'_>) {
        if self.next.is_some() {
            return;
        }
        let mut joined = BytesMut::new();
        while self.next.is_none() && self.piece.len() + joined.len() < JOINED {
            if self.body.is_end_stream() {
                self.next = Some(Next::End);
                break;
            }
            if self.piece.len() >= SMALL && joined.is_empty() {
                break;
            }
            match self.poll_next(cx) {
                Poll::Ready(Next::Data(data)) if data.len() < SMALL => joined.extend_from_slice(&data),
                Poll::Ready(next) => self.next = Some(next),
                Poll::Pending => break,
            }
        }
        if !joined.is_empty() {
            self.piece = [&self.piece[..], &joined].concat().into();
        }
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

    /// What the receiver is told of a body that broke off (RFC 9113, 7).
    fn told(&self, error: &BodyError) -> Reason {
        match self.carries {
            Carries::Request => Reason::CANCEL,
            Carries::Answer => error.reset(),
        }
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
            if !this.piece.is_empty() {
                this.join(cx);
                if this.poll_room(cx)?.is_pending() {
                    this.body.absorb(cx);
                    return Poll::Pending;
                }
                let is_last = matches!(this.next, Some(Next::End));
                // What there is no room for yet waits in the library, which asks for as much.
                this.stream.send_data(std::mem::take(&mut this.piece), is_last)?;
                if is_last {
                    return Poll::Ready(Ok(()));
                }
            }
            let next = match this.next.take() {
                Some(next) => next,
                None => ready!(this.poll_next(cx)),
            };
            let sent = match next {
                Next::Data(data) => {
                    this.stream.reserve_capacity(1);
                    this.piece = data;
                    continue;
                }
                Next::Trailers(trailers) => {
                    this.stream.reserve_capacity(0);
                    this.stream.send_trailers(trailers)
                }
                Next::End => this.stream.send_data(Bytes::new(), true),
                Next::Broken(error) => {
                    this.stream.send_reset(this.told(&error));
                    return Poll::Ready(Err(Unsent::Broken(error)));
                }
            };
            return Poll::Ready(sent.map_err(Unsent::from));
        }
    }
}
