//! Single calls: captured ones byte for byte, empty ones, large ones, and what they carry.

use http::Request;
use http_body_util::Full;
use wayside::provider::Protocol;

use super::{ADDED, assert_passed, captured, fronted, served};
use crate::support::client::Client;
use crate::support::mucp::{Caller, Message, Server, Wire};
use crate::support::provider::Echo;
use crate::support::proxy::{config, start};
use crate::support::registry::Told;

/// Captured connections on which every call was answered.
const ANSWERED: [&str; 15] = [
    "v1.18-empty.conn1",
    "v1.18-err400-json.conn1",
    "v1.18-err400-pb.conn1",
    "v1.18-err500-pb.conn1",
    "v1.18-errplain.conn1",
    "v1.18-json.conn1",
    "v1.18-noendpoint.conn1",
    "v1.18-ok.conn1",
    "v1.18-timeout.conn1",
    "v1.18-timeout.conn2",
    "v2.9-empty.conn1",
    "v2.9-err400-json.conn1",
    "v2.9-errplain.conn1",
    "v2.9-json.conn1",
    "v2.9-timeout.conn2",
];

/// Captured messages with deadlines that a busy machine cannot miss.
fn patient(captured: Vec<u8>) -> Vec<(Message, Vec<u8>)> {
    let mut text = String::from_utf8(captured).unwrap();
    for short in ["300000000", "1000000000", "5000000000"] {
        text = text.replace(&format!("\r\nTimeout: {short}\r\n"), "\r\nTimeout: 30000000000\r\n");
    }
    Message::all(text.as_bytes())
}

#[tokio::test]
async fn captured_calls_and_their_answers_pass_as_they_are() {
    for name in ANSWERED {
        let (calls, answers) = (patient(captured(name, "c2s")), patient(captured(name, "s2c")));
        assert_eq!(calls.len(), answers.len(), "{name}");
        let server = Server::replaying(answers.iter().map(|(_, bytes)| bytes.clone()).collect()).await;
        let (proxy, _) = fronted("greeter", &[server.address()]);
        let mut client = Wire::connect(proxy.listeners[0]).await;
        for ((_, call), (answer, _)) in calls.iter().zip(&answers) {
            client.say(call).await;
            assert_passed(&client.must_hear().await, answer, &["via", "date"], name);
        }
        server.seen(|seen| {
            assert_eq!((seen.reached.len(), seen.accepted), (calls.len(), 1), "{name}");
            for (reached, (call, _)) in seen.reached.iter().zip(&calls) {
                assert_passed(&reached.message, call, &ADDED, name);
            }
        });
    }
}

#[tokio::test]
async fn an_empty_message_stays_chunked() {
    let (server, proxy) = served().await;
    let mut client = Wire::connect(proxy.listeners[0]).await;
    client.say(&captured("v1.18-empty.conn1", "c2s")).await;
    client.must_hear().await;
    server.seen(|seen| {
        let message = &seen.reached[0].message;
        assert_eq!(message.header("transfer-encoding"), Some("chunked"));
        assert_eq!((message.header("content-length"), message.body.len()), (None, 0));
    });
}

#[tokio::test]
async fn a_large_answer_in_small_pieces_arrives_whole() {
    let (_server, proxy) = served().await;
    let answer = Caller::new(proxy.listeners[0]).call("greeter", "big").await.unwrap();
    assert_eq!(answer.body, [b'x'; 100_000]);
    assert_eq!(answer.header("content-length"), Some("100000"));
}

#[tokio::test]
async fn metadata_passes_whatever_it_is() {
    let (server, proxy) = served().await;
    let mut caller = Caller::new(proxy.listeners[0]);
    caller.metadata = vec![
        ("Authorization", "Bearer secret".to_owned()),
        ("X-Nobody-Knows", "a, b;c=\"d\"".to_owned()),
        ("Micro-Trace-Id", "77defe5b".to_owned()),
        ("Long", "l".repeat(8_000)),
    ];
    let answer = caller.call("greeter", "hello").await.unwrap();
    server.seen(|seen| {
        for (name, value) in &caller.metadata {
            let name = name.to_ascii_lowercase();
            assert_eq!(seen.reached[0].message.header(&name), Some(&**value));
            assert_eq!(answer.header(&name), Some(&**value));
        }
    });
}

#[tokio::test]
async fn a_server_is_never_asked_to_expect() {
    let (server, proxy) = served().await;
    let mut caller = Caller::new(proxy.listeners[0]);
    caller.metadata = vec![("Expect", "something".to_owned())];
    caller.call("greeter", "hello").await.unwrap();
    assert_eq!(server.seen(|seen| seen.reached[0].message.header("expect").map(str::to_owned)), None);
}

#[tokio::test]
async fn the_word_of_a_server_of_another_service_is_passed_on() {
    let server = Server::start("stranger").await;
    let (proxy, _) = fronted("greeter", &[server.address()]);
    let error = Caller::new(proxy.listeners[0]).call("greeter", "hello").await.unwrap_err();
    assert_eq!(error, "rpc: can't find service Say");
}

#[tokio::test]
async fn a_deadline_beyond_all_measure_is_no_matter() {
    let (_server, proxy) = served().await;
    let mut caller = Caller::new(proxy.listeners[0]);
    for timeout in [u64::MAX, i64::MAX.unsigned_abs()] {
        caller.timeout = timeout;
        caller.call("greeter", "hello").await.unwrap();
    }
    let echo = Echo::start().await;
    let proxy = start(config(), Told::with("greeter", &[echo.address()]));
    let mut client = Client::connect(proxy.listeners[0]).await;
    let request = Request::post("/greeter.Say/Hello").header("host", "127.0.0.1");
    let request = request.header("content-type", "application/grpc").header("grpc-timeout", "99999999H");
    let answer = client.send(request.body(Full::from("x")).unwrap()).await;
    assert_eq!(answer.headers().get("grpc-status"), None);
    assert_eq!(echo.requests(), 1);
}

#[tokio::test]
async fn a_mucp_server_is_never_spoken_to_by_http2() {
    let (server, proxy) = served().await;
    let stream = tokio::net::TcpStream::connect(proxy.listeners[0]).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("http://127.0.0.1/").header("micro-service", "greeter");
    let request = request.header("micro-id", "0").body(Full::<bytes::Bytes>::from("hello")).unwrap();
    let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
    let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
    assert_eq!((parts.status.as_u16(), body.ends_with(b" hello")), (200, true));
    server.seen(|seen| {
        assert!(!seen.http2);
        assert_eq!(seen.reached[0].message.start, "POST / HTTP/1.1");
    });
}

#[tokio::test]
async fn grpc_and_mucp_servers_of_one_system_are_told_apart() {
    let echo = Echo::start().await;
    let server = Server::start("greeter").await;
    let registry = Told::new();
    registry.tell("greeter", Protocol::Mucp, &[server.address()]);
    registry.tell("greeter.grpc", Protocol::H2c, &[echo.address()]);
    let proxy = start(config(), registry);
    Caller::new(proxy.listeners[0]).call("greeter", "hello").await.unwrap();
    let mut client = Client::connect(proxy.listeners[0]).await;
    let request = Request::post("/greeter.grpc.Say/Hello").header("host", "127.0.0.1");
    let request = request.header("content-type", "application/grpc").body(Full::from("x")).unwrap();
    let told = crate::support::provider::told(&client.send(request).await);
    assert_eq!((&told["version"], server.seen(|seen| seen.accepted)), (&"HTTP/2.0".into(), 1));
}
