//! Bytes that pass from the socket of one connection to that of another, through a pipe.

use std::io;
use std::task::{Context, Poll};

use super::{Connection, register};
use crate::http1::decoder::Decoder;
use crate::http1::pipe::Pipe;
use crate::http1::{Error, Transport};

impl<S: Transport, T> Connection<S, T> {
    /// Whether bytes can pass to its socket as they are.
    pub(in crate::http1) fn is_bare(&self) -> bool {
        self.stream.borrow().as_ref().is_some_and(|stream| stream.socket().is_some())
    }

    /// Puts what waits to be written into a pipe, as far as there is room; whether that was all.
    pub(in crate::http1) fn write_into(&self, pipe: &mut Pipe) -> io::Result<bool> {
        let mut outbox = self.outbox.borrow_mut();
        outbox.move_into(pipe)?;
        Ok(outbox.is_empty())
    }

    /// Writes what is in a pipe.
    pub(in crate::http1) fn poll_write_from(
        &self,
        pipe: &mut Pipe,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.stream.borrow();
        let gone = || io::Error::from(io::ErrorKind::NotConnected);
        let stream = stream.as_ref().ok_or_else(gone)?;
        if self.is_over(stream) {
            return Poll::Ready(Err(gone()));
        }
        let mut passed = 0;
        let all = pipe.poll_empty(stream.socket().ok_or_else(gone)?, cx, &mut passed);
        if passed > 0 {
            stream.moved();
            self.written.set(self.written.get() + passed as u64);
        }
        all
    }

    /// Whether what comes next of the body with this number can pass on as it is: a body of known length, of which nothing was
    /// read ahead.
    pub(super) fn passes(&self, number: u32) -> bool {
        let reading = self.reading.borrow();
        number == self.message.get()
            && matches!(reading.decoder, Decoder::Length(_))
            && reading.ahead.is_empty()
            && !self.asks.get()
            && self.is_bare()
    }

    /// Has what comes next of such a body pass into a pipe; nothing where that cannot be after all.
    pub(super) fn poll_next_into(
        &self,
        number: u32,
        pipe: &mut Pipe,
        most: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<usize>, Error>> {
        if !self.passes(number) {
            return Poll::Ready(Ok(None));
        }
        let stream = self.stream.borrow();
        let Some(socket) = stream.as_ref().and_then(Transport::socket) else {
            return Poll::Ready(Ok(None));
        };
        let decoder = &mut self.reading.borrow_mut().decoder;
        let Poll::Ready(came) = pipe.poll_fill(socket, decoder.most(most), cx) else {
            // As when it is read: the socket forgets who waits where it goes elsewhere.
            register(&self.reader, cx);
            return Poll::Pending;
        };
        let Some(count) = came? else {
            return Poll::Ready(Ok(None));
        };
        if count == 0 {
            decoder.end()?;
            return Poll::Ready(Ok(Some(0)));
        }
        decoder.pass(count);
        self.reads.set(self.reads.get().wrapping_add(1));
        if let Some(stream) = &*stream {
            stream.moved();
        }
        Poll::Ready(Ok(Some(count)))
    }
}
