//! A client on one connection: well-behaved HTTP, or raw bytes.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A well-behaved HTTP/1.1 client on one connection.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).await.unwrap()
    }

    /// Connects, where that may fail.
    pub(crate) async fn try_connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::over(TcpStream::connect(address).await?).await)
    }

    /// One that speaks over this.
    pub(crate) async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        Self { sender }
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Response<Bytes> {
        let response = self.begin(request).await;
        let (parts, body) = response.into_parts();
        Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
    }

    /// Sends a request and waits for the head of the answer.
    pub(crate) async fn begin(&mut self, request: Request<Full<Bytes>>) -> Response<hyper::body::Incoming> {
        self.sender.ready().await.unwrap();
        self.sender.send_request(request).await.unwrap()
    }

    /// Asks a service for a path, on a connection that may fail.
    pub(crate) async fn try_get(&mut self, service: &str, path: &str) -> hyper::Result<Response<Bytes>> {
        let request = Request::get(path).header("host", service).body(Full::default()).unwrap();
        self.sender.ready().await?;
        let (parts, body) = self.sender.send_request(request).await?.into_parts();
        Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
    }

    /// Asks a service for a path.
    pub(crate) async fn get(&mut self, service: &str, path: &str) -> Response<Bytes> {
        self.send(Request::get(path).header("host", service).body(Full::default()).unwrap()).await
    }
}

/// A connection on which a test says what it likes.
pub(crate) struct Raw<S = TcpStream> {
    pub(crate) stream: S,
    heard: Vec<u8>,
}

impl From<TcpStream> for Raw {
    fn from(stream: TcpStream) -> Self {
        Self::over(stream)
    }
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    /// One over something else than a socket of IP.
    pub(crate) const fn over(stream: S) -> Self {
        Self { stream, heard: Vec::new() }
    }

    pub(crate) async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Ends this side of the connection.
    pub(crate) async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Everything heard so far, once it ends with this text.
    pub(crate) async fn hear_until(&mut self, end: &str) -> String {
        self.hear(|heard| heard.ends_with(end.as_bytes())).await
    }

    /// What comes next, as much of it as there is.
    pub(crate) async fn hear_some(&mut self) -> String {
        self.hear(|heard| !heard.is_empty()).await
    }

    /// The next message up to its empty line, and everything heard after it so far.
    pub(crate) async fn hear_head(&mut self) -> String {
        self.hear(|heard| heard.windows(4).any(|bytes| bytes == b"\r\n\r\n")).await
    }

    async fn hear(&mut self, enough: impl Fn(&[u8]) -> bool) -> String {
        while !enough(&self.heard) {
            let read =
                tokio::time::timeout(super::patience::PATIENCE, self.stream.read_buf(&mut self.heard)).await;
            let heard = String::from_utf8_lossy(&self.heard);
            assert!(
                read.unwrap_or_else(|_| panic!("nothing more than {heard:?}")).unwrap() > 0,
                "ended: {heard:?}"
            );
        }
        String::from_utf8(std::mem::take(&mut self.heard)).unwrap()
    }

    /// Everything heard until the other side ended, be it text or not.
    pub(crate) async fn hear_all_bytes(&mut self) -> Vec<u8> {
        let read = self.stream.read_to_end(&mut self.heard);
        // A reset ends it as well as a close does.
        let _ =
            tokio::time::timeout(super::patience::PATIENCE, read).await.expect("the other side should end");
        std::mem::take(&mut self.heard)
    }

    /// Everything heard until the other side ended.
    pub(crate) async fn hear_all(&mut self) -> String {
        String::from_utf8(self.hear_all_bytes().await).unwrap()
    }
}
