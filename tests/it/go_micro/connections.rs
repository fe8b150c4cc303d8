//! Connections: whose they are, how long they live, and what becomes of calls when servers come and go.

use std::time::Duration;

use tokio::task::JoinSet;
use wayside::provider::{Address, Protocol};

use super::{captured, fronted, served};
use crate::support::client::Raw;
use crate::support::mucp::{Caller, Server, Wire};
use crate::support::patience::{PATIENCE, eventually};
use crate::support::provider::Script;
use crate::support::proxy::{config, start};
use crate::support::registry::Told;

#[tokio::test]
async fn no_answer_is_lost_among_clients_that_all_count_from_0() {
    const CLIENTS: usize = 12;
    const CALLS: usize = 50;
    let servers = [Server::start("greeter").await, Server::start("greeter").await];
    let (proxy, _registry) = fronted("greeter", &servers.each_ref().map(Server::address));
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let address = proxy.listeners[0];
        clients.spawn(async move {
            let mut caller = Caller::new(address);
            caller.metadata = vec![("Authorization", format!("Bearer {client}"))];
            for call in 0..CALLS {
                let body = format!("{client}-{call}");
                let answer = caller.call("greeter", &body).await.unwrap();
                assert!(answer.body.ends_with(body.as_bytes()), "{answer:?}");
                assert_eq!(answer.header("micro-id"), Some(&*call.to_string()));
                // Another's headers would come back on a connection that had been another's.
                assert_eq!(answer.header("authorization"), Some(&*format!("Bearer {client}")));
            }
        });
    }
    clients.join_all().await;
    let reached: usize = servers.iter().map(|server| server.seen(|seen| seen.reached.len())).sum();
    assert_eq!(reached, CLIENTS * CALLS);
    for server in &servers {
        server.seen(|seen| assert!(seen.accepted <= CLIENTS, "one connection per client at most"));
    }
}

#[tokio::test]
async fn a_connection_to_a_server_belongs_to_one_client_connection_and_ends_with_it() {
    let (server, proxy) = served().await;
    let call = captured("v1.18-json.conn1", "c2s");
    let mut first = Wire::connect(proxy.listeners[0]).await;
    let mut second = Wire::connect(proxy.listeners[0]).await;
    for _ in 0..2 {
        for client in [&mut first, &mut second] {
            client.say(&call).await;
            client.must_hear().await;
        }
    }
    server.seen(|seen| {
        let connections: Vec<usize> = seen.reached.iter().map(|reached| reached.connection).collect();
        assert_eq!((connections, seen.ended), (vec![0, 1, 0, 1], 0));
    });
    drop(first);
    eventually(PATIENCE, "its server connection ends", || {
        server.seen(|seen| (seen.ended == 1).then_some(()))
    })
    .await;
    second.say(&call).await;
    second.must_hear().await;
    assert_eq!(server.seen(|seen| (seen.accepted, seen.ended)), (2, 1));
}

#[tokio::test]
async fn what_a_server_sends_after_its_answer_to_head_reaches_no_call() {
    let (server, proxy) = served().await;
    for _ in 0..5 {
        let mut client = Raw::connect(proxy.listeners[0]).await;
        let before = server.seen(|seen| seen.ended);
        client.say("HEAD / HTTP/1.1\r\nHost: a\r\nMicro-Service: greeter\r\nMicro-Id: 0\r\n\r\n").await;
        assert!(client.hear_until("\r\n\r\n").await.starts_with("HTTP/1.1 200"));
        client.say(captured("v1.18-json.conn1", "c2s")).await;
        let answer = client.hear_until("John\"}\n").await;
        assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("micro-error"), "{answer}");
        eventually(PATIENCE, "that connection ends", || {
            server.seen(|seen| (seen.ended > before).then_some(()))
        })
        .await;
    }
}

