//! Light providers: they answer `ok` and count, in this process or in one of their own that can be killed.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpSocket};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use super::client::Client;
use super::patience::PATIENCE;

/// A free port.
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
/// Set for a process that is to be a provider, to where it is to listen.
const ROLE: &str = "WAYSIDE_TEST_PROVIDER";
/// What such a process says before its address.
const MARK: &str = "provides at ";

/// A provider in this process; gone when dropped.
pub(crate) struct Light {
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Light {
    pub(crate) async fn start() -> Self {
        let listener = listen(ANY);
        let address = listener.local_addr().unwrap();
        let requests = Arc::<AtomicUsize>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::clone(&requests)));
        Self { address, requests, _tasks: tasks }
    }

    pub(crate) async fn several(count: usize) -> Vec<Self> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(Self::start().await);
        }
        all
    }

    /// Requests answered.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

/// Connections that wait to be accepted: as many as come at once. What is turned away is asked for again a second later.
const BACKLOG: u32 = 4096;

fn listen(address: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket.listen(BACKLOG).unwrap()
}

async fn serve(listener: TcpListener, requests: Arc<AtomicUsize>) {
    let mut open = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let requests = Arc::clone(&requests);
        open.spawn(async move {
            let answer = service_fn(move |_| {
                requests.fetch_add(1, Ordering::Relaxed);
                std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok"))))
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

/// A provider that is a process of its own: this program, told to be one. Ends with this process, or when dropped.
pub(crate) struct Process {
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Process {
    pub(crate) async fn start() -> Self {
        Self::start_at(ANY).await
    }

    /// One that listens at this address.
    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "support::light::a_process_provides_until_it_is_killed"])
            .args(["--nocapture", "--test-threads=1"])
            .env(ROLE, address.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some((_, address)) = line.split_once(MARK) {
                    return address.parse().unwrap();
                }
            }
            panic!("a provider ended before it said where it is");
        };
        let address = tokio::time::timeout(PATIENCE, said).await.expect("a provider should start");
        Self { address, child }
    }

    /// SIGKILL.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// As a test it starts itself once more, as a provider; told to be one, it is one until its input ends.
#[tokio::test]
async fn a_process_provides_until_it_is_killed() {
    if let Ok(address) = std::env::var(ROLE) {
        let listener = listen(address.parse().unwrap());
        println!("{MARK}{}", listener.local_addr().unwrap());
        let mut input = tokio::io::stdin();
        tokio::select! {
            () = serve(listener, Arc::default()) => {}
            _ = input.read_u8() => {}
        }
        // A read of the input cannot be taken back, and would hold up the end of the runtime.
        std::process::exit(0);
    }
    let provider = Process::start().await;
    let address = provider.address;
    let mut client = Client::connect(address).await;
    assert_eq!(client.get("any", "/").await.body(), "ok");
    provider.kill().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "it is gone");
    assert!(client.try_get("any", "/").await.is_err(), "and its connections with it");
}
