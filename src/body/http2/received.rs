//! The body of a message on a stream of HTTP/2, as it is read.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Frame, SizeHint};

use super::Raw;
use crate::body::BodyError;

/// The body of a message on a stream. Room for more is made as it is read, so that its sender is held to the pace of whoever reads.
#[derive(Debug)]
pub struct Received {
    stream: RecvStream,
    /// Bytes still to come, where the message says so; the library holds its sender to that.
    left: Option<u64>,
    /// Whether only the trailers are still to come.
    has_ended: bool,
    /// What to send raw bytes on, where the message is a yes to CONNECT.
    back: Option<SendStream<Bytes>>,
}

impl Received {
    /// The body of a message with these headers.
    pub fn new(stream: RecvStream, headers: &HeaderMap) -> Self {
        let left = if stream.is_end_stream() { Some(0) } else { length(headers) };
        Self { stream, left, has_ended: false, back: None }
    }

    /// What comes behind a yes to CONNECT, and goes the other way.
    pub const fn behind_connect(stream: RecvStream, back: SendStream<Bytes>) -> Self {
        Self { stream, left: None, has_ended: false, back: Some(back) }
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
        self.back.is_none() && self.stream.is_end_stream()
    }

    pub(in crate::body) fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }

    pub(in crate::body) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.has_ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // Fails only where the stream is over, and takes no more anyway.
                    let _ = self.stream.flow_control().release_capacity(data.len());
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(source)) => return Poll::Ready(Some(Err(source.into()))),
                None => self.has_ended = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)).map_err(Into::into).transpose())
    }
}

/// The length that a message gives its body, if it gives one and no other beside it.
fn length(headers: &HeaderMap) -> Option<u64> {
    let mut told = headers.get_all(CONTENT_LENGTH).iter();
    let first = told.next()?;
    let is_one = told.all(|other| other == first);
    first.to_str().ok().filter(|_| is_one)?.parse().ok()
}
