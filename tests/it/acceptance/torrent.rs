//! A gibibyte that streams up and down at once through one request: the memory that it takes, and that others are served meanwhile.

use std::time::Instant;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::crowd::served;
use super::*;
use crate::support::client::Raw;
use crate::support::light::Process;
use crate::support::program::Program;

const PIECE: usize = 64 * 1024;
/// The most that the proxy may hold of it at any time: what both of its connections buffer.
const BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The content of the body at a place, so that nothing can be lost, doubled or moved unseen.
fn content(at: u64, piece: &mut [u8]) {
    for (offset, bytes) in piece.chunks_exact_mut(8).enumerate() {
        bytes.copy_from_slice(&(at + 8 * offset as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    }
}

/// The head of the next message, and nothing behind it.
async fn head(from: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(from.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// A provider that answers with the very body it is sent, piece by piece as it comes.
async fn mirror(listener: TcpListener) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let head = head(&mut stream).await;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.unwrap();
    let (mut from, mut to) = stream.split();
    let _ = tokio::io::copy(&mut from, &mut to).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gibibyte_up_and_down_at_once_takes_no_more_memory_than_its_buffers() {
    let total: u64 = either(64 << 20, 1 << 30);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (big, small) = (listener.local_addr().unwrap(), Process::start().await);
    let provider = tokio::spawn(mirror(listener));
    let text = format!("[registry]\nurl = \"fixed:big={big};svc={}\"", small.address);
    let mut program = Program::configured(&text).await;
    served(&program, "before the stream").await;
    let before = program.resident();

    let begun = Instant::now();
    let mut raw = Raw::connect(program.listeners()[0]).await;
    raw.say(format!("POST / HTTP/1.1\r\nhost: big\r\ncontent-length: {total}\r\n\r\n")).await;
    let (mut from, mut to) = raw.stream.into_split();
    let up = tokio::spawn(async move {
        let mut piece = vec![0; PIECE];
        for at in (0..total).step_by(PIECE) {
            content(at, &mut piece);
            to.write_all(&piece).await.unwrap();
        }
        to
    });
    let down = tokio::spawn(async move {
        let head = head(&mut from).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let (mut piece, mut expected) = (vec![0; PIECE], vec![0; PIECE]);
        for at in (0..total).step_by(PIECE) {
            from.read_exact(&mut piece).await.unwrap();
            content(at, &mut expected);
            assert!(piece == expected, "what comes back at {at} is not what was sent");
        }
    });
    let mut highest = 0;
    while !down.is_finished() {
        served(&program, "beside the stream").await;
        highest = highest.max(program.resident());
    }
    down.await.unwrap();
    drop(up.await.unwrap());
    let held = highest.saturating_sub(before);
    println!(
        "{} MiB up and down at once in {:.1?}: at most {} KiB more memory, {} MiB in all",
        total >> 20,
        begun.elapsed(),
        held >> 10,
        highest >> 20
    );
    assert!(held < BYTES_MAX, "{held} bytes");
    provider.await.unwrap();
    assert!(program.is_alive());
}
