//! A provider that tells how it is in every way it can be asked, and counts what it is asked otherwise.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response};
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use wayside::provider::Address;

type Parts = std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>;

/// Such a provider; gone when dropped.
pub(crate) struct Patient {
    address: SocketAddr,
    told: Arc<Told>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Told {
    ill: AtomicBool,
    asked: AtomicUsize,
    requests: AtomicUsize,
}

impl Patient {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let told = Arc::<Told>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::clone(&told)));
        Self { address, told, _tasks: tasks }
    }

    pub(crate) async fn several(count: usize) -> Vec<Self> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(Self::start().await);
        }
        all
    }

    pub(crate) fn address(&self) -> Address {
        self.address.into()
    }

    /// Makes it say that it is ill, or that it is well.
    pub(crate) fn fall_ill(&self, ill: bool) {
        self.told.ill.store(ill, Ordering::Relaxed);
    }

    /// How often it was asked how it is.
    pub(crate) fn asked(&self) -> usize {
        self.told.asked.load(Ordering::Relaxed)
    }

    /// Requests for anything else.
    pub(crate) fn requests(&self) -> usize {
        self.told.requests.load(Ordering::Relaxed)
    }
}

async fn serve(listener: TcpListener, told: Arc<Told>) {
    let mut open = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let told = Arc::clone(&told);
        open.spawn(async move {
            let service = hyper::service::service_fn(move |request| {
                std::future::ready(Ok::<_, Infallible>(answer(&told, &request)))
            });
            let io = TokioIo::new(stream);
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(io, service).await;
        });
    }
}

fn answer(told: &Told, request: &Request<Incoming>) -> Response<StreamBody<stream::Iter<Parts>>> {
    let ill = told.ill.load(Ordering::Relaxed);
    let data = |bytes: &'static [u8]| Ok(Frame::data(Bytes::from_static(bytes)));
    let path = request.uri().path();
    let is_health = request.headers().get("micro-endpoint").is_some_and(|name| name == "Debug.Health");
    let counter = if is_health || path.contains("ealth") { &told.asked } else { &told.requests };
    counter.fetch_add(1, Ordering::Relaxed);
    let (head, parts) = if is_health {
        let head = if ill {
            Response::builder().header("micro-error", "the database is gone")
        } else {
            Response::builder()
        };
        (head, vec![data(b"{\"status\":\"ok\"}")])
    } else if path == "/grpc.health.v1.Health/Check" {
        let status = data(if ill { b"\0\0\0\0\x02\x08\x02" } else { b"\0\0\0\0\x02\x08\x01" });
        let trailers: HeaderMap =
            [("grpc-status".parse().unwrap(), http::HeaderValue::from_static("0"))].into_iter().collect();
        let head = Response::builder().header("content-type", "application/grpc");
        (head, vec![status, Ok(Frame::trailers(trailers))])
    } else if path == "/health" && ill {
        (Response::builder().status(500), vec![data(b"no")])
    } else {
        (Response::builder(), vec![data(b"ok")])
    };
    head.body(StreamBody::new(stream::iter(parts))).unwrap()
}
