//! The check: asking the app whether it is well, in the way it can answer.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::provider::{Address, Host, ServiceName};

/// The most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How the app is asked whether it is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is asked.
    pub kind: CheckKind,
    /// Where, if not at the address that is announced.
    pub address: Option<Address>,
    /// How often, varied by a fifth; more often before it was ever well.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Passes in a row until it is announced again.
    pub rise: u32,
    /// Failures in a row until it is withdrawn.
    pub fall: u32,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// Nothing: it is well as long as it is to be announced.
    None,
    /// A connection.
    Tcp,
    /// `GET` of a path.
    Http {
        /// The path, with a slash in front, and maybe a query.
        path: String,
        /// The status of a good answer; any of 200 to 299 otherwise.
        status: Option<u16>,
    },
    /// Go Micro's own `Debug.Health`.
    GoMicro,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            kind: CheckKind::Tcp,
            address: None,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            rise: 2,
            fall: 3,
        }
    }
}

impl fmt::Display for CheckKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Tcp => f.write_str("tcp"),
            Self::Http { path, .. } => write!(f, "http:{path}"),
            Self::GoMicro => f.write_str("go-micro"),
        }
    }
}

impl Check {
    /// Asks the app once; why it is not well otherwise.
    pub(super) async fn ask(&self, service: &ServiceName, announced: &Address) -> Result<(), String> {
        let address = self.address.as_ref().unwrap_or(announced);
        let answer = async {
            match &self.kind {
                CheckKind::None => Ok(()),
                CheckKind::Tcp => connect(address).await.map(drop),
                CheckKind::Http { path, status } => http(address, path, *status).await,
                CheckKind::GoMicro => go_micro(address, service).await,
            }
        };
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(answer) => answer,
            Err(_) => {
                let limit = humantime::format_duration(self.timeout);
                Err(format!("{address} did not answer within {limit}"))
            }
        }
    }
}

async fn connect(address: &Address) -> Result<TcpStream, String> {
    let connected = match address.host() {
        Host::Ip(ip) => TcpStream::connect((*ip, address.port())).await,
        Host::Name(name) => TcpStream::connect((&**name, address.port())).await,
    };
    connected.map_err(|error| format!("cannot connect to {address}: {error}"))
}

async fn http(address: &Address, path: &str, status: Option<u16>) -> Result<(), String> {
    let request = Request::get(path).body(Full::default());
    let answer = exchange(address, request).await?;
    let good = match status {
        Some(status) => answer.status().as_u16() == status,
        None => answer.status().is_success(),
    };
    if good { Ok(()) } else { Err(format!("{address} answered {} to GET {path}", answer.status())) }
}

/// Asks as Go Micro's own health check does. A port that another service took over answers too, and is told by its error.
async fn go_micro(address: &Address, service: &ServiceName) -> Result<(), String> {
    let request = Request::post("/")
        .header(CONTENT_TYPE, "application/json")
        .header("Micro-Service", service.as_str())
        .header("Micro-Method", "Debug.Health")
        .header("Micro-Endpoint", "Debug.Health")
        .header("Micro-Id", "1")
        .body(Full::from("{}"));
    let answer = exchange(address, request).await?;
    if let Some(error) = answer.headers().get("micro-error") {
        return Err(format!("{address} answered {:?}", String::from_utf8_lossy(error.as_bytes())));
    }
    let (status, body) = (answer.status(), answer.into_body());
    let is_ok = serde_json::from_slice::<serde_json::Value>(&body).is_ok_and(|said| said["status"] == "ok");
    if status == StatusCode::OK && is_ok {
        return Ok(());
    }
    Err(format!("{address} answered {status} to Debug.Health, and not that its status is ok"))
}

