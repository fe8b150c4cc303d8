//! Bodies that are kept while they are passed on, up to a bound, so that they can be sent again from their beginning.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, Bytes};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::{Body, BodyError};

/// What keeping one piece takes beside its bytes, so that a body that comes byte by byte is bounded as well.
const PIECE: usize = 64;

/// One frame of a body.
#[derive(Clone)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Piece {
    fn frame(self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data),
            Self::Trailers(trailers) => Frame::trailers(trailers),
        }
    }

    fn data(&self) -> usize {
        match self {
            Self::Data(data) => data.remaining(),
            Self::Trailers(_) => 0,
        }
    }

    fn weight(&self) -> usize {
        let held = match self {
            Self::Data(data) => data.len(),
            Self::Trailers(trailers) => {
                trailers.iter().map(|(name, value)| name.as_str().len() + value.len() + PIECE).sum()
            }
        };
        held + PIECE
    }
}

/// What all readings of one body share.
struct Tape {
    /// What is still to come. Its endings are those of the whole.
    source: Body,
    /// What came, from the piece of this number on.
    pieces: VecDeque<Piece>,
    first: usize,
    /// What keeping them takes, and may take.
    weight: usize,
    limit: usize,
    /// Whether pieces stay once they are read.
    keeps: bool,
    /// Whether the source broke off.
    broken: bool,
    /// The reading that may ask the source; those before it are over.
    latest: u32,
    /// How far it has come.
    read: usize,
    /// Whom to tell that its reading is over.
    waiting: Option<Waker>,
}

impl Tape {
    /// Lets go of the pieces before this one.
    fn forget(&mut self, before: usize) {
        while self.first < before && self.pieces.pop_front().is_some() {
            self.first += 1;
        }
    }

    fn end(&self) -> usize {
        self.first + self.pieces.len()
    }
}

/// Gives readings of one body, until it is dropped: from then on nothing is kept any longer.
pub struct Kept(Rc<RefCell<Tape>>);

/// One reading of a body, from its beginning.
pub(super) struct Reading {
    tape: Rc<RefCell<Tape>>,
    /// The number of the next piece.
    at: usize,
    number: u32,
}

impl Kept {
    /// Puts a reading in the place of a body, which is kept as it is read while that takes at most `limit` bytes.
    pub fn keep(body: &mut Body, limit: usize) -> Self {
        let tape = Tape {
            source: std::mem::take(body),
            pieces: VecDeque::new(),
            first: 0,
            weight: 0,
            limit,
            keeps: true,
            broken: false,
            latest: 0,
            read: 0,
            waiting: None,
        };
        let kept = Self(Rc::new(RefCell::new(tape)));
        *body = kept.reading(0);
        kept
    }

    /// Another reading from the beginning, if all that was read so far is kept. While the end of the body has not come, the
    /// reading before it is over, and breaks off.
    pub fn again(&self) -> Option<Body> {
        let mut tape = self.0.borrow_mut();
        if tape.first > 0 || tape.broken || !tape.keeps {
            return None;
        }
        if !tape.source.is_empty() {
            (tape.latest, tape.read) = (tape.latest + 1, 0);
            if let Some(waker) = tape.waiting.take() {
                waker.wake();
            }
        }
        let number = tape.latest;
        drop(tape);
        Some(self.reading(number))
    }

    /// What keeping takes so far.
    pub(super) fn weight(&self) -> usize {
        self.0.borrow().weight
    }

    /// Whether the whole body came and is kept, so that it can be read by several at once.
    pub fn is_whole(&self) -> bool {
        let tape = self.0.borrow();
        tape.first == 0 && tape.keeps && !tape.broken && tape.source.is_empty()
    }

