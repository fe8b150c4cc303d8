//! HTTP/2 towards providers: how many streams a connection takes, and what becomes of requests that it does not take.

use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;
use tokio::task::JoinSet;
use wayside::app::Running;
use wayside::provider::Protocol;

use crate::support::client::{Client, Raw};
use crate::support::frames::Frames;
use crate::support::patience::{PATIENCE, eventually};
use crate::support::provider::Script;
use crate::support::proxy::{config_with, start};
use crate::support::registry::Told;
use crate::support::wire::{GOAWAY, PREFACE};

/// A proxy with one service of HTTP/2 providers, which the test plays.
struct Played {
    proxy: Running,
    providers: Vec<Script>,
}

impl Played {
    async fn start(providers: usize, config: &str) -> Self {
        let mut scripts = Vec::new();
        for _ in 0..providers {
            scripts.push(Script::start().await);
        }
        let registry = Told::new();
        let addresses: Vec<_> = scripts.iter().map(Script::address).collect();
        registry.tell("svc", Protocol::H2c, &addresses);
        Self { proxy: start(config_with(config), registry), providers: scripts }
    }

    /// Clients that each ask once, with this method, as gRPC does if it is POST; their statuses.
    fn ask(&self, clients: usize, method: &'static str) -> JoinSet<u16> {
        let address = self.proxy.listeners[0];
        let mut asking = JoinSet::new();
        for _ in 0..clients {
            asking.spawn(async move {
                let mut request = http::Request::builder().method(method).uri("/x").header("host", "svc");
                if method == "POST" {
                    request = request.header("content-type", "application/grpc");
                }
                let mut client = Client::connect(address).await;
                client.send(request.body(http_body_util::Full::default()).unwrap()).await.status().as_u16()
            });
        }
        asking
    }

    async fn accept(&self, streams_max: u8) -> Frames {
        Frames::begin(self.providers[0].accept().await, streams_max).await
    }

    fn dials(&self) -> u64 {
        self.proxy.metrics.proxy.upstream_dials_total.get()
    }
}

#[tokio::test]
async fn a_connection_takes_as_many_requests_as_its_peer_allows_and_another_the_next() {
    let played = Played::start(1, "").await;
    let asking = played.ask(5, "GET");
    let mut connections = Vec::new();
    for expected in [2, 2, 1] {
        let mut frames = played.accept(2).await;
        let mut streams = Vec::new();
        for _ in 0..expected {
            streams.push(frames.asked().await);
        }
        connections.push((frames, streams));
    }
    for (frames, streams) in &mut connections {
        for stream in streams {
            frames.answer(*stream).await;
        }
    }
    assert_eq!(asking.join_all().await, [200; 5]);
    assert_eq!(played.dials(), 3);
    // None of the three is full any more.
    let asking = played.ask(1, "GET");
    let frames = &mut connections[2].0;
    let stream = frames.asked().await;
    frames.answer(stream).await;
    assert_eq!(asking.join_all().await, [200]);
}

#[tokio::test]
async fn what_a_provider_refuses_unseen_goes_to_another() {
    for method in ["GET", "POST", "PATCH"] {
        let played = Played::start(2, "").await;
        let asking = played.ask(1, method);
        let (first, second) = (played.providers[0].accept(), played.providers[1].accept());
        let (stream, other) = tokio::select! {
            stream = first => (stream, &played.providers[1]),
            stream = second => (stream, &played.providers[0]),
        };
        let mut frames = Frames::begin(stream, 100).await;
        let stream = frames.asked().await;
        frames.refuse(stream).await;
        let mut frames = Frames::begin(other.accept().await, 100).await;
        let stream = frames.asked().await;
        frames.answer(stream).await;
        assert_eq!(asking.join_all().await, [200], "{method}");
        assert_eq!(played.proxy.metrics.proxy.retries_total.get(), 1);
    }
}

#[tokio::test]
async fn what_comes_after_the_last_request_of_a_connection_goes_on_another() {
    for method in ["GET", "POST"] {
        let played = Played::start(1, "").await;
        let asking = played.ask(1, method);
        let mut frames = played.accept(100).await;
        let first = frames.asked().await;
        frames.answer(first).await;
        assert_eq!(asking.join_all().await, [200]);

        let both = played.ask(2, method);
        let (second, third) = (frames.asked().await, frames.asked().await);
        assert!(second < third);
        frames.go_away(second).await;
        let mut fresh = played.accept(100).await;
        let again = fresh.asked().await;
        fresh.answer(again).await;
        // What came before the end is still answered.
        frames.answer(second).await;
        assert_eq!(both.join_all().await, [200; 2], "{method}");
        let metrics = &played.proxy.metrics.proxy;
        assert_eq!((metrics.retries_total.get(), metrics.upstream_stale_total.get()), (0, 1));
    }
}

