//! One connection: what was read ahead on it, what waits to be written, and the body that is coming in.

mod incoming;
mod passing;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::ReadBuf;

use super::head::Bounds;
use super::outbox::Outbox;
use super::piece::{PIECE, poll_piece};
use super::reading::Reading;
use super::together::{Write, write_soon};
use super::{Error, Transport};

/// Tells of a stream whether it is over.
type Look<S> = fn(&S) -> bool;

/// One connection, shared by whoever drives it and the bodies on it. `T` is what lasts as long as it does.
pub struct Connection<S: Transport, T = ()> {
    /// Nothing once it is used for something else.
    stream: RefCell<Option<S>>,
    reading: RefCell<Reading>,
    outbox: RefCell<Outbox>,
    /// Whether something of what the stream took has yet to leave: TLS takes more than its socket does.
    is_held: Cell<bool>,
    /// The message whose body is coming in; those before it are over, whoever still holds their bodies.
    message: Cell<u32>,
    /// Reads that brought bytes.
    reads: Cell<u32>,
    /// Bytes written.
    written: Cell<u64>,
    /// Whether the body that comes in is to be asked for.
    asks: Cell<bool>,
    /// Whether the body that came last broke off, or is malformed.
    broken: Cell<bool>,
    /// What is asked right before the next bytes are written: whether they are not to be.
    look: Cell<Option<Look<S>>>,
    /// Whether what is to be written will be soon, together with what others have to say.
    is_soon: Cell<bool>,
    /// Who drives it, should that not be possible.
    driver: RefCell<Option<Waker>>,
    /// Whether somebody has the body that comes in.
    is_read: Cell<bool>,
    /// Who waits for whoever reads the body to be done with it.
    waiting: RefCell<Option<Waker>>,
    /// Who reads it and waits for more, which may be another task: the stream forgets it where it goes elsewhere.
    reader: RefCell<Option<Waker>>,
    /// Dropped with the connection.
    pub with: T,
}

impl<S: Transport, T> fmt::Debug for Connection<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("message", &self.message).finish_non_exhaustive()
    }
}

impl<S: Transport, T> Connection<S, T> {
    /// A connection on which nothing was said.
    pub fn new(stream: S, with: T) -> Self {
        Self {
            stream: RefCell::new(Some(stream)),
            reading: RefCell::default(),
            outbox: RefCell::default(),
            is_held: Cell::new(false),
            message: Cell::new(0),
            reads: Cell::new(0),
            written: Cell::new(0),
            asks: Cell::new(false),
            broken: Cell::new(false),
            look: Cell::new(None),
            is_soon: Cell::new(false),
            driver: RefCell::default(),
            is_read: Cell::new(false),
            waiting: RefCell::default(),
            reader: RefCell::default(),
            with,
        }
    }

    /// The stream, and what was read of it and is left; the connection is over with that.
    pub fn take(&self) -> Option<(S, Bytes)> {
        if self.is_soon.get() {
            self.write_now();
        }
        let stream = self.stream.take()?;
        self.message.set(self.message.get().wrapping_add(1));
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Some((stream, self.reading.take().into_bytes()))
    }

    /// Has the body that comes in asked for no more, since what answers its request begins; whether it was not asked for before. Its
    /// sender may send it or not then.
    pub fn ask_no_more(&self) -> bool {
        self.asks.take()
    }

    /// Looks at the stream, if the connection is not over.
    pub fn look<R>(&self, look: impl FnOnce(&S) -> R) -> Option<R> {
        self.stream.borrow().as_ref().map(look)
    }

    /// Has the stream looked at right before the next bytes are written: if that tells that it is over, none are, and the connection
    /// is broken.
    pub fn look_first(&self, is_over: Look<S>) {
        self.look.set(Some(is_over));
    }

    /// How often bytes came. Compared with an earlier count, it tells whether anything was heard since.
    pub const fn reads(&self) -> u32 {
        self.reads.get()
    }

