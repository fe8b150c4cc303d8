//! A provider of the demo: it says who it is, and how often it was asked.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::drain::Drain;

/// Starts a provider; it finishes what it does when the drain begins, and is cut off when it is stopped.
pub(super) fn start(listener: TcpListener, name: String) -> Drain {
    let drain = Drain::new();
    drain.spawn("demo provider", accept(listener, name.into(), drain.clone()));
    drain
}

async fn accept(listener: TcpListener, name: Arc<str>, drain: Drain) {
    let asked = Arc::new(AtomicU64::new(0));
    loop {
        let accepted = tokio::select! {
            () = drain.begun() => return,
            accepted = listener.accept() => accepted,
        };
        if let Ok((stream, _)) = accepted {
            let connection = connection(stream, Arc::clone(&name), Arc::clone(&asked), drain.clone());
            drain.spawn("demo connection", connection);
        }
    }
}

async fn connection(stream: TcpStream, name: Arc<str>, asked: Arc<AtomicU64>, drain: Drain) {
    let answer = service_fn(|request: Request<Incoming>| {
        let count = asked.fetch_add(1, Ordering::Relaxed) + 1;
        let text = format!("{name} says hello to {} (its request {count})\n", request.uri().path());
        std::future::ready(Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text)))))
    });
    let mut connection = std::pin::pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    // A client that goes away in the middle is no concern of a demo.
    let _ = tokio::select! {
        ended = connection.as_mut() => ended,
        () = drain.begun() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
}
