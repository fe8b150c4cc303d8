//! The body of a message as it comes in on its connection.

use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::{Error, Pipe};

/// The body of one message. Its bytes are read as they are asked for, so that whoever sends them is held to that pace.
pub struct Received {
    source: Rc<dyn Source>,
    /// Which of its connection's messages it belongs to.
    number: u32,
}

/// A connection, whatever it goes over.
pub(super) trait Source {
    fn poll_frame(&self, number: u32, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>>;

    /// Whether its next bytes can pass from socket to socket.
    fn passes(&self, number: u32) -> bool;

    /// Has such bytes pass into a pipe, so many at most; none where the rest has to be read after all.
    fn poll_pass(
        &self,
        number: u32,
        pipe: &mut Pipe,
        most: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<usize>, Error>>;

    /// Nobody reads this body any more.
    fn let_go(&self, number: u32);

    fn is_over(&self, number: u32) -> bool;

    fn size_hint(&self, number: u32) -> SizeHint;
}

impl Received {
    pub(super) fn new(source: Rc<dyn Source>, number: u32) -> Self {
        Self { source, number }
    }

    /// The next part of it; nothing at its end.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.source.poll_frame(self.number, cx)
    }

    /// Whether its next bytes can pass from socket to socket, unseen.
    pub fn passes(&self) -> bool {
        self.source.passes(self.number)
    }

    /// Has so many of these bytes at most pass into a pipe; how many did, and nothing where the rest has to be read after all.
    ///
    /// # Errors
    /// When it breaks off.
    pub fn poll_pass(
        &mut self,
        pipe: &mut Pipe,
        most: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<usize>, Error>> {
        self.source.poll_pass(self.number, pipe, most, cx)
    }

    /// Whether it is known that nothing more comes.
    pub fn is_end_stream(&self) -> bool {
        self.source.is_over(self.number)
    }

    /// How many bytes are to come, where the message says so.
    pub fn size_hint(&self) -> SizeHint {
        self.source.size_hint(self.number)
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        self.source.let_go(self.number);
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received").field("number", &self.number).finish_non_exhaustive()
    }
}
