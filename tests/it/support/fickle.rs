//! Providers that close their idle connections at random moments, and clients that ask at random moments too.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use wayside::provider::Address;

use super::client::Client;

/// The longest that a provider keeps an idle connection, and that a client waits before its next request.
const LONGEST: Duration = Duration::from_millis(50);

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A random time up to the longest.
fn some_time() -> Duration {
    LONGEST.mul_f64(rand::random::<f64>())
}

/// A provider that closes each connection at a random moment after its last answer.
pub(crate) struct Fickle {
    address: SocketAddr,
    /// Connections that it closed while they idled.
    closed: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Fickle {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let closed = Arc::<AtomicUsize>::default();
        let mut tasks = JoinSet::new();
        let counter = Arc::clone(&closed);
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                open.spawn(serve(stream, Arc::clone(&counter)));
                while open.try_join_next().is_some() {}
            }
        });
        Self { address, closed, _tasks: tasks }
    }

    pub(crate) fn address(&self) -> Address {
        self.address.into()
    }

    pub(crate) fn closed(&self) -> usize {
        self.closed.load(Ordering::Relaxed)
    }
}

async fn serve(mut stream: TcpStream, closed: Arc<AtomicUsize>) {
    stream.set_nodelay(true).unwrap();
    let mut heard = Vec::new();
    let mut patience = Duration::from_secs(60);
    loop {
        match tokio::time::timeout(patience, stream.read_buf(&mut heard)).await {
            Err(_) => {
                // Whatever arrives from here on is not looked at.
                closed.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Ok(Ok(0) | Err(_)) => return,
            Ok(Ok(_)) => {}
        }
        patience = Duration::from_secs(60);
        if is_whole(&heard) {
            heard.clear();
            if stream.write_all(OK).await.is_err() {
                return;
            }
            patience = some_time();
        }
    }
}

/// Whether a request is there to its last byte.
fn is_whole(heard: &[u8]) -> bool {
    let text = String::from_utf8_lossy(heard);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

/// What became of the requests of all clients.
#[derive(Default)]
pub(crate) struct Asked {
    pub(crate) answered: usize,
    /// Those that were not answered with 200, by their reason.
    pub(crate) failed: Vec<String>,
    took: Duration,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answered, failed, took } = self;
        write!(f, "{answered} answered, {} failed, in {took:.1?}", failed.len())
    }
}

/// Lets several clients ask a service, together so often, each at random moments.
pub(crate) async fn ask(
    proxy: SocketAddr,
    clients: usize,
    requests: usize,
    method: &Method,
    body: &'static str,
) -> Asked {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let method = method.clone();
        tasks.spawn(async move {
            let mut asked = Asked::default();
            let mut client = Client::connect(proxy).await;
            for _ in 0..requests / clients {
                tokio::time::sleep(some_time()).await;
                let request = Request::builder().method(&method).uri("/").header("host", "svc");
                let response = client.send(request.body(Full::<Bytes>::from(body)).unwrap()).await;
                if response.status() == StatusCode::OK {
                    asked.answered += 1;
                } else {
                    asked.failed.push(format!("{:?}", response.headers().get("proxy-status")));
                }
            }
            asked
        });
    }
    let mut sum = Asked::default();
    for asked in tasks.join_all().await {
        sum.answered += asked.answered;
        sum.failed.extend(asked.failed);
    }
    sum.took = begun.elapsed();
    sum
}
