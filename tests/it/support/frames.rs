//! A provider whose side of HTTP/2 a test plays frame by frame (RFC 9113).

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::patience::PATIENCE;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
/// The end of the stream, and of its headers.
const ENDS: u8 = 0b101;
/// `:status: 200`, as the table of HPACK has it.
const OK: &[u8] = &[0x88];
/// The setting that says how many streams there may be at once.
const MAX_CONCURRENT_STREAMS: u8 = 3;
/// The reason of a stream that was refused unseen.
const REFUSED_STREAM: u8 = 7;

/// One connection, past its preface.
pub(crate) struct Frames {
    pub(crate) stream: TcpStream,
}

impl Frames {
    /// Begins HTTP/2, with so many streams at once.
    pub(crate) async fn begin(mut stream: TcpStream, streams_max: u8) -> Self {
        let mut preface = [0; PREFACE.len()];
        stream.read_exact(&mut preface).await.unwrap();
        assert_eq!(preface, PREFACE);
        let mut frames = Self { stream };
        frames.say(SETTINGS, 0, 0, &[0, MAX_CONCURRENT_STREAMS, 0, 0, 0, streams_max]).await;
        frames
    }

    async fn say(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u8::try_from(payload.len()).unwrap();
        let mut frame = vec![0, 0, length, kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.stream.write_all(&frame).await.unwrap();
    }

    /// The stream of the next request, or nothing when the connection has ended.
    pub(crate) async fn asked_or_ended(&mut self) -> Option<u32> {
        loop {
            let mut head = [0; 9];
            let read = tokio::time::timeout(PATIENCE, self.stream.read_exact(&mut head)).await;
            if read.expect("a frame should come").is_err() {
                return None;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            self.stream.read_exact(&mut payload).await.unwrap();
            match head[3] {
                HEADERS => return Some(u32::from_be_bytes([head[5], head[6], head[7], head[8]])),
                SETTINGS if head[4] == 0 => self.say(SETTINGS, 1, 0, &[]).await,
                _ => {}
            }
        }
    }

    /// The stream of the next request.
    pub(crate) async fn asked(&mut self) -> u32 {
        self.asked_or_ended().await.expect("a request should come")
    }

    /// Answers a request with 200.
    pub(crate) async fn answer(&mut self, stream: u32) {
        self.say(HEADERS, ENDS, stream, OK).await;
    }

    /// Refuses a request unseen.
    pub(crate) async fn refuse(&mut self, stream: u32) {
        self.say(RESET, 0, stream, &[0, 0, 0, REFUSED_STREAM]).await;
    }

    /// Says that no request after this one was looked at, nor will be.
    pub(crate) async fn go_away(&mut self, last: u32) {
        let mut payload = last.to_be_bytes().to_vec();
        payload.extend([0; 4]);
        self.say(GOAWAY, 0, 0, &payload).await;
    }
}
