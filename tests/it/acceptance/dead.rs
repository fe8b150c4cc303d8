//! All providers dead: how soon that is told, and how many attempts are made at them all the same.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::support::client::Client;

const PROVIDERS: usize = 5;
/// Few enough for the machine to have time for each.
const ASKING: usize = 4;

/// How a provider is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    /// It resets every connection once a request has come.
    Resets,
    /// It answers 503, and lives otherwise.
    Answers,
}

/// A provider that is dead in its own way, and counts what comes.
struct Dead {
    address: SocketAddr,
    attempts: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Dead {
    async fn start(death: Death) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let attempts = Arc::<AtomicUsize>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(die(listener, death, Arc::clone(&attempts)));
        Self { address, attempts, _tasks: tasks }
    }
}

async fn die(listener: TcpListener, death: Death, attempts: Arc<AtomicUsize>) {
    let mut open = JoinSet::new();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let attempts = Arc::clone(&attempts);
        open.spawn(async move {
            let mut heard = [0; 4096];
            // A request of these tests comes in one piece.
            while stream.read(&mut heard).await.is_ok_and(|read| read > 0) {
                attempts.fetch_add(1, Ordering::Relaxed);
                match death {
                    Death::Resets => {
                        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                        return;
                    }
                    Death::Answers => {
                        let busy = b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy";
                        if stream.write_all(busy).await.is_err() {
                            return;
                        }
                    }
                }
            }
        });
    }
}

/// Addresses at which connections are refused.
fn refusing() -> Vec<SocketAddr> {
    let bound: Vec<_> = (0..PROVIDERS).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    bound.iter().map(|listener| listener.local_addr().unwrap()).collect()
}

fn url(addresses: impl IntoIterator<Item = SocketAddr>) -> String {
    let addresses: Vec<String> = addresses.into_iter().map(|address| address.to_string()).collect();
    format!("fixed:greeter={}", addresses.join(","))
}

/// Asks for a while from several connections, one request after the other; gives how long each took, and for how long it was
/// asked. What answers say is given to `look`.
async fn ask(running: &Running, lasting: Duration, look: fn(u16, &str)) -> (Vec<Duration>, Duration) {
    let (mut clients, begun) = (JoinSet::new(), Instant::now());
    for _ in 0..ASKING {
        let mut client = Client::connect(running.listeners[0]).await;
        clients.spawn(async move {
            let mut times = Vec::new();
            let mut pace = tokio::time::interval(Duration::from_millis(10));
            while begun.elapsed() < lasting {
                pace.tick().await;
                let asked = Instant::now();
                let response = client.get("greeter", "/").await;
                times.push(asked.elapsed());
                look(response.status().as_u16(), &String::from_utf8_lossy(response.body()));
            }
            times
        });
    }
    let times = clients.join_all().await.concat();
    (times, begun.elapsed())
}

/// What was promised: a fifth more than the requests, and ten a second. Where less than ten seconds are looked at, the
/// attempts of ten: the budget is that of ten seconds, and may be used up at once.
fn allowed(requests: usize, took: Duration) -> usize {
    let seconds = usize::try_from(took.as_secs()).unwrap().max(10);
    requests + requests / 5 + seconds * 10
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_all_refuse_is_told_at_once() {
    let running = proxy(&url(refusing()), "");
    let _claim = claim_on_greeter(&running).await;
    let lasting = either(Duration::from_secs(2), Duration::from_secs(20));
    let (times, took) = ask(&running, lasting, |status, said| {
        assert_eq!(status, 502, "{said}");
        assert!(said.contains("refuses connections") && said.contains("5 known"), "{said}");
    })
    .await;
    let (requests, attempts) = (times.len(), running.metrics.proxy.upstream_dials_total.get() as usize);
    let limit = either(SOON, Duration::from_millis(50));
    let worst = times.iter().max().copied().unwrap();
    let median = spread("refused by all", times);
    assert!(median < Duration::from_millis(50), "{median:?}");
    println!("all refuse: {requests} requests, {attempts} attempts, {} allowed", allowed(requests, took));
    assert!(worst < limit, "{worst:?}");
    assert!(attempts <= allowed(requests, took), "{attempts} attempts for {requests} requests");
    assert!(attempts > requests, "some were sent again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_at_providers_in_trouble_are_bounded_by_the_budget() {
    for death in [Death::Resets, Death::Answers] {
        let mut providers = Vec::new();
        for _ in 0..PROVIDERS {
            providers.push(Dead::start(death).await);
        }
        let text = "[retries]\nstatuses = [503]\nback_off = \"1ms\"\n[[service]]\nname = \"greeter\"\nhedge = \"1ms\"";
        let running = proxy(&url(providers.iter().map(|provider| provider.address)), text);
        let _claim = claim_on_greeter(&running).await;
        let lasting = either(Duration::from_secs(2), Duration::from_secs(20));
        let (times, took) = ask(&running, lasting, |status, said| match status {
            503 => assert_eq!(said, "busy", "the provider's own answer"),
            status => assert!(status == 502 && said.contains("closed the connection"), "{status}: {said}"),
        })
        .await;
        let requests = times.len();
        let attempts: usize =
            providers.iter().map(|provider| provider.attempts.load(Ordering::Relaxed)).sum();
        spread(&format!("{death:?}"), times);
        println!("{death:?}: {requests} requests, {attempts} attempts, {} allowed", allowed(requests, took));
        assert!(
            attempts <= allowed(requests, took),
            "{death:?}: {attempts} attempts for {requests} requests"
        );
        let exhausted = running.metrics.proxy.retry_budget_exhausted_total.get();
        assert!(attempts > requests && exhausted > 0, "{attempts} attempts, {exhausted} times exhausted");
    }
}
