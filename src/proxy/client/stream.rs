//! The socket of a client: what the connection's record learns from the bytes that move, and what is held back of them.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::framing::Framing;
use super::refused::Refused;
use super::{Client, Socket};
use crate::gather::Gather;

/// What a client of HTTP/2 begins with (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The client's socket: notes when bytes move, gives HTTP/1 one request at a time, and writes interim answers between answers.
#[derive(Debug)]
pub struct ClientStream {
    socket: Gather<Socket>,
    client: Rc<Client>,
    framing: Framing,
    /// Bytes read that belong to a later request, or that were read too early.
    early: Bytes,
    stage: Stage,
}

/// What is known of what is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Too little came to tell HTTP/1 from HTTP/2, which the library does by the whole preface; what did is held back.
    Beginning,
    /// HTTP/1, as far as the library goes on with it.
    Http1,
    /// Something else.
    Other,
}

impl ClientStream {
    /// The socket of a client, on which HTTP/1 is spoken until something else turns out.
    pub fn new(socket: Socket, client: Rc<Client>) -> Self {
        let (framing, early, stage) = (Framing::default(), Bytes::new(), Stage::Beginning);
        Self { socket: Gather(socket), client, framing, early, stage }
    }

    /// The socket of a client, whose bytes are not looked at.
    pub fn raw(socket: Socket, client: Rc<Client>) -> Self {
        let (framing, early, stage) = (Framing::raw(), Bytes::new(), Stage::Other);
        Self { socket: Gather(socket), client, framing, early, stage }
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
        Self { early, framing: Framing::raw(), stage: Stage::Other, ..self }
    }

    /// Whether bytes were read that nobody has asked for yet.
    pub fn has_more(&self) -> bool {
        !self.early.is_empty()
    }

