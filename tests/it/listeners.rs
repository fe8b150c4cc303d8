//! Where requests are taken other than in clear text on a port: Unix sockets, TLS, and behind a balancer that tells who the client is.

mod balancer;
mod curl;
mod ending;
mod reloaded;
mod tls;
mod unix;

use std::path::PathBuf;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wayside::app::Running;
use wayside::config::{Config, Overrides};

use crate::support::certificates::{Authority, Files, Issued};
use crate::support::client::Client;
use crate::support::provider::Echo;
use crate::support::proxy::start;
use crate::support::registry::Told;

/// A proxy with the service `svc`, whose one provider echoes, and a listener by these lines.
struct Front {
    proxy: Running,
    echo: Echo,
    /// The files of the authority, and of the certificate of localhost that it issued.
    authority: Authority,
    files: Files,
}

impl Front {
    /// On a free port with these keys of its listener, and other sections.
    async fn on_port(keys: &str, sections: &str) -> Self {
        Self::start(|_, _| format!("{keys}\n{sections}"), "127.0.0.1:0").await
    }

    /// Under TLS, with these keys of `[listener.tls]` besides its certificate; and other sections.
    async fn under_tls(keys: &str, sections: &str) -> Self {
        Self::start(|certificate, _| format!("{certificate}{keys}\n{sections}"), "127.0.0.1:0").await
    }

    /// On a Unix socket.
    async fn on_socket(name: &str, sections: &str) -> Self {
        Self::start(|_, _| sections.to_owned(), name).await
    }

    /// With the text behind the address, made of the section of its certificate and the file of its authority.
    async fn start(text: impl FnOnce(&str, &str) -> String, address: &str) -> Self {
        let (echo, authority, files) = (Echo::start().await, Authority::new("one"), Files::new());
        let certificate = section(&files, &authority.issue("localhost"));
        let ca = files.write("ca.pem", &authority.pem);
        let text = text(&certificate, &format!("{ca:?}"));
        let config = config(&format!("[[listener]]\naddress = \"{address}\"\n{text}"));
        let proxy = start(config, Told::with("svc", &[echo.address()]));
        Self { proxy, echo, authority, files }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.proxy.listeners[0]).await.unwrap()
    }

    /// A connection under TLS of a client that offers these protocols.
    async fn secure(&self, protocols: &[&str]) -> TlsStream<TcpStream> {
        shake(&self.authority.client(protocols, None), self.connect().await).await.unwrap()
    }

    fn tls_failures(&self, cause: &'static str) -> u64 {
        self.proxy.metrics.proxy.openings.tls(cause).get()
    }

    fn header_failures(&self, cause: &'static str) -> u64 {
        self.proxy.metrics.proxy.openings.proxy_header(cause).get()
    }

    fn open(&self) -> i64 {
        self.proxy.metrics.proxy.connections_open.get()
    }
}

/// `[listener.tls]` with a certificate in two files of its own.
fn section(files: &Files, issued: &Issued) -> String {
    let (cert, key) = write(files, issued);
    format!("[listener.tls]\ncert = {cert:?}\nkey = {key:?}\n")
}

fn write(files: &Files, issued: &Issued) -> (PathBuf, PathBuf) {
    (files.write("cert.pem", &issued.certificate), files.write("key.pem", &issued.key))
}

/// A configuration with two workers, without admin and with a registry that is given apart.
fn config(text: &str) -> Config {
    let text = format!(
        "workers = 2\n[registry]\nurl = \"fixed:svc=127.0.0.1:1\"\n{text}\n[admin]\nenabled = false\n"
    );
    wayside::config::read(None, &text, &Overrides::default()).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// A handshake with localhost.
async fn shake<S: AsyncRead + AsyncWrite + Unpin>(
    connector: &TlsConnector,
    stream: S,
) -> std::io::Result<TlsStream<S>> {
    connector.connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// Asks `svc` by HTTP/1.1.
async fn ask(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Response<Bytes> {
    Client::over(stream).await.get("svc", "/").await
}

/// Asks `svc` by HTTP/2 as a client does that knows it is spoken.
async fn ask_http2(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Response<Bytes> {
    let io = TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://svc/").body(Full::<Bytes>::default()).unwrap();
    let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
    assert_eq!(parts.version, Version::HTTP_2);
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

async fn connect_unix(path: &std::path::Path) -> UnixStream {
    UnixStream::connect(path).await.unwrap()
}
