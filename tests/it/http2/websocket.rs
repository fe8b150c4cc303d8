//! WebSocket over HTTP/1.1 through the proxy, with a client and a server of tungstenite's (RFC 6455), and at its edges byte by byte.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame as Piece, coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};
use wayside::config::Config;

use super::*;
use crate::support::client::Raw;

/// A server that sends back what it is sent; gone when dropped.
struct Server {
    address: SocketAddr,
    tasks: JoinSet<()>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                open.spawn(async move {
                    let Ok(mut socket) = accept_async(stream).await else { return };
                    while let Some(Ok(message)) = socket.next().await {
                        let is_data = message.is_text() || message.is_binary();
                        if is_data && socket.send(message).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, tasks }
    }
}

type Socket = WebSocketStream<TcpStream>;

async fn opened(config: &str) -> (Running, Server, Socket) {
    opened_with(config_with(config)).await
}

async fn opened_with(config: Config) -> (Running, Server, Socket) {
    let server = Server::start().await;
    let proxy = start(config, Told::with("svc", &[server.address.into()]));
    let stream = TcpStream::connect(proxy.listeners[0]).await.unwrap();
    let (socket, answer) = client_async("ws://svc/chat", stream).await.unwrap();
    assert_eq!(answer.status(), 101);
    (proxy, server, socket)
}

/// Waits until no switched connection is left.
async fn over(proxy: &Running) {
    let metrics = &proxy.metrics.proxy;
    let over = || (metrics.upgrades_open.get() == 0 && metrics.requests_in_flight.get() == 0).then_some(());
    eventually(PATIENCE, "the switch is over", over).await;
}

async fn heard(socket: &mut Socket) -> Option<Result<Message, Error>> {
    tokio::time::timeout(PATIENCE, socket.next()).await.expect("something should come")
}

#[tokio::test]
async fn messages_of_all_kinds_and_sizes_come_back() {
    let (proxy, _server, mut socket) = opened("").await;
    let counted = || (proxy.metrics.proxy.upgrades_open.get() == 1).then_some(());
    eventually(PATIENCE, "it is counted", counted).await;
    let large = "ä".repeat(512 * 1024);
    for message in [
        Message::text("hello"),
        Message::text(""),
        Message::binary(vec![]),
        Message::binary((0..=255).collect::<Vec<u8>>()),
        Message::text(large),
        Message::binary(vec![7; 1 << 20]),
    ] {
        socket.send(message.clone()).await.unwrap();
        assert!(heard(&mut socket).await.unwrap().unwrap() == message, "{} bytes", message.len());
    }
    // In pieces, with a ping between them.
    let piece =
        |text: &'static str, kind, is_last| Message::Frame(Piece::message(text, OpCode::Data(kind), is_last));
    socket.send(piece("one ", Data::Text, false)).await.unwrap();
    socket.send(Message::Ping("p".into())).await.unwrap();
    socket.send(piece("two ", Data::Continue, false)).await.unwrap();
    socket.send(piece("three", Data::Continue, true)).await.unwrap();
    assert_eq!(heard(&mut socket).await.unwrap().unwrap(), Message::Pong("p".into()));
    assert_eq!(heard(&mut socket).await.unwrap().unwrap(), Message::text("one two three"));
    let close = CloseFrame { code: CloseCode::Library(4711), reason: "enough".into() };
    socket.close(Some(close.clone())).await.unwrap();
    assert_eq!(heard(&mut socket).await.unwrap().unwrap(), Message::Close(Some(close)));
    assert!(matches!(heard(&mut socket).await, None | Some(Err(_))));
    drop(socket);
    over(&proxy).await;
}

#[tokio::test]
async fn either_side_that_vanishes_takes_the_other_along() {
    let (proxy, _server, socket) = opened("").await;
    drop(socket);
    over(&proxy).await;
    let (proxy, mut server, mut socket) = opened("").await;
    server.tasks.shutdown().await;
    assert!(matches!(heard(&mut socket).await, None | Some(Err(_))));
    drop(socket);
    over(&proxy).await;
}

#[tokio::test]
async fn one_that_is_silent_is_ended_in_time_and_one_that_moves_is_not() {
    let (proxy, _server, mut socket) = opened("[timeouts]\nstream_idle = \"3s\"").await;
    let mut beat = tokio::time::interval(std::time::Duration::from_millis(200));
    for _ in 0..25 {
        beat.tick().await;
        socket.send(Message::text("on")).await.unwrap();
        assert_eq!(heard(&mut socket).await.unwrap().unwrap(), Message::text("on"));
    }
    assert!(matches!(heard(&mut socket).await, None | Some(Err(_))));
    over(&proxy).await;
}

#[tokio::test]
async fn a_drain_ends_what_cannot_be_drained_once_its_time_is_over() {
    let mut config = config_with("");
    config.drain_timeout = std::time::Duration::from_secs(1);
    let (proxy, _server, mut socket) = opened_with(config).await;
    proxy.leave();
    // Until then it goes on.
    socket.send(Message::text("on")).await.unwrap();
    assert_eq!(heard(&mut socket).await.unwrap().unwrap(), Message::text("on"));
    assert!(matches!(heard(&mut socket).await, None | Some(Err(_))));
    tokio::task::spawn_blocking(move || proxy.wait()).await.unwrap();
}

const ASKS: &str = "GET /chat HTTP/1.1\r\nhost: svc\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[tokio::test]
async fn bytes_right_behind_the_request_wait_for_the_yes() {
    let played = Played::start(Protocol::Http1).await;
    let mut client = Raw::connect(played.proxy.listeners[0]).await;
    client.say(format!("{ASKS}GET /hidden HTTP/1.1\r\nhost: svc\r\n\r\n")).await;
    let mut provider = Raw::from(played.provider.accept().await);
    let head = provider.hear_head().await;
    assert!(!head.contains("hidden"), "{head}");
    let more = tokio::time::timeout(std::time::Duration::from_millis(100), provider.hear_some()).await;
    assert!(more.is_err(), "{more:?}");
    provider
        .say("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        .await;
    provider.hear_until("GET /hidden HTTP/1.1\r\nhost: svc\r\n\r\n").await;
}

#[tokio::test]
async fn a_no_leaves_http_as_it_was() {
    let played = Played::start(Protocol::Http1).await;
    for (line, status) in [("200 OK", 200), ("426 Upgrade Required", 426), ("403 Forbidden", 403)] {
        let mut client = Raw::connect(played.proxy.listeners[0]).await;
        client.say(ASKS).await;
        let mut provider = Raw::from(played.provider.accept().await);
        provider.hear_head().await;
        provider.say(format!("HTTP/1.1 {line}\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno")).await;
        let heard = client.hear_until("no").await;
        assert!(heard.starts_with(&format!("HTTP/1.1 {status}")), "{heard}");
        // The next request is one again.
        client.say("GET /next HTTP/1.1\r\nhost: svc\r\n\r\n").await;
        let mut provider = Raw::from(played.provider.accept().await);
        assert!(provider.hear_head().await.starts_with("GET /next"));
    }
}

#[tokio::test]
async fn a_yes_to_what_was_not_asked_is_no_answer() {
    let played = Played::with(Protocol::Http1, "[retries]\nmax = 0").await;
    for lines in ["upgrade: foo\r\n", "", "upgrade: websocket, foo\r\n"] {
        let mut client = Raw::connect(played.proxy.listeners[0]).await;
        client.say(ASKS).await;
        let mut provider = Raw::from(played.provider.accept().await);
        provider.hear_head().await;
        provider
            .say(format!("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n{lines}\r\nsecret"))
            .await;
        let heard = client.hear_head().await;
        assert!(
            heard.starts_with("HTTP/1.1 502") && heard.contains("details=\"upgrade_failed\""),
            "{lines:?}: {heard}"
        );
        assert!(!heard.contains("secret"));
    }
    over(&played.proxy).await;
}
