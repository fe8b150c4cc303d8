//! Has the program do what it does most, so that the compiler can be told which way is the usual one (profile-guided
//! optimization). `release/build` runs it; it measures nothing.
//!
//! What is not done here counts as unusual, and is compiled to be small rather than quick: whatever a user may have much of
//! belongs here.

#![expect(clippy::unwrap_used, reason = "what cannot be trained on ends the build")]
#![expect(clippy::print_stdout, reason = "what was done is shown")]

use std::cell::Cell;
use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http::{Request, Response, Uri, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// How long each kind of request is sent.
const WHILE: Duration = Duration::from_secs(2);

/// How long the program may take to start, to answer, and to end.
const LIMIT: Duration = Duration::from_mins(1);

/// Bytes of a large body.
const LARGE: usize = 100 * 1024;

/// What is asked for, and how.
#[derive(Clone, Copy, Debug)]
struct Kind {
    /// The service, and with it how its providers are picked and spoken with.
    service: &'static str,
    path: &'static str,
    /// Bytes that are sent along.
    body: usize,
    connections: usize,
    manner: Manner,
}

/// What is spoken with the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Kept,
    /// A connection for each request.
    Closed,
    Secure,
    /// HTTP/2, with so many requests at a time on a connection.
    Http2(usize),
}

const fn kind(
    service: &'static str,
    path: &'static str,
    body: usize,
    connections: usize,
    manner: Manner,
) -> Kind {
    Kind { service, path, body, connections, manner }
}

/// Small requests on connections that are kept are what there is most of.
const KINDS: [Kind; 14] = [
    kind("plain", "/small", 0, 64, Manner::Kept),
    kind("plain", "/small", 0, 1, Manner::Kept),
    kind("plain", "/small", 0, 256, Manner::Kept),
    kind("plain", "/small", 1024, 32, Manner::Kept),
    kind("plain", "/large", 0, 16, Manner::Kept),
    kind("plain", "/small", LARGE, 16, Manner::Kept),
    kind("plain", "/chunked", 0, 16, Manner::Kept),
    kind("plain", "/small", 0, 16, Manner::Closed),
    kind("plain", "/small", 0, 4, Manner::Http2(16)),
    kind("plain", "/large", 0, 4, Manner::Http2(4)),
    kind("plain", "/small", 0, 32, Manner::Secure),
    kind("h2c", "/small", 0, 32, Manner::Kept),
    kind("h2c", "/small", 1024, 4, Manner::Http2(16)),
    kind("least", "/small", 0, 32, Manner::Kept),
];

fn main() {
    let Some(program) = std::env::args().nth(1).filter(|argument| !argument.starts_with('-')) else {
        println!("nothing is measured here: release/build has it train the program that it builds");
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, train(Path::new(&program)));
}

async fn train(program: &Path) {
    let mut providers = Vec::new();
    for _ in 0..4 {
        providers.push(provider().await);
    }
    let folder = tempfile::tempdir().unwrap();
    let trusted = certificate(folder.path());
    std::fs::write(folder.path().join("wayside.toml"), configuration(folder.path(), &providers)).unwrap();
    let mut started = Started::start(program, &folder.path().join("wayside.toml"));
    let [clear, secure] = started.listeners();
    for kind in KINDS {
        let to = if kind.manner == Manner::Secure { secure } else { clear };
        let answered = ask(kind, to, &trusted).await;
        println!("{answered:8} answers to {kind:?}");
        assert!(answered > 0, "nothing was learnt of it");
    }
    started.end();
}

