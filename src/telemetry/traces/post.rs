//! One message to a collector over a connection of its own, and what became of it.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, TE, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use prost::Message as _;
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::message::{ExportRequest, ExportResponse};
use super::{Protocol, Settings};

/// The most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// The path of OTLP/HTTP, behind what the endpoint has.
const HTTP_PATH: &str = "/v1/traces";
/// The path of OTLP/gRPC.
const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// Who sends.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("wayside/", env!("CARGO_PKG_VERSION")));

/// Why a collector did not take what it was sent.
#[derive(Debug, Error)]
pub(super) enum PostError {
    /// It could not be reached, or broke off.
    #[error("it cannot be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It did not answer in time.
    #[error("it did not answer in time")]
    Late,
    /// It answered that it cannot now.
    #[error("it answered {0} and may be asked again")]
    Busy(String),
    /// It answered that it will not.
    #[error("it answered {0}")]
    Refused(String),
}

impl PostError {
    /// Whether the same may be sent again (OTLP specification, "Failures").
    pub(super) const fn may_repeat(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Late | Self::Busy(_) => true,
            Self::Refused(_) => false,
        }
    }

    fn broken(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Unreachable(Box::new(error))
    }
}

/// Sends a message; what the collector said that it did not take of it.
pub(super) async fn post(
    settings: &Settings,
    uri: &Uri,
    tls: Option<&Arc<rustls::ClientConfig>>,
    message: &ExportRequest,
) -> Result<ExportResponse, PostError> {
    let sent = async {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or_else(|| usual_port(uri, settings.protocol));
        let stream = TcpStream::connect((host, port)).await.map_err(PostError::broken)?;
        stream.set_nodelay(true).map_err(PostError::broken)?;
        match tls {
            None => exchange(settings, uri, message, stream).await,
            Some(tls) => {
                let mut tls = rustls::ClientConfig::clone(tls);
                if settings.protocol == Protocol::Grpc {
                    tls.alpn_protocols = vec![b"h2".to_vec()];
                }
                let name = ServerName::try_from(host.to_owned()).map_err(PostError::broken)?;
                let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await;
                exchange(settings, uri, message, stream.map_err(PostError::broken)?).await
            }
        }
    };
    tokio::time::timeout(settings.timeout, sent).await.unwrap_or(Err(PostError::Late))
}

fn usual_port(uri: &Uri, protocol: Protocol) -> u16 {
    match (uri.scheme_str(), protocol) {
        (Some("https"), _) => 443,
        (_, Protocol::Http) => 4318,
        (_, Protocol::Grpc) => 4317,
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    settings: &Settings,
    uri: &Uri,
    message: &ExportRequest,
    stream: S,
) -> Result<ExportResponse, PostError> {
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, AGENT);
    if let Some(auth) = &settings.auth {
        headers.insert(HeaderName::clone(&auth.name), auth.value.clone());
    }
    match settings.protocol {
        Protocol::Http => over_http(request, uri, message, stream).await,
        Protocol::Grpc => over_grpc(request, uri, message, stream).await,
    }
}

async fn over_http<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    mut request: Request<()>,
    uri: &Uri,
    message: &ExportRequest,
    stream: S,
) -> Result<ExportResponse, PostError> {
    let host = HeaderValue::from_str(authority(uri)).map_err(PostError::broken)?;
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    *request.uri_mut() = http_path(uri).parse().map_err(PostError::broken)?;
    let request = request.map(|()| Full::new(Bytes::from(message.encode_to_vec())));
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(PostError::broken)?;
    let talk = async {
        let (head, body) = sender.send_request(request).await.map_err(PostError::broken)?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(PostError::Unreachable)?;
        judge_http(head.status, &body.to_bytes())
    };
    driven(connection, talk).await
}

async fn over_grpc<S: AsyncRead + AsyncWrite + Unpin>(
    mut request: Request<()>,
    uri: &Uri,
    message: &ExportRequest,
    stream: S,
) -> Result<ExportResponse, PostError> {
    let headers = request.headers_mut();
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let scheme = uri.scheme_str().unwrap_or("http");
    let target = format!("{scheme}://{}{GRPC_PATH}", authority(uri));
    *request.uri_mut() = target.parse().map_err(PostError::broken)?;
    let (sender, connection) = h2::client::handshake(stream).await.map_err(PostError::broken)?;
    let talk = async {
        let mut sender = sender.ready().await.map_err(PostError::broken)?;
        let (answer, mut sending) = sender.send_request(request, false).map_err(PostError::broken)?;
        sending.send_data(framed(message), true).map_err(PostError::broken)?;
        let (head, mut body) = answer.await.map_err(PostError::broken)?.into_parts();
        let mut whole = BytesMut::new();
        while let Some(part) = body.data().await {
            let part = part.map_err(PostError::broken)?;
            if whole.len() + part.len() > ANSWER_BYTES_MAX {
                return Err(PostError::Refused("more than is read".to_owned()));
            }
            whole.extend_from_slice(&part);
            body.flow_control().release_capacity(part.len()).map_err(PostError::broken)?;
        }
        let trailers = body.trailers().await.map_err(PostError::broken)?.unwrap_or_default();
        let code = trailers.get("grpc-status").or_else(|| head.headers.get("grpc-status"));
        judge_grpc(head.status, code.and_then(|code| code.to_str().ok()?.parse().ok()), &whole.freeze())
    };
    driven(connection, talk).await
}

