//! Bodies: what streams through in either direction, and what must happen when it has ended.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use arrayvec::ArrayVec;
use bytes::{Buf as _, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

/// Endings one body can carry: the connection, the load guard, the record, and one to spare.
const ENDINGS_MAX: usize = 4;

/// Why a body broke off.
pub type BodyError = hyper::Error;

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Whether it was passed on to its last byte; otherwise it broke off, or its receiver went away.
    pub complete: bool,
    /// Whether it broke off on its way in, so that its receiver could not have the rest.
    pub broken: bool,
    /// Bytes of data passed on.
    pub bytes: u64,
}

/// A body passed on as it comes, or one of our own.
///
/// A request is over when its body is over: whatever must happen then rides along (see [`Body::on_end`]).
#[derive(Default)]
pub struct Body {
    source: Source,
    bytes: u64,
    endings: ArrayVec<Box<dyn FnOnce(End)>, ENDINGS_MAX>,
}

#[derive(Default)]
enum Source {
    #[default]
    Empty,
    Whole(Bytes),
    Stream(Incoming),
}

impl Body {
    const fn new(source: Source) -> Self {
        Self { source, bytes: 0, endings: ArrayVec::new_const() }
    }

    /// No bytes at all.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Runs `ending` once this body has ended, however that comes about; at the latest when it is dropped.
    ///
    /// At most four endings; they run in the order given.
    pub fn on_end(&mut self, ending: impl FnOnce(End) + 'static) {
        self.endings.push(Box::new(ending));
    }

    /// Whether there is nothing to be read from it at all.
    pub fn is_empty(&self) -> bool {
        match &self.source {
            Source::Empty => true,
            Source::Whole(bytes) => bytes.is_empty(),
            Source::Stream(incoming) => incoming.is_end_stream(),
        }
    }

    fn end(&mut self, complete: bool, broken: bool) {
        let end = End { complete, broken, bytes: self.bytes };
        for ending in self.endings.drain(..) {
            ending(end);
        }
    }
}

impl From<Incoming> for Body {
    fn from(incoming: Incoming) -> Self {
        let source = if incoming.is_end_stream() { Source::Empty } else { Source::Stream(incoming) };
        Self::new(source)
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        let source = if bytes.is_empty() { Source::Empty } else { Source::Whole(bytes) };
        Self::new(source)
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match &mut self.source {
            Source::Empty => None,
            Source::Whole(bytes) => Some(Ok(Frame::data(std::mem::take(bytes)))),
            Source::Stream(incoming) => std::task::ready!(Pin::new(incoming).poll_frame(cx)),
        };
        match &frame {
            Some(Ok(frame)) => {
                self.bytes += frame.data_ref().map_or(0, |data| data.remaining() as u64);
                // Not every reader asks for the frame after the last one.
                if self.is_empty() {
                    self.source = Source::Empty;
                    self.end(true, false);
                }
            }
            Some(Err(_)) => self.end(false, true),
            None => self.end(true, false),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Stream(incoming) => incoming.size_hint(),
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let complete = self.is_empty();
        self.end(complete, false);
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match &self.source {
            Source::Empty => "empty",
            Source::Whole(_) => "whole",
            Source::Stream(_) => "stream",
        };
        f.debug_struct("Body").field("source", &source).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use http_body_util::BodyExt as _;

    use super::*;

    fn watched(mut body: Body) -> (Body, Rc<Cell<Option<End>>>) {
        let seen = Rc::new(Cell::new(None));
        let sink = Rc::clone(&seen);
        body.on_end(move |end| sink.set(Some(end)));
        (body, seen)
    }

    #[tokio::test]
    async fn ends_with_its_last_byte() {
        let (body, seen) = watched(Body::from(Bytes::from_static(b"hello")));
        let mut body = Box::pin(body);
        body.frame().await.unwrap().unwrap();
        assert_eq!(
            seen.get(),
            Some(End { complete: true, broken: false, bytes: 5 }),
            "no one may ask for another frame"
        );
    }

    #[test]
    fn a_body_nobody_reads_ends_incomplete() {
        let (body, seen) = watched(Body::from(Bytes::from_static(b"hello")));
        drop(body);
        assert_eq!(seen.get(), Some(End { complete: false, broken: false, bytes: 0 }));
    }

    #[test]
    fn an_empty_body_is_complete_from_the_start() {
        let (body, seen) = watched(Body::empty());
        assert!(body.is_empty());
        drop(body);
        assert_eq!(seen.get(), Some(End { complete: true, broken: false, bytes: 0 }));
    }
}
