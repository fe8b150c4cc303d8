//! Clients that send and take as slowly as they can: each kind is ended in its time, costs a bounded part of memory, and others are
//! served meanwhile.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::crowd::served;
use super::*;
use crate::support::client::Raw;
use crate::support::files;
use crate::support::program::Program;

/// How long the head of a request may take, and how long a request until it is answered.
const HEAD: Duration = Duration::from_secs(3);
const REQUEST: Duration = Duration::from_secs(4);
/// How long a body may stand still.
const STILL: Duration = Duration::from_secs(3);
/// The most memory that one of them may hold, whatever it does: what is buffered of a body, both ways.
const BYTES_MAX: u64 = 512 * 1024;
/// The pace of those who send.
const BEAT: Duration = Duration::from_millis(100);

/// A provider that answers at once, but for `/endless`, which it answers without an end, and bodies, which it reads to theirs.
async fn provide(mut stream: TcpStream) {
    let mut heard = Vec::new();
    while stream.read_buf(&mut heard).await.is_ok_and(|read| read > 0) {
        while let Some(end) = heard.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8(heard.drain(..end + 4).collect()).unwrap();
            if head.starts_with("GET /endless") {
                let mut piece = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n".to_vec();
                while stream.write_all(&piece).await.is_ok() {
                    piece = vec![b'x'; 64 * 1024];
                }
                return;
            }
            if head.starts_with("POST") {
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                return;
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        }
    }
}

async fn providing(listener: TcpListener) {
    let mut open = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        open.spawn(provide(stream));
    }
}

/// Sends this, and then a byte at each beat, until the other side ends; how long that took, and what was heard.
async fn trickle(proxy: SocketAddr, begin: &'static str) -> (Duration, String) {
    let begun = Instant::now();
    let mut raw = Raw::connect(proxy).await;
    raw.say(begin).await;
    let (mut from, mut to) = raw.stream.split();
    let mut heard = Vec::new();
    let send = async {
        let mut beats = tokio::time::interval(BEAT);
        loop {
            beats.tick().await;
            if to.write_all(b"x").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        _ = from.read_to_end(&mut heard) => {}
        () = send => {}
    }
    (begun.elapsed(), String::from_utf8_lossy(&heard).into_owned())
}

/// Asks for what has no end and takes none of it, until everything that was on its way is followed by an end; how long that took.
async fn gape(proxy: SocketAddr, closed: tokio::sync::watch::Receiver<bool>) -> Raw {
    let mut raw = Raw::connect(proxy).await;
    raw.say("GET /endless HTTP/1.1\r\nhost: svc\r\n\r\n").await;
    let mut closed = closed;
    let _ = closed.wait_for(|closed| *closed).await;
    raw
}

/// Runs so many of one kind, with others beside them; how long each lasted and what it heard.
async fn endure(program: &Program, kind: &'static str, begin: &'static str, limit: Duration, status: &str) {
    let count: usize = either(100, 500);
    let before = program.resident();
    let mut attackers = JoinSet::new();
    for _ in 0..count {
        attackers.spawn(trickle(program.listeners()[0], begin));
    }
    served(program, &format!("beside {count} with {kind}")).await;
    let each = program.resident().saturating_sub(before) / count as u64;
    let ended = attackers.join_all().await;
    let longest = ended.iter().map(|(took, _)| *took).max().unwrap();
    println!("{count} with {kind}: {each} bytes each; the last ended after {longest:.1?}");
    for (_, heard) in &ended {
        assert!(heard.starts_with(status), "{kind}: {heard:?}");
    }
    assert!(longest < limit + SOON, "{kind}: {longest:?}");
    assert!(each < BYTES_MAX, "{kind}: {each} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_slow_on_purpose_is_ended_and_harms_nobody() {
    files::as_many_as_may_be();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let provider = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(providing(listener));
    let text = format!(
        "[registry]\nurl = \"fixed:svc={provider}\"\n\
         [timeouts]\nheader = \"{}s\"\nrequest = \"{}s\"\nstream_idle = \"{}s\"",
        HEAD.as_secs(),
        REQUEST.as_secs(),
        STILL.as_secs()
    );
    let mut program = Program::configured(&text).await;
    served(&program, "before any attack").await;

    endure(&program, "slow heads", "GET / HTTP/1.1\r\nhost: svc\r\nx: ", HEAD, "HTTP/1.1 408 ").await;
    let post = "POST / HTTP/1.1\r\nhost: svc\r\ncontent-length: 1000000\r\n\r\n";
    endure(&program, "slow bodies", post, REQUEST, "HTTP/1.1 504 ").await;
    let chunked = "POST / HTTP/1.1\r\nhost: svc\r\ntransfer-encoding: chunked\r\n\r\nfffff\r\n";
    endure(&program, "slow chunks", chunked, REQUEST, "HTTP/1.1 504 ").await;

    let count: usize = either(100, 500);
    let before = program.resident();
    let (close, closed) = tokio::sync::watch::channel(false);
    let mut readers = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..count {
        readers.spawn(gape(program.listeners()[0], closed.clone()));
    }
    let in_flight = "wayside_requests_in_flight";
    let taken = async || program.metric(in_flight, "").await >= count as f64;
    crate::support::patience::at_last("all are answered without an end", taken).await;
    served(&program, &format!("beside {count} that read nothing")).await;
    let each = program.resident().saturating_sub(before) / count as u64;
    let ended = async || program.metric(in_flight, "").await == 0.0;
    crate::support::patience::at_last("they are ended", ended).await;
    println!("{count} that read nothing: {each} bytes each; all ended after {:.1?}", begun.elapsed());
    assert!(each < BYTES_MAX, "{each} bytes");
    close.send(true).unwrap();
    drop(readers.join_all().await);

    served(&program, "after all attacks").await;
    assert!(program.is_alive());
    assert!(program.logged("panic").is_empty(), "{:?}", program.logged("panic"));
}