    fn reading(&self, number: u32) -> Body {
        Body::of_reading(Reading { tape: Rc::clone(&self.0), at: 0, number })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut tape = self.0.borrow_mut();
        tape.keeps = false;
        if !tape.source.is_empty() {
            let read = tape.read;
            tape.forget(read);
        }
    }
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tape = self.0.borrow();
        f.debug_struct("Kept")
            .field("weight", &tape.weight)
            .field("limit", &tape.limit)
            .finish_non_exhaustive()
    }
}

impl Reading {
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let tape = &mut *self.tape.borrow_mut();
        if self.at < tape.first || (self.number < tape.latest && !tape.source.is_empty()) {
            return Poll::Ready(Some(Err(BodyError::Superseded)));
        }
        if let Some(piece) = tape.pieces.get(self.at - tape.first) {
            let piece = piece.clone();
            self.at += 1;
            tape.read = self.at;
            // Where nothing more comes, several may be reading.
            if !tape.keeps && !tape.source.is_empty() {
                tape.forget(self.at);
            }
            return Poll::Ready(Some(Ok(piece.frame())));
        }
        if tape.broken {
            return Poll::Ready(Some(Err(BodyError::Superseded)));
        }
        let Poll::Ready(frame) = Pin::new(&mut tape.source).poll_frame(cx) else {
            tape.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        };
        match &frame {
            Some(Ok(frame)) => {
                self.at += 1;
                tape.read = self.at;
                let data = frame.data_ref().cloned().map(Piece::Data);
                let piece = data.or_else(|| frame.trailers_ref().cloned().map(Piece::Trailers));
                let weight = piece.as_ref().map_or(0, Piece::weight);
                tape.weight += weight;
                if let Some(piece) = piece.filter(|_| tape.keeps && tape.weight <= tape.limit) {
                    tape.pieces.push_back(piece);
                } else {
                    // Only the latest reading gets here, and it has read all there is.
                    tape.keeps = false;
                    tape.pieces = VecDeque::new();
                    tape.first = self.at;
                }
            }
            Some(Err(_)) => tape.broken = true,
            None => {}
        }
        Poll::Ready(frame)
    }

    /// Has what is kept take in what has come, as [`Body::absorb`] does.
    pub(super) fn absorb(&self, cx: &mut Context<'_>) {
        let tape = &mut *self.tape.borrow_mut();
        // Only the latest may ask the source.
        if self.number == tape.latest {
            tape.source.absorb(cx);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        let tape = self.tape.borrow();
        self.at == tape.end() && !tape.broken && tape.source.is_empty()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let tape = self.tape.borrow();
        let ahead = tape.pieces.iter().skip(self.at.saturating_sub(tape.first));
        let kept: usize = ahead.map(Piece::data).sum();
        let (kept, rest) = (kept as u64, tape.source.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(kept));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(kept)) {
            hint.set_upper(upper);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::FutureExt as _;
    use http_body_util::BodyExt as _;

    use super::super::End;
    use super::super::played::{Player, played};
    use super::*;

    /// A body that is kept up to a bound, its first reading, and how often and how it ended.
    fn kept(limit: usize) -> (Player, Kept, Body, Rc<Cell<Vec<End>>>) {
        let (player, mut body) = played();
        let ends = Rc::new(Cell::new(Vec::new()));
        let sink = Rc::clone(&ends);
        body.on_end(move |end| sink.set([sink.take(), vec![end]].concat()));
        let kept = Kept::keep(&mut body, limit);
        (player, kept, body, ends)
    }

    async fn piece(body: &mut Body) -> Bytes {
        body.frame().await.unwrap().unwrap().into_data().unwrap()
    }

    #[tokio::test]
    async fn is_read_again_from_its_beginning_with_what_comes_later() {
        let (player, kept, mut first, ends) = kept(1000);
        player.say("one");
        assert_eq!(piece(&mut first).await, "one");
        let mut second = kept.again().unwrap();
        player.say("two");
        assert_eq!(piece(&mut second).await, "one");
        assert!(first.frame().await.unwrap().is_err(), "it must not pass for a whole body");
        assert_eq!(piece(&mut second).await, "two");
        player.end_with(HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from_static("x"))]));
        assert!(second.frame().await.unwrap().unwrap().is_trailers());
        assert!(second.is_end_stream() && second.frame().await.is_none());
        assert_eq!(ends.take(), [End { complete: true, broken: false, bytes: 6, grpc_status: None }]);
        let third = kept.again().unwrap().collect().await.unwrap();
        assert!(third.trailers().is_some() && third.to_bytes() == "onetwo");
        drop((first, second, kept));
        assert!(ends.take().is_empty(), "it ended once");
    }

    #[tokio::test]
    async fn who_waits_for_the_rest_is_told_that_it_goes_elsewhere() {
        let (_player, kept, mut first, _) = kept(1000);
        let waiting = first.frame();
        tokio::pin!(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        let _second = kept.again().unwrap();
        assert!(waiting.await.unwrap().is_err());
    }

    #[tokio::test]
    async fn what_is_larger_than_the_bound_is_passed_on_and_can_be_sent_once() {
        let (player, kept, mut body, _) = kept(PIECE + 5);
        drop(body);
        body = kept.again().expect("nothing was read of it");
        player.say("hello");
        piece(&mut body).await;
        assert!(kept.again().is_some_and(|again| again.size_hint().lower() == 5), "it fits");
        let mut body = kept.again().unwrap();
        piece(&mut body).await;
        player.say("!");
        assert_eq!(piece(&mut body).await, "!");
        assert!(kept.again().is_none() && kept.0.borrow().pieces.is_empty(), "nothing is kept any longer");
        player.say("more");
        player.end();
        assert_eq!(piece(&mut body).await, "more");
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn small_pieces_weigh_more_than_their_bytes() {
        let (player, kept, mut body, _) = kept(64 * 1024);
        let mut pieces = 0;
        while kept.again().is_some() {
            // One more piece of the same body each time.
            player.say("x");
            body = kept.again().expect("it was kept a moment ago");
            for _ in 0..=pieces {
                piece(&mut body).await;
            }
            pieces += 1;
        }
        drop(body);
        assert_eq!(pieces, 64 * 1024 / (PIECE + 1) + 1);
    }

    #[tokio::test]
    async fn nothing_is_kept_once_nobody_will_ask_again() {
        let (player, kept, mut body, ends) = kept(1000);
        for text in ["one", "two", "three"] {
            player.say(text);
        }
        piece(&mut body).await;
        let tape = Rc::clone(&kept.0);
        drop(kept);
        assert_eq!(tape.borrow().pieces.len(), 0);
        assert_eq!((piece(&mut body).await, piece(&mut body).await), ("two".into(), "three".into()));
        assert_eq!(tape.borrow().pieces.len(), 0, "what is only passed on is not kept");
        drop((body, tape));
        assert_eq!(ends.take(), [End { complete: false, broken: false, bytes: 11, grpc_status: None }]);
    }

    #[tokio::test]
    async fn a_whole_body_is_read_by_two_at_once() {
        let (player, kept, mut first, _) = kept(1000);
        player.say("one");
        assert!(!kept.is_whole());
        player.end();
        assert_eq!(piece(&mut first).await, "one");
        assert!(kept.is_whole());
        let second = kept.again().unwrap();
        assert!(first.frame().now_or_never().is_some_and(|end| end.is_none()), "it goes on");
        drop(kept);
        assert_eq!(second.collect().await.unwrap().to_bytes(), "one");
    }

    #[tokio::test]
    async fn a_length_is_known_again_where_it_was() {
        let mut body = Body::from(Bytes::from_static(b"hello"));
        let kept = Kept::keep(&mut body, 1000);
        assert_eq!(body.size_hint().exact(), Some(5));
        piece(&mut body).await;
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(0), true));
        assert_eq!(kept.again().unwrap().size_hint().exact(), Some(5));
    }
}
