//! The agent's HTTP API: connections to it, and requests with their limits of time and size.

use std::error::Error;
use std::fmt::Display;
use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::Fuse;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use super::settings::Settings;
use crate::provider::Host;
use crate::registry::RegistryError;

/// The largest answer that is read: some ten thousand instances with all that Go Micro says of each.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The most of a refusal's words that is told on, in bytes.
const WORDS_MAX: usize = 300;
/// How long a connection may be silent before the system asks whether the other side is still there, and between asking
/// again: a blocking query is silent for minutes.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Why a request gave nothing.
#[derive(Debug)]
pub(super) enum Fault {
    /// The connection broke: the agent closed it, or fell silent.
    Broken(RegistryError),
    /// The agent is of no use at present, and no other connection is of more.
    Failed(RegistryError),
    /// The agent answers, and refuses this request.
    Refused {
        /// The status of its answer.
        status: u16,
        /// Its words.
        said: String,
    },
    /// The answer is larger than what is read.
    TooLarge,
}

/// A good answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: Bytes,
    /// What `X-Consul-Index` says, if anything.
    pub(super) index: Option<u64>,
    /// Whether access control left out some of it.
    pub(super) filtered: bool,
    /// When it began to arrive.
    pub(super) at: Instant,
}

type Connection = http1::Connection<TokioIo<TcpStream>, Full<Bytes>>;

/// One connection to the agent, for one request at a time. It lives by being asked: nothing runs in between.
pub(super) struct Line<'a> {
    settings: &'a Settings,
    sender: SendRequest<Full<Bytes>>,
    connection: Fuse<Pin<Box<Connection>>>,
}

impl<'a> Line<'a> {
    /// Connects.
    pub(super) async fn open(settings: &'a Settings) -> Result<Self, RegistryError> {
        let limit = settings.pace.call_timeout;
        let doing = || {
            let agent = &settings.agent;
            format!(
                "cannot connect to the Consul agent at {agent}; check that it runs there and can be reached from here"
            )
        };
        let unreachable =
            |source: Box<dyn Error + Send + Sync>| RegistryError::Unreachable { doing: doing(), source };
        let port = settings.agent.port();
        let connect = async {
            let stream = match settings.agent.host() {
                Host::Ip(ip) => TcpStream::connect((*ip, port)).await?,
                Host::Name(name) => TcpStream::connect((&**name, port)).await?,
            };
            stream.set_nodelay(true)?;
            let keep_alive = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE);
            SockRef::from(&stream).set_tcp_keepalive(&keep_alive)?;
            Ok::<_, std::io::Error>(stream)
        };
        let stream = match tokio::time::timeout(limit, connect).await {
            Ok(stream) => stream.map_err(|error| unreachable(error.into()))?,
            Err(elapsed) => return Err(unreachable(elapsed.into())),
        };
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(error.into()))?;
        Ok(Self { settings, sender, connection: Box::pin(connection).fuse() })
    }

    /// Asks for a path, at most for so long.
    pub(super) async fn get(&mut self, path: &str, limit: Duration) -> Result<Answer, Fault> {
        self.ask("GET", path, Bytes::new(), limit).await
    }

    /// Asks for something to be done, or told, at most for so long.
    pub(super) async fn ask(
        &mut self,
        method: &str,
        path: &str,
        body: Bytes,
        limit: Duration,
    ) -> Result<Answer, Fault> {
        let settings = self.settings;
        let mut request =
            http::Request::builder().method(method).uri(path).header("host", settings.agent.to_string());
        if let Some(token) = &settings.token {
            request = request.header("x-consul-token", token.as_str());
        }
        let request =
            request.body(Full::from(body)).expect("a path that was encoded, and a token that was read");
        let sender = &mut self.sender;
        let talk = async {
            let broken = |error: hyper::Error| Fault::Broken(lost(settings, path, error));
            sender.ready().await.map_err(broken)?;
            let response = sender.send_request(request).await.map_err(broken)?;
            let at = Instant::now();
            let (head, mut body) = response.into_parts();
            let mut bytes = Vec::new();
            while let Some(frame) = body.frame().await {
                let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
                if bytes.len() + data.len() > ANSWER_BYTES_MAX {
                    return Err(Fault::TooLarge);
                }
                bytes.extend_from_slice(&data);
            }
            let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
            let index = header("x-consul-index").and_then(|index| index.parse().ok());
            let filtered = header("x-consul-results-filtered-by-acls") == Some("true");
            judge(settings, path, head.status.as_u16(), Answer { body: bytes.into(), index, filtered, at })
        };
        let mut talk = pin!(talk);
        // The connection moves only while it is polled; when it ends, what it read before is still to be taken.
        let both = async {
            tokio::select! {
                biased;
                answer = &mut talk => return answer,
                _ = &mut self.connection => {}
            }
            talk.await
        };
        match tokio::time::timeout(limit, both).await {
            Ok(answer) => answer,
            Err(elapsed) => Err(Fault::Broken(lost(settings, path, elapsed))),
        }
    }
}

/// The answer, if it is a good one.
fn judge(settings: &Settings, path: &str, status: u16, answer: Answer) -> Result<Answer, Fault> {
    if (200..300).contains(&status) {
        return Ok(answer);
    }
    let said = words(&answer.body);
    // The agent's and its servers' own faults are not this service's. Too many requests (429) may be those of others beside
    // us, and what was asked for already goes on.
    if status >= 500 {
        let doing = format!("the Consul agent at {} answered {path} with {status}", settings.agent);
        return Err(Fault::Failed(RegistryError::Unreachable { doing, source: said.into() }));
    }
    Err(Fault::Refused { status, said })
}

fn words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(WORDS_MAX)]);
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The registry error of a connection that broke.
fn lost(
    settings: &Settings,
    path: impl Display,
    source: impl Error + Send + Sync + 'static,
) -> RegistryError {
    let doing = format!("the Consul agent at {} did not answer {path}", settings.agent);
    RegistryError::Unreachable { doing, source: Box::new(source) }
}
