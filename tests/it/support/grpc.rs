//! A gRPC server and its clients, as tonic has them.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use http::uri::PathAndQuery;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::client::Grpc as Calls;
use tonic::codec::CompressionEncoding;
use tonic::server::Grpc as Answers;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use wayside::provider::Address;

/// As large as a message may be on either side.
const MESSAGE_MAX: usize = 32 << 20;

/// What is sent both ways.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Note {
    #[prost(string, tag = "1")]
    pub(crate) text: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) data: Bytes,
}

impl Note {
    pub(crate) fn of(text: impl Into<String>) -> Self {
        Self { text: text.into(), data: Bytes::new() }
    }
}

/// What a server has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The value of `grpc-timeout` of each call that had one.
    pub(crate) timeouts: Mutex<Vec<String>>,
    /// Calls that hang now.
    pub(crate) hanging: AtomicUsize,
    /// Calls that were cancelled.
    pub(crate) cancelled: AtomicUsize,
    /// Calls to `Busy`.
    pub(crate) busy: AtomicUsize,
}

/// A server; gone when dropped.
pub(crate) struct Server {
    address: std::net::SocketAddr,
    pub(crate) seen: Arc<Seen>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Seen>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::clone(&seen)));
        Self { address, seen, _tasks: tasks }
    }

    pub(crate) fn address(&self) -> Address {
        self.address.into()
    }
}

