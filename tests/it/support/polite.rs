//! Polite clients: each asks again and again on a connection that it keeps until it is told that an answer was the last there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::patience::eventually;

/// How long so many further requests may take on a machine that has other things to do.
const LIMIT: Duration = Duration::from_secs(60);

/// A client that was silent for longer, on a machine that had other things to do, may find its connection closed: a drain takes it
/// for idle after a second and a half.
const BUSY: Duration = Duration::from_secs(1);

/// Clients at work. A request that was sent and not answered whole with 200 has failed, and so has a connection that was not made.
pub(crate) struct Polite {
    told: Arc<Told>,
    clients: JoinSet<Result<(), String>>,
}

/// What the clients are told, and tell.
#[derive(Default)]
struct Told {
    /// No further request.
    stop: AtomicBool,
    /// No further connection.
    last: AtomicBool,
    answered: AtomicUsize,
    connections: AtomicUsize,
}

impl Polite {
    /// So many that ask a service.
    pub(crate) fn start(address: SocketAddr, service: &'static str, clients: usize) -> Self {
        let told = Arc::<Told>::default();
        let ask = |_| ask(address, service, Arc::clone(&told));
        Self { clients: (0..clients).map(ask).collect(), told }
    }

    /// Waits until so many further requests are answered.
    pub(crate) async fn answers(&self, count: usize) {
        let answered = || self.told.answered.load(Ordering::Relaxed);
        let before = answered();
        eventually(LIMIT, "requests are answered", || (answered() >= before + count).then_some(())).await;
    }

    /// Has them make no further connections.
    pub(crate) fn leave(&self) {
        self.told.last.store(true, Ordering::Relaxed);
    }

    /// Stops them; how many requests were answered, and on how many connections.
    ///
    /// # Panics
    /// When a request failed.
    pub(crate) async fn finish(self) -> (usize, usize) {
        self.told.stop.store(true, Ordering::Relaxed);
        let failed: Vec<String> = self.clients.join_all().await.into_iter().filter_map(Result::err).collect();
        let count = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        let counts = (count(&self.told.answered), count(&self.told.connections));
        assert!(failed.is_empty(), "{} of {counts:?} failed: {failed:#?}", failed.len());
        counts
    }
}

async fn ask(address: SocketAddr, service: &str, told: Arc<Told>) -> Result<(), String> {
    let is = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
    while !is(&told.stop) && !is(&told.last) {
        let stream = TcpStream::connect(address).await.map_err(|error| format!("not connected: {error}"))?;
        told.connections.fetch_add(1, Ordering::Relaxed);
        let handshake = hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
        let driver = tokio::spawn(connection);
        let mut sent = Instant::now();
        // Between two requests a connection may end.
        while !is(&told.stop) && sender.ready().await.is_ok() {
            let request = Request::get("/").header("host", service).body(Full::default()).unwrap();
            let was_busy = sent.elapsed() < BUSY;
            sent = Instant::now();
            let cut = |error| format!("cut off: {error}: {:?}", std::error::Error::source(&error));
            let response = match sender.send_request(request).await {
                Err(_) if !was_busy => break,
                response => response.map_err(cut)?,
            };
            let is_last = response.headers().get("connection").is_some_and(|value| value == "close");
            if response.status() != StatusCode::OK {
                return Err(format!("{response:?}"));
            }
            response.into_body().collect().await.map_err(cut)?;
            told.answered.fetch_add(1, Ordering::Relaxed);
            if is_last {
                break;
            }
        }
        driver.abort();
    }
    Ok(())
}
