//! Bodies: what streams through in either direction, and what must happen when it has ended.

mod gate;
pub mod http2;
mod incoming;
mod kept;
mod passing;
#[cfg(test)]
pub(crate) mod played;
mod trailers;

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use arrayvec::ArrayVec;
use bytes::{Buf as _, Bytes};
pub use gate::Gate;
use gate::Gated;
use http_body::{Body as HttpBody, Frame, SizeHint};
pub use incoming::Incoming;
pub use kept::Kept;
use kept::Reading;
use thiserror::Error;

use crate::clock::Pulse;
use crate::http1::{self, Duplex};

/// Endings one body can carry: the connection, the span of its attempt, the load guard, the gate of its request's body, and the
/// record.
const ENDINGS_MAX: usize = 5;

/// Why a body broke off.
#[derive(Debug, Error)]
pub enum BodyError {
    /// Its sender broke off.
    #[error(transparent)]
    Broken(#[from] http1::Error),
    /// Its sender broke off, over HTTP/2; be it as if nothing were amiss, by a reset with `NO_ERROR`.
    #[error("its sender broke it off")]
    Reset(#[from] h2::Error),
    /// The request was answered without it, and its sender holds it back.
    #[error("the body was not asked for")]
    Unwanted,
    /// It lay still for too long.
    #[error("it lay still for too long")]
    Stalled,
    /// It is sent again from its beginning, and nobody waits for the rest of this one.
    #[error("the body is being sent again elsewhere")]
    Superseded,
}

impl BodyError {
    /// What whoever receives the body of an answer over HTTP/2 is told (RFC 9113, 7): what its sender said of its stream. What
    /// was said of a whole connection concerns that one alone.
    fn reset(&self) -> h2::Reason {
        let told = match self {
            Self::Reset(error) => error.reason().filter(|_| error.is_reset() && error.is_remote()),
            Self::Broken(_) | Self::Unwanted | Self::Stalled | Self::Superseded => None,
        };
        match told {
            // It would look as if the rest were not needed, or as if nothing had been done (8.7).
            Some(h2::Reason::NO_ERROR | h2::Reason::REFUSED_STREAM) => h2::Reason::CANCEL,
            Some(reason) => reason,
            None => h2::Reason::INTERNAL_ERROR,
        }
    }
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Whether it was passed on to its last byte; otherwise it broke off, or its receiver went away.
    pub complete: bool,
    /// Whether it broke off on its way in, so that its receiver could not have the rest.
    pub broken: bool,
    /// Bytes of data passed on.
    pub bytes: u64,
    /// The gRPC status in its trailers.
    pub grpc_status: Option<u16>,
}

/// What is shown the data of a body on its way.
type Tap = Box<dyn FnMut(&Bytes)>;

/// A body passed on as it comes, or one of our own.
///
/// A request is over when its body is over: whatever must happen then rides along (see [`Body::on_end`]).
///
/// No larger than a pointer: messages are moved often on their way, and queued in blocks of many.
#[derive(Default)]
pub struct Body(Option<Box<Content>>);

/// What is still to be passed on, and what happens then.
struct Content {
    source: Source,
    bytes: u64,
    /// Sees the data on its way.
    tap: Option<Tap>,
    /// Is told of each piece on its way, and has it break off.
    pulse: Option<Rc<Pulse>>,
    grpc_status: Option<u16>,
    endings: ArrayVec<Box<dyn FnOnce(End)>, ENDINGS_MAX>,
}

enum Source {
    Empty,
    Whole(Bytes),
    Gated(Box<Gated>),
    /// Not sent at all, though its length is told.
    Uncarried(u64),
    Stream(Incoming),
    Kept(Reading),
    #[cfg(test)]
    Played(played::Played),
}

impl Body {
    fn of_reading(reading: Reading) -> Self {
        Self::new(Source::Kept(reading))
    }

    fn new(source: Source) -> Self {
        let endings = ArrayVec::new_const();
        Self(Some(Box::new(Content { source, bytes: 0, tap: None, pulse: None, grpc_status: None, endings })))
    }

    /// What comes in with a message.
    pub fn received(incoming: Incoming) -> Self {
        match incoming {
            Incoming::Whole(bytes) => Self::from(bytes),
            Incoming::Http1(_) | Incoming::Raw(_) | Incoming::Http2(_) if incoming.is_end_stream() => {
                Self::empty()
            }
            Incoming::Http1(_) | Incoming::Raw(_) | Incoming::Http2(_) => Self::new(Source::Stream(incoming)),
        }
    }

    /// No bytes at all.
    pub fn empty() -> Self {
        Self::default()
    }

    /// What a sender holds back until it is asked for.
    pub fn behind(gate: Rc<Gate>, incoming: Incoming) -> Self {
        Self::new(Source::Gated(Box::new(Gated::new(incoming, gate))))
    }

    /// Has this empty body counted as one of so many bytes, though none is sent: that of an answer with status 304.
    pub fn count_as(&mut self, length: u64) {
        debug_assert!(self.is_empty(), "what is sent has a length of its own");
        match &mut self.0 {
            Some(content) => content.source = Source::Uncarried(length),
            None => *self = Self::new(Source::Uncarried(length)),
        }
    }

    /// Runs `ending` once this body has ended, however that comes about; at the latest when it is dropped.
    ///
    /// At most five endings; they run in the order given.
    pub fn on_end(&mut self, ending: impl FnOnce(End) + 'static) {
        if self.0.is_none() {
            *self = Self::new(Source::Empty);
        }
        if let Some(content) = &mut self.0 {
            content.endings.push(Box::new(ending));
        }
    }

    /// Shows all data to `tap` as it is passed on; a tap that was there before is gone.
    pub fn tap(&mut self, tap: impl FnMut(&Bytes) + 'static) {
        if let Some(content) = &mut self.0 {
            content.tap = Some(Box::new(tap));
        }
    }

    /// Has a pulse beat with each piece that is passed on; once the pulse is stopped, the body breaks off.
    pub fn beat(&mut self, pulse: Rc<Pulse>) {
        if let Some(content) = &mut self.0 {
            content.pulse = Some(pulse);
        }
    }

    /// Reads what comes before `until`, up to its end or so many bytes and what came with them; all of it is still there to
    /// be read. What must happen at its end happens once it is read so far.
    pub async fn read_ahead(&mut self, most: usize, until: impl Future<Output = ()>) {
        let kept = Kept::keep(self, usize::MAX);
        let mut until = std::pin::pin!(until);
        std::future::poll_fn(|cx| {
            while kept.weight() < most {
                match Pin::new(&mut *self).poll_frame(cx) {
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(Some(Err(_)) | None) => break,
                    Poll::Pending => return until.as_mut().poll(cx),
                }
            }
            Poll::Ready(())
        })
        .await;
        if let Some(again) = kept.again() {
            *self = again;
        }
    }

    /// Takes in what has come over HTTP/2 while whoever reads has no room for it; its sender is not asked for more. Registers the
    /// task to be woken by what comes next.
    pub fn absorb(&mut self, cx: &mut Context<'_>) {
        match self.0.as_mut().map(|content| &mut content.source) {
            Some(Source::Stream(incoming)) => incoming.absorb(cx),
            Some(Source::Gated(gated)) => gated.incoming.absorb(cx),
            Some(Source::Kept(reading)) => reading.absorb(cx),
            Some(_) | None => {}
        }
    }

    /// Bytes both ways in place of this body, where its message agreed to that. What happens at its end happens once what is left
    /// of it is dropped.
    pub fn take_raw(&mut self) -> Option<Box<dyn Duplex>> {
        let Some(Content { source: Source::Stream(incoming), .. }) = self.0.as_deref_mut() else {
            return None;
        };
        let raw = incoming.take_raw()?;
        self.0.as_mut()?.source = Source::Empty;
        Some(raw)
    }

    /// All of it, where it is there and nothing was read of it.
    pub fn whole(&self) -> Option<Bytes> {
        match self.0.as_ref().map(|content| &content.source) {
            None | Some(Source::Empty) => Some(Bytes::new()),
            Some(Source::Whole(bytes)) => Some(bytes.clone()),
            Some(_) => None,
        }
    }

    /// Whether there is nothing to be read from it at all.
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|content| content.source.is_empty())
    }
}

