//! Malformed and ambiguous requests: what of them reaches the provider, and what becomes of the request behind each.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Case, cases, hear, read_answers, say};
use crate::support::proxy::{config, start};
use crate::support::registry::Told;
use crate::support::strict::{Kind, Message, read};

/// The request that is sent behind each.
const MARKER: &str = "GET /marker HTTP/1.1\r\nhost: svc\r\nconnection: close\r\n\r\n";

/// What a strict provider got.
#[derive(Debug, Default)]
struct Got {
    /// Requests that came whole, in order.
    requests: Vec<Message>,
    /// What was no HTTP.
    violations: Vec<String>,
}

/// A provider that reads strictly, and answers each request with its target.
struct Provider {
    address: std::net::SocketAddr,
    got: Arc<Mutex<Got>>,
    _tasks: JoinSet<()>,
}

impl Provider {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let got = Arc::<Mutex<Got>>::default();
        let mut tasks = JoinSet::new();
        let seen = Arc::clone(&got);
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(serve(stream, Arc::clone(&seen)));
            }
        });
        Self { address, got, _tasks: tasks }
    }
}

async fn serve(mut stream: TcpStream, got: Arc<Mutex<Got>>) {
    let (mut bytes, mut is_asked) = (Vec::new(), false);
    loop {
        match read(&bytes, Kind::Forwarded) {
            Ok(Some((request, length))) => {
                bytes.drain(..length);
                is_asked = false;
                let body = if request.first[0] == "HEAD" { "" } else { &request.first[1] };
                let answer =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", request.first[1].len());
                got.lock().requests.push(request);
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
            Ok(None) => {
                let begun = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
                if !is_asked && begun.contains("\r\nexpect: 100-continue\r\n") && begun.contains("\r\n\r\n") {
                    is_asked = true;
                    let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
                }
                if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
                    return;
                }
            }
            Err(error) => {
                got.lock().violations.push(format!("{error}: {:?}", String::from_utf8_lossy(&bytes)));
                return;
            }
        }
    }
}

/// What a strict reader sees in what a client sends: the requests, and whether the connection goes on behind them.
fn strictly(case: &Case) -> (Vec<Message>, bool) {
    let (mut requests, mut rest) = (Vec::new(), &case.bytes[..]);
    while !rest.is_empty() {
        while let Some(after) = rest.strip_prefix(b"\r\n") {
            rest = after;
        }
        let (request, length) = match read(rest, Kind::Request) {
            Ok(Some(read)) => read,
            other => panic!("{} is to pass, and no request: {other:?}", case.name),
        };
        rest = &rest[length..];
        let is_last = request.is_last(2);
        requests.push(request);
        if is_last {
            return (requests, false);
        }
    }
    (requests, true)
}

/// The target that is to reach the provider.
fn forwarded(request: &Message) -> String {
    let [method, target, _] = &request.first;
    let Some((_, rest)) = target.split_once("://").filter(|(scheme, _)| !scheme.contains('/')) else {
        return target.clone();
    };
    match rest.find(['/', '?']) {
        Some(at) if rest[at..].starts_with('?') => format!("/{}", &rest[at..]),
        Some(at) => rest[at..].to_owned(),
        None if method == "OPTIONS" => "*".to_owned(),
        None => "/".to_owned(),
    }
}

/// Fields that concern one connection, or that a proxy may write anew.
const NOT_LASTING: [&str; 16] = [
    "connection",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
];

/// The fields that are to arrive as they were sent, those of one name in their order.
fn lasting(message: &Message) -> Vec<(String, String)> {
    let named = message.headers.iter().filter(|(name, _)| name == "connection");
    let named: Vec<String> =
        named.flat_map(|(_, value)| value.split(',').map(|name| name.trim().to_lowercase())).collect();
    let secures = ["authorization", "cookie", "content-length"];
    let lasts = |name: &str| {
        !NOT_LASTING.contains(&name) && (secures.contains(&name) || !named.iter().any(|named| named == name))
    };
    let mut fields: Vec<_> = message.headers.iter().filter(|(name, _)| lasts(name)).cloned().collect();
    // Stable, so that values of one name keep their order.
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    fields
}

/// What of a request that arrived concerns another connection than the one it came on, if anything does (RFC 9110, 7.6.1).
fn of_another_hop(request: &Message) -> Option<&(String, String)> {
    let upgrades = request.header("upgrade").is_some() && request.body.is_empty();
    let options = request.header("connection").unwrap_or_default();
    let says_what_is_there = options.split(", ").all(|option| match option {
        "" => true,
        "te" => request.header("te").is_some(),
        "upgrade" => upgrades,
        _ => false,
    });
    request.headers.iter().find(|(name, value)| match name.as_str() {
        "connection" => !says_what_is_there,
        "te" => value != "trailers" || !options.contains("te"),
        "upgrade" => !upgrades || !options.contains("upgrade"),
        "http2-settings" | "keep-alive" | "proxy-authorization" | "proxy-connection" => true,
        _ => false,
    })
}

