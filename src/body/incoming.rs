//! A body as its sender's connection gives it, whichever HTTP is spoken there.

use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::BodyError;
use super::http2::Received;
use crate::http1::{self, Duplex};

/// A body that comes in.
#[derive(Debug)]
pub enum Incoming {
    /// What came along with the head of its message, if anything did.
    Whole(Bytes),
    /// Over HTTP/1.
    Http1(http1::Received),
    /// None, but bytes both ways: the message agreed to speak another protocol.
    Raw(Box<dyn Duplex>),
    /// Over HTTP/2.
    Http2(Received),
}

impl Incoming {
    /// Whether nothing more comes.
    pub fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Http1(received) => received.is_end_stream(),
            Self::Raw(_) => false,
            Self::Http2(received) => received.is_end_stream(),
        }
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self {
            Self::Whole(bytes) if !bytes.is_empty() => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))))
            }
            Self::Whole(_) | Self::Raw(_) => Poll::Ready(None),
            Self::Http1(received) => {
                received.poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
            Self::Http2(received) => received.poll_frame(cx),
        }
    }

    /// Its next bytes, where they can pass from socket to socket.
    pub(super) fn passing(&mut self) -> Option<&mut http1::Received> {
        match self {
            Self::Http1(received) if received.passes() => Some(received),
            Self::Whole(_) | Self::Http1(_) | Self::Raw(_) | Self::Http2(_) => None,
        }
    }

    /// Bytes both ways, where these take the place of a body.
    pub(super) fn take_raw(&mut self) -> Option<Box<dyn Duplex>> {
        match std::mem::replace(self, Self::Whole(Bytes::new())) {
            Self::Raw(raw) => Some(raw),
            Self::Http2(received) if received.is_raw() => received.into_raw().map(|raw| Box::new(raw) as _),
            other @ (Self::Whole(_) | Self::Http1(_) | Self::Http2(_)) => {
                *self = other;
                None
            }
        }
    }

    pub(super) fn absorb(&mut self, cx: &mut Context<'_>) {
        if let Self::Http2(received) = self {
            received.absorb(cx);
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Raw(_) => SizeHint::with_exact(0),
            Self::Http1(received) => received.size_hint(),
            Self::Http2(received) => received.size_hint(),
        }
    }
}
