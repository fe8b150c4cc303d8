//! Small messages in one piece: a head and its short body leave in one plain write instead of a vectored one.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use arrayvec::ArrayVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Up to this many bytes, copying them together costs less than having the kernel gather them.
const SMALL: usize = 2048;

/// A socket that writes small vectors in one piece.
#[derive(Debug)]
pub struct Gather<S>(pub S);

impl<S: AsyncRead + Unpin> AsyncRead for Gather<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        if total > SMALL {
            return Pin::new(&mut self.0).poll_write_vectored(cx, slices);
        }
        let mut whole = ArrayVec::<u8, SMALL>::new();
        for slice in slices {
            whole.try_extend_from_slice(slice).expect("all slices together are no longer than SMALL");
        }
        Pin::new(&mut self.0).poll_write(cx, &whole)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn what_is_written_arrives_in_order_whatever_its_size() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut near = Gather(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
        let (mut far, _) = listener.accept().await.unwrap();
        for size in [0, 1, SMALL / 2, SMALL / 2 + 1, SMALL * 3] {
            let (first, second) = (vec![b'a'; size], vec![b'b'; size]);
            let slices = [IoSlice::new(&first), IoSlice::new(&[]), IoSlice::new(&second)];
            let written = near.write_vectored(&slices).await.unwrap();
            assert_eq!(written, 2 * size);
            let mut read = vec![0; written];
            far.read_exact(&mut read).await.unwrap();
            assert_eq!(read, [first, second].concat());
        }
    }
}
