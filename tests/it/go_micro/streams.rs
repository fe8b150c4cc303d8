//! Streams: one provider at the first message, then raw bytes both ways on a connection of their own.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wayside::provider::Protocol;

use super::{ADDED, assert_passed, captured, fronted};
use crate::support::mucp::{Message, Wire};
use crate::support::patience::PATIENCE;
use crate::support::provider::Script;

const STREAMS: [&str; 4] = [
    "v1.18-stream-count.conn1",
    "v1.18-stream-echo.conn1",
    "v2.9-stream-count.conn1",
    "v2.9-stream-echo.conn1",
];

/// Exactly these bytes come next.
async fn must_read(stream: &mut (impl tokio::io::AsyncRead + Unpin), expected: &[u8], context: &str) {
    let mut came = vec![0; expected.len()];
    let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut came)).await;
    read.unwrap_or_else(|_| panic!("{context}: too few bytes")).unwrap();
    assert_eq!(String::from_utf8_lossy(&came), String::from_utf8_lossy(expected), "{context}");
}

/// A stream's first message as it reached the server: its body need not be chunked any more.
fn assert_opened(came: &Message, sent: &Message, context: &str) {
    let mut sent = sent.clone();
    sent.headers.retain(|(name, _)| name != "transfer-encoding");
    assert_passed(came, &sent, &[&ADDED[..], &["content-length"]].concat(), context);
}

#[tokio::test]
async fn captured_streams_pass_byte_for_byte_after_their_first_message() {
    for name in STREAMS {
        let script = Script::start().await;
        let (proxy, _registry) = fronted("greeter", &[script.address()]);
        let messages = Message::all(&captured(name, "c2s"));
        let answers = captured(name, "s2c");
        // All messages at once, the last one included, which is never answered.
        let mut client = Wire::connect(proxy.listeners[0]).await;
        client.say(&captured(name, "c2s")).await;
        let mut server = Wire::new(script.accept().await);
        assert_opened(&server.must_hear().await, &messages[0].0, name);
        for (message, _) in &messages[1..] {
            assert_eq!(server.must_hear().await, *message, "{name}");
        }
        for piece in answers.chunks(7) {
            server.say(piece).await;
        }
        must_read(&mut client.stream, &answers, name).await;
        drop(client);
        server.must_end().await;
    }
}

#[tokio::test]
async fn a_stream_goes_back_and_forth() {
    for name in ["v1.18-stream-echo.conn1", "v2.9-stream-echo.conn1"] {
        let script = Script::start().await;
        let (proxy, _registry) = fronted("greeter", &[script.address()]);
        let messages = Message::all(&captured(name, "c2s"));
        let answers = Message::all(&captured(name, "s2c"));
        let mut client = Wire::connect(proxy.listeners[0]).await;
        client.say(&messages[0].1).await;
        let mut server = script.accept().await;
        let mut head = vec![0; 64 * 1024];
        assert!(server.read(&mut head).await.unwrap() > 0);
        for ((_, message), (_, answer)) in messages[1..].iter().zip(&answers) {
            client.say(message).await;
            must_read(&mut server, message, name).await;
            server.write_all(answer).await.unwrap();
            must_read(&mut client.stream, answer, name).await;
        }
        // The last message is never answered; nor may its being sent end the stream.
        let last = &messages[messages.len() - 1].1;
        client.say(last).await;
        must_read(&mut server, last, name).await;
        // The server's end ends the client's.
        drop(server);
        client.must_end().await;
    }
}

#[tokio::test]
async fn a_stream_has_a_connection_of_its_own() {
    let script = Script::start().await;
    let (proxy, _registry) = fronted("greeter", &[script.address()]);
    let mut client = Wire::connect(proxy.listeners[0]).await;
    client.say(&captured("v1.18-json.conn1", "c2s")).await;
    let mut calls = Wire::new(script.accept().await);
    calls.must_hear().await;
    calls.say(&captured("v1.18-json.conn1", "s2c")).await;
    client.must_hear().await;
    client.say(&captured("v1.18-stream-count.conn1", "c2s")).await;
    let mut stream = Wire::new(script.accept().await);
    assert_eq!(stream.must_hear().await.header("micro-stream"), Some("0"));
}

#[tokio::test]
async fn a_stream_opens_elsewhere_when_its_server_cannot_be_reached() {
    let script = Script::start().await;
    let dead = Script::start().await.address();
    let (proxy, registry) = fronted("greeter", std::slice::from_ref(&dead));
    let name = "v1.18-stream-echo.conn1";
    let messages = Message::all(&captured(name, "c2s"));
    // With no other server the client is told.
    let mut client = Wire::connect(proxy.listeners[0]).await;
    client.say(&messages[0].1).await;
    let answer = client.must_hear().await;
    assert_eq!((&*answer.start, answer.header("content-length")), ("HTTP/1.1 200 OK", Some("0")));
    assert!(answer.header("micro-error").is_some_and(|error| error.contains("\"code\":502")), "{answer:?}");
    registry.tell("greeter", Protocol::Mucp, &[dead, script.address()]);
    crate::support::patience::eventually(PATIENCE, "the proxy hears of the other", || {
        let status = proxy.catalog.service("greeter")?;
        (status.claims[0].endpoints == 2).then_some(())
    })
    .await;
    for _ in 0..4 {
        let mut client = Wire::connect(proxy.listeners[0]).await;
        client.say(&captured(name, "c2s")).await;
        let mut server = Wire::new(script.accept().await);
        assert_opened(&server.must_hear().await, &messages[0].0, name);
        assert_eq!(server.must_hear().await, messages[1].0);
    }
}