impl Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(match self {
            Self::Empty | Self::Uncarried(_) => None,
            Self::Whole(bytes) => Some(Ok(Frame::data(std::mem::take(bytes)))),
            Self::Gated(gated) => std::task::ready!(gated.poll_frame(cx)),
            Self::Stream(incoming) => std::task::ready!(incoming.poll_frame(cx)),
            Self::Kept(reading) => std::task::ready!(reading.poll_frame(cx)),
            #[cfg(test)]
            Self::Played(played) => std::task::ready!(played.poll_frame(cx)),
        })
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Empty | Self::Uncarried(_) => true,
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Gated(gated) => gated.incoming.is_end_stream(),
            Self::Stream(incoming) => incoming.is_end_stream(),
            Self::Kept(reading) => reading.is_empty(),
            #[cfg(test)]
            Self::Played(played) => played.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Gated(gated) => gated.incoming.size_hint(),
            Self::Uncarried(length) => SizeHint::with_exact(*length),
            Self::Stream(incoming) => incoming.size_hint(),
            Self::Kept(reading) => reading.size_hint(),
            #[cfg(test)]
            Self::Played(_) => SizeHint::default(),
        }
    }
}

impl Content {
    fn end(&mut self, complete: bool, broken: bool) {
        let end = End { complete, broken, bytes: self.bytes, grpc_status: self.grpc_status };
        for ending in self.endings.drain(..) {
            ending(end);
        }
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        // All that was told of has been passed on, though the end itself may still have to come.
        let complete = self.source.is_empty() || self.source.size_hint().exact() == Some(0);
        self.end(complete, false);
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::empty() } else { Self::new(Source::Whole(bytes)) }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(content) = &mut self.0 else { return Poll::Ready(None) };
        let mut frame = match (content.source.poll_frame(cx), &content.pulse) {
            (Poll::Pending, Some(pulse)) if pulse.is_stopped(cx) => Some(Err(BodyError::Stalled)),
            (Poll::Pending, _) => return Poll::Pending,
            (Poll::Ready(frame), None) => frame,
            (Poll::Ready(frame), Some(pulse)) => {
                pulse.beat();
                frame
            }
        };
        match &mut frame {
            Some(Ok(frame)) => {
                content.bytes += frame.data_ref().map_or(0, |data| data.remaining() as u64);
                if let (Some(tap), Some(data)) = (&mut content.tap, frame.data_ref()) {
                    tap(data);
                }
                if let Some(trailers) = frame.trailers_mut() {
                    trailers::clean(trailers);
                    content.grpc_status =
                        trailers.get("grpc-status").and_then(|status| status.to_str().ok()?.parse().ok());
                }
                // Not every reader asks for the frame after the last one.
                if content.source.is_empty() {
                    content.source = Source::Empty;
                    content.end(true, false);
                }
            }
            Some(Err(_)) => content.end(false, true),
            None => {
                // Not every source knows of its end before it is asked for more.
                content.source = Source::Empty;
                content.end(true, false);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let is_uncarried =
            self.0.as_ref().is_some_and(|content| matches!(content.source, Source::Uncarried(_)));
        // Who asks for its length must not find that nothing is to come.
        !is_uncarried && self.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |content| content.source.size_hint())
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match self.0.as_ref().map(|content| &content.source) {
            None | Some(Source::Empty) => "empty",
            Some(Source::Whole(_)) => "whole",
            Some(Source::Gated(_)) => "gated",
            Some(Source::Uncarried(_)) => "uncarried",
            Some(Source::Stream(_)) => "stream",
            Some(Source::Kept(_)) => "kept",
            #[cfg(test)]
            Some(Source::Played(_)) => "played",
        };
        f.debug_tuple("Body").field(&source).finish()
    }
}

#[cfg(test)]
mod tests;