    /// Bytes written so far.
    pub const fn written(&self) -> u64 {
        self.written.get()
    }

    /// Ready once something comes that nobody asked for, be it the end: no further message can be sent then.
    pub fn poll_news(&self, cx: &mut Context<'_>) -> Poll<()> {
        // Whoever drove it is done, and its task is not to be kept for the sake of being woken.
        self.driver.take();
        let mut stream = self.stream.borrow_mut();
        let Some(stream) = &mut *stream else { return Poll::Ready(()) };
        if !self.reading.borrow().is_empty() {
            return Poll::Ready(());
        }
        let mut byte = [0];
        Pin::new(stream).poll_read(cx, &mut ReadBuf::new(&mut byte)).map(drop)
    }

    /// Whether nothing is left of the message that came last, nor anything to be written that will not be soon.
    pub fn is_between(&self) -> bool {
        let reading = self.reading.borrow();
        reading.decoder.is_over() && reading.is_empty() && !self.is_stalled()
    }

    /// Whether a body on it broke off, or was malformed, so that nothing behind it can be understood, or it was over when looked at.
    pub const fn is_broken(&self) -> bool {
        self.broken.get()
    }

    /// Has these bytes read once more, ahead of all others.
    pub fn give_back(&self, bytes: Bytes) {
        let mut reading = self.reading.borrow_mut();
        reading.ahead = [bytes, std::mem::take(&mut reading.ahead)].concat().into();
    }

    /// Whether anything came that nobody has taken, beyond empty lines.
    pub fn has_more(&self) -> bool {
        self.reading.borrow().has_begun()
    }

    /// So many of the bytes that were read ahead, if there are as many.
    pub(super) fn take_ahead(&self, count: usize) -> Option<Bytes> {
        let mut reading = self.reading.borrow_mut();
        (count <= reading.ahead.len()).then(|| reading.ahead.split_to(count))
    }

    /// Shows what came of a head that was given up.
    pub(super) fn look_at_head<R>(&self, look: impl FnOnce(&[u8]) -> R) -> R {
        look(self.reading.borrow().head())
    }

