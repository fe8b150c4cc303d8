//! Sessions: resumed among those who are believed on the same terms, and among nobody else; nothing is sent early.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wayside::provider::Protocol;

use super::{Believer, several};
use crate::support::certificates::{Authority, Files, accept};
use crate::support::client::{Client, Raw};
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
