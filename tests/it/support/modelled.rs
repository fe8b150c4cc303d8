//! Modelled providers: each answers when and how its model says, so that a test can make one slow.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rand::RngExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A provider that takes a time to answer, which can be changed at any time. Gone when dropped.
pub(crate) struct Modelled {
    pub(crate) address: SocketAddr,
    model: Arc<Model>,
    _tasks: JoinSet<()>,
}

/// How every other request goes wrong at a provider that flaps.
#[derive(Clone, Copy)]
pub(crate) enum Flaps {
    /// It is answered with 503.
    Answers,
    /// Its connection is closed in place of an answer.
    Closes,
}

/// How it answers.
#[derive(Default)]
struct Model {
    /// How long an answer takes, in microseconds.
    micros: AtomicU64,
    /// How long one answer in so many takes in its place, by chance; 0: none does.
    tail_micros: AtomicU64,
    tail_one_in: AtomicUsize,
    flaps: Mutex<Option<Flaps>>,
    requests: AtomicUsize,
}

impl Modelled {
    /// One that answers 200 after this time.
    pub(crate) async fn start(takes: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let model = Arc::<Model>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::clone(&model)));
        let provider = Self { address, model, _tasks: tasks };
        provider.takes(takes);
        provider
    }

    /// So many of them, all alike.
    pub(crate) async fn several(count: usize, takes: Duration) -> Vec<Self> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(Self::start(takes).await);
        }
        all
    }

    /// The registry's URL for these as the providers of a service.
    pub(crate) fn url(service: &str, providers: &[Self]) -> String {
        let addresses: Vec<String> = providers.iter().map(|provider| provider.address.to_string()).collect();
        format!("fixed:{service}={}", addresses.join(","))
    }

    /// From the next request on an answer takes this time.
    pub(crate) fn takes(&self, time: Duration) {
        self.model.micros.store(u64::try_from(time.as_micros()).unwrap(), Ordering::Relaxed);
    }

    /// From the next request on one answer in so many takes this time.
    pub(crate) fn lags(&self, time: Duration, one_in: usize) {
        self.model.tail_micros.store(u64::try_from(time.as_micros()).unwrap(), Ordering::Relaxed);
        self.model.tail_one_in.store(one_in, Ordering::Relaxed);
    }

    /// From the next request on every other one goes wrong.
    pub(crate) fn flaps(&self, how: Flaps) {
        *self.model.flaps.lock() = Some(how);
    }

    /// Requests that came.
    pub(crate) fn requests(&self) -> usize {
        self.model.requests.load(Ordering::Relaxed)
    }
}

async fn serve(listener: TcpListener, model: Arc<Model>) {
    let mut open = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let model = Arc::clone(&model);
        let service = service_fn(move |_| {
            let model = Arc::clone(&model);
            async move {
                let number = model.requests.fetch_add(1, Ordering::Relaxed);
                let wrong = (*model.flaps.lock()).filter(|_| number.is_multiple_of(2));
                // By chance: providers that lag in step would all be slow at the same moment under round robin.
                let one_in = model.tail_one_in.load(Ordering::Relaxed);
                let lags = one_in > 0 && rand::rng().random_range(0..one_in) == 0;
                let micros = if lags { &model.tail_micros } else { &model.micros };
                tokio::time::sleep(Duration::from_micros(micros.load(Ordering::Relaxed))).await;
                let response = Response::builder().status(match wrong {
                    None => 200,
                    Some(Flaps::Answers) => 503,
                    Some(Flaps::Closes) => return Err(io::Error::other("it flaps")),
                });
                Ok(response.body(Full::new(Bytes::from_static(b"ok"))).unwrap())
            }
        });
        open.spawn(async move {
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
