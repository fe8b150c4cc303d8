//! One request of a check on a connection of its own, and its answer, in either HTTP.

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, HOST, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Asked, Reason, Unwell};

/// The most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Who asks.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("wayside/", env!("CARGO_PKG_VERSION")));

/// Which HTTP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

/// How much of an answer is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Its head: a body may be long, or never end.
    Head,
    /// All of it.
    Whole,
}

/// An answer, as far as it was waited for.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// What came after the body, which HTTP/1.1 is not asked for.
    pub(super) trailers: HeaderMap,
}

/// Sends one request and reads its answer. The connection is driven here and not by a task of its own, so that a check
/// that is over leaves nothing behind.
pub(super) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    asked: &Asked<'_>,
    version: Version,
    (method, path): (Method, &str),
    headers: &[(&'static str, HeaderValue)],
    body: Bytes,
    extent: Extent,
    stream: S,
) -> Result<Answer, Unwell> {
    let uri = match version {
        Version::Http1 => path.parse().ok(),
        Version::Http2 => target(asked, path),
    };
    let unsound = |what: &str| Unwell::new(Reason::Broken, format!("the check cannot be sent: {what}"));
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri.ok_or_else(|| unsound("its path is none"))?;
    let said = request.headers_mut();
    said.extend(headers.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.clone())));
    said.insert(USER_AGENT, AGENT);
    match version {
        Version::Http1 => {
            let host = HeaderValue::from_str(asked.host).map_err(|_| unsound("its host is none"))?;
            said.insert(HOST, host);
            said.insert(CONNECTION, HeaderValue::from_static("close"));
            http1(asked, request, extent, stream).await
        }
        Version::Http2 => http2(asked, request, extent, stream).await,
    }
}

/// The target of an HTTP/2 request: by the host, or the address where that is none that a URI could have.
fn target(asked: &Asked<'_>, path: &str) -> Option<Uri> {
    let scheme = if asked.tls { "https" } else { "http" };
    let by = |authority: &str| {
        Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build().ok()
    };
    by(asked.host).or_else(|| by(&asked.address.to_string()))
}

async fn http1<S: AsyncRead + AsyncWrite + Unpin>(
    asked: &Asked<'_>,
    request: Request<Bytes>,
    extent: Extent,
    stream: S,
) -> Result<Answer, Unwell> {
    let address = asked.address;
    let broken = |error: hyper::Error| Unwell::new(Reason::Broken, format!("{address} broke off: {error}"));
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(broken)?;
    let answered = async {
        let (head, body) = sender.send_request(request.map(Full::new)).await.map_err(broken)?.into_parts();
        let (status, headers) = (head.status, head.headers);
        if extent == Extent::Head {
            return Ok(Answer { status, headers, ..Answer::default() });
        }
        let whole = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = whole.map_err(|error| {
            Unwell::new(Reason::Broken, format!("{address} sent no whole answer: {error}"))
        })?;
        Ok(Answer { status, headers, body: body.to_bytes(), trailers: HeaderMap::new() })
    };
    // The connection ends before the answer is taken out only where there is none, which the answer then tells.
    let mut driven = std::pin::pin!(connection);
    let mut answered = std::pin::pin!(answered);
    tokio::select! {
        biased;
        answer = &mut answered => answer,
        _ = &mut driven => answered.await,
    }
}

async fn http2<S: AsyncRead + AsyncWrite + Unpin>(
    asked: &Asked<'_>,
    request: Request<Bytes>,
    extent: Extent,
    stream: S,
) -> Result<Answer, Unwell> {
    let address = asked.address;
    let broken = |error: h2::Error| Unwell::new(Reason::Broken, format!("{address} broke off: {error}"));
    let (sender, connection) = h2::client::handshake(stream).await.map_err(broken)?;
    let answered = async {
        let (head, content) = request.into_parts();
        let mut sender = sender.ready().await.map_err(broken)?;
        let is_bare = content.is_empty();
        let (answer, mut sending) =
            sender.send_request(Request::from_parts(head, ()), is_bare).map_err(broken)?;
        if !is_bare {
            sending.send_data(content, true).map_err(broken)?;
        }
        let (head, mut body) = answer.await.map_err(broken)?.into_parts();
        if extent == Extent::Head {
            return Ok(Answer { status: head.status, headers: head.headers, ..Answer::default() });
        }
        let mut whole = BytesMut::new();
        while let Some(part) = body.data().await {
            let part = part.map_err(broken)?;
            if whole.len() + part.len() > ANSWER_BYTES_MAX {
                let detail = format!("{address} sent an answer of more than {ANSWER_BYTES_MAX} bytes");
                return Err(Unwell::new(Reason::Broken, detail));
            }
            whole.extend_from_slice(&part);
            body.flow_control().release_capacity(part.len()).map_err(broken)?;
        }
        let trailers = body.trailers().await.map_err(broken)?.unwrap_or_default();
        Ok(Answer { status: head.status, headers: head.headers, body: whole.freeze(), trailers })
    };
    let mut driven = std::pin::pin!(connection);
    let mut answered = std::pin::pin!(answered);
    tokio::select! {
        biased;
        answer = &mut answered => answer,
        _ = &mut driven => answered.await,
    }
}