/// One request on a connection of its own, and its whole answer.
async fn exchange(
    address: &Address,
    request: http::Result<Request<Full<Bytes>>>,
) -> Result<Response<Bytes>, String> {
    let mut request = request.map_err(|error| format!("the check cannot be sent: {error}"))?;
    let host = address.to_string().parse().map_err(|_| format!("{address} cannot be a Host"))?;
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers
        .insert(USER_AGENT, http::HeaderValue::from_static(concat!("wayside/", env!("CARGO_PKG_VERSION"))));
    headers.insert(CONNECTION, http::HeaderValue::from_static("close"));
    let broken = |error: hyper::Error| format!("{address} broke off: {error}");
    let stream = TokioIo::new(connect(address).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.map_err(broken)?;
    let answered = async {
        let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
        Ok(Response::from_parts(head, whole(body).await.map_err(|error| format!("{address} {error}"))?))
    };
    // The connection is driven here and not by a task of its own, so that a check that is over leaves nothing behind. It
    // ends before the answer is taken out only where there is none, which the answer then tells.
    let mut driven = std::pin::pin!(connection);
    let mut answered = std::pin::pin!(answered);
    tokio::select! {
        biased;
        answer = &mut answered => answer,
        _ = &mut driven => answered.await,
    }
}

async fn whole(body: Incoming) -> Result<Bytes, String> {
    let whole = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    whole.map(|body| body.to_bytes()).map_err(|error| format!("sent no whole answer: {error}"))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// What an app answers to one check, and what it was asked.
    async fn asked(kind: CheckKind, answer: &str) -> (Result<(), String>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let check = Check { kind, ..Check::default() };
        let service = "greeter".parse().unwrap();
        let announced = address.into();
        let app = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = Vec::new();
            while !heard.windows(4).any(|end| end == b"\r\n\r\n") {
                assert!(stream.read_buf(&mut heard).await.unwrap() > 0);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(heard).unwrap()
        };
        tokio::join!(check.ask(&service, &announced), app)
    }

    fn http_check(status: Option<u16>) -> CheckKind {
        CheckKind::Http { path: "/health?deep=1".to_owned(), status }
    }

    #[tokio::test]
    async fn a_path_is_asked_for_and_its_status_counts() {
        let (well, heard) = asked(http_check(None), "HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(well, Ok(()));
        assert!(
            heard.starts_with("GET /health?deep=1 HTTP/1.1\r\n") && heard.contains("host: 127.0.0.1:"),
            "{heard}"
        );
        let answer = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
        let (unwell, _) = asked(http_check(None), answer).await;
        assert!(unwell.unwrap_err().contains("answered 503 Service Unavailable to GET /health"));
        assert_eq!(asked(http_check(Some(503)), answer).await.0, Ok(()));
        let (broken, _) = asked(http_check(None), "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel").await;
        assert!(broken.unwrap_err().contains("no whole answer"));
    }

    #[tokio::test]
    async fn go_micro_is_asked_in_its_own_words() {
        let ok = "HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"status\":\"ok\"}";
        let (well, heard) = asked(CheckKind::GoMicro, ok).await;
        assert_eq!(well, Ok(()));
        for line in
            ["POST / HTTP/1.1", "micro-service: greeter", "micro-endpoint: Debug.Health", "micro-id: 1"]
        {
            assert!(heard.contains(line), "{heard}");
        }
        for (answer, part) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "not that its status is ok"),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 15\r\nmicro-error: can't find\r\n\r\n{\"status\":\"ok\"}",
                "can't find",
            ),
        ] {
            let (unwell, _) = asked(CheckKind::GoMicro, answer).await;
            assert!(unwell.as_ref().unwrap_err().contains(part), "{unwell:?}");
        }
    }

    #[tokio::test]
    async fn who_does_not_answer_is_not_well() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: Address = listener.local_addr().unwrap().into();
        let service = "greeter".parse().unwrap();
        let timeout = Duration::from_millis(50);
        let silent = Check { kind: http_check(None), timeout, ..Check::default() };
        let cause = silent.ask(&service, &address).await.unwrap_err();
        assert_eq!(cause, format!("{address} did not answer within 50ms"));
        assert_eq!(Check::default().ask(&service, &address).await, Ok(()), "it can be connected to");
        let elsewhere = Check { address: Some(address.clone()), ..Check::default() };
        assert_eq!(elsewhere.ask(&service, &"192.0.2.1:1".parse().unwrap()).await, Ok(()));
        drop(listener);
        let cause = Check::default().ask(&service, &address).await.unwrap_err();
        assert!(cause.starts_with(&format!("cannot connect to {address}: ")), "{cause}");
        let nothing = Check { kind: CheckKind::None, ..Check::default() };
        assert_eq!(nothing.ask(&service, &address).await, Ok(()));
    }
}
