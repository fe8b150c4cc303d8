//! Raw connections: bytes of a client that go to one provider and back, whatever they say.

mod balancing;
mod bounds;
mod ending;
mod opening;
mod passing;
mod redis;
mod size;
mod telling;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use wayside::app::Running;
use wayside::config::Config;
use wayside::provider::{Address, Protocol};

use crate::support::patience::{PATIENCE, eventually};
use crate::support::provider::Script;
use crate::support::proxy::{config_with, start};
use crate::support::registry::Told;

/// A configuration whose one listener passes bytes on to `svc`, with this in its file.
fn config(sections: &str) -> Config {
    let listener = "[[listener]]\naddress = \"127.0.0.1:0\"\nprotocol = \"tcp\"\nservice = \"svc\"\n";
    let mut config = config_with(&format!("{listener}{sections}"));
    config.listeners[0].raw = Some("svc".parse().unwrap());
    config
}

/// A proxy of that kind, and the registry that it follows.
fn proxy(sections: &str, addresses: &[Address]) -> (Running, Arc<Told>) {
    let registry = Told::new();
    registry.tell("svc", Protocol::Tcp, addresses);
    (start(config(sections), registry.clone()), registry)
}

/// The address of a provider that is not there.
async fn dead() -> Address {
    Script::start().await.address()
}

async fn connect(proxy: &Running) -> TcpStream {
    TcpStream::connect(proxy.listeners[0]).await.unwrap()
}

/// Both ends of one connection that is passed on, and has shown it.
async fn pair(proxy: &Running, provider: &Script) -> (TcpStream, TcpStream) {
    let mut client = connect(proxy).await;
    let mut server = provider.accept().await;
    server.write_all(b"?").await.unwrap();
    assert_eq!(hear(&mut client, 1).await, "?");
    (client, server)
}

/// The next bytes, so many.
async fn hear(stream: &mut TcpStream, count: usize) -> String {
    let mut bytes = vec![0; count];
    let read = timeout(PATIENCE, stream.read_exact(&mut bytes)).await;
    read.unwrap_or_else(|_| panic!("{count} bytes should come")).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Everything up to the end, and how that was: good order, or a reset.
async fn hear_end(stream: &mut TcpStream) -> (String, io::Result<()>) {
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("an end should come");
    (String::from_utf8(bytes).unwrap(), read.map(drop))
}

/// Asserts that nothing comes any more, and that the end is a reset.
async fn assert_reset(stream: &mut TcpStream) {
    let (heard, end) = hear_end(stream).await;
    assert_eq!(heard, "");
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

/// Asserts that a new connection is reset at once, which may be before it is told to have come about.
async fn assert_turned_away(address: SocketAddr) {
    match TcpStream::connect(address).await {
        Ok(mut stream) => assert_reset(&mut stream).await,
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
}

/// Ends a connection by a reset.
fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// The value of a metric, by the whole of its name and labels; 0 where it is not there.
fn metric(proxy: &Running, series: &str) -> f64 {
    let text = proxy.metrics.render(&[]);
    let found = text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
    found.unwrap_or_default()
}

/// Waits for a value of a metric: a client sees its connection end before the proxy comes to count that.
async fn assert_metric(proxy: &Running, series: &str, expected: f64) {
    let is_there = || (metric(proxy, series) == expected).then_some(());
    eventually(PATIENCE, &format!("{series} is {expected}"), is_there).await;
}

/// Waits until so many raw connections have ended for a reason.
async fn assert_ended(proxy: &Running, reason: &str, expected: f64) {
    let series = format!("wayside_raw_connections_total{{reason=\"{reason}\",service=\"svc\"}}");
    assert_metric(proxy, &series, expected).await;
}

/// What is open at each provider of `svc`, in order of their ports.
fn in_flight(proxy: &Running) -> Vec<u32> {
    let service = proxy.catalog.service("svc").unwrap();
    service.endpoints.iter().map(|endpoint| endpoint.in_flight).collect()
}

/// Waits until no raw connection is open any more.
async fn at_rest(proxy: &Running) {
    let none_open = || (metric(proxy, "wayside_raw_connections_open{service=\"svc\"}") == 0.0).then_some(());
    eventually(PATIENCE, "all connections end", none_open).await;
}

/// The port that somebody connected to, in the word that it says first.
async fn port_told(address: SocketAddr) -> Option<u16> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let mut told = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut told)).await.expect("it should end").ok()?;
    told.parse().ok()
}
