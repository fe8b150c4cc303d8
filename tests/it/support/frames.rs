//! One side of an HTTP/2 connection, be it a client's or a provider's, which a test plays frame by frame (RFC 9113).

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::patience::PATIENCE;
use super::wire::{
    ACK, Code, Frame, GOAWAY, HEADERS, MAX_CONCURRENT_STREAMS, PREFACE, SETTINGS, WHOLE, fields, frame,
    reset, setting,
};

/// `:status: 200`, as the table of HPACK has it.
const OK: &[u8] = &[0x88];

/// One connection, past its preface.
pub(crate) struct Frames {
    pub(crate) stream: TcpStream,
}

impl Frames {
    /// Begins HTTP/2 as a provider, with so many streams at once.
    pub(crate) async fn begin(stream: TcpStream, streams_max: u8) -> Self {
        Self::begin_with(stream, &setting(MAX_CONCURRENT_STREAMS, u32::from(streams_max))).await
    }

    /// Begins HTTP/2 as a provider, with these settings.
    pub(crate) async fn begin_with(mut stream: TcpStream, settings: &[u8]) -> Self {
        let mut preface = [0; PREFACE.len()];
        stream.read_exact(&mut preface).await.unwrap();
        assert_eq!(preface, PREFACE);
        let mut frames = Self { stream };
        frames.say(frame(SETTINGS, 0, 0, settings)).await;
        frames
    }

    /// Begins HTTP/2 as a client.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut frames = Self { stream };
        frames.say([PREFACE, &frame(SETTINGS, 0, 0, [])].concat()).await;
        frames
    }

    /// Says anything.
    pub(crate) async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Says anything, of which the other side need not take all.
    pub(crate) async fn try_say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let said = tokio::time::timeout(PATIENCE, self.stream.write_all(bytes.as_ref())).await;
        said.is_ok_and(|said| said.is_ok())
    }

    /// Asks for a path of the service, on this stream.
    pub(crate) async fn ask(&mut self, stream: u32, path: &str) {
        self.say(frame(HEADERS, WHOLE, stream, get(path))).await;
    }

    /// The next frame, or nothing when the connection has ended.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        let read = tokio::time::timeout(PATIENCE, self.stream.read_exact(&mut head)).await;
        read.expect("a frame should come").ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let frame = Frame { kind: head[3], flags: head[4], stream, payload };
        if frame.kind == SETTINGS && frame.flags == 0 {
            // Whoever ends the connection need not take it.
            self.try_say(super::wire::frame(SETTINGS, ACK, 0, [])).await;
        }
        Some(frame)
    }

    /// The next frame of this kind, or nothing when the connection has ended.
    pub(crate) async fn next_of(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// The stream of the next request, or nothing when the connection has ended.
    pub(crate) async fn asked_or_ended(&mut self) -> Option<u32> {
        self.next_of(HEADERS).await.map(|frame| frame.stream)
    }

    /// The stream of the next request.
    pub(crate) async fn asked(&mut self) -> u32 {
        self.asked_or_ended().await.expect("a request should come")
    }

    /// Answers a request with 200.
    pub(crate) async fn answer(&mut self, stream: u32) {
        self.say(frame(HEADERS, WHOLE, stream, OK)).await;
    }

    /// Refuses a request unseen.
    pub(crate) async fn refuse(&mut self, stream: u32) {
        self.say(reset(stream, Code::REFUSED_STREAM)).await;
    }

    /// Says that no request after this one was looked at, nor will be.
    pub(crate) async fn go_away(&mut self, last: u32) {
        let mut payload = last.to_be_bytes().to_vec();
        payload.extend([0; 4]);
        self.say(frame(GOAWAY, 0, 0, payload)).await;
    }
}

/// The fields of a GET of the service.
pub(crate) fn get(path: &str) -> Vec<u8> {
    request("GET", path, &[])
}

/// The fields of a request to the service, and these after them.
pub(crate) fn request(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "svc")];
    fields(&[&pseudo[..], more].concat())
}
