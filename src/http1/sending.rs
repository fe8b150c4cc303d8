//! A body on its way out: its pieces framed and written as they come, and no faster than they are taken.

mod passing;

use std::fmt::Write as _;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame};

use super::fields;
use super::pipe::Pipe;
use super::{Connection, Transport};
pub use passing::Pass;

/// From so many bytes on, having what is left of a body pass from socket to socket costs less than copying it.
const LONG: u64 = 16 * 1024;

/// How a body is framed (RFC 9112, 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// There is none.
    Empty,
    /// So many bytes are to follow.
    Length(u64),
    /// In chunks; whether trailers are taken behind them.
    Chunked {
        /// Trailers are sent; otherwise they fall.
        trailers: bool,
    },
    /// It ends with the connection.
    ToEnd,
}

/// Why a body was not sent to its end.
#[derive(Debug)]
pub enum Unsent<E> {
    /// Whoever receives it takes no more.
    Connection(io::Error),
    /// Whoever sends it broke off.
    Body(E),
    /// It is shorter or longer than was said.
    Length,
}

/// Takes in what has come of a body, and registers the task to be woken by what comes next.
type Absorb<B> = fn(&mut B, &mut Context<'_>);

/// A body on its way out, behind a head that waits to be written already.
#[derive(Debug)]
pub struct Sending<B: Body> {
    /// Nothing once all of it waits to be written.
    body: Option<B>,
    form: Form,
    /// Whether what came before it breaks off is not sent any more.
    is_hasty: bool,
    /// Whether its last piece may leave together with what others have to say.
    is_patient: bool,
    /// How it passes from socket to socket, if it may.
    pass: Option<Pass<B>>,
    /// What it does that through, while something is in it.
    pipe: Pipe,
    /// What is done with it while there is no room for more.
    absorb: Option<Absorb<B>>,
    /// What is told once all that came before has been written.
    failed: Option<Unsent<B::Error>>,
}

impl<B: Body<Data = Bytes> + Unpin> Sending<B> {
    /// Begins to send the body of an answer: where it breaks off, what came before reaches the client. One without bytes is
    /// dropped, and so over, at once. `is_patient`: its last piece may leave together with what others have to say.
    pub fn of_answer(body: B, form: Form, is_patient: bool) -> Self {
        let body = (form != Form::Empty).then_some(body);
        let (pass, pipe, absorb, failed) = (None, Pipe::default(), None, None);
        Self { body, form, is_hasty: false, is_patient, pass, pipe, absorb, failed }
    }

    /// Begins to send the body of a request: where it breaks off, nothing more is sent, so that one which is broken from the
    /// beginning reaches nobody. `is_patient` as with answers.
    pub fn of_request(body: B, form: Form, is_patient: bool) -> Self {
        Self { is_hasty: true, ..Self::of_answer(body, form, is_patient) }
    }

    /// Has its last piece written by whoever polls this, where nobody looks after the connection once it is sent: of what is to be
    /// written soon, a part may not be taken, and would stay.
    #[must_use]
    pub fn alone(self) -> Self {
        Self { is_patient: false, ..self }
    }

    /// Has what comes of it taken in while there is no room for more: where it shares a connection, whoever is not read there could
    /// end that for all.
    #[must_use]
    pub fn absorbing(self, absorb: Absorb<B>) -> Self {
        Self { absorb: Some(absorb), ..self }
    }

    /// Has it pass from socket to socket in this way, where it is long enough for that.
    #[must_use]
    pub fn passing(self, pass: Pass<B>) -> Self {
        Self { pass: matches!(self.form, Form::Length(LONG..)).then_some(pass), ..self }
    }

    /// Writes what there is, and waits for more, until all is written, or will be soon.
    ///
    /// # Errors
    /// When it breaks off, or the connection does. What came before has been written as far as it is taken.
    pub fn poll<S, T>(
        &mut self,
        connection: &Rc<Connection<S, T>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Unsent<B::Error>>>
    where
        S: Transport + 'static,
        T: 'static,
    {
        loop {
            let waits = self.fill(connection, cx);
            if self.is_passing(connection) {
                ready!(self.poll_pass(connection, cx))?;
                continue;
            }
            if let Some(failed) = self.failed.take_if(|_| self.is_hasty) {
                return Poll::Ready(Err(failed));
            }
            let is_whole = self.body.is_none() && self.failed.is_none();
            if is_whole && self.is_patient && connection.write_soon(cx) {
                return Poll::Ready(Ok(()));
            }
            let Poll::Ready(written) = connection.poll_write(cx) else {
                if let (Some(absorb), Some(body)) = (self.absorb, &mut self.body) {
                    absorb(body, cx);
                }
                return Poll::Pending;
            };
            written.map_err(Unsent::Connection)?;
            if let Some(failed) = self.failed.take() {
                return Poll::Ready(Err(failed));
            }
            if self.body.is_none() {
                return Poll::Ready(Ok(()));
            }
            if waits {
                return Poll::Pending;
            }
        }
    }

    /// Takes pieces while there is room for them; whether one is waited for.
    fn fill<S: Transport, T>(&mut self, connection: &Connection<S, T>, cx: &mut Context<'_>) -> bool {
        while !connection.is_full() && !self.is_passing(connection) {
            let Some(body) = &mut self.body else { return false };
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Pending => return true,
                Poll::Ready(Some(Ok(frame))) => {
                    let is_last = body.is_end_stream();
                    let is_over = self.form.write(frame, connection);
                    if is_over {
                        self.body = None;
                    } else if is_last {
                        self.end(connection);
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    self.failed = Some(Unsent::Body(error));
                    self.body = None;
                }
                Poll::Ready(None) => self.end(connection),
            }
        }
        false
    }

    fn end<S: Transport, T>(&mut self, connection: &Connection<S, T>) {
        self.body = None;
        match self.form {
            Form::Chunked { .. } => connection.write(|to| to.put_slice(b"0\r\n\r\n")),
            Form::Length(1..) => self.failed = Some(Unsent::Length),
            Form::Length(0) | Form::Empty | Form::ToEnd => {}
        }
    }
}

impl Form {
    /// Puts a piece into its form; whether it was the last.
    fn write<S: Transport, T>(&mut self, frame: Frame<Bytes>, connection: &Connection<S, T>) -> bool {
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                let Form::Chunked { trailers } = *self else { return false };
                let told = frame.into_trailers().ok().filter(|_| trailers).unwrap_or_default();
                connection.write(|to| end_with(to, &told));
                return true;
            }
        };
        match self {
            // An empty chunk would be the end.
            _ if data.is_empty() => {}
            Self::Empty => {}
            Self::ToEnd => connection.push(data),
            Self::Length(left) => {
                // More than was said would be taken for another message. Where all has come that was, its end may still have to:
                // dropped before, it would look given up to whoever sends it.
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(data.len());
                *left -= count as u64;
                connection.push(data.slice(..count));
                return count < data.len();
            }
            Self::Chunked { .. } => {
                connection.write(|to| {
                    let _ = write!(to, "{:X}\r\n", data.len());
                });
                connection.push(data);
                connection.write(|to| to.put_slice(b"\r\n"));
            }
        }
        false
    }
}

fn end_with(to: &mut BytesMut, trailers: &HeaderMap) {
    to.put_slice(b"0\r\n");
    for (name, value) in trailers {
        fields::write(to, name, value);
    }
    to.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
