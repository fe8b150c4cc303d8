//! Errors of the proxy's own, in the one form that a Go Micro client understands.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{captured, fronted, served};
use crate::support::mucp::{Caller, Message, Server, Wire};
use crate::support::patience::{PATIENCE, eventually};
use crate::support::provider::Script;

/// Captured connections on which the only call was never answered.
const UNANSWERED: [&str; 6] = [
    "v2.9-err400-pb.conn1",
    "v2.9-err500-pb.conn1",
    "v2.9-noendpoint.conn1",
    "v2.9-ok.conn1",
    "v2.9-ok.conn2",
    "v2.9-timeout.conn1",
];

/// The error of an answer whose form is the only one allowed; its code and detail.
fn told(answer: &Message) -> (u64, String) {
    assert_eq!(answer.start, "HTTP/1.1 200 OK");
    assert_eq!(answer.header("content-length"), Some("0"));
    assert_eq!(answer.header("connection"), None);
    read(answer.header("micro-error").expect("a Micro-Error"))
}

fn read(error: &str) -> (u64, String) {
    let error: Value = serde_json::from_str(error).unwrap_or_else(|_| panic!("no error: {error}"));
    let text = |field: &str| error[field].as_str().unwrap().to_owned();
    assert_eq!((text("id"), text("status").is_empty()), ("wayside".to_owned(), false));
    (error["code"].as_u64().unwrap(), text("detail"))
}

#[tokio::test]
async fn an_unknown_service_and_one_without_providers_are_told_in_its_form() {
    let (proxy, _registry) = fronted("empty", &[]);
    let call = String::from_utf8(captured("v1.18-json.conn1", "c2s")).unwrap();
    for (service, detail) in
        [("greeter", "knows no service greeter"), ("empty", "service empty has no provider")]
    {
        let mut client = Wire::connect(proxy.listeners[0]).await;
        let call = call.replace("Micro-Service: greeter", &format!("Micro-Service: {service}"));
        client.say(call.as_bytes()).await;
        let (code, told) = told(&client.must_hear().await);
        assert_eq!((code, told.contains(detail)), (503, true), "{told}");
    }
}

#[tokio::test]
async fn a_call_that_is_never_answered_ends_at_its_deadline() {
    for name in UNANSWERED {
        let server = Server::replaying(Vec::new()).await;
        let (proxy, _registry) = fronted("greeter", &[server.address()]);
        let call = String::from_utf8(captured(name, "c2s")).unwrap();
        assert!(captured(name, "s2c").is_empty());
        let call = call.replace("Timeout: 5000000000", "Timeout: 0200000000");
        let mut client = Wire::connect(proxy.listeners[0]).await;
        client.say(call.as_bytes()).await;
        let (code, told) = told(&client.must_hear().await);
        assert_eq!((code, told.contains("no answer within")), (408, true), "{name}: {told}");
        // The id is in use for ever on that connection, so the connection must not be used again.
        eventually(PATIENCE, "the server's connection ends", || {
            server.seen(|seen| (seen.ended == 1).then_some(()))
        })
        .await;
    }
}

#[tokio::test]
async fn a_deadline_is_in_nanoseconds() {
    let (_server, proxy) = served().await;
    let mut caller = Caller::new(proxy.listeners[0]);
    caller.timeout = 300_000_000;
    let begun = Instant::now();
    let (code, told) = read(&caller.call("greeter", "hold").await.unwrap_err());
    assert_eq!((code, told.contains("no answer within 300ms")), (408, true), "{told}");
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_call_cut_in_flight_is_not_repeated() {
    let servers = [Server::start("greeter").await, Server::start("greeter").await];
    let (proxy, _registry) = fronted("greeter", &servers.each_ref().map(Server::address));
    let (code, told) = read(&Caller::new(proxy.listeners[0]).call("greeter", "cut").await.unwrap_err());
    assert_eq!((code, told.contains("closed the connection")), (502, true), "{told}");
    let reached: usize = servers.iter().map(|server| server.seen(|seen| seen.reached.len())).sum();
    assert_eq!(reached, 1, "it may have had its effect");
}

#[tokio::test]
async fn nothing_but_one_final_200_comes_back() {
    let script = Script::start().await;
    let (proxy, _registry) = fronted("greeter", &[script.address()]);
    let mut client = Wire::connect(proxy.listeners[0]).await;
    client.say(&captured("v1.18-json.conn1", "c2s")).await;
    let mut server = Wire::new(script.accept().await);
    server.must_hear().await;
    server.say(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let answer = client.must_hear().await;
    assert_eq!((&*answer.start, &*answer.body), ("HTTP/1.1 200 OK", &b"ok"[..]));
}

#[tokio::test]
async fn what_is_not_http_is_told_in_its_form() {
    let script = Script::start().await;
    let (proxy, _registry) = fronted("greeter", &[script.address()]);
    let mut client = Wire::connect(proxy.listeners[0]).await;
    client.say(&captured("v2.9-json.conn1", "c2s")).await;
    let mut server = Wire::new(script.accept().await);
    server.must_hear().await;
    server.say(b"SSH-2.0-OpenSSH\r\n\r\n").await;
    assert_eq!(told(&client.must_hear().await).0, 502);
}
