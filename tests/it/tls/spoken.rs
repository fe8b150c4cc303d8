//! What is spoken under TLS: HTTP/1.1, HTTP/2, upgrades and Go Micro's streams, just as in clear text.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wayside::provider::Protocol;

use super::Believer;
use crate::support::certificates::{Authority, accept};
use crate::support::client::Raw;
use crate::support::provider::{Echo, Script, told, told_header};

#[tokio::test]
async fn http1_reaches_a_provider_whose_certificate_bears_its_ip_address() {
    let authority = Authority::new("one");
    let echo = Echo::secure(authority.issue("127.0.0.1").server(&["h2", "http/1.1"])).await;
    let mut it = Believer::new(&authority, Protocol::Http1, &[echo.address()]).await;
    for _ in 0..10 {
        let request =
            Request::post("/a?b").header("host", "svc").body(Full::from("x".repeat(100_000))).unwrap();
        let told = told(&it.client.send(request).await);
        assert_eq!((&told["version"], &told["target"]), (&"HTTP/1.1".into(), &"/a?b".into()));
        assert_eq!(
            (&told["tls"]["alpn"], told["body"].as_str().unwrap().len()),
            (&"http/1.1".into(), 100_000)
        );
        // An address is no name that could be sent (RFC 6066, section 3).
        assert!(told["tls"]["name"].is_null());
        // What the client says stays as it is: it spoke clear text with this proxy.
        assert_eq!(told_header(&told, "host"), ["svc"]);
        assert_eq!(told_header(&told, "x-forwarded-proto"), ["http"]);
    }
    assert_eq!(echo.connections(), 1, "connections are kept under TLS too");
    let endpoint = &it.proxy.catalog.service("svc").unwrap().endpoints[0];
    assert!(endpoint.tls, "operators are told");
}

#[tokio::test]
async fn http1_needs_no_agreement_about_itself() {
    let authority = Authority::new("one");
    let echo = Echo::secure(authority.issue("127.0.0.1").server(&[])).await;
    let mut it = Believer::new(&authority, Protocol::Http1, &[echo.address()]).await;
    assert_eq!(told(&it.get().await)["version"], "HTTP/1.1");
}

#[tokio::test]
async fn a_name_is_sent_and_expected_in_place_of_the_address() {
    let authority = Authority::new("one");
    let echo = Echo::secure(authority.issue("greeter.internal").server(&[])).await;
    let line = "server_name = \"greeter.internal\"";
    let mut it = Believer::with(&authority, line, Protocol::Http1, &[echo.address()]).await;
    assert_eq!(told(&it.get().await)["tls"]["name"], "greeter.internal");
    // A record with a name is held against that.
    let echo = Echo::secure(authority.issue("localhost").server(&[])).await;
    let address = format!("localhost:{}", echo.address().port()).parse().unwrap();
    let mut it = Believer::new(&authority, Protocol::Http1, &[address]).await;
    assert_eq!(told(&it.get().await)["tls"]["name"], "localhost");
}

#[tokio::test]
async fn grpc_goes_over_http2_as_agreed_in_the_handshake() {
    let authority = Authority::new("one");
    let echo = Echo::secure(authority.issue("127.0.0.1").server(&["http/1.1", "h2"])).await;
    let it = Believer::new(&authority, Protocol::H2c, &[echo.address()]).await;
    let stream = tokio::net::TcpStream::connect(it.proxy.listeners[0]).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        let request = Request::post("http://127.0.0.1/svc/Hello")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("x-wayside-service", "svc")
            .body(Full::<Bytes>::from("abc"))
            .unwrap();
        let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let told = told(&http::Response::from_parts(parts, body));
        assert_eq!((&told["version"], &told["body"]), (&"HTTP/2.0".into(), &"abc".into()));
        assert_eq!(
            (&told["tls"]["alpn"], &told["target"]),
            (&"h2".into(), &"https://127.0.0.1/svc/Hello".into())
        );
    }
    assert_eq!(echo.connections(), 1);
}

#[tokio::test]
async fn an_upgraded_connection_carries_bytes_both_ways_under_tls() {
    let authority = Authority::new("one");
    let server = authority.issue("127.0.0.1").server(&[]);
    let script = Script::start().await;
    let it = Believer::new(&authority, Protocol::Http1, &[script.address()]).await;
    let mut raw = Raw::connect(it.proxy.listeners[0]).await;
    raw.say("GET /ws HTTP/1.1\r\nhost: svc\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
    let mut provider = accept(&server, script.accept().await).await.unwrap();
    assert!(provider.read(&mut [0; 4096]).await.unwrap() > 0);
    let switch = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhi";
    provider.write_all(switch).await.unwrap();
    raw.hear_until("hi").await;
    raw.say("ping").await;
    let mut ping = [0; 4];
    provider.read_exact(&mut ping).await.unwrap();
    provider.write_all(b"pong").await.unwrap();
    assert_eq!(raw.hear_until("pong").await, "pong");
    raw.finish().await;
    assert_eq!(provider.read(&mut ping).await.unwrap(), 0, "the end is told, not torn off");
}

#[tokio::test]
async fn a_go_micro_stream_goes_under_tls() {
    let authority = Authority::new("one");
    let server = authority.issue("127.0.0.1").server(&["http/1.1"]);
    let script = Script::start().await;
    let it = Believer::new(&authority, Protocol::Mucp, &[script.address()]).await;
    let mut raw = Raw::connect(it.proxy.listeners[0]).await;
    let first = "x".repeat(200_000);
    raw.say(format!(
        "POST / HTTP/1.1\r\nhost: svc\r\nmicro-service: svc\r\nmicro-stream: 1\r\ncontent-length: {}\r\n\r\n{first}",
        first.len()
    ))
    .await;
    let mut provider = accept(&server, script.accept().await).await.unwrap();
    let mut opened = Vec::new();
    while !opened.ends_with(first.as_bytes()) {
        assert!(provider.read_buf(&mut opened).await.unwrap() > 0, "the first message comes whole");
    }
    assert!(String::from_utf8_lossy(&opened).contains("micro-stream: 1"));
    for (question, answer) in [("a", "b"), ("c", "d")] {
        raw.say(question).await;
        assert_eq!(provider.read_u8().await.unwrap(), question.as_bytes()[0]);
        provider.write_all(answer.as_bytes()).await.unwrap();
        provider.flush().await.unwrap();
        assert_eq!(raw.hear_some().await, answer);
    }
    raw.finish().await;
    assert_eq!(provider.read(&mut [0]).await.unwrap(), 0, "the end is told, not torn off");
}
