//! Sessions: resumed among those who are believed on the same terms, and among nobody else; nothing is sent early.

use std::time::{Duration, SystemTime};

use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use wayside::provider::Protocol;

use super::{Believer, several};
use crate::support::certificates::{Authority, Files, accept};
use crate::support::client::{Client, Raw};
use crate::support::patience::at_last;
use crate::support::provider::{Echo, Script, told};

#[tokio::test]
async fn a_session_is_resumed_and_nothing_is_sent_early() {
    let authority = Authority::new("one");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let server = authority.issue("127.0.0.1").server_of(version);
        let script = Script::start().await;
        let it = Believer::new(&authority, Protocol::Http1, &[script.address()]).await;
        for resumed in [false, true, true] {
            let mut raw = Raw::connect(it.proxy.listeners[0]).await;
            raw.say("GET / HTTP/1.1\r\nhost: svc\r\n\r\n").await;
            let mut provider = accept(&server, script.accept().await).await.unwrap();
            let session = provider.get_mut().1;
            let kind = session.handshake_kind();
            assert_eq!(kind == Some(rustls::HandshakeKind::Resumed), resumed, "{version:?} {kind:?}");
            assert!(session.early_data().is_none());
            assert!(provider.read(&mut [0; 4096]).await.unwrap() > 0);
            let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi";
            provider.write_all(answer).await.unwrap();
            provider.shutdown().await.unwrap();
            raw.hear_until("hi").await;
        }
    }
}

#[tokio::test]
async fn a_session_is_resumed_by_no_service_with_other_terms() {
    let authority = Authority::new("one");
    let echo = Echo::secure(authority.issue("127.0.0.1").server(&[])).await;
    let files = Files::new();
    let ca = files.write("ca.pem", &authority.pem);
    // Nothing is kept, so that each request makes a connection.
    let other = files.write("other.pem", &Authority::new("other").pem);
    let sections = format!(
        "[upstream]\nidle_max = 0\n[upstream.tls]\nca = {ca:?}\n\
         [[service]]\nname = \"stranger\"\n[service.tls]\nca = {other:?}"
    );
    let proxy = several(&[("a", &echo), ("b", &echo), ("stranger", &echo)], &sections);
    let mut client = Client::connect(proxy.listeners[0]).await;
    assert_eq!(told(&client.get("a", "/").await)["tls"]["resumed"], false);
    assert_eq!(told(&client.get("a", "/").await)["tls"]["resumed"], true);
    assert_eq!(told(&client.get("b", "/").await)["tls"]["resumed"], true, "the terms are the same");
    let response = client.get("stranger", "/").await;
    let body = String::from_utf8_lossy(response.body());
    assert!(response.status() == 502 && body.contains("no authority that is trusted here"), "{body}");
}

const ASK: &str = "GET / HTTP/1.1\r\nhost: svc\r\n\r\n";

/// Answers a request, which has to come after a handshake of this kind.
async fn answer(mut provider: TlsStream<TcpStream>, kind: HandshakeKind) {
    assert_eq!(provider.get_mut().1.handshake_kind(), Some(kind));
    assert!(provider.read(&mut [0; 4096]).await.unwrap() > 0);
    let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi";
    provider.write_all(answer).await.unwrap();
    provider.shutdown().await.unwrap();
}

/// What comes of a session whose certificate has expired since, where its provider goes on like this.
async fn outlived(version: &'static rustls::SupportedProtocolVersion, is_renewed: bool) {
    let (authority, script) = (Authority::new("one"), Script::start().await);
    let it = Believer::new(&authority, Protocol::Http1, &[script.address()]).await;
    let life = Duration::from_secs(5);
    let (issued, end) = (authority.issue_for("127.0.0.1", life), SystemTime::now() + life);
    let old = issued.server_of(version);
    let shake = async |server: &TlsAcceptor| accept(server, script.accept().await).await;
    let mut raw = Raw::connect(it.proxy.listeners[0]).await;
    raw.say(ASK).await;
    answer(shake(&old).await.unwrap(), HandshakeKind::Full).await;
    raw.hear_until("hi").await;
    at_last("it has expired", async || SystemTime::now() > end + Duration::from_secs(1)).await;
    let server = if is_renewed { authority.issue("127.0.0.1").server_after(&old, version) } else { old };
    raw.say(ASK).await;
    let mut resumed = shake(&server).await.unwrap();
    assert_eq!(resumed.get_mut().1.handshake_kind(), Some(HandshakeKind::Resumed));
    assert!(!matches!(resumed.read(&mut [0; 4096]).await, Ok(1..)), "nothing is sent on it");
    let anew = shake(&server).await;
    if !is_renewed {
        assert!(anew.is_none());
        let heard = raw.hear_until("attempts: 1\n").await;
        assert!(heard.starts_with("HTTP/1.1 502") && heard.contains("tls_expired"), "{heard}");
        return;
    }
    answer(anew.unwrap(), HandshakeKind::Full).await;
    raw.hear_until("hi").await;
    raw.say(ASK).await;
    answer(shake(&server).await.unwrap(), HandshakeKind::Resumed).await;
    raw.hear_until("hi").await;
}

#[tokio::test]
async fn a_session_is_not_resumed_once_its_certificate_has_expired() {
    tokio::join!(
        outlived(&TLS12, false),
        outlived(&TLS13, false),
        outlived(&TLS12, true),
        outlived(&TLS13, true)
    );
}