/// A provider that speaks both versions of HTTP.
async fn provider() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::task::spawn(async move {
                let service = service_fn(answer);
                // Whoever goes away need not say goodbye.
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    address
}

type Answered = http_body_util::combinators::BoxBody<Bytes, Infallible>;

async fn answer(request: Request<Incoming>) -> Result<Response<Answered>, hyper::Error> {
    let (head, body) = request.into_parts();
    body.collect().await?;
    let body = Full::new(match head.uri.path() {
        "/small" => Bytes::from_static(b"{\"hello\": \"world\"}"),
        _ => Bytes::from_static(&[b'x'; LARGE]),
    });
    let body = match head.uri.path() {
        // Of a length that is not known.
        "/chunked" => {
            http_body_util::StreamBody::new(body.into_data_stream().map_ok(hyper::body::Frame::data)).boxed()
        }
        _ => BodyExt::boxed(body),
    };
    let answer = Response::builder().header("content-type", "application/json").header("server", "trainer");
    Ok(answer.body(body).unwrap())
}

/// Makes a certificate for localhost, and gives what trusts it.
fn certificate(folder: &Path) -> Arc<ClientConfig> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

fn configuration(folder: &Path, providers: &[SocketAddr]) -> String {
    let list = |protocol: &str| {
        let one = |address: &SocketAddr| format!("{{ address = \"{address}\", protocol = {protocol:?} }}");
        providers.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let (folder, http1, http2) = (folder.display(), list("http1"), list("h2c"));
    format!(
        "workers = 1\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\n\
         [listener.tls]\ncert = \"{folder}/cert.pem\"\nkey = \"{folder}/key.pem\"\n\
         [admin]\nenabled = false\n\
         [registry]\nservices = {{ plain = [{http1}], h2c = [{http2}], least = [{http1}] }}\n\
         [[service]]\nname = \"least\"\npolicy = \"least-request\"\n"
    )
}

/// The program, and its log.
struct Started {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
}

impl Started {
    fn start(program: &Path, configuration: &Path) -> Self {
        let mut command = Command::new(program);
        command.args(["run", "--config"]).arg(configuration).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log }
    }

    /// Where its two listeners are, in the order of the configuration.
    fn listeners(&mut self) -> [SocketAddr; 2] {
        let mut next = || {
            let mut lines = self.log.by_ref().lines().map(Result::unwrap);
            let line =
                lines.find(|line| line.contains("requests are taken")).expect("it should take requests");
            let address = line.split_once("address=").unwrap().1.split_whitespace().next().unwrap();
            address.parse().unwrap()
        };
        [next(), next()]
    }

    /// Ends it in good order, so that it writes down what it learnt.
    fn end(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let ended = self.child.wait().unwrap();
        assert!(ended.success(), "{ended}");
    }
}

/// Asks for a while; how many answers came.
async fn ask(kind: Kind, to: SocketAddr, trusted: &Arc<ClientConfig>) -> u64 {
    let (answers, until) = (Rc::new(Cell::new(0)), Instant::now() + WHILE);
    let asking = (0..kind.connections).map(|_| {
        let (answers, trusted) = (Rc::clone(&answers), Arc::clone(trusted));
        tokio::task::spawn_local(async move {
            while Instant::now() < until {
                converse(kind, to, &trusted, until, &answers).await;
            }
        })
    });
    let asking: Vec<_> = asking.collect();
    for one in asking {
        timeout(LIMIT, one).await.unwrap().unwrap();
    }
    answers.get()
}

/// Asks on one connection, until it has served its purpose.
async fn converse(
    kind: Kind,
    to: SocketAddr,
    trusted: &Arc<ClientConfig>,
    until: Instant,
    answers: &Cell<u64>,
) {
    let stream = TcpStream::connect(to).await.unwrap();
    stream.set_nodelay(true).unwrap();
    match kind.manner {
        Manner::Kept | Manner::Closed => one_by_one(kind, TokioIo::new(stream), until, answers).await,
        Manner::Secure => {
            let name = ServerName::try_from("localhost").unwrap();
            let stream = TlsConnector::from(Arc::clone(trusted)).connect(name, stream).await.unwrap();
            one_by_one(kind, TokioIo::new(stream), until, answers).await;
        }
        Manner::Http2(streams) => {
            let (sender, connection) =
                http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
            tokio::task::spawn_local(connection);
            let all = (0..streams).map(|_| async {
                let mut sender = sender.clone();
                while Instant::now() < until {
                    taken(sender.send_request(request(kind, Version::HTTP_2)).await.unwrap()).await;
                    answers.set(answers.get() + 1);
                }
            });
            futures_util::future::join_all(all).await;
        }
    }
}

async fn one_by_one<S>(kind: Kind, stream: S, until: Instant, answers: &Cell<u64>)
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(stream).await.unwrap();
    tokio::task::spawn_local(connection);
    while Instant::now() < until && sender.ready().await.is_ok() {
        taken(sender.send_request(request(kind, Version::HTTP_11)).await.unwrap()).await;
        answers.set(answers.get() + 1);
    }
}

fn request(kind: Kind, version: Version) -> Request<Full<Bytes>> {
    static BODY: [u8; LARGE] = [b'x'; LARGE];
    let uri: Uri = match version {
        Version::HTTP_2 => format!("http://{}{}", kind.service, kind.path).parse().unwrap(),
        _ => kind.path.parse().unwrap(),
    };
    let method = if kind.body > 0 { "POST" } else { "GET" };
    let mut request =
        Request::builder().method(method).uri(uri).header("accept", "*/*").header("user-agent", "trainer/1");
    if version != Version::HTTP_2 {
        request = request.header("host", kind.service);
    }
    if kind.manner == Manner::Closed {
        request = request.header("connection", "close");
    }
    request.body(Full::new(Bytes::from_static(&BODY[..kind.body]))).unwrap()
}

/// Reads an answer to its end.
async fn taken(answer: Response<Incoming>) {
    assert!(answer.status().is_success(), "{answer:?}");
    answer.into_body().collect().await.unwrap();
}
