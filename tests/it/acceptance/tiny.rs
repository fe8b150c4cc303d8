//! A container with 64 MiB of memory and a tenth of a processor, under as much load as `config/tiny.toml` lets in.

use std::io;
use std::net::SocketAddr;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::iter;
use http::{Request, StatusCode};
use http_body_util::Full;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::*;
use crate::support::client::{Client, Raw};
use crate::support::container::Container;
use crate::support::files;
use crate::support::light::Process;
use crate::support::load::Load;
use crate::support::program::{ANY, Program};
use crate::support::provider::{Echo, told};

const BYTES: u64 = 64 << 20;
const PERCENT: u64 = 10;
/// What the file allows.
const CONNECTIONS: usize = 500;
/// Of these, clients that ask for what has no end and do not read it,
const DEAF: usize = 60;
/// that send a body again and again,
const SENDING: usize = 20;
/// that ask at full speed; all others asked once.
const ASKING: usize = 20;
/// Bytes of a body that is sent.
const BODY: usize = 64 * 1024;

/// A provider whose answers go on for ever.
async fn endless(listener: TcpListener) {
    let mut open = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        open.spawn(go_on(stream));
    }
}

/// Answers a request until whoever asked has gone.
async fn go_on(mut stream: TcpStream) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
    let chunk = [b"4000\r\n".as_slice(), &[0; 0x4000], b"\r\n"].concat();
    while stream.write_all(&chunk).await.is_ok() {}
    Ok(())
}

/// A client that asks for what has no end, and reads no more than its beginning.
async fn deaf(proxy: SocketAddr) -> Raw {
    let socket = TcpSocket::new_v4().unwrap();
    // What the system keeps for it is not the proxy's.
    socket.set_recv_buffer_size(4096).unwrap();
    let mut client = Raw::over(socket.connect(proxy).await.unwrap());
    client.say("GET / HTTP/1.1\r\nhost: endless\r\n\r\n").await;
    client.stream.read_exact(&mut [0; 12]).await.unwrap();
    client
}

/// A client that sends a body so many times, and gets it back each time.
async fn sends(proxy: SocketAddr, times: usize) -> Client {
    let mut client = Client::connect(proxy).await;
    let body = "x".repeat(BODY);
    for _ in 0..times {
        let request = Request::post("/").header("host", "echo").body(Full::from(body.clone())).unwrap();
        let answer = client.send(request).await;
        assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
        assert_eq!(told(&answer)["body"].as_str(), Some(&*body));
    }
    client
}

/// Clients that asked once and keep their connections.
async fn idle(proxy: SocketAddr, count: usize) -> Vec<Client> {
    let ask = |_| async move {
        let mut client = Client::connect(proxy).await;
        assert_eq!(client.get("svc", "/").await.status(), StatusCode::OK);
        client
    };
    iter(0..count).map(ask).buffer_unordered(16).collect().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_mebibytes_and_a_tenth_of_a_processor_are_enough() {
    files::as_many_as_may_be();
    let (light, echo) = (Process::start().await, Echo::start().await);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let registry = format!(
        "fixed:svc={};echo={};endless={}",
        light.address,
        echo.address(),
        listener.local_addr().unwrap()
    );
    let endless = tokio::spawn(endless(listener));
    let container = Container::new(BYTES, PERCENT);
    println!(
        "the program is {}",
        if container.is_some() { "in a container" } else { "measured, without a container" }
    );
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config/tiny.toml");
    let run = ["run", "--listen", ANY, "--admin", ANY, "--config", file, "--registry", &registry];
    let mut program = Program::launch_in(&run, container.as_ref());
    program.logs("operators are answered").await;
    let proxy = program.listeners()[0];
    let (rest, rest_whole) = (program.resident(), program.resident_whole());

    let deaf = join_all((0..DEAF).map(|_| deaf(proxy))).await;
    let idle = idle(proxy, CONNECTIONS - DEAF - SENDING - ASKING).await;
    let load = Load::start(proxy, "svc", ASKING, None);
    let mut sending = JoinSet::new();
    for _ in 0..SENDING {
        sending.spawn(sends(proxy, either(3, 20)));
    }
    for _ in 0..either(3, 50) {
        load.answers(100).await;
    }
    let sending = sending.join_all().await;
    assert_eq!(program.metric("wayside_connections_open", "").await, CONNECTIONS as f64);
    // More than may be: they are not heard, and nobody else notices.
    let more = (0..30).map(|_| async { Client::connect(proxy).await.try_get("svc", "/").await.is_err() });
    assert!(join_all(more).await.into_iter().all(|refused| refused));
    load.finish().await.none_failed("in a tiny container");

    let peak = program.peak();
    // Its code is the system's to drop, and is many times larger in a debug build.
    let own = peak - (program.resident_whole() - program.resident());
    println!(
        "{} KiB at rest, {} at the most with {CONNECTIONS} connections, of which {DEAF} do not read; with what is mapped \
         from files {} and {}; the container's peak is {:?} KiB",
        rest >> 10,
        own >> 10,
        rest_whole >> 10,
        peak >> 10,
        container.as_ref().and_then(Container::peak).map(|bytes| bytes >> 10),
    );
    assert!(program.is_alive());
    assert!(own < BYTES, "{own}");
    assert!(program.logged("panic").is_empty(), "{:?}", program.logged("panic"));
    drop((deaf, idle, sending));
    endless.abort();
    program.signal("TERM");
    assert!(program.ended().await.success());
}
