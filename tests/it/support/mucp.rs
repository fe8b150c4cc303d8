//! Stand-ins of a Go Micro server and a Go Micro client, as real ones of v1.18 and v2.9 behave on the wire.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use wayside::provider::Address;

use super::patience::PATIENCE;

/// One message as it stood on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// The request line or the status line.
    pub(crate) start: String,
    /// Names in small letters, in order.
    pub(crate) headers: Vec<(String, String)>,
    /// The body, without its chunks' borders.
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// The first message of some bytes and its length, once it is complete.
    fn split(bytes: &[u8]) -> Option<(Self, usize)> {
        let head = find(bytes, b"\r\n\r\n")?;
        let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap().to_owned();
        let header = |line: &str| {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no header: {line:?}"));
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        let mut message = Self { start, headers: lines.map(header).collect(), body: Vec::new() };
        let mut at = head + 4;
        if message.header("transfer-encoding") == Some("chunked") {
            loop {
                let line = find(&bytes[at..], b"\r\n")?;
                let size = std::str::from_utf8(&bytes[at..at + line]).unwrap();
                let size = usize::from_str_radix(size, 16).unwrap();
                at += line + 2;
                message.body.extend_from_slice(bytes.get(at..at + size)?);
                bytes.get(at..at + size + 2)?;
                at += size + 2;
                if size == 0 {
                    return Some((message, at));
                }
            }
        }
        let length = message.header("content-length").map_or(0, |length| length.parse().unwrap());
        message.body = bytes.get(at..at + length)?.to_vec();
        Some((message, at + length))
    }

    /// All the messages of some bytes, each with its bytes.
    pub(crate) fn all(mut bytes: &[u8]) -> Vec<(Self, Vec<u8>)> {
        let mut messages = Vec::new();
        while !bytes.is_empty() {
            let (message, length) = Self::split(bytes).expect("whole messages");
            messages.push((message, bytes[..length].to_vec()));
            bytes = &bytes[length..];
        }
        messages
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.0 == name).map(|header| &*header.1)
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// A connection seen as messages.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    heard: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        // As every Go program does: small pieces go out one by one.
        stream.set_nodelay(true).unwrap();
        Self { stream, heard: Vec::new() }
    }

    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).await.unwrap())
    }

    pub(crate) async fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next message; `None` once the other side has ended.
    pub(crate) async fn hear(&mut self) -> Option<Message> {
        loop {
            if let Some((message, length)) = Message::split(&self.heard) {
                self.heard.drain(..length);
                return Some(message);
            }
            if !matches!(self.stream.read_buf(&mut self.heard).await, Ok(1..)) {
                return None;
            }
        }
    }

    /// The next message, which must come in time.
    pub(crate) async fn must_hear(&mut self) -> Message {
        let heard = tokio::time::timeout(PATIENCE, self.hear()).await.expect("a message should come");
        heard.expect("the other side ended")
    }

    /// Waits until the other side has ended.
    pub(crate) async fn must_end(&mut self) {
        let heard = tokio::time::timeout(PATIENCE, self.hear()).await.expect("the other side should end");
        assert_eq!(heard, None);
    }
}

/// A message that reached a server.
#[derive(Clone, Debug)]
pub(crate) struct Reached {
    /// The number of its connection, from 0.
    pub(crate) connection: usize,
    pub(crate) message: Message,
}

/// What a server remembers.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) reached: Vec<Reached>,
    pub(crate) accepted: usize,
    pub(crate) ended: usize,
    /// Whether somebody spoke HTTP/2 to it.
    pub(crate) http2: bool,
}

/// A MUCP server of one service. Bodies steer it: `hold` is never answered, `cut` ends the connection, `big` is answered with
/// 100,000 bytes; all else is answered with its port and the body.
pub(crate) struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(service: &str) -> Self {
        Self::with(service, None).await
    }

    /// A server that gives these answers, whatever it is asked, and is silent after the last.
    pub(crate) async fn replaying(answers: Vec<Vec<u8>>) -> Self {
        Self::with("greeter", Some(answers)).await
    }

    async fn with(service: &str, answers: Option<Vec<Vec<u8>>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let (remembers, service) = (Arc::clone(&seen), service.to_owned());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let connection = {
                    let mut seen = remembers.lock().unwrap();
                    seen.accepted += 1;
                    seen.accepted - 1
                };
                let handler = Handler {
                    port: address.port(),
                    service: service.clone(),
                    connection,
                    seen: Arc::clone(&remembers),
                    answers: answers.clone().map(Vec::into_iter),
                };
                open.spawn(handler.serve(Wire::new(stream)));
            }
        });
        Self { address, seen, tasks }
    }

    pub(crate) fn address(&self) -> Address {
        self.address.into()
    }

    pub(crate) fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.seen.lock().unwrap())
    }

    /// Ends it as SIGTERM does: its port closes, and so do its connections, calls in flight or not.
    pub(crate) async fn end(mut self) {
        self.tasks.shutdown().await;
    }
}