async fn serve(listener: TcpListener, seen: Arc<Seen>) {
    let mut open = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let seen = Arc::clone(&seen);
        open.spawn(async move {
            let service = service_fn(move |request: http::Request<Incoming>| {
                let seen = Arc::clone(&seen);
                async move { Ok::<_, Infallible>(answer(request.map(Body::new), seen).await) }
            });
            let _ = http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

type Notes = BoxStream<'static, Result<Note, Status>>;

/// Counts a call that hangs, and its end, which can only be that it was cancelled.
struct Hang(Arc<Seen>);

impl Drop for Hang {
    fn drop(&mut self) {
        self.0.hanging.fetch_sub(1, Ordering::SeqCst);
        self.0.cancelled.fetch_add(1, Ordering::SeqCst);
    }
}

fn hang(seen: Arc<Seen>) -> Hang {
    seen.hanging.fetch_add(1, Ordering::SeqCst);
    Hang(seen)
}

fn codec() -> ProstCodec<Note, Note> {
    ProstCodec::default()
}

async fn answer(request: http::Request<Body>, seen: Arc<Seen>) -> http::Response<Body> {
    if let Some(timeout) = request.headers().get("grpc-timeout") {
        seen.timeouts.lock().push(timeout.to_str().unwrap().to_owned());
    }
    let mut answers = Answers::new(codec())
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(MESSAGE_MAX)
        .max_encoding_message_size(MESSAGE_MAX);
    let path = request.uri().path().to_owned();
    match path.rsplit('/').next().unwrap() {
        "Unary" | "Check" => answers.unary(tower::service_fn(unary), request).await,
        "Collect" => answers.client_streaming(tower::service_fn(collect), request).await,
        "Count" => answers.server_streaming(tower::service_fn(count), request).await,
        "Chat" => answers.streaming(tower::service_fn(chat), request).await,
        "Fail" => answers.unary(tower::service_fn(fail), request).await,
        "Hang" => {
            let hanging = tower::service_fn(move |_: Request<Note>| {
                let hang = hang(Arc::clone(&seen));
                async move {
                    let _hang = hang;
                    std::future::pending::<Result<Response<Note>, Status>>().await
                }
            });
            answers.unary(hanging, request).await
        }
        "Drip" => {
            // One note, and then nothing for ever.
            let dripping = tower::service_fn(move |_: Request<Note>| {
                let hang = hang(Arc::clone(&seen));
                let rest = stream::once(async move {
                    let _hang = hang;
                    std::future::pending().await
                });
                let notes: Notes = stream::iter([Ok(Note::of("one"))]).chain(rest).boxed();
                async move { Ok(Response::new(notes)) }
            });
            answers.server_streaming(dripping, request).await
        }
        "Busy" => {
            let busy = tower::service_fn(move |request: Request<Note>| {
                let before = seen.busy.fetch_add(1, Ordering::SeqCst);
                async move {
                    if before == 0 {
                        Err(Status::unavailable("not yet"))
                    } else {
                        Ok(Response::new(request.into_inner()))
                    }
                }
            });
            answers.unary(busy, request).await
        }
        _ => Status::unimplemented("no such method").into_http(),
    }
}

/// Gives back the note, and the metadata that begin with `x-`.
async fn unary(request: Request<Note>) -> Result<Response<Note>, Status> {
    let (metadata, _, note) = request.into_parts();
    let mut response = Response::new(note);
    for name in ["x-text", "x-empty"] {
        if let Some(value) = metadata.get(name) {
            response.metadata_mut().insert(name, value.clone());
        }
    }
    for value in &metadata.get_all_bin("x-data-bin") {
        response.metadata_mut().append_bin("x-data-bin", value.clone());
    }
    Ok(response)
}

async fn collect(request: Request<Streaming<Note>>) -> Result<Response<Note>, Status> {
    let (mut notes, mut text) = (request.into_inner(), String::new());
    while let Some(note) = notes.message().await? {
        text.push_str(&note.text);
    }
    Ok(Response::new(Note::of(text)))
}

/// As many notes as the request says, then an error if it asks for one.
async fn count(request: Request<Note>) -> Result<Response<Notes>, Status> {
    let fails = request.metadata().contains_key("x-fails");
    let count: usize =
        request.into_inner().text.parse().map_err(|_| Status::invalid_argument("no number"))?;
    let notes = stream::iter((0..count).map(|number| Ok(Note::of(number.to_string()))));
    let end = stream::iter(fails.then(|| Err(Status::data_loss("the rest is gone"))));
    Ok(Response::new(notes.chain(end).boxed()))
}

async fn chat(request: Request<Streaming<Note>>) -> Result<Response<Notes>, Status> {
    Ok(Response::new(request.into_inner().boxed()))
}

async fn fail(_: Request<Note>) -> Result<Response<Note>, Status> {
    Err(Status::with_details(
        Code::FailedPrecondition,
        "not now: ä % b",
        Bytes::from_static(b"\x08\x09\0details"),
    ))
}

/// Calls of a method by one of the four kinds.
#[derive(Clone)]
pub(crate) struct Client {
    calls: Calls<Channel>,
}

impl Client {
    /// A client that reaches a service of this name by way of the proxy, over one connection.
    pub(crate) async fn connect(proxy: std::net::SocketAddr, service: &str) -> Self {
        let endpoint = Channel::from_shared(format!("http://{proxy}")).unwrap();
        let origin = format!("http://{service}").parse().unwrap();
        let channel = endpoint.origin(origin).connect().await.unwrap();
        let calls =
            Calls::new(channel).max_decoding_message_size(MESSAGE_MAX).max_encoding_message_size(MESSAGE_MAX);
        Self { calls }
    }

    /// The same, with messages compressed both ways.
    pub(crate) fn compressing(self) -> Self {
        let calls = self
            .calls
            .send_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Gzip);
        Self { calls }
    }

    pub(crate) async fn unary(
        &self,
        path: &'static str,
        request: Request<Note>,
    ) -> Result<Response<Note>, Status> {
        let mut calls = self.calls.clone();
        calls.ready().await.unwrap();
        calls.unary(request, PathAndQuery::from_static(path), codec()).await
    }

    pub(crate) async fn collect(
        &self,
        path: &'static str,
        notes: Vec<Note>,
    ) -> Result<Response<Note>, Status> {
        let mut calls = self.calls.clone();
        calls.ready().await.unwrap();
        calls
            .client_streaming(Request::new(stream::iter(notes)), PathAndQuery::from_static(path), codec())
            .await
    }

    pub(crate) async fn several(
        &self,
        path: &'static str,
        request: Request<Note>,
    ) -> Result<Response<Streaming<Note>>, Status> {
        let mut calls = self.calls.clone();
        calls.ready().await.unwrap();
        calls.server_streaming(request, PathAndQuery::from_static(path), codec()).await
    }

    /// A call in which both sides send as they like: what is put in goes out.
    pub(crate) async fn chat(
        &self,
        path: &'static str,
    ) -> Result<(mpsc::Sender<Note>, Streaming<Note>), Status> {
        let (out, mut notes) = mpsc::channel(16);
        let notes = stream::poll_fn(move |cx| notes.poll_recv(cx));
        let mut calls = self.calls.clone();
        calls.ready().await.unwrap();
        let answer = calls.streaming(Request::new(notes), PathAndQuery::from_static(path), codec()).await?;
        Ok((out, answer.into_inner()))
    }
}
