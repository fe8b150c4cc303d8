//! Staffed providers: so many requests are worked on at a time, the rest queues; the first ones may take longer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How a provider works.
#[derive(Clone, Copy)]
pub(crate) struct Work {
    /// Requests worked on at a time.
    pub(crate) hands: usize,
    /// What one takes of a hand's time.
    pub(crate) takes: Duration,
    /// How many of the first take longer, as code that is not compiled yet does.
    pub(crate) cold: usize,
    /// How many times as long.
    pub(crate) times: u32,
}

impl Work {
    /// As many as come are worked on.
    pub(crate) const fn of(takes: Duration) -> Self {
        Self { hands: 10_000, takes, cold: 0, times: 1 }
    }
}

/// A provider at work; gone when dropped.
pub(crate) struct Staffed {
    pub(crate) address: SocketAddr,
    desk: Arc<Desk>,
    _tasks: JoinSet<()>,
}

struct Desk {
    work: Work,
    hands: Semaphore,
    /// What it answers.
    status: AtomicU16,
    /// The seconds in `Retry-After`; 0 for none.
    retry_after: AtomicU16,
    requests: AtomicUsize,
    begun: AtomicUsize,
    answered: AtomicUsize,
    /// The most that was there at a time while it was cold.
    peak: AtomicUsize,
}

impl Staffed {
    pub(crate) async fn start(work: Work) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let desk = Arc::new(Desk {
            work,
            hands: Semaphore::new(work.hands),
            status: AtomicU16::new(200),
            retry_after: AtomicU16::new(0),
            requests: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::clone(&desk)));
        Self { address, desk, _tasks: tasks }
    }

    /// So many of them, all alike.
    pub(crate) async fn several(count: usize, work: Work) -> Vec<Self> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(Self::start(work).await);
        }
        all
    }

    /// From the next request on it answers so.
    pub(crate) fn says(&self, status: u16) {
        self.desk.status.store(status, Ordering::Relaxed);
    }

    /// From the next request on it asks to be left alone for so many seconds.
    pub(crate) fn asks_for(&self, seconds: u16) {
        self.desk.retry_after.store(seconds, Ordering::Relaxed);
    }

    /// Requests that came.
    pub(crate) fn requests(&self) -> usize {
        self.desk.requests.load(Ordering::Relaxed)
    }

    /// The most requests that were there at a time while it was cold.
    pub(crate) fn peak(&self) -> usize {
        self.desk.peak.load(Ordering::Relaxed)
    }
}

async fn serve(listener: TcpListener, desk: Arc<Desk>) {
    let mut open = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let desk = Arc::clone(&desk);
        let service = service_fn(move |_| answer(Arc::clone(&desk)));
        open.spawn(async move {
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(desk: Arc<Desk>) -> Result<Response<Full<Bytes>>, Infallible> {
    let requests = desk.requests.fetch_add(1, Ordering::Relaxed) + 1;
    if desk.begun.load(Ordering::Relaxed) < desk.work.cold {
        desk.peak.fetch_max(requests - desk.answered.load(Ordering::Relaxed), Ordering::Relaxed);
    }
    let hand = desk.hands.acquire().await.unwrap();
    let is_cold = desk.begun.fetch_add(1, Ordering::Relaxed) < desk.work.cold;
    tokio::time::sleep(desk.work.takes * if is_cold { desk.work.times } else { 1 }).await;
    drop(hand);
    desk.answered.fetch_add(1, Ordering::Relaxed);
    let mut response = Response::new(Full::new(Bytes::from_static(b"ok")));
    *response.status_mut() = http::StatusCode::from_u16(desk.status.load(Ordering::Relaxed)).unwrap();
    match desk.retry_after.load(Ordering::Relaxed) {
        0 => None,
        seconds => response.headers_mut().insert(http::header::RETRY_AFTER, seconds.into()),
    };
    Ok(response)
}