fn authority(uri: &Uri) -> &str {
    uri.authority().map_or("", |authority| authority.as_str())
}

/// Drives a connection while something goes on over it, so that nothing is left of it afterwards.
async fn driven<T, E>(
    connection: impl Future<Output = Result<(), E>>,
    talk: impl Future<Output = Result<T, PostError>>,
) -> Result<T, PostError> {
    let (mut connection, mut talk) = (std::pin::pin!(connection), std::pin::pin!(talk));
    tokio::select! {
        biased;
        said = &mut talk => said,
        _ = &mut connection => talk.await,
    }
}

/// The path of OTLP/HTTP below that of the endpoint, unless it is there already.
fn http_path(uri: &Uri) -> String {
    let base = uri.path().trim_end_matches('/');
    if base.ends_with(HTTP_PATH) { base.to_owned() } else { format!("{base}{HTTP_PATH}") }
}

fn framed(message: &ExportRequest) -> Bytes {
    let encoded = message.encode_to_vec();
    let mut framed = BytesMut::with_capacity(encoded.len() + 5);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(encoded.len()).unwrap_or(u32::MAX));
    framed.put_slice(&encoded);
    framed.freeze()
}

fn judge_http(status: StatusCode, body: &Bytes) -> Result<ExportResponse, PostError> {
    match status.as_u16() {
        200..=299 => Ok(ExportResponse::decode(body.clone()).unwrap_or_default()),
        429 | 502..=504 => Err(PostError::Busy(status.to_string())),
        _ => Err(PostError::Refused(status.to_string())),
    }
}

fn judge_grpc(status: StatusCode, code: Option<u16>, body: &Bytes) -> Result<ExportResponse, PostError> {
    match (status, code) {
        (StatusCode::OK, Some(0)) => {
            Ok(body.get(5..).and_then(|body| ExportResponse::decode(body).ok()).unwrap_or_default())
        }
        (StatusCode::OK, Some(code @ (1 | 4 | 8 | 10 | 11 | 14 | 15))) => {
            Err(PostError::Busy(format!("gRPC status {code}")))
        }
        (StatusCode::OK, Some(code)) => Err(PostError::Refused(format!("gRPC status {code}"))),
        (status, _) => judge_http(status, &Bytes::new())
            .and(Err(PostError::Refused(format!("{status}, and not as gRPC")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_that_of_otlp_below_the_endpoint() {
        for (endpoint, path) in [
            ("http://a:4318", "/v1/traces"),
            ("http://a:4318/", "/v1/traces"),
            ("https://a/otlp/", "/otlp/v1/traces"),
            ("https://a/otlp/v1/traces", "/otlp/v1/traces"),
        ] {
            assert_eq!(http_path(&endpoint.parse().unwrap()), path, "{endpoint}");
        }
    }

    #[test]
    fn answers_are_taken_as_otlp_has_them() {
        let http = |status: u16| judge_http(StatusCode::from_u16(status).unwrap(), &Bytes::new());
        assert!(http(200).is_ok() && http(202).is_ok());
        for (status, again) in [(429, true), (503, true), (400, false), (401, false), (500, false)] {
            assert_eq!(http(status).unwrap_err().may_repeat(), again, "{status}");
        }
        let grpc = |code: Option<u16>| judge_grpc(StatusCode::OK, code, &Bytes::new());
        assert!(grpc(Some(0)).is_ok());
        for (code, again) in
            [(Some(14), true), (Some(8), true), (Some(3), false), (Some(16), false), (None, false)]
        {
            assert_eq!(grpc(code).unwrap_err().may_repeat(), again, "{code:?}");
        }
        let rejected = ExportResponse {
            partial_success: Some(super::super::message::PartialSuccess {
                rejected_spans: 3,
                error_message: "too old".to_owned(),
            }),
        };
        let body = Bytes::from(rejected.encode_to_vec());
        assert_eq!(judge_http(StatusCode::OK, &body).unwrap(), rejected);
    }
}
