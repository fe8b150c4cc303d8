//! The part of a body that passes from socket to socket.

use std::fmt;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Body;

use super::{Form, LONG, Sending, Unsent};
use crate::http1::pipe::{Pipe, ROOM};
use crate::http1::{Connection, Transport};

/// See [`Pass::poll`].
type PollPass<B> =
    fn(&mut B, &mut Pipe, usize, &mut Context<'_>) -> Poll<Result<Option<usize>, <B as Body>::Error>>;

/// How a body passes from socket to socket.
pub struct Pass<B: Body> {
    /// Whether it can, as it is now.
    pub can: fn(&mut B) -> bool,
    /// Has what comes next of it pass into a pipe: so many bytes at most. How many did; nothing where it has to be read after all.
    pub poll: PollPass<B>,
}

impl<B: Body> Clone for Pass<B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Body> Copy for Pass<B> {}

impl<B: Body> fmt::Debug for Pass<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass").finish_non_exhaustive()
    }
}

impl<B: Body<Data = Bytes> + Unpin> Sending<B> {
    /// Whether what comes next passes from socket to socket, or something is still on that way.
    pub(super) fn is_passing<S: Transport, T>(&mut self, connection: &Connection<S, T>) -> bool {
        !self.pipe.is_none() || matches!(self.form, Form::Length(LONG..)) && self.can_pass(connection)
    }

    fn can_pass<S: Transport, T>(&mut self, connection: &Connection<S, T>) -> bool {
        let (Some(pass), Some(body)) = (self.pass, &mut self.body) else { return false };
        connection.is_bare() && (pass.can)(body)
    }

    /// Has it pass, behind what waits to be written, until none of it is left that can.
    ///
    /// The pipe is emptied before more comes into it, so that what does not fit into it is never taken for what has not come. While
    /// it is empty, and nothing comes, others have it.
    pub(super) fn poll_pass<S: Transport, T>(
        &mut self,
        connection: &Connection<S, T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Unsent<B::Error>>> {
        loop {
            ready!(connection.poll_write_from(&mut self.pipe, cx)).map_err(Unsent::Connection)?;
            if self.failed.is_some() || !self.can_pass(connection) {
                self.pipe = Pipe::default();
                return Poll::Ready(Ok(()));
            }
            if self.pipe.is_none() {
                self.pipe = Pipe::take();
            }
            if self.pipe.is_none() {
                // The rest is copied.
                self.pass = None;
                return Poll::Ready(Ok(()));
            }
            if !connection.write_into(&mut self.pipe).map_err(Unsent::Connection)? {
                continue;
            }
            if self.fill_pipe(connection, cx)?.is_pending() {
                ready!(connection.poll_write_from(&mut self.pipe, cx)).map_err(Unsent::Connection)?;
                self.pipe = Pipe::default();
                return Poll::Pending;
            }
        }
    }

    /// Takes what comes next into the pipe.
    fn fill_pipe<S: Transport, T>(
        &mut self,
        connection: &Connection<S, T>,
        cx: &mut Context<'_>,
    ) -> Result<Poll<()>, Unsent<B::Error>> {
        let (Some(pass), Some(body), Form::Length(left)) = (self.pass, &mut self.body, &mut self.form) else {
            return Ok(Poll::Ready(()));
        };
        let most = usize::try_from(*left).unwrap_or(usize::MAX).min(ROOM);
        match (pass.poll)(body, &mut self.pipe, most, cx) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(Ok(Some(count))) => {
                *left -= count as u64;
                if *left == 0 {
                    self.body = None;
                }
            }
            Poll::Ready(Ok(None)) => {
                self.pass = None;
                let early = self.pipe.take_back().map_err(Unsent::Connection)?;
                connection.push(early.into());
            }
            Poll::Ready(Err(error)) if self.is_hasty => return Err(Unsent::Body(error)),
            Poll::Ready(Err(error)) => {
                self.failed = Some(Unsent::Body(error));
                self.body = None;
            }
        }
        Ok(Poll::Ready(()))
    }
}
