//! A collector of spans: takes OTLP over HTTP and gRPC, and shows what it took.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::patience::eventually;

/// How long spans may take: they are gathered for a second.
const LIMIT: Duration = Duration::from_secs(30);

/// One collector; gone when dropped.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    taken: Arc<Mutex<Vec<Seen>>>,
    /// The heads of what it was sent.
    heads: Arc<Mutex<Vec<http::request::Parts>>>,
    _tasks: JoinSet<()>,
}

/// A span as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) trace: String,
    pub(crate) span: String,
    pub(crate) parent: String,
    pub(crate) state: String,
    pub(crate) name: String,
    pub(crate) kind: i32,
    pub(crate) nanos: u64,
    pub(crate) failed: bool,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) resource: BTreeMap<String, String>,
}

impl Seen {
    pub(crate) fn is_server(&self) -> bool {
        self.kind == 2
    }

    pub(crate) fn says(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

#[derive(Clone, PartialEq, Message)]
struct Export {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<OfResource>,
}

#[derive(Clone, PartialEq, Message)]
struct OfResource {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<OfScope>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct OfScope {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    begun: u64,
    #[prost(fixed64, tag = "8")]
    ended: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(string, optional, tag = "1")]
    text: Option<String>,
    #[prost(int64, optional, tag = "3")]
    number: Option<i64>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (taken, heads) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::<Mutex<Vec<_>>>::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::clone(&taken), Arc::clone(&heads)));
        Self { address, taken, heads, _tasks: tasks }
    }

    /// All spans taken so far.
    pub(crate) fn spans(&self) -> Vec<Seen> {
        self.taken.lock().clone()
    }

    /// The heads of the requests taken so far.
    pub(crate) fn heads(&self) -> Vec<http::request::Parts> {
        self.heads.lock().clone()
    }

    /// Waits until a trace is there whose request has ended: its own span, then those of its attempts in their order.
    pub(crate) async fn trace(&self, what: &str, is_it: impl Fn(&Seen) -> bool) -> (Seen, Vec<Seen>) {
        let find = || {
            let all = self.spans();
            let server = all.iter().find(|span| span.is_server() && is_it(span))?.clone();
            let of_it =
                |span: &&Seen| !span.is_server() && span.trace == server.trace && span.parent == server.span;
            let attempts: Vec<Seen> = all.iter().filter(of_it).cloned().collect();
            let has_all = server.says("wayside.attempts") == attempts.len().to_string();
            has_all.then_some((server, attempts))
        };
        eventually(LIMIT, what, find).await
    }
}

async fn serve(
    listener: TcpListener,
    taken: Arc<Mutex<Vec<Seen>>>,
    heads: Arc<Mutex<Vec<http::request::Parts>>>,
) {
    let mut open = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (taken, heads) = (Arc::clone(&taken), Arc::clone(&heads));
        open.spawn(async move {
            let service = hyper::service::service_fn(move |request| {
                take(request, Arc::clone(&taken), Arc::clone(&heads))
            });
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn take(
    request: Request<Incoming>,
    taken: Arc<Mutex<Vec<Seen>>>,
    heads: Arc<Mutex<Vec<http::request::Parts>>>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let is_grpc = head.uri.path() == "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let message = if is_grpc { body.slice(5..) } else { body };
    assert!(is_grpc || head.uri.path() == "/v1/traces", "{}", head.uri);
    let message = Export::decode(message).unwrap();
    let spans = message.resources.into_iter().flat_map(|resource| {
        let of = pairs(resource.resource.unwrap_or_default().attributes);
        let spans = resource.scopes.into_iter().flat_map(|scope| scope.spans);
        spans.map(move |span| seen(span, of.clone())).collect::<Vec<_>>()
    });
    taken.lock().extend(spans);
    heads.lock().push(head);
    let answer = Response::builder();
    let answer = if is_grpc {
        answer.header("content-type", "application/grpc").header("grpc-status", "0")
    } else {
        answer.header("content-type", "application/x-protobuf")
    };
    Ok(answer.body(Full::default()).unwrap())
}

fn seen(span: Span, resource: BTreeMap<String, String>) -> Seen {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Seen {
        trace: hex(&span.trace_id),
        span: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        state: span.trace_state,
        name: span.name,
        kind: span.kind,
        nanos: span.ended - span.begun,
        failed: span.status.is_some_and(|status| status.code == 2),
        attributes: pairs(span.attributes),
        resource,
    }
}

fn pairs(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let told = |value: Option<AnyValue>| {
        let AnyValue { text, number } = value.unwrap_or_default();
        text.or_else(|| number.map(|number| number.to_string())).unwrap_or_default()
    };
    attributes.into_iter().map(|pair| (pair.key, told(pair.value))).collect()
}
