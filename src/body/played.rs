//! A body that a test plays, piece by piece.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Body, BodyError, Source};

type Piece = Result<Frame<Bytes>, BodyError>;

/// What plays a body; it ends when this is dropped.
pub(crate) struct Player(UnboundedSender<Piece>);

/// What is still to be read of a body that is played.
pub(super) struct Played {
    pieces: UnboundedReceiver<Piece>,
    /// Whether it knows of its end before it is asked for more.
    knows: bool,
}

/// A body, and what plays it.
pub(crate) fn played() -> (Player, Body) {
    begin(true)
}

/// One that does not know of its end before it is asked for more, as one that comes in chunks.
pub(crate) fn chunked() -> (Player, Body) {
    begin(false)
}

fn begin(knows: bool) -> (Player, Body) {
    let (sender, pieces) = unbounded_channel();
    (Player(sender), Body::new(Source::Played(Played { pieces, knows })))
}

impl Player {
    pub(crate) fn say(&self, data: &'static str) {
        self.0.send(Ok(Frame::data(Bytes::from_static(data.as_bytes())))).ok();
    }

    pub(crate) fn end_with(self, trailers: HeaderMap) {
        self.0.send(Ok(Frame::trailers(trailers))).ok();
    }

    pub(crate) fn break_off(self) {
        self.0.send(Err(BodyError::Superseded)).ok();
    }

    pub(crate) fn end(self) {}
}

impl Played {
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        self.pieces.poll_recv(cx)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.knows && self.pieces.is_closed() && self.pieces.is_empty()
    }
}
