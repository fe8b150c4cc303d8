//! Serving operators: few connections, each bounded, until told to drain.

use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::live::Ending;
use crate::drain::Drain;

/// Connections served at once. For one more, the oldest is closed: whoever holds connections open and says nothing must not
/// keep operators out, nor those who ask whether this process is well.
const CONNECTIONS_MAX: usize = 64;
/// How long a connection is served at most, slow readers included.
const LIFE: Duration = Duration::from_mins(5);
/// How long it then has to finish.
const FAREWELL: Duration = Duration::from_secs(10);
/// Bytes of the head of a request.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// How long the head of a request may take, and how long a connection may idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The pause after a connection could not be accepted, which mostly means that there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves operators until draining begins.
///
/// They want to watch a drain, so `drain` is not that of the requests but one of its own, begun when that one is over. Where another
/// process takes this one's place, they are to ask that: once `succeeded` is cancelled, connections that are kept open end, too.
pub async fn serve(listener: TcpListener, router: Router, drain: Drain, succeeded: CancellationToken) {
    tokio::select! {
        () = drain.begun() => {}
        () = succeeded.cancelled() => {}
        () = accept(listener, router, drain.clone(), succeeded.clone()) => {}
    }
}

/// Accepts for ever.
async fn accept(listener: TcpListener, router: Router, drain: Drain, succeeded: CancellationToken) {
    let mut open: VecDeque<CancellationToken> = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                open.retain(|connection| !connection.is_cancelled());
                if open.len() >= CONNECTIONS_MAX
                    && let Some(oldest) = open.pop_front()
                {
                    oldest.cancel();
                }
                let end = CancellationToken::new();
                open.push_back(end.clone());
                let connection = connection(stream, router.clone(), drain.clone(), succeeded.clone());
                drain.spawn("admin connection", async move {
                    tokio::select! {
                        () = connection => end.cancel(),
                        () = end.cancelled() => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "an admin connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, router: Router, drain: Drain, succeeded: CancellationToken) {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEAD_BYTES_MAX);
    let ending = Ending::default();
    let router = router.layer(Extension(ending.clone()));
    let mut connection =
        pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    let over = async {
        tokio::select! {
            () = drain.begun() => {}
            () = succeeded.cancelled() => {}
            () = tokio::time::sleep(LIFE) => {}
        }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => Ok(ended),
        () = over => {
            ending.0.cancel();
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(FAREWELL, connection).await
        }
    };
    if let Ok(Err(error)) = ended {
        tracing::debug!(%error, "an admin connection broke");
    }
}