#[tokio::test]
async fn a_client_that_gives_up_frees_its_server() {
    let (server, proxy) = served().await;
    let mut client = Wire::connect(proxy.listeners[0]).await;
    let call = String::from_utf8(captured("v1.18-json.conn1", "c2s")).unwrap();
    let (head, _) = call.split_once("\r\n\r\n").unwrap();
    let head = head.replace("Content-Length: 16", "Content-Length: 4");
    client.say(format!("{head}\r\n\r\nhold").as_bytes()).await;
    eventually(PATIENCE, "the call arrives", || server.seen(|seen| seen.reached.first().map(|_| ()))).await;
    drop(client);
    eventually(PATIENCE, "its connection ends", || server.seen(|seen| (seen.ended == 1).then_some(()))).await;
}

#[tokio::test]
async fn a_call_goes_elsewhere_when_its_server_cannot_be_reached() {
    let server = Server::start("greeter").await;
    let (proxy, registry) = fronted("greeter", &[server.address()]);
    let dead: Vec<Address> =
        [Script::start().await, Script::start().await].iter().map(Script::address).collect();
    registry.tell("greeter", Protocol::Mucp, &[dead[0].clone(), dead[1].clone(), server.address()]);
    for _ in 0..6 {
        // One client after the other, so that each call needs a connection.
        Caller::new(proxy.listeners[0]).call("greeter", "hello").await.unwrap();
    }
    assert_eq!(server.seen(|seen| seen.reached.len()), 6);
}

#[tokio::test]
async fn servers_that_end_and_are_withdrawn_cost_no_call() {
    let mut servers = Vec::new();
    for _ in 0..4 {
        servers.push(Server::start("greeter").await);
    }
    let addresses = |servers: &[Server]| servers.iter().map(Server::address).collect::<Vec<_>>();
    let (proxy, registry) = fronted("greeter", &addresses(&servers));
    let mut caller = Caller::new(proxy.listeners[0]);
    while servers.len() > 1 {
        for _ in 0..8 {
            caller.call("greeter", "hello").await.unwrap();
        }
        // A server that is told to end closes its port and cuts what is open before everybody has heard of it.
        servers.pop().unwrap().end().await;
        caller.call("greeter", "hello").await.unwrap();
        Caller::new(proxy.listeners[0]).call("greeter", "hello").await.unwrap();
        registry.tell("greeter", Protocol::Mucp, &addresses(&servers));
    }
}

/// Demands that the proxy drains: it closes what ordinary clients keep.
async fn must_drain(ordinary: &mut Raw) {
    ordinary.hear_all().await;
}

#[tokio::test]
async fn a_pooled_connection_lives_on_through_a_drain_and_after_the_call_in_flight() {
    let script = Script::start().await;
    let (proxy, _registry) = fronted("greeter", &[script.address()]);
    let call = captured("v1.18-json.conn1", "c2s");
    let answer = captured("v1.18-json.conn1", "s2c");
    let mut ordinary = Raw::connect(proxy.listeners[0]).await;
    let mut client = Wire::connect(proxy.listeners[0]).await;
    client.say(&call).await;
    let mut server = Wire::new(script.accept().await);
    server.must_hear().await;
    proxy.leave();
    must_drain(&mut ordinary).await;
    // The sweep that closed the other connection saw this one too.
    server.say(&answer).await;
    assert_eq!(client.must_hear().await.header("connection"), None, "its client would not heed it");
    client.say(&call).await;
    // While draining, idle connections to servers are let go; the call finds a way.
    let mut next = tokio::select! {
        next = script.accept() => Wire::new(next),
        Some(_) = server.hear() => server,
    };
    next.say(&answer).await;
    assert_eq!(client.must_hear().await.start, "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn an_idle_connection_that_no_client_keeps_any_more_is_reaped() {
    let server = Server::start("greeter").await;
    let registry = Told::new();
    registry.tell("greeter", Protocol::Mucp, &[server.address()]);
    let mut config = config();
    config.proxy.go_micro_keep = Duration::ZERO;
    let proxy = start(config, registry);
    let mut client = Wire::connect(proxy.listeners[0]).await;
    client.say(&captured("v2.9-json.conn1", "c2s")).await;
    client.must_hear().await;
    proxy.leave();
    client.must_end().await;
    eventually(PATIENCE, "its server connection ends", || {
        server.seen(|seen| (seen.ended == 1).then_some(()))
    })
    .await;
}
