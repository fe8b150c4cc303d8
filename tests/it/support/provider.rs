//! Providers: an echo that tells what it was asked, and raw ones that a test scripts.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::future::select_all;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use wayside::provider::Address;

use super::client::Raw;

/// A provider that answers each request with what it was asked, as JSON.
pub(crate) struct Echo {
    address: SocketAddr,
    /// Requests answered.
    requests: Arc<AtomicUsize>,
    /// Connections accepted.
    connections: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
}

impl Echo {
    pub(crate) async fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap()).await
    }

    pub(crate) async fn at(address: SocketAddr) -> Self {
        Self::listen(address, None).await
    }

    /// One that is reached over TLS.
    pub(crate) async fn secure(acceptor: TlsAcceptor) -> Self {
        Self::listen("127.0.0.1:0".parse().unwrap(), Some(acceptor)).await
    }

    async fn listen(address: SocketAddr, acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, connections) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, acceptor, Arc::clone(&requests), Arc::clone(&connections)));
        Self { address, requests, connections, tasks }
    }

    pub(crate) async fn several(count: usize) -> Vec<Self> {
        let mut echoes = Vec::new();
        for _ in 0..count {
            echoes.push(Self::start().await);
        }
        echoes
    }

    pub(crate) fn address(&self) -> Address {
        self.address.into()
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Ends it as `kill -9` does: its port and all its connections close.
    pub(crate) async fn kill(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn serve(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    requests: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
) {
    let port = listener.local_addr().unwrap().port();
    let mut open = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.fetch_add(1, Ordering::Relaxed);
        let requests = Arc::clone(&requests);
        let acceptor = acceptor.clone();
        open.spawn(async move {
            match acceptor {
                None => answer(stream, port, Value::Null, requests).await,
                Some(acceptor) => {
                    if let Some(stream) = super::certificates::accept(&acceptor, stream).await {
                        let (_, session) = stream.get_ref();
                        let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
                        let tls = json!({
                            "alpn": session.alpn_protocol().map(text),
                            "name": session.server_name(),
                            "client": session.peer_certificates().is_some(),
                            "resumed": session.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
                        });
                        answer(stream, port, tls, requests).await;
                    }
                }
            }
        });
    }
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    port: u16,
    tls: Value,
    requests: Arc<AtomicUsize>,
) {
    let service = hyper::service::service_fn(move |request| {
        requests.fetch_add(1, Ordering::Relaxed);
        echo(port, tls.clone(), request)
    });
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

async fn echo(
    port: u16,
    tls: Value,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().map(|trailers| format!("{trailers:?}"));
    let headers: Vec<(String, String)> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let told = json!({
        "port": port,
        "tls": tls,
        "method": parts.method.as_str(),
        "target": parts.uri.to_string(),
        "version": format!("{:?}", parts.version),
        "headers": headers,
        "body": String::from_utf8_lossy(&body.to_bytes()),
        "trailers": trailers,
    });
    Ok(Response::new(Full::from(told.to_string())))
}

/// What an echo told.
pub(crate) fn told(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap_or_else(|_| panic!("no echo: {response:?}"))
}

/// The values of a header that an echo was sent.
pub(crate) fn told_header(told: &Value, name: &str) -> Vec<String> {
    let headers = told["headers"].as_array().unwrap();
    let values = headers.iter().filter(|header| header[0] == name);
    values.map(|header| header[1].as_str().unwrap().to_owned()).collect()
}

/// A provider whose every connection a test plays itself.
pub(crate) struct Script {
    listener: TcpListener,
}

impl Script {
    pub(crate) async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(crate) fn address(&self) -> Address {
        self.listener.local_addr().unwrap().into()
    }

    /// The head of the next request, be it on one of these connections or on a new one, which is then among them; and the
    /// place of the connection.
    pub(crate) async fn hear_head(&self, known: &mut Vec<Raw>) -> (String, usize) {
        loop {
            let mut heard = Box::pin(async {
                let all = known.iter_mut().map(|connection| Box::pin(connection.hear_head()));
                if all.len() == 0 { pending().await } else { select_all(all).await }
            });
            let fresh = tokio::select! {
                (head, at, _) = &mut heard => return (head, at),
                stream = self.accept() => Raw::from(stream),
            };
            drop(heard);
            known.push(fresh);
        }
    }

    pub(crate) async fn accept(&self) -> TcpStream {
        let accepted = tokio::time::timeout(super::patience::PATIENCE, self.listener.accept()).await;
        accepted.expect("a connection should come").unwrap().0
    }
}
