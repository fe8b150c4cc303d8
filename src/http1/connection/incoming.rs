//! The body that comes in on a connection, for whoever reads it.

use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::{Connection, register};
use crate::http1::decoder::Decoder;
use crate::http1::piece::PIECE;
use crate::http1::pipe::Pipe;
use crate::http1::received::Source;
use crate::http1::{Error, Received, Transport};

impl<S: Transport + 'static, T: 'static> Connection<S, T> {
    /// The same, where whoever sends the body may hold it back until it is asked for: that is done as soon as it is read.
    pub(in crate::http1) fn begin_asking(self: &Rc<Self>, decoder: Decoder, asks: bool) -> Received {
        self.asks.set(asks);
        self.begin(decoder)
    }

    /// Begins to read the body of the message whose head came last.
    pub(in crate::http1) fn begin(self: &Rc<Self>, decoder: Decoder) -> Received {
        let number = self.message.get().wrapping_add(1);
        self.message.set(number);
        self.reading.borrow_mut().decoder = decoder;
        self.is_read.set(true);
        Received::new(Rc::clone(self) as Rc<dyn Source>, number)
    }
}

impl<S: Transport, T> Connection<S, T> {
    /// Ready once the body that comes in is over, or nobody reads it any more; whether it is over.
    pub fn poll_body_end(&self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.reading.borrow().decoder.is_over() {
            return Poll::Ready(true);
        }
        if !self.is_read.get() {
            return Poll::Ready(self.pass_over(cx));
        }
        self.waiting.replace(Some(cx.waker().clone()));
        Poll::Pending
    }

    /// Passes over what has come of a body that nobody wants, with one more look; whether that was all of it.
    fn pass_over(&self, cx: &mut Context<'_>) -> bool {
        let reading = &mut *self.reading.borrow_mut();
        for _ in 0..2 {
            while !reading.ahead.is_empty() && !reading.decoder.is_over() {
                if reading.decoder.take(&mut reading.ahead).is_err() {
                    return false;
                }
            }
            if reading.decoder.is_over() {
                return true;
            }
            match self.poll_piece(PIECE, cx) {
                Poll::Ready(Ok(piece)) if !piece.is_empty() => reading.ahead = piece,
                Poll::Ready(_) | Poll::Pending => return false,
            }
        }
        false
    }

    fn poll_next(&self, number: u32, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if number != self.message.get() {
            return Poll::Ready(Some(Err(Error::GivenUp)));
        }
        if self.asks.take() {
            self.write(|to| to.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n"));
            // What is left of it goes with the answer.
            if let Poll::Ready(Err(error)) = self.poll_write(cx) {
                return Poll::Ready(Some(Err(error.into())));
            }
        }
        loop {
            let reading = &mut *self.reading.borrow_mut();
            if reading.decoder.is_over() {
                return Poll::Ready(None);
            }
            match reading.decoder.take(&mut reading.ahead) {
                Ok(None) => {}
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            if reading.decoder.is_over() {
                return Poll::Ready(None);
            }
            let Poll::Ready(came) = self.poll_piece(PIECE, cx) else {
                register(&self.reader, cx);
                return Poll::Pending;
            };
            match came {
                Ok(piece) if piece.is_empty() => {
                    return Poll::Ready(reading.decoder.end().err().map(Err));
                }
                Ok(piece) => reading.ahead = piece,
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

impl<S: Transport, T> Source for Connection<S, T> {
    fn poll_frame(&self, number: u32, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = self.poll_next(number, cx);
        if matches!(polled, Poll::Ready(Some(Err(_)))) {
            self.broken.set(true);
        }
        polled
    }

    fn passes(&self, number: u32) -> bool {
        self.passes(number)
    }

    fn poll_pass(
        &self,
        number: u32,
        pipe: &mut Pipe,
        most: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<usize>, Error>> {
        let polled = self.poll_next_into(number, pipe, most, cx);
        if matches!(polled, Poll::Ready(Err(_))) {
            self.broken.set(true);
        }
        polled
    }

    fn let_go(&self, number: u32) {
        if number != self.message.get() {
            return;
        }
        self.is_read.set(false);
        self.reader.take();
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }

    fn is_over(&self, number: u32) -> bool {
        number == self.message.get() && self.reading.borrow().decoder.is_over()
    }

    fn size_hint(&self, number: u32) -> SizeHint {
        if number == self.message.get() {
            self.reading.borrow().decoder.size_hint()
        } else {
            SizeHint::default()
        }
    }
}