/// What serves one connection.
struct Handler {
    port: u16,
    service: String,
    connection: usize,
    seen: Arc<Mutex<Seen>>,
    answers: Option<std::vec::IntoIter<Vec<u8>>>,
}

impl Handler {
    async fn serve(mut self, mut wire: Wire) {
        let mut first: Option<Message> = None;
        let mut in_use = HashSet::new();
        while let Some(message) = wire.hear().await {
            if message.start.starts_with("PRI ") {
                // It accepts HTTP/2 and answers with nothing.
                self.seen.lock().unwrap().http2 = true;
                wire.say(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                continue;
            }
            let reached = Reached { connection: self.connection, message: message.clone() };
            self.seen.lock().unwrap().reached.push(reached);
            let first = first.get_or_insert_with(|| message.clone());
            let id = message.header("micro-id").unwrap_or_default().to_owned();
            let text = String::from_utf8_lossy(&message.body).into_owned();
            let answer = match &mut self.answers {
                Some(answers) => answers.next(),
                None if text == "cut" => break,
                None if in_use.contains(&id) => None,
                None if text == "hold" => {
                    in_use.insert(id);
                    None
                }
                None => Some(self.answer(first, &message, &text)),
            };
            // An answer comes in many small pieces.
            for piece in answer.iter().flat_map(|answer| answer.chunks(answer.len().div_ceil(20).max(1))) {
                if wire.stream.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        self.seen.lock().unwrap().ended += 1;
    }

    /// Starts from the headers of the connection's first request, whoever sent it.
    fn answer(&self, first: &Message, message: &Message, text: &str) -> Vec<u8> {
        let mut answer = String::from("HTTP/1.1 200 OK\r\n");
        for (name, value) in &first.headers {
            if !["content-length", "transfer-encoding", "micro-id", "host"].contains(&&**name) {
                answer += &format!("{name}: {value}\r\n");
            }
        }
        answer += &format!("Micro-Id: {}\r\n", message.header("micro-id").unwrap_or_default());
        let body = match text {
            _ if message.header("micro-service") != Some(&*self.service) => {
                answer += "Micro-Error: rpc: can't find service Say\r\n";
                String::new()
            }
            "big" => "x".repeat(100_000),
            text => format!("{} {text}", self.port),
        };
        answer += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        answer.into_bytes()
    }
}

/// How long a client's pool keeps a connection, from its opening on.
const POOLED: Duration = Duration::from_mins(1);

/// A Go Micro client whose every call goes to the proxy: `MICRO_PROXY`.
pub(crate) struct Caller {
    proxy: SocketAddr,
    /// Connections that idle, each with the time of its opening; the newest is taken first.
    pool: Vec<(Instant, Wire)>,
    calls: u64,
    /// What its calls carry besides.
    pub(crate) metadata: Vec<(&'static str, String)>,
    /// The `Timeout`, in nanoseconds.
    pub(crate) timeout: u64,
}

impl Caller {
    pub(crate) const fn new(proxy: SocketAddr) -> Self {
        Self { proxy, pool: Vec::new(), calls: 0, metadata: Vec::new(), timeout: 30_000_000_000 }
    }

    /// One call. An error is what `Micro-Error` says, or what such a client makes of anything but one 200.
    pub(crate) async fn call(&mut self, service: &str, body: &str) -> Result<Message, String> {
        self.pool.retain(|(opened, _)| opened.elapsed() < POOLED);
        let (opened, mut wire) = match self.pool.pop() {
            Some(pooled) => pooled,
            None => (Instant::now(), Wire::connect(self.proxy).await),
        };
        let message = self.message(service, body);
        if wire.stream.write_all(message.as_bytes()).await.is_err() {
            return Err("the pooled connection was closed".to_owned());
        }
        let answer = tokio::time::timeout(PATIENCE, wire.hear()).await.map_err(|_| "no answer")?;
        let answer = answer.ok_or("the connection ended")?;
        if answer.start != "HTTP/1.1 200 OK" {
            return Err(format!("go.micro.client.transport 500: {}", answer.start));
        }
        if let Some(error) = answer.header("micro-error") {
            // After an error the client closes its connection.
            return Err(error.to_owned());
        }
        self.pool.push((opened, wire));
        Ok(answer)
    }

    /// The next call, as it goes out.
    fn message(&mut self, service: &str, body: &str) -> String {
        let id = self.calls;
        self.calls += 1;
        let metadata: String =
            self.metadata.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: {}\r\n{metadata}\
             Content-Type: application/json\r\nMicro-Endpoint: Say.Hello\r\nMicro-Id: {id}\r\n\
             Micro-Method: Say.Hello\r\nMicro-Service: {service}\r\nTimeout: {}\r\n\r\n{body}",
            self.proxy,
            body.len(),
            self.timeout
        )
    }
}
