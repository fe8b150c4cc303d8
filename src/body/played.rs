//! A body that a test plays, piece by piece.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Body, Source};

/// What plays a body; it ends when this is dropped.
pub(crate) struct Player(UnboundedSender<Frame<Bytes>>);

/// What is still to be read of a body that is played.
pub(super) struct Played(UnboundedReceiver<Frame<Bytes>>);

/// A body, and what plays it.
pub(crate) fn played() -> (Player, Body) {
    let (sender, receiver) = unbounded_channel();
    (Player(sender), Body::new(Source::Played(Played(receiver))))
}

impl Player {
    pub(crate) fn say(&self, data: &'static str) {
        self.0.send(Frame::data(Bytes::from_static(data.as_bytes()))).ok();
    }

    pub(crate) fn end_with(self, trailers: HeaderMap) {
        self.0.send(Frame::trailers(trailers)).ok();
    }

    pub(crate) fn end(self) {}
}

impl Played {
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        self.0.poll_recv(cx)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_closed() && self.0.is_empty()
    }
}
