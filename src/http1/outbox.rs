//! What waits to be written on a connection: small pieces joined, large ones as they are.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use arrayvec::ArrayVec;
use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::AsyncWrite;

use super::pipe::Pipe;

/// Up to this many bytes, copying a piece to the others costs less than having the kernel gather them.
const SMALL: usize = 2048;

/// Beyond this many bytes, what is to follow waits for those before it to leave.
const FULL: usize = 16 * 1024;

/// Pieces written at once.
const SLICES: usize = 16;

/// What waits to be written, in order. Has no memory while nothing does.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    whole: VecDeque<Bytes>,
    /// What comes behind those.
    joined: BytesMut,
    /// Bytes of all of them.
    bytes: usize,
}

impl Outbox {
    pub(super) const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    pub(super) const fn is_full(&self) -> bool {
        self.bytes >= FULL
    }

    /// Adds what is written by hand.
    pub(super) fn write(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let before = self.joined.len();
        if before == 0 {
            self.joined.reserve(SMALL / 2);
        }
        write(&mut self.joined);
        self.bytes += self.joined.len() - before;
    }

    /// Adds a piece.
    pub(super) fn push(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        if piece.len() <= SMALL {
            self.joined.extend_from_slice(&piece);
            return;
        }
        if !self.joined.is_empty() {
            self.whole.push_back(self.joined.split().freeze());
        }
        self.whole.push_back(piece);
    }

    /// Writes all there is; tells how many bytes left in this call, ready or not.
    pub(super) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        wrote: &mut usize,
    ) -> Poll<io::Result<()>> {
        while self.bytes > 0 {
            let count = if self.whole.is_empty() {
                ready!(Pin::new(&mut *stream).poll_write(cx, &self.joined))?
            } else {
                ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &self.slices()))?
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *wrote += count;
            self.drop_front(count);
        }
        Poll::Ready(Ok(()))
    }

    /// Copies what there is into a pipe, as far as there is room.
    pub(super) fn move_into(&mut self, pipe: &mut Pipe) -> io::Result<()> {
        while self.bytes > 0 {
            let count = pipe.write(&self.slices())?;
            if count == 0 {
                break;
            }
            self.drop_front(count);
        }
        Ok(())
    }

    /// The first pieces, in order.
    fn slices(&self) -> ArrayVec<IoSlice<'_>, SLICES> {
        let pieces = self.whole.iter().map(|piece| &piece[..]).chain([&self.joined[..]]);
        pieces.filter(|piece| !piece.is_empty()).take(SLICES).map(IoSlice::new).collect()
    }

    /// Lets go of what has left, and of its memory.
    fn drop_front(&mut self, mut count: usize) {
        self.bytes -= count;
        while let Some(first) = self.whole.front_mut() {
            if first.len() > count {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.whole.pop_front();
        }
        self.joined.advance(count);
        if self.bytes == 0 {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn all_leaves_in_order_whatever_the_sizes() {
        let (mut near, mut far) = tokio::io::duplex(700);
        let mut outbox = Outbox::default();
        let mut expected = Vec::new();
        for (at, size) in [1, SMALL, SMALL + 1, 3, 5 * SMALL, 2, 1].into_iter().enumerate() {
            let piece = vec![b'a' + u8::try_from(at).unwrap(); size];
            expected.extend_from_slice(&piece);
            if at % 3 == 0 {
                outbox.write(|to| to.extend_from_slice(&piece))
            } else {
                outbox.push(piece.into())
            }
        }
        let mut wrote = 0;
        let writing = async {
            std::future::poll_fn(|cx| outbox.poll_write(&mut near, cx, &mut wrote)).await.unwrap();
            drop(near);
        };
        let mut heard = Vec::new();
        let ((), read) = tokio::join!(writing, far.read_to_end(&mut heard));
        read.unwrap();
        assert_eq!((heard == expected, wrote, outbox.is_empty()), (true, expected.len(), true));
        assert_eq!(outbox.joined.capacity(), 0, "nothing is held once all has left");
    }

    #[tokio::test]
    async fn what_is_not_taken_waits() {
        let (mut near, _far) = tokio::io::duplex(10);
        let mut outbox = Outbox::default();
        outbox.push(Bytes::from_static(&[0; FULL]));
        assert!(outbox.is_full());
        let mut wrote = 0;
        let writing = std::future::poll_fn(|cx| outbox.poll_write(&mut near, cx, &mut wrote));
        assert!(writing.now_or_never().is_none());
        assert_eq!((wrote, outbox.is_empty(), outbox.is_full()), (10, false, false));
    }
}
