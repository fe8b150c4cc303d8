//! Reading from a socket into memory that all connections of a thread share, so that those that wait have none.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

/// Bytes read at once, at most.
pub const PIECE: usize = 64 * 1024;

/// From this many on, what was read is handed on as it is; less is copied, so that it does not keep a whole block of memory.
pub(super) const LARGE: usize = PIECE / 8;

thread_local! {
    static BLOCK: RefCell<BytesMut> = RefCell::default();
}

/// The next bytes of a stream, so many at most; none at its end.
pub(super) fn poll_piece<S: AsyncRead + Unpin>(
    stream: &mut S,
    most: usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Bytes>> {
    BLOCK.with_borrow_mut(|block| {
        block.clear();
        // Takes the same memory again where nobody holds on to a part of it.
        block.reserve(PIECE);
        let count = ready!(poll_read_buf(Pin::new(stream), cx, &mut (&mut *block).limit(most)))?;
        let piece = if count < LARGE { Bytes::copy_from_slice(block) } else { block.split().freeze() };
        Poll::Ready(Ok(piece))
    })
}
