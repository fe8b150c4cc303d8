//! How connections end: a break stays a break, nothing idles for ever, and a drain lets go on what runs.

use std::io;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use wayside::app::Running;
use wayside::provider::Protocol;

use super::{
    assert_ended, assert_reset, at_rest, config, connect, hear, hear_end, in_flight, pair, proxy, reset,
};
use crate::support::patience::{PATIENCE, at_last};
use crate::support::provider::Script;
use crate::support::proxy::start;
use crate::support::registry::Told;

#[tokio::test]
async fn a_stream_that_the_provider_breaks_off_does_not_look_whole() {
    let provider = Script::start().await;
    let (proxy, _registry) = proxy("", &[provider.address()]);
    let (mut client, mut server) = pair(&proxy, &provider).await;
    server.write_all(b"half of").await.unwrap();
    assert_eq!(hear(&mut client, 7).await, "half of");
    reset(server);
    assert_reset(&mut client).await;
    at_rest(&proxy).await;
    assert_ended(&proxy, "connection_closed", 1.0).await;
    assert_eq!(in_flight(&proxy), [0]);
    let endpoint = &proxy.catalog.service("svc").unwrap().endpoints[0];
    assert_eq!((endpoint.failures, endpoint.state), (0, "available"), "it had spoken");
}

#[tokio::test]
async fn a_client_that_breaks_off_is_no_client_that_ends() {
    let provider = Script::start().await;
    let (proxy, _registry) = proxy("", &[provider.address()]);
    let (client, mut server) = pair(&proxy, &provider).await;
    reset(client);
    assert_reset(&mut server).await;
    at_rest(&proxy).await;
    assert_ended(&proxy, "client_gone", 1.0).await;
}

#[tokio::test]
async fn a_connection_on_which_nothing_moves_is_reset() {
    let provider = Script::start().await;
    let (proxy, _registry) = proxy("[timeouts]\ntcp_idle = \"2s\"", &[provider.address()]);
    let begun = Instant::now();
    let (mut client, mut server) = pair(&proxy, &provider).await;
    assert_reset(&mut client).await;
    assert_reset(&mut server).await;
    // The clean-up looks once a second, at a time that is a second old at most.
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    at_rest(&proxy).await;
    assert_ended(&proxy, "idle", 1.0).await;
}

#[tokio::test]
async fn who_says_something_now_and_then_does_not_idle() {
    let provider = Script::start().await;
    let (proxy, _registry) = proxy("[timeouts]\ntcp_idle = \"3s\"", &[provider.address()]);
    let (mut client, mut server) = pair(&proxy, &provider).await;
    let (mut idle, _silent) = pair(&proxy, &provider).await;
    // As long as it takes another one to be found idle, one side alone says something.
    let mut idling = Box::pin(hear_end(&mut idle));
    let end = loop {
        server.write_all(b".").await.unwrap();
        assert_eq!(hear(&mut client, 1).await, ".");
        if let Ok((_, end)) = tokio::time::timeout(Duration::from_millis(50), &mut idling).await {
            break end;
        }
    };
    assert!(end.is_err());
    client.write_all(b"still here").await.unwrap();
    assert_eq!(hear(&mut server, 10).await, "still here");
}

/// A proxy that gives what runs so long once it is told to stop.
fn draining(timeout: Duration, provider: &Script) -> Running {
    let mut config = config("");
    config.drain_timeout = timeout;
    start(config, Told::with("svc", &[provider.address()]))
}

#[tokio::test]
async fn a_drain_takes_none_and_lets_open_ones_run_until_its_time_is_over() {
    let provider = Script::start().await;
    let proxy = draining(PATIENCE / 2, &provider);
    let (mut one, mut its) = pair(&proxy, &provider).await;
    let (mut other, others) = pair(&proxy, &provider).await;
    proxy.leave();
    at_last("no connection is taken", async || {
        let refused = TcpStream::connect(proxy.listeners[0]).await;
        refused.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    })
    .await;
    one.write_all(b"go on").await.unwrap();
    assert_eq!(hear(&mut its, 5).await, "go on");
    drop(others);
    assert!(hear_end(&mut other).await.1.is_ok(), "it may end by itself meanwhile");
    drop(other);
    assert_reset(&mut one).await;
    assert_reset(&mut its).await;
    proxy.traffic_ended().await;
}

#[tokio::test]
async fn who_still_waits_when_the_time_of_a_drain_is_over_is_reset() {
    let provider = Script::start().await;
    let limits =
        "[services.limits]\nin_flight = 1\nqueue = 1\nqueue_timeout = \"10m\"\n[timeouts]\nrequest = \"10m\"";
    let mut config = config(limits);
    config.drain_timeout = Duration::from_millis(100);
    let proxy = start(config, Told::with("svc", &[provider.address()]));
    let _first = pair(&proxy, &provider).await;
    let mut second = connect(&proxy).await;
    at_last("it waits", async || proxy.metrics.proxy.queue_waiting.get() == 1).await;
    proxy.leave();
    assert_reset(&mut second).await;
}

#[tokio::test]
async fn a_drain_ends_once_the_last_connection_does() {
    let provider = Script::start().await;
    let proxy = draining(PATIENCE * 100, &provider);
    let (client, server) = pair(&proxy, &provider).await;
    proxy.leave();
    drop((client, server));
    let ended = tokio::time::timeout(PATIENCE, proxy.traffic_ended()).await;
    ended.expect("nothing is open any more");
}

#[tokio::test]
async fn connections_to_a_provider_that_leaves_go_on_and_new_ones_go_elsewhere() {
    let (old, new) = (Script::start().await, Script::start().await);
    let (proxy, registry) = proxy("", &[old.address()]);
    let (mut client, mut server) = pair(&proxy, &old).await;
    registry.tell("svc", Protocol::Tcp, &[new.address()]);
    let is_there = || {
        proxy
            .catalog
            .service("svc")
            .unwrap()
            .endpoints
            .iter()
            .any(|it| it.address == new.address().to_string())
    };
    at_last("the new one is known", async || is_there()).await;
    let mut second = connect(&proxy).await;
    let mut its = new.accept().await;
    its.write_all(b"new").await.unwrap();
    assert_eq!(hear(&mut second, 3).await, "new");
    client.write_all(b"still here").await.unwrap();
    assert_eq!(hear(&mut server, 10).await, "still here");
}
