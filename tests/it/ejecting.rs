//! Ejection over real connections: what is told of a provider whose calls end badly.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::{Full, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use wayside::provider::{Address, Protocol};

use crate::support::client::{Client, Raw};
use crate::support::patience::{PATIENCE, at_last, eventually};
use crate::support::provider::Echo;
use crate::support::proxy::{config, start};
use crate::support::registry::Told;

/// A gRPC server that answers each call with a message, and only then says that it is unavailable.
async fn unavailable_at_the_end() -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper::service::service_fn(|_| {
                let status =
                    HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("14"))]);
                let frames = [Frame::data(Bytes::from_static(b"\0\0\0\0\0")), Frame::trailers(status)];
                let body = StreamBody::new(stream::iter(frames.map(Ok::<_, Infallible>)));
                let response = Response::builder().header("content-type", "application/grpc").body(body);
                std::future::ready(response)
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(async move { server.serve_connection(TokioIo::new(stream), service).await });
        }
    });
    address.into()
}

#[tokio::test]
async fn a_grpc_status_in_the_trailers_ejects_and_why_is_told() {
    let (echo, failing) = (Echo::start().await, unavailable_at_the_end().await);
    let told = Told::new();
    told.tell("greeter", Protocol::H2c, &[echo.address(), failing.clone()]);
    let running = start(config(), told);
    let mut client = Client::connect(running.listeners[0]).await;
    let state = || {
        let service = running.catalog.service("greeter")?;
        service.endpoints.into_iter().find(|endpoint| endpoint.address == failing.to_string())
    };
    let mut seen = None;
    at_last("the one that fails is ejected", async || {
        let request = http::Request::post("/greeter.Say/Hello").header("host", "greeter");
        let request = request.header("content-type", "application/grpc");
        client.send(request.body(Full::default()).unwrap()).await;
        // Looked at once: a moment later its pause may be over.
        seen = state().filter(|endpoint| endpoint.state == "ejected");
        seen.is_some()
    })
    .await;
    let ejected = seen.unwrap();
    let why = ejected.why.unwrap();
    assert!(why.starts_with("5 failures in a row, the last: grpc-status 14; out for "), "{why}");
    assert!(why.ends_with(" s more, ejected once"), "{why}");
    assert_eq!((ejected.failures, ejected.ejections), (5, 1));
    assert_eq!(running.metrics.proxy.ejections("in_a_row").get(), 1);
    eventually(PATIENCE, "it may be tried again", || {
        state().filter(|endpoint| endpoint.pause_ms == Some(0)).map(|endpoint| {
            let why = endpoint.why.unwrap();
            assert!(
                why.ends_with("; one request at a time tries it until one succeeds, ejected once"),
                "{why}"
            );
        })
    })
    .await;
}

/// A server that breaks off each of its answers.
async fn breaking_off() -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let mut stream = Raw::from(listener.accept().await.unwrap().0);
            tokio::spawn(async move {
                stream.hear_head().await;
                stream.say("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello").await;
            });
        }
    });
    address.into()
}

#[tokio::test]
async fn who_breaks_off_its_answers_is_ejected() {
    let (echo, failing) = (Echo::start().await, breaking_off().await);
    let told = Told::new();
    told.tell("greeter", Protocol::Http1, &[echo.address(), failing.clone()]);
    let running = start(config(), told);
    let state = || {
        let service = running.catalog.service("greeter")?;
        service.endpoints.into_iter().find(|endpoint| endpoint.address == failing.to_string())
    };
    at_last("the one that fails is ejected", async || {
        let mut client = Raw::connect(running.listeners[0]).await;
        client.say("GET / HTTP/1.1\r\nhost: greeter\r\nconnection: close\r\n\r\n").await;
        client.hear_all().await;
        state().is_some_and(|endpoint| endpoint.state == "ejected")
    })
    .await;
    let why = state().unwrap().why.unwrap();
    assert!(why.contains(" attempts failed, the last: broken off; out for "), "{why}");
}