/// Sends one case in pieces of this size, and holds what became of it against its verdict.
async fn run(case: &Case, piece: usize, proxy: std::net::SocketAddr, provider: &Provider) -> &'static str {
    let name = format!("{} in pieces of {piece}", case.name);
    let before = provider.got.lock().requests.len();
    let mut client = TcpStream::connect(proxy).await.unwrap();
    client.set_nodelay(true).unwrap();
    say(&mut client, &case.bytes, piece).await;
    if case.verdict == "part" {
        let _ = client.shutdown().await;
    } else {
        say(&mut client, MARKER.as_bytes(), usize::MAX).await;
    }
    let heard = hear(&mut client, &name).await;
    let got = provider.got.lock();
    assert!(got.violations.is_empty(), "{name}: the provider got what is no HTTP: {:?}", got.violations);
    let got = &got.requests[before..];
    let lines = |requests: &[Message]| -> Vec<String> {
        requests.iter().map(|request| format!("{} {}", request.first[0], request.first[1])).collect()
    };
    let shown = String::from_utf8_lossy(&heard);
    match case.verdict {
        "pass" => {
            let (expected, goes_on) = strictly(case);
            let methods: Vec<String> = expected.iter().map(|request| request.first[0].clone()).collect();
            let (answers, is_cut) = read_answers(&heard, &methods, &name);
            let mut wanted: Vec<String> = expected
                .iter()
                .map(|request| format!("{} {}", request.first[0], forwarded(request)))
                .collect();
            wanted.extend(goes_on.then(|| "GET /marker".to_owned()));
            assert_eq!(lines(got), wanted, "{name}: {shown:?}");
            for (got, expected) in got.iter().zip(&expected) {
                assert_eq!(got.body, expected.body, "{name}");
                assert_eq!(lasting(got), lasting(expected), "{name}");
                assert_eq!(of_another_hop(got), None, "{name}");
            }
            let final_ones: Vec<&Message> = answers.iter().filter(|answer| answer.status() >= 200).collect();
            assert!(!is_cut && final_ones.len() == wanted.len(), "{name}: {shown:?}");
            for (answer, line) in final_ones.iter().zip(&wanted) {
                let (method, target) = line.split_once(' ').unwrap();
                let body = if method == "HEAD" { "" } else { target };
                assert_eq!(
                    (answer.status(), String::from_utf8_lossy(&answer.body).as_ref()),
                    (200, body),
                    "{name}"
                );
            }
            "passed"
        }
        "cut" | "part" => {
            assert!(got.is_empty(), "{name}: {:?} reached the provider", lines(got));
            let (answers, _) = read_answers(&heard, &[], &name);
            let refused =
                answers.iter().all(|answer| (100..200).contains(&answer.status()) || answer.status() == 400);
            assert!(refused && answers.len() <= 2, "{name}: {shown:?}");
            "broken off"
        }
        told => {
            // Answered by the proxy alone; where the status has a `+`, the connection goes on.
            let (status, goes_on) = told.strip_suffix('+').map_or((told, false), |status| (status, true));
            let wanted: &[&str] = if goes_on { &["GET /marker"] } else { &[] };
            assert_eq!(lines(got), wanted, "{name}: {shown:?}");
            let (answers, _) = read_answers(&heard, &[], &name);
            let statuses: Vec<u16> = answers.iter().map(Message::status).collect();
            let mut expected = vec![status.parse::<u16>().unwrap()];
            expected.extend(goes_on.then_some(200));
            assert_eq!(statuses, expected, "{name}: {shown:?}");
            "refused"
        }
    }
}

#[tokio::test]
async fn no_request_is_smuggled() {
    let cases = cases(include_str!("requests.txt"));
    assert!(cases.len() >= 300, "{} cases", cases.len());
    let provider = Provider::start().await;
    let proxy = start(config(), Told::with("svc", &[provider.address.into()]));
    let (mut passed, mut refused, mut broken, mut runs, mut wrong) = (0, 0, 0, 0, Vec::new());
    for (number, case) in cases.iter().enumerate() {
        let mut pieces = vec![usize::MAX];
        // Those of moderate size byte by byte as well, and some in between.
        if case.bytes.len() < 1000 {
            pieces.extend([1, 2 + number % 9]);
        }
        for piece in pieces {
            runs += 1;
            match AssertUnwindSafe(run(case, piece, proxy.listeners[0], &provider)).catch_unwind().await {
                Ok("passed") => passed += 1,
                Ok("refused") => refused += 1,
                Ok(_) => broken += 1,
                Err(_) => wrong.push(case.name),
            }
        }
    }
    let panics = proxy.metrics.proxy.panics_total.get();
    println!(
        "{} requests in {runs} runs: {passed} passed, {refused} refused, {broken} broken off, smuggled or \
         desynchronised {}, panics {panics}, hangs 0",
        cases.len(),
        wrong.len()
    );
    assert!(wrong.is_empty() && panics == 0, "{panics} panics, and against their verdict: {wrong:?}");
}