#[tokio::test]
async fn those_who_wait_for_a_connection_that_fails_fail_with_it() {
    let config = "[timeouts]\nconnect = \"300ms\"\n[retries]\nmax = 0";
    let played = Played::start(1, config).await;
    let begun = Instant::now();
    let asking = played.ask(6, "GET");
    // It accepts connections, and never says what an HTTP/2 server says first.
    let _silent = played.providers[0].accept().await;
    assert_eq!(asking.join_all().await, [504; 6]);
    assert_eq!(played.dials(), 1, "one fails for all");
    assert!(begun.elapsed() < PATIENCE / 5, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_connection_that_takes_longer_than_its_request_has_serves_the_next() {
    let played = Played::start(1, "[timeouts]\nrequest = \"300ms\"\n[retries]\nmax = 0").await;
    let asking = played.ask(1, "GET");
    let provider = played.providers[0].accept().await;
    assert_eq!(asking.join_all().await, [504]);
    let mut frames = Frames::begin(provider, 100).await;
    let asking = played.ask(1, "GET");
    let stream = frames.asked().await;
    frames.answer(stream).await;
    assert_eq!(asking.join_all().await, [200]);
    assert_eq!(played.dials(), 1, "it was not begun anew");
}

#[tokio::test]
async fn a_connection_that_says_nothing_for_long_is_not_used_again() {
    // To one that waits for long, or to several of which each has little time.
    for (limit, times) in [("1100ms", 1), ("400ms", 3)] {
        let config = format!("[timeouts]\nrequest = \"{limit}\"\n[retries]\nmax = 0");
        let played = Played::start(1, &config).await;
        let asking = played.ask(1, "GET");
        let mut frames = played.accept(100).await;
        let stream = frames.asked().await;
        frames.answer(stream).await;
        assert_eq!(asking.join_all().await, [200]);
        for _ in 0..times {
            let asking = played.ask(1, "GET");
            frames.asked().await;
            assert_eq!(asking.join_all().await, [504], "nothing is heard any more");
        }
        let asking = played.ask(1, "GET");
        let mut fresh = played.accept(100).await;
        let stream = fresh.asked().await;
        fresh.answer(stream).await;
        assert_eq!(asking.join_all().await, [200]);
        assert!(frames.asked_or_ended().await.is_none(), "the dead one is closed");
    }
}

#[tokio::test]
async fn streams_of_go_micro_are_counted_among_the_connections_made() {
    let provider = Script::start().await;
    let registry = Told::new();
    registry.tell("svc", Protocol::Mucp, &[provider.address()]);
    let proxy = start(config_with(""), registry);
    let mut client = Raw::connect(proxy.listeners[0]).await;
    let first = "POST / HTTP/1.1\r\nhost: svc\r\nmicro-service: svc\r\nmicro-stream: 1\r\ncontent-length: 2\r\n\r\nhi";
    client.say(first).await;
    let mut server = Raw::from(provider.accept().await);
    server.hear_until("hi").await;
    let counted = || (proxy.metrics.proxy.upstream_dials_total.get() == 1).then_some(());
    eventually(Duration::from_secs(5), "the connection is counted", counted).await;
}

#[tokio::test]
async fn a_connection_to_a_provider_that_is_withdrawn_ends() {
    let provider = Script::start().await;
    let registry = Told::new();
    registry.tell("svc", Protocol::H2c, &[provider.address()]);
    let proxy = start(config_with(""), registry.clone());
    let mut client = Client::connect(proxy.listeners[0]).await;
    let answering = async {
        let mut frames = Frames::begin(provider.accept().await, 100).await;
        let stream = frames.asked().await;
        frames.answer(stream).await;
        frames
    };
    let (answer, mut frames) = tokio::join!(client.get("svc", "/x"), answering);
    assert_eq!(answer.status(), 200);
    let other = Script::start().await;
    registry.tell("svc", Protocol::H2c, &[other.address()]);
    frames.next_of(GOAWAY).await.expect("a word before the end");
    while frames.next().await.is_some() {}
    let closed = || (proxy.metrics.proxy.upstream_connections_open.get() == 0).then_some(());
    eventually(PATIENCE, "nobody keeps the connection", closed).await;
}

#[tokio::test]
async fn a_provider_that_speaks_http1_where_its_record_says_http2_is_told_of_as_such() {
    let played = Played::start(1, "[retries]\nmax = 0").await;
    let mut client = Client::connect(played.proxy.listeners[0]).await;
    let answering = async {
        let mut provider = played.providers[0].accept().await;
        provider.read_exact(&mut [0; PREFACE.len()]).await.unwrap();
        let mut provider = Raw::from(provider);
        provider.say("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    };
    let (answer, ()) = tokio::join!(client.get("svc", "/x"), answering);
    assert_eq!(answer.status(), 502);
    assert!(answer.headers()["proxy-status"].to_str().unwrap().ends_with("details=\"not_http2\""));
    let text = String::from_utf8(answer.into_body().to_vec()).unwrap();
    assert!(text.contains("answers in HTTP/1, and its record or the configuration says"), "{text}");
}
