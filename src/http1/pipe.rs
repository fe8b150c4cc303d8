//! Pipes of the system, through which a body passes from one socket to another without being copied (splice(2)).

use std::cell::RefCell;
use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use rustix::io::{Errno, read, writev};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Bytes that a pipe has room for, where they come in whole pages.
pub(super) const ROOM: usize = 256 * 1024;

/// Pipes of a thread that are in use at once, at most: what is in one that its receiver does not empty is memory of the system,
/// and each takes two descriptors. Bodies beyond are copied.
const USED_MAX: usize = 16;

/// Those that are kept for the next body.
const KEPT_MAX: usize = 4;

#[derive(Debug)]
struct Ends {
    outlet: OwnedFd,
    inlet: OwnedFd,
    /// Bytes in it.
    bytes: usize,
}

/// The pipes of a thread.
#[derive(Default)]
struct Pipes {
    #[expect(clippy::vec_box, reason = "a body has a pointer to its own, which is kept with it")]
    kept: Vec<Box<Ends>>,
    used: usize,
    /// Whether the system does not let bytes pass this way.
    are_refused: bool,
}

thread_local! {
    static PIPES: RefCell<Pipes> = RefCell::default();
}

/// A pipe that one body has for itself, or none. Given back when it is dropped; closed, where something is left in it.
#[derive(Default)]
pub struct Pipe(Option<Box<Ends>>);

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pipe").field(&self.bytes()).finish()
    }
}

impl Pipe {
    /// An empty one; none where all are in use, or there can be none.
    pub(crate) fn take() -> Self {
        PIPES.with_borrow_mut(|pipes| {
            if pipes.are_refused || pipes.used >= USED_MAX {
                return Self::default();
            }
            let Some(ends) = pipes.kept.pop().or_else(open) else { return Self::default() };
            pipes.used += 1;
            Self(Some(ends))
        })
    }

    /// Whether there is none.
    pub(crate) const fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// How many are in use on this thread, and how many are kept.
    #[cfg(test)]
    pub(crate) fn counts() -> (usize, usize) {
        PIPES.with_borrow(|pipes| (pipes.used, pipes.kept.len()))
    }

    /// Bytes in it.
    pub(super) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |ends| ends.bytes)
    }

    /// Copies these bytes into it, behind what is there, as far as there is room; how many.
    pub(super) fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let Some(ends) = &mut self.0 else { return Ok(0) };
        let count = match writev(&ends.inlet, slices) {
            Ok(count) => count,
            Err(Errno::AGAIN) => 0,
            Err(error) => return Err(error.into()),
        };
        ends.bytes += count;
        Ok(count)
    }

    /// Takes back what is in it, where that is no more than so many bytes.
    pub(super) fn take_back(&mut self) -> io::Result<Vec<u8>> {
        let Some(ends) = &mut self.0 else { return Ok(Vec::new()) };
        let mut bytes = vec![0; ends.bytes];
        let mut came = 0;
        while came < bytes.len() {
            came += read(&ends.outlet, &mut bytes[came..])?;
        }
        ends.bytes = 0;
        Ok(bytes)
    }

    /// Has at most so many bytes that came on a socket pass into it. None at the end of the connection; nothing at all where the
    /// system refuses, which it does before any byte moves.
    pub(super) fn poll_fill(
        &mut self,
        socket: &TcpStream,
        most: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<usize>>> {
        let Some(ends) = &mut self.0 else { return Poll::Ready(Ok(None)) };
        loop {
            ready!(socket.poll_read_ready(cx))?;
            let passed = socket.try_io(Interest::READABLE, || {
                Ok(splice(socket, None, &ends.inlet, None, most.min(ROOM), SpliceFlags::NONBLOCK)?)
            });
            match passed {
                Ok(count) => {
                    ends.bytes += count;
                    return Poll::Ready(Ok(Some(count)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if is_refusal(&error) => {
                    tracing::debug!(%error, "bodies are copied: the system does not let them pass");
                    PIPES.with_borrow_mut(|pipes| pipes.are_refused = true);
                    return Poll::Ready(Ok(None));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Has what is in it pass to a socket; how many bytes did in this call, ready or not.
    pub(super) fn poll_empty(
        &mut self,
        socket: &TcpStream,
        cx: &mut Context<'_>,
        passed: &mut usize,
    ) -> Poll<io::Result<()>> {
        let Some(ends) = &mut self.0 else { return Poll::Ready(Ok(())) };
        while ends.bytes > 0 {
            ready!(socket.poll_write_ready(cx))?;
            let written = socket.try_io(Interest::WRITABLE, || {
                Ok(splice(&ends.outlet, None, socket, None, ends.bytes, SpliceFlags::NONBLOCK)?)
            });
            match written {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    ends.bytes -= count;
                    *passed += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let Some(ends) = self.0.take() else { return };
        PIPES.with_borrow_mut(|pipes| {
            pipes.used -= 1;
            if ends.bytes == 0 && pipes.kept.len() < KEPT_MAX {
                pipes.kept.push(ends);
            }
        });
    }
}

/// A new pipe. One that is smaller, since this user has many, would cost more calls than it saves.
fn open() -> Option<Box<Ends>> {
    let (outlet, inlet) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
    let room = fcntl_setpipe_size(&inlet, ROOM).ok()?;
    (room >= ROOM).then(|| Box::new(Ends { outlet, inlet, bytes: 0 }))
}

/// Whether this says that such a call is not to be had, rather than that a connection broke.
fn is_refusal(error: &io::Error) -> bool {
    let refusals = [Errno::INVAL, Errno::NOSYS, Errno::PERM, Errno::ACCESS, Errno::OPNOTSUPP];
    refusals.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_and_a_few_are_kept() {
        let mut pipes: Vec<_> = std::iter::repeat_with(Pipe::take).take(USED_MAX + 1).collect();
        assert!(pipes.pop().is_some_and(|pipe| pipe.is_none()), "one too many");
        assert!(pipes.iter().all(|pipe| !pipe.is_none()));
        drop(pipes);
        assert_eq!(Pipe::counts(), (0, KEPT_MAX));
    }

    #[test]
    fn what_was_put_in_is_taken_back_where_it_cannot_pass() {
        let mut pipe = Pipe::take();
        let slices = [IoSlice::new(b"one"), IoSlice::new(b"two")];
        assert_eq!((pipe.write(&slices).unwrap(), pipe.bytes()), (6, 6));
        assert_eq!((pipe.take_back().unwrap(), pipe.bytes()), (b"onetwo".to_vec(), 0));
        let more = vec![0; 2 * ROOM];
        assert_eq!(pipe.write(&[IoSlice::new(&more)]).unwrap(), ROOM, "as far as there is room");
        assert_eq!(pipe.write(&[IoSlice::new(&more)]).unwrap(), 0);
        drop(pipe);
        assert_eq!(Pipe::counts(), (0, 0));
    }
}
