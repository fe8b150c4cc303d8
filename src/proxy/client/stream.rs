//! The socket of a client: what the connection's record learns from the bytes that move, and what is held back of them.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::framing::Framing;
use super::{Client, Socket};
use crate::gather::Gather;

/// The client's socket: notes when bytes move, gives HTTP/1 one request at a time, and writes interim answers between answers.
#[derive(Debug)]
pub struct ClientStream {
    socket: Gather<Socket>,
    client: Rc<Client>,
    framing: Framing,
    /// Bytes read that belong to a later request, or that were read too early.
    early: Bytes,
}

impl ClientStream {
    /// The socket of a client, on which HTTP/1 is spoken until something else turns out.
    pub fn new(socket: Socket, client: Rc<Client>) -> Self {
        Self { socket: Gather(socket), client, framing: Framing::default(), early: Bytes::new() }
    }

    /// The socket of a client, whose bytes are not looked at.
    pub fn raw(socket: Socket, client: Rc<Client>) -> Self {
        Self { socket: Gather(socket), client, framing: Framing::raw(), early: Bytes::new() }
    }

    /// The same stream, no longer as HTTP/1, from which these bytes will be read first.
    #[must_use]
    pub fn rewound(self, early: Bytes) -> Self {
        let early = if self.early.is_empty() {
            early
        } else {
            let mut all = BytesMut::from(early);
            all.extend_from_slice(&self.early);
            all.freeze()
        };
        Self { early, framing: Framing::raw(), ..self }
    }

    /// Where the client reached this proxy, as far as the system says.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.socket.0.local_address()
    }

    /// Lets its end be a reset, so that what the client has of a stream that broke off does not look whole.
    pub fn abort(&self) {
        self.socket.0.abort();
    }

    /// A write that cannot go on moves nothing, however often it is tried.
    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes @ 1..)) = written {
            self.client.between.set(false);
            self.client.wrote(bytes);
        }
        written
    }

    /// Notes that these bytes came, and tells how many of them may be given on now.
    fn look(&mut self, came: &[u8]) -> io::Result<usize> {
        let client = &self.client;
        if self.framing.is_raw() {
            return Ok(came.len());
        }
        let count = self.framing.take(came, |seen| client.seen.set(seen));
        match self.framing.broken() {
            Some(doubt) if count == 0 => Err(io::Error::new(io::ErrorKind::InvalidData, doubt.sentence())),
            _ => Ok(count),
        }
    }

    /// Writes the interim answers that wait, unless an earlier answer is still being written.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.client.between.get() {
            return Poll::Ready(Ok(()));
        }
        let mut waiting = self.client.interim.borrow_mut();
        while !waiting.is_empty() {
            let count = ready!(Pin::new(&mut self.socket).poll_write(cx, &waiting))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            waiting.advance(count);
            self.client.moved();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.early.is_empty() {
            let early = this.early.clone();
            let count = this.look(&early[..early.len().min(buffer.remaining())])?;
            buffer.put_slice(&early[..count]);
            this.early.advance(count);
            if !this.framing.is_raw() {
                this.client.heard(&early[..count]);
            }
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.socket).poll_read(cx, buffer);
        let after = buffer.filled().len();
        if after > before {
            this.client.heard(&buffer.filled()[before..]);
            let count = this.look(&buffer.filled()[before..])?;
            if before + count < after {
                this.early = Bytes::copy_from_slice(&buffer.filled()[before + count..]);
                buffer.set_filled(before + count);
            }
        }
        read
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_interim(cx))?;
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_interim(cx))?;
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The library flushes once it has written all it has.
        self.client.between.set(true);
        ready!(self.poll_interim(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::super::tests::client;
    use super::*;

    async fn pair() -> (ClientStream, TcpStream, Rc<Client>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (client, ..) = client();
        client.hear_interim(true);
        (ClientStream::new(listener.accept().await.unwrap().0.into(), Rc::clone(&client)), far, client)
    }

    /// Writes until no more is taken, and tells how much was.
    fn fill(stream: &mut ClientStream, piece: &[u8]) -> usize {
        let mut sent = 0;
        while let Some(written) = stream.write(piece).now_or_never() {
            sent += written.unwrap();
        }
        sent
    }

    #[tokio::test]
    async fn nothing_is_put_into_an_answer_that_is_still_being_written() {
        let (mut stream, mut far, client) = pair().await;
        let first = vec![b'a'; 1 << 20];
        let sent = fill(&mut stream, &first);
        client.tell_interim(b"hint");
        let mut heard = vec![0; sent + 1000 + b"hintfinal".len()];
        let writing = async {
            stream.write_all(&first[..1000]).await.unwrap();
            stream.flush().await.unwrap();
            client.begin_answer();
            stream.write_all(b"final").await.unwrap();
        };
        let ((), read) = tokio::join!(writing, far.read_exact(&mut heard));
        read.unwrap();
        assert!(heard[..sent + 1000].iter().all(|byte| *byte == b'a'));
        assert_eq!(&heard[sent + 1000..], b"hintfinal");
    }

    #[tokio::test]
    async fn what_could_not_leave_ahead_of_an_answer_never_does() {
        let (mut stream, mut far, client) = pair().await;
        stream.write_all(b"first").await.unwrap();
        client.tell_interim(b"hint");
        client.begin_answer();
        stream.write_all(b"final").await.unwrap();
        stream.flush().await.unwrap();
        client.tell_interim(b"next");
        client.begin_answer();
        stream.write_all(b"last").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut heard = String::new();
        far.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "firstfinalnextlast");
    }

    #[tokio::test]
    async fn requests_are_given_one_at_a_time_and_none_is_lost() {
        let (mut stream, mut far, _) = pair().await;
        let (one, two) =
            ("POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc", "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        far.write_all(format!("{one}{two}rest").as_bytes()).await.unwrap();
        let mut buffer = [0; 1024];
        for expected in [one, two] {
            let mut heard = 0;
            while heard < expected.len() {
                heard += stream.read(&mut buffer[heard..]).await.unwrap();
            }
            assert_eq!(&buffer[..heard], expected.as_bytes());
        }
        let mut stream = stream.rewound(Bytes::from_static(b"the "));
        let mut heard = [0; 8];
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"the rest");
    }
}
