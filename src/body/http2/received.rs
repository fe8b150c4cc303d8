//! The body of a message on a stream of HTTP/2, as it is read.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::{RecvStream, SendStream};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Frame, SizeHint};
use tokio::sync::oneshot;

use super::Raw;
use crate::body::BodyError;

/// The body of a message on a stream. Room for more is made as it is read, so that its sender is held to the pace of whoever reads.
#[derive(Debug)]
pub struct Received {
    stream: RecvStream,
    /// What was taken from the library and not read yet; nothing where whoever reads keeps pace.
    held: Option<Box<Held>>,
    /// Bytes still to come, where the message says so; the library holds its sender to that.
    left: Option<u64>,
    /// Whether only the trailers are still to come.
    has_ended: bool,
    /// What to send raw bytes on, where the message is a yes to CONNECT.
    back: Option<SendStream<Bytes>>,
    /// Who sends the rest of the request that this answers: told once this is whole, and dropped where it is given up before.
    request: Option<oneshot::Sender<()>>,
}

impl Received {
    /// The body of a message with these headers.
    pub fn new(stream: RecvStream, headers: &HeaderMap) -> Self {
        let left = if stream.is_end_stream() { Some(0) } else { length(headers) };
        Self { stream, held: None, left, has_ended: false, back: None, request: None }
    }

    /// The same as an answer while its request is still being sent, which is told what becomes of it.
    #[must_use]
    pub fn telling(self, request: oneshot::Sender<()>) -> Self {
        Self { request: Some(request), ..self }
    }

    /// What comes behind a yes to CONNECT, and goes the other way.
    pub const fn behind_connect(stream: RecvStream, back: SendStream<Bytes>) -> Self {
        Self { stream, held: None, left: None, has_ended: false, back: Some(back), request: None }
    }

    /// Whether it is no body, but bytes both ways.
    pub(in crate::body) const fn is_raw(&self) -> bool {
        self.back.is_some()
    }

    /// Bytes both ways instead of a body, where the message is a yes to CONNECT.
    pub(in crate::body) fn into_raw(self) -> Option<Raw> {
        self.back.map(|back| Raw::new(self.stream, back))
    }

    pub(in crate::body) fn is_end_stream(&self) -> bool {
        self.back.is_none()
            && self.held.as_ref().is_none_or(|held| held.is_empty())
            && self.stream.is_end_stream()
    }

    pub(in crate::body) fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }

    pub(in crate::body) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut data = self.held.as_mut().and_then(|held| held.take());
        if data.is_none() && !self.has_ended {
            data = match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => Some(data),
                Some(Err(source)) => return Poll::Ready(Some(Err(source.into()))),
                None => None,
            };
            self.has_ended = data.is_none();
        }
        if let Some(data) = data {
            // Fails only where the stream is over, and takes no more anyway.
            let _ = self.stream.flow_control().release_capacity(data.len());
            self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
            if self.is_end_stream() {
                // Not every reader asks for more then.
                self.tell_end();
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        if trailers.is_ok() {
            self.tell_end();
        }
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)).map_err(Into::into).transpose())
    }
}

impl Received {
    /// Lets the rest of the request go on: this is whole, and was not given up.
    fn tell_end(&mut self) {
        if let Some(request) = self.request.take() {
            // Nobody hears it where all of that was sent before.
            let _ = request.send(());
        }
    }

    /// Takes what has come from the library, without making room for more: there, each small piece that waits is held against
    /// the connection, which would end for all that share it.
    pub(in crate::body) fn absorb(&mut self, cx: &mut Context<'_>) {
        while !self.has_ended {
            match self.stream.poll_data(cx) {
                Poll::Ready(Some(Ok(data))) => self.held.get_or_insert_default().push(data),
                Poll::Ready(None) => self.has_ended = true,
                // It will be found again behind what is held.
                Poll::Ready(Some(Err(_))) | Poll::Pending => return,
            }
        }
    }
}

/// Bytes below which a piece is joined to others while it waits.
const SMALL: usize = 1024;

/// Data that waits to be read, at most a window of it; small pieces in one.
#[derive(Debug, Default)]
struct Held {
    pieces: VecDeque<Bytes>,
    /// What comes behind those.
    joined: BytesMut,
}

impl Held {
    fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.joined.is_empty()
    }

    fn push(&mut self, data: Bytes) {
        if data.len() < SMALL {
            self.joined.extend_from_slice(&data);
        } else {
            self.join();
            self.pieces.push_back(data);
        }
    }

    fn join(&mut self) {
        if !self.joined.is_empty() {
            self.pieces.push_back(self.joined.split().freeze());
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        if self.pieces.is_empty() {
            self.join();
        }
        self.pieces.pop_front()
    }
}

/// The length that a message gives its body, if it gives one and no other beside it.
fn length(headers: &HeaderMap) -> Option<u64> {
    let mut told = headers.get_all(CONTENT_LENGTH).iter();
    let first = told.next()?;
    let is_one = told.all(|other| other == first);
    first.to_str().ok().filter(|_| is_one)?.parse().ok()
}