    /// Where the client reached this proxy, as far as the system says.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.socket.0.local_address()
    }

    /// Lets its end be a reset, so that what the client has of a stream that broke off does not look whole.
    pub fn abort(&self) {
        self.socket.0.abort();
    }

    /// Gets ready to write what begins with these bytes. True once all of it has been said in other words: what the library says
    /// on its own to bytes that are no request has nothing in it. It has no other occasion to say anything while nothing is in flight
    /// and no answer waits.
    fn poll_begin_write(&mut self, cx: &mut Context<'_>, begin: &[u8]) -> Poll<io::Result<bool>> {
        ready!(self.poll_interim(cx))?;
        let client = &self.client;
        if self.stage == Stage::Http1 && client.requests.get() == 0 && !client.answering.get() {
            let doubt = self.framing.broken().or(client.seen().doubt);
            if let Some(refused) = Refused::by(begin, doubt, self.framing.is_in_target()) {
                client.refuse(refused);
                return Poll::Ready(Ok(true));
            }
        }
        // From the first try on: what could not be begun is not to come behind something else either.
        client.between.set(false);
        Poll::Ready(Ok(false))
    }

    /// A write that cannot go on moves nothing, however often it is tried.
    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes @ 1..)) = written {
            self.client.wrote(bytes);
        }
        written
    }

    /// Gives what was read before.
    fn give_early(&mut self, buffer: &mut ReadBuf<'_>) -> io::Result<()> {
        let early = self.early.clone();
        let count = self.look(&early[..early.len().min(buffer.remaining())])?;
        buffer.put_slice(&early[..count]);
        self.early.advance(count);
        if !self.framing.is_raw() {
            self.client.heard(&early[..count]);
        }
        Ok(())
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
        if !this.early.is_empty() && this.stage != Stage::Beginning {
            return Poll::Ready(this.give_early(buffer));
        }
        let before = buffer.filled().len();
        loop {
            // What was held back goes ahead of what comes now.
            buffer.put_slice(&this.early);
            let known = buffer.filled().len();
            let read = Pin::new(&mut this.socket).poll_read(cx, buffer);
            if read.is_pending() {
                buffer.set_filled(before);
            }
            ready!(read)?;
            let came = &buffer.filled()[known..];
            if !came.is_empty() {
                this.client.heard(came);
            }
            if this.stage == Stage::Beginning {
                let begin = &buffer.filled()[before..];
                if !came.is_empty() && begin.len() < PREFACE.len() && PREFACE.starts_with(begin) {
                    this.early = Bytes::copy_from_slice(begin);
                    buffer.set_filled(before);
                    continue;
                }
                (this.stage, this.early) = (Stage::Http1, Bytes::new());
            }
            let after = buffer.filled().len();
            if after > before {
                let count = this.look(&buffer.filled()[before..])?;
                if before + count < after {
                    this.early = Bytes::copy_from_slice(&buffer.filled()[before + count..]);
                    buffer.set_filled(before + count);
                }
            }
            return Poll::Ready(Ok(()));
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if ready!(self.poll_begin_write(cx, bytes))? {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if ready!(self.poll_begin_write(cx, slices.first().map_or(&[], |first| first)))? {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The library flushes once it has written all it has.
        self.client.between.set(true);
        if self.client.requests.get() == 0 {
            self.client.answering.set(false);
            if self.framing.is_in_head() {
                // It may have begun to come while another request was in flight.
                self.client.begin_head();
            }
        }
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
    async fn the_preface_of_http2_is_given_whole_and_what_only_begins_like_it_as_it_comes() {
        let mut buffer = [0; 64];
        for (pieces, last) in [
            (&["P", "RI * HTTP/2.0\r\n", "\r\nSM\r\n\r\nmore"][..], 28),
            (&["PR", "OPFIND / HTTP/1.1\r\n"], 21),
            (&["GET / "], 6),
        ] {
            let (mut stream, mut far, _) = pair().await;
            let (last_piece, held) = pieces.split_last().unwrap();
            for piece in held {
                far.write_all(piece.as_bytes()).await.unwrap();
                stream.socket.0.peek(&mut [0; 1]).await.unwrap();
                assert!(stream.read(&mut buffer).now_or_never().is_none(), "{piece}");
            }
            far.write_all(last_piece.as_bytes()).await.unwrap();
            assert_eq!(stream.read(&mut buffer).await.unwrap(), last);
            assert_eq!(&buffer[..last], pieces.concat().as_bytes());
        }
        let (mut stream, mut far, _) = pair().await;
        far.write_all(b"PRI").await.unwrap();
        far.shutdown().await.unwrap();
        assert_eq!(
            (stream.read(&mut buffer).await.unwrap(), stream.read(&mut buffer).await.unwrap()),
            (3, 0)
        );
    }

    #[tokio::test]
    async fn a_head_that_begins_during_another_request_has_its_time_too() {
        let (mut stream, mut far, client) = pair().await;
        let one = b"GET / HTTP/1.1\r\n\r\n";
        far.write_all(&[&one[..], b"GET /"].concat()).await.unwrap();
        let mut buffer = [0; 64];
        assert_eq!(stream.read(&mut buffer).await.unwrap(), one.len());
        client.begin_request();
        assert_eq!(stream.read(&mut buffer).await.unwrap(), 5);
        stream.flush().await.unwrap();
        assert_eq!(client.head_since.get(), None, "whoever is answered has time");
        client.end_request();
        stream.flush().await.unwrap();
        assert!(client.head_since.get().is_some());
    }

    #[tokio::test]
    async fn what_the_library_says_on_its_own_is_said_in_other_words_and_no_answer_is() {
        let (mut stream, mut far, client) = pair().await;
        let mut buffer = [0; 64];
        far.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!(stream.read(&mut buffer).await.unwrap(), 18);
        client.begin_request();
        let own = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        client.begin_answer();
        stream.write_all(own).await.unwrap();
        stream.flush().await.unwrap();
        client.end_request();
        // The last piece of an answer, which may look like anything.
        stream.write_all(own).await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(client.refused(), None);
        stream.write_all(own).await.unwrap();
        stream.flush().await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(client.refused(), Some(Refused::Malformed(None)));
        let mut heard = Vec::new();
        far.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, [own, own, &Refused::Malformed(None).answer()[..]].concat());
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