    /// Ready once the peer has ended the connection, as far as that can be seen without reading more than one piece ahead.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut reading = self.reading.borrow_mut();
        if !reading.decoder.is_over() || !reading.is_empty() {
            return Poll::Pending;
        }
        match ready!(self.poll_piece(PIECE, cx)) {
            Ok(piece) if !piece.is_empty() => {
                reading.ahead = piece;
                Poll::Pending
            }
            Ok(_) | Err(_) => Poll::Ready(()),
        }
    }

    /// The next head, whole; nothing where the connection ends before one begins. `may_be` tells of a beginning whether it
    /// can become one.
    pub fn poll_head(
        &self,
        cx: &mut Context<'_>,
        bounds: Bounds,
        may_be: impl Fn(&[u8]) -> Result<(), Error>,
    ) -> Poll<Result<Option<Bytes>, Error>> {
        loop {
            if let Some(head) = self.reading.borrow_mut().take_head(bounds, &may_be)? {
                return Poll::Ready(Ok(Some(head)));
            }
            let most = self.look(Transport::ahead).unwrap_or(PIECE);
            let piece = ready!(self.poll_piece(most, cx))?;
            let mut reading = self.reading.borrow_mut();
            if piece.is_empty() {
                let is_clean = !reading.has_begun();
                return Poll::Ready(if is_clean { Ok(None) } else { Err(Error::Incomplete) });
            }
            reading.ahead = piece;
        }
    }

    fn poll_piece(&self, most: usize, cx: &mut Context<'_>) -> Poll<Result<Bytes, Error>> {
        let mut stream = self.stream.borrow_mut();
        let Some(stream) = &mut *stream else { return Poll::Ready(Err(Error::GivenUp)) };
        let piece = ready!(poll_piece(stream, most, cx))?;
        if !piece.is_empty() {
            self.reads.set(self.reads.get().wrapping_add(1));
        }
        Poll::Ready(Ok(piece))
    }

    /// Whether something is to be written that is not taken for the moment.
    pub fn is_stalled(&self) -> bool {
        !self.is_soon.get() && !self.is_written()
    }

    /// Whether all that was to be written has left.
    pub fn is_written(&self) -> bool {
        self.outbox.borrow().is_empty() && !self.is_held.get()
    }

    /// Adds to what is to be written.
    pub fn write(&self, write: impl FnOnce(&mut BytesMut)) {
        self.outbox.borrow_mut().write(write);
    }

    pub(super) fn push(&self, piece: Bytes) {
        self.outbox.borrow_mut().push(piece);
    }

    pub(super) fn is_full(&self) -> bool {
        self.outbox.borrow().is_full()
    }

    /// Whether it is over, where it is to be looked at before anything is written; nothing is then.
    fn is_over(&self, stream: &S) -> bool {
        let is_over = self.look.take().is_some_and(|is_over| is_over(stream));
        if is_over {
            self.broken.set(true);
            *self.outbox.borrow_mut() = Outbox::default();
        }
        is_over
    }

    /// Writes all that is to be written.
    ///
    /// # Errors
    /// When the connection takes no more.
    pub fn poll_write(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut stream = self.stream.borrow_mut();
        let Some(stream) = &mut *stream else { return Poll::Ready(Err(io::ErrorKind::NotConnected.into())) };
        if self.is_over(stream) {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        }
        let mut wrote = 0;
        let all = self.outbox.borrow_mut().poll_write(stream, cx, &mut wrote);
        self.written.set(self.written.get() + wrote as u64);
        ready!(all)?;
        let flushed = Pin::new(stream).poll_flush(cx);
        self.is_held.set(flushed.is_pending());
        flushed
    }
}

impl<S: Transport + 'static, T: 'static> Connection<S, T> {
    /// Has what is to be written leave soon, together with what others have to say; false where it has to be written now. Who asks
    /// is woken where not all of it is taken.
    pub(super) fn write_soon(self: &Rc<Self>, cx: &Context<'_>) -> bool {
        // Pieces of bodies wait for room themselves, and heads do not: whoever asks without end for what has no body, and reads
        // nothing, would have all of it held here.
        if self.is_full() {
            return false;
        }
        if self.is_soon.get() {
            return true;
        }
        // What passed from socket to socket has left already.
        if self.outbox.borrow().is_empty() {
            return false;
        }
        let is_soon = write_soon(|| Rc::clone(self) as Rc<dyn Write>);
        if is_soon {
            self.is_soon.set(true);
            register(&self.driver, cx);
        }
        is_soon
    }
}

/// Has the task woken that asks, in place of whichever was to be.
fn register(place: &RefCell<Option<Waker>>, cx: &Context<'_>) {
    match &mut *place.borrow_mut() {
        Some(waker) => waker.clone_from(cx.waker()),
        waker => *waker = Some(cx.waker().clone()),
    }
}

impl<S: Transport, T> Drop for Connection<S, T> {
    /// Ends it in good order, as far as that goes at once, where nothing that was begun would look whole by that: TLS has a word
    /// for it, without which it could be somebody else's doing.
    fn drop(&mut self) {
        let is_between = self.is_between() && !self.is_broken();
        if let Some(stream) = self.stream.get_mut().as_mut().filter(|_| is_between) {
            let _ = Pin::new(stream).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        }
    }
}

impl<S: Transport, T> Write for Connection<S, T> {
    fn write_now(&self) {
        self.is_soon.set(false);
        let written = self.poll_write(&mut Context::from_waker(Waker::noop()));
        if !matches!(written, Poll::Ready(Ok(())))
            && let Some(driver) = &*self.driver.borrow()
        {
            driver.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests;
