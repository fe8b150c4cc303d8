//! What breaks off under TLS: an end that is not told is no end, since anybody on the way can make one.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wayside::provider::Protocol;

use super::Believer;
use crate::support::certificates::{Authority, accept};
use crate::support::client::Raw;
use crate::support::provider::{Echo, Script, told};

/// What a client hears of an answer without a length, whose connection ends in this way.
async fn heard(is_told: bool) -> String {
    let authority = Authority::new("one");
    let server = authority.issue("127.0.0.1").server(&[]);
    let script = Script::start().await;
    let it = Believer::new(&authority, Protocol::Http1, &[script.address()]).await;
    let mut raw = Raw::connect(it.proxy.listeners[0]).await;
    raw.say("GET / HTTP/1.1\r\nhost: svc\r\n\r\n").await;
    let mut provider = accept(&server, script.accept().await).await.unwrap();
    assert!(provider.read(&mut [0; 4096]).await.unwrap() > 0);
    provider.write_all(b"HTTP/1.1 200 OK\r\n\r\nall of it").await.unwrap();
    provider.flush().await.unwrap();
    let begun = raw.hear_until("all of it\r\n").await;
    if is_told {
        provider.shutdown().await.unwrap();
    } else {
        provider.get_mut().0.shutdown().await.unwrap();
    }
    if is_told { begun + &raw.hear_until("0\r\n\r\n").await } else { begun + &raw.hear_all().await }
}

#[tokio::test]
async fn a_body_that_ends_with_its_connection_ends_only_when_tls_says_so() {
    let whole = heard(true).await;
    assert!(whole.contains("transfer-encoding: chunked") && whole.ends_with("0\r\n\r\n"), "{whole}");
    let cut = heard(false).await;
    assert!(cut.starts_with("HTTP/1.1 200") && !cut.contains("\r\n0\r\n"), "{cut}");
}

#[tokio::test]
async fn an_answer_cut_off_before_its_end_is_no_answer() {
    let authority = Authority::new("one");
    let server = authority.issue("127.0.0.1").server(&[]);
    let script = Script::start().await;
    let it = Believer::with(&authority, "\n[retries]\nmax = 0", Protocol::Http1, &[script.address()]).await;
    let mut raw = Raw::connect(it.proxy.listeners[0]).await;
    raw.say("POST / HTTP/1.1\r\nhost: svc\r\ncontent-length: 0\r\n\r\n").await;
    let mut provider = accept(&server, script.accept().await).await.unwrap();
    assert!(provider.read(&mut [0; 4096]).await.unwrap() > 0);
    provider.write_all(b"HTTP/1.1 200 OK\r\nx-half: ").await.unwrap();
    provider.flush().await.unwrap();
    provider.get_mut().0.shutdown().await.unwrap();
    drop(provider);
    let head = raw.hear_head().await;
    assert!(head.starts_with("HTTP/1.1 502") && head.contains("connection_closed"), "{head}");
}

#[tokio::test]
async fn large_messages_pass_both_ways_under_every_version() {
    let authority = Authority::new("one");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let echo = Echo::secure(authority.issue("127.0.0.1").server_of(version)).await;
        let mut it = Believer::new(&authority, Protocol::Http1, &[echo.address()]).await;
        let body = "x".repeat(3 << 20);
        let request = http::Request::post("/").header("host", "svc").body(http_body_util::Full::from(body));
        let sent = it.client.send(request.unwrap());
        let response = tokio::time::timeout(Duration::from_secs(30), sent).await.unwrap();
        assert_eq!(told(&response)["body"].as_str().unwrap().len(), 3 << 20);
    }
}
