//! Timeouts: each limit ends what it bounds, and says so.

use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};
use tokio::io::AsyncReadExt as _;
use wayside::provider::Address;

use super::{Played, body, get, line, status};
use crate::support::client::Raw;
use crate::support::patience::{PATIENCE, eventually};
use crate::support::proxy::{config_with, start};
use crate::support::registry::Told;

/// An address at which connections neither come about nor fail: its queue is full.
fn unresponsive() -> (Address, Vec<Socket>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut sockets = vec![listener];
    for _ in 0..4 {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        // It is under way: what becomes of it is not this test's business.
        let _ = socket.connect(&address);
        sockets.push(socket);
    }
    (address.as_socket().unwrap().into(), sockets)
}

#[tokio::test]
async fn a_connection_has_its_time() {
    let (address, _sockets) = unresponsive();
    let config = config_with("[timeouts]\nconnect = \"100ms\"\n[retries]\nmax = 0");
    let proxy = start(config, Told::with("svc", &[address]));
    let mut client = Raw::connect(proxy.listeners[0]).await;
    client.say(get("connection: close\r\n")).await;
    let heard = client.hear_all().await;
    assert_eq!(status(&heard), 504);
    let told = line(&heard, "proxy-status").unwrap();
    assert!(
        told.contains("error=connection_timeout") && told.contains("details=\"connection_timeout\""),
        "{told}"
    );
}

#[tokio::test]
async fn a_request_has_its_time_and_its_provider_is_let_go() {
    let played = Played::with(config_with("[timeouts]\nrequest = \"1s\"")).await;
    let (mut client, mut provider, _) = played.asked(&get("")).await;
    let heard = client.hear_head().await;
    assert_eq!(status(&heard), 504);
    assert!(line(&heard, "proxy-status").unwrap().contains("details=\"deadline\""), "{heard}");
    provider.hear_all().await;
    // An answer under way is not bounded by it: one that began later runs out of time while it is.
    let (mut client, mut provider, _) = played.asked(&get("")).await;
    provider.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no").await;
    client.hear_until("o").await;
    let (mut later, _later_provider, _) = played.asked(&get("")).await;
    assert_eq!(status(&later.hear_head().await), 504);
    provider.say("k").await;
    client.hear_until("k").await;
    played.settled().await;
}

#[tokio::test]
async fn an_attempt_has_its_time_and_another_provider_its_turn() {
    let config = config_with("[timeouts]\nattempt = \"1s\"\n[retries]\nmax = 1");
    let played = Played::with(config).await;
    let (mut client, mut first, _) = played.asked(&get("")).await;
    let mut second = Raw::from(played.provider.accept().await);
    second.hear_head().await;
    first.hear_all().await;
    second.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    client.hear_until("ok").await;
    // What is not idempotent has one attempt.
    client.say("POST /x HTTP/1.1\r\nhost: svc\r\ncontent-length: 0\r\n\r\n").await;
    let heard = client.hear_head().await;
    assert_eq!(status(&heard), 504);
    assert!(line(&heard, "proxy-status").unwrap().contains("details=\"attempt_timeout\""), "{heard}");
    assert_eq!(played.proxy.metrics.proxy.retries_total.get(), 1);
}

#[tokio::test]
async fn a_head_a_body_and_an_idle_connection_have_theirs() {
    let config = config_with(
        "[timeouts]\nheader = \"100ms\"\nstream_idle = \"1s\"\nclient_idle = \"1s\"\nrequest = \"10s\"",
    );
    let played = Played::with(config).await;
    let mut slow = played.client().await;
    slow.say("GET / HTTP/1.1\r\nhos").await;
    let mut idle = played.client().await;
    let (mut stalled, mut provider, _) = played.asked(&get("")).await;
    provider.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no").await;
    let (mut patient, mut thinking, _) = played.asked(&get("")).await;
    let heard = slow.hear_all().await;
    assert!(status(&heard) == 408 && body(&heard).contains("header under [timeouts]"), "{heard}");
    assert!(line(&heard, "proxy-status").unwrap().ends_with("details=\"head_timeout\""), "{heard}");
    assert_eq!(idle.hear_all().await, "");
    assert!(stalled.hear_all().await.ends_with('o'));
    provider.hear_all().await;
    // A provider that thinks for longer than a body may stall is bounded by the request's time alone.
    let others_gone = || (played.proxy.metrics.proxy.connections_open.get() == 1).then_some(());
    eventually(PATIENCE, "the others are closed", others_gone).await;
    thinking.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    patient.hear_until("ok").await;
}

#[tokio::test]
async fn an_answer_that_is_given_up_does_not_look_whole_to_an_old_client() {
    let played = Played::with(config_with("[timeouts]\nstream_idle = \"1s\"")).await;
    let (mut client, mut provider, _) = played.asked("GET /x HTTP/1.0\r\nhost: svc\r\n\r\n").await;
    provider.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    client.hear_until("hello").await;
    let end = client.stream.read(&mut [0; 16]).await;
    assert!(end.is_err(), "an end in good order would say that all came: {end:?}");
    provider.hear_all().await;
    played.settled().await;
}

#[tokio::test]
async fn an_answer_that_outlasts_a_drain_does_not_look_whole_to_an_old_client() {
    let mut config = config_with("");
    config.drain_timeout = std::time::Duration::from_millis(100);
    let played = Played::with(config).await;
    let (mut client, mut provider, _) = played.asked("GET /x HTTP/1.0\r\nhost: svc\r\n\r\n").await;
    provider.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    client.hear_until("hello").await;
    played.proxy.leave();
    let end = client.stream.read(&mut [0; 16]).await;
    assert!(end.is_err(), "an end in good order would say that all came: {end:?}");
}

/// The deadline of Envoy's own making: it sets none here, and goes on to the provider as any other header does.
#[tokio::test]
async fn what_envoy_expects_of_itself_is_no_limit_of_ours() {
    let played = Played::with(config_with("[timeouts]\nrequest = \"1500ms\"")).await;
    let begun = std::time::Instant::now();
    let (mut client, _provider, heard) = played.asked(&get("x-envoy-expected-rq-timeout-ms: 10\r\n")).await;
    assert_eq!(line(&heard, "x-envoy-expected-rq-timeout-ms"), Some("10"), "{heard}");
    assert_eq!(status(&client.hear_head().await), 504);
    assert!(begun.elapsed() >= std::time::Duration::from_millis(1500), "{:?}", begun.elapsed());
}
