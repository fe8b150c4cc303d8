//! What a provider gets first: the client's address where it wants it, then TLS where its record says so.

use rustls::version::TLS13;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use wayside::provider::Protocol;

use super::{config, connect, hear, proxy};
use crate::support::certificates::{Authority, Files, accept};
use crate::support::patience::{PATIENCE, at_last};
use crate::support::provider::Script;
use crate::support::proxy::start;
use crate::support::registry::Told;

fn sending(version: &str) -> String {
    format!("[[service]]\nname = \"svc\"\nsend_proxy_protocol = \"{version}\"\n")
}

#[tokio::test]
async fn version_1_tells_of_the_client_before_all_else() {
    let provider = Script::start().await;
    let (proxy, _registry) = proxy(&sending("v1"), &[provider.address()]);
    let mut client = connect(&proxy).await;
    let mut server = provider.accept().await;
    let (own, listener) = (client.local_addr().unwrap(), proxy.listeners[0]);
    let header = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", own.port(), listener.port());
    assert_eq!(hear(&mut server, header.len()).await, header, "though the client has said nothing");
    client.write_all(b"hello").await.unwrap();
    assert_eq!(hear(&mut server, 5).await, "hello");
}

#[tokio::test]
async fn version_2_tells_it_in_bytes() {
    let provider = Script::start().await;
    let (proxy, _registry) = proxy(&sending("v2"), &[provider.address()]);
    let mut client = connect(&proxy).await;
    client.write_all(b"hello").await.unwrap();
    let mut server = provider.accept().await;
    let mut bytes = [0; 33];
    timeout(PATIENCE, server.read_exact(&mut bytes)).await.unwrap().unwrap();
    let (own, listener) = (client.local_addr().unwrap().port(), proxy.listeners[0].port());
    let mut expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01".to_vec();
    expected.extend(own.to_be_bytes());
    expected.extend(listener.to_be_bytes());
    expected.extend(b"hello");
    assert_eq!(bytes, *expected);
}

#[tokio::test]
async fn a_service_that_stands_in_is_told_in_its_own_way() {
    let (near, far) = (super::dead().await, Script::start().await);
    let services = format!("{}failover = \"nothing\"\n[[service]]\nname = \"nothing\"", sending("v2"));
    let registry = Told::new();
    registry.tell("svc", Protocol::Tcp, &[near]);
    registry.tell("nothing", Protocol::Tcp, &[far.address()]);
    let proxy = start(config(&services), registry);
    // The first finds out that nobody is there.
    let mut client = connect(&proxy).await;
    client.write_all(b"hello").await.unwrap();
    let mut server = far.accept().await;
    assert_eq!(hear(&mut server, 5).await, "hello");
}

#[tokio::test]
async fn tls_is_spoken_where_the_record_says_so_after_the_header_and_of_nothing_above_it() {
    let authority = Authority::new("one");
    let files = Files::new();
    let ca = files.write("ca.pem", &authority.pem);
    let provider = Script::start().await;
    let registry = Told::new();
    registry.tell_secure("svc", Protocol::Tcp, &[provider.address()]);
    let sections = format!("[timeouts]\nconnect = \"5s\"\n[upstream.tls]\nca = {ca:?}\n{}", sending("v1"));
    let proxy = start(config(&sections), registry);
    // Who names a protocol that the other side does not speak is refused (RFC 7301, section 3.2).
    let acceptor = authority.issue("127.0.0.1").server(&["something-else"]);
    let mut client = connect(&proxy).await;
    let mut socket = provider.accept().await;
    let port = client.local_addr().unwrap().port();
    let header = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {port} {}\r\n", proxy.listeners[0].port());
    assert_eq!(hear(&mut socket, header.len()).await, header);
    let mut server = accept(&acceptor, socket).await.expect("the handshake succeeds");
    assert_eq!(server.get_ref().1.alpn_protocol(), None);
    client.write_all(b"in clear text").await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = String::new();
    timeout(PATIENCE, server.read_to_string(&mut heard)).await.unwrap().unwrap();
    assert_eq!(heard, "in clear text");
    server.write_all(b"and back").await.unwrap();
    server.shutdown().await.unwrap();
    let (heard, end) = super::hear_end(&mut client).await;
    assert_eq!((heard.as_str(), end.is_ok()), ("and back", true));

    // Under TLS, an end that is not said could be anybody's doing.
    let mut client = connect(&proxy).await;
    let mut socket = provider.accept().await;
    let port = client.local_addr().unwrap().port().to_string();
    let mut header =
        vec![0; format!("PROXY TCP4 127.0.0.1 127.0.0.1 {port} {}\r\n", proxy.listeners[0].port()).len()];
    timeout(PATIENCE, socket.read_exact(&mut header)).await.unwrap().unwrap();
    let mut server = accept(&acceptor, socket).await.expect("the handshake succeeds");
    server.write_all(b"half").await.unwrap();
    server.flush().await.unwrap();
    assert_eq!(hear(&mut client, 4).await, "half");
    drop(server.into_inner().0);
    super::assert_reset(&mut client).await;
}

#[tokio::test]
async fn a_provider_that_is_not_believed_gets_nothing() {
    let (trusted, other) = (Authority::new("one"), Authority::new("two"));
    let files = Files::new();
    let ca = files.write("ca.pem", &trusted.pem);
    let provider = Script::start().await;
    let registry = Told::new();
    registry.tell_secure("svc", Protocol::Tcp, &[provider.address()]);
    let proxy =
        start(config(&format!("[timeouts]\nconnect = \"5s\"\n[upstream.tls]\nca = {ca:?}")), registry);
    let acceptor = other.issue("127.0.0.1").server(&[]);
    let mut client = connect(&proxy).await;
    client.write_all(b"a secret").await.unwrap();
    let refused = accept(&acceptor, provider.accept().await).await;
    assert!(refused.is_none());
    super::assert_reset(&mut client).await;
    super::at_rest(&proxy).await;
    super::assert_ended(&proxy, "tls_unknown_authority", 1.0).await;
}

#[tokio::test]
async fn a_provider_that_refuses_who_we_are_is_told_from_one_that_breaks_off() {
    let (servers, clients) = (Authority::new("one"), Authority::new("two"));
    let files = Files::new();
    let ca = files.write("ca.pem", &servers.pem);
    let provider = Script::start().await;
    let registry = Told::new();
    registry.tell_secure("svc", Protocol::Tcp, &[provider.address()]);
    let proxy =
        start(config(&format!("[timeouts]\nconnect = \"5s\"\n[upstream.tls]\nca = {ca:?}")), registry);
    // In this version it says so once we take the handshake for done.
    let acceptor = servers.issue("127.0.0.1").server_for(&clients, &TLS13);
    let mut client = connect(&proxy).await;
    assert!(accept(&acceptor, provider.accept().await).await.is_none());
    super::assert_reset(&mut client).await;
    super::at_rest(&proxy).await;
    super::assert_ended(&proxy, "tls_client_certificate", 1.0).await;
    let endpoint = &proxy.catalog.service("svc").unwrap().endpoints[0];
    assert_eq!((endpoint.attempts, endpoint.failures), (1, 1));
}

#[tokio::test]
async fn a_check_begins_as_a_connection_does_and_names_nobody() {
    let authority = Authority::new("one");
    let files = Files::new();
    let ca = files.write("ca.pem", &authority.pem);
    let acceptor = authority.issue("127.0.0.1").server(&["http/1.1"]);
    for (version, header) in [("v1", &b"PROXY UNKNOWN\r\n"[..]), ("v2", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")] {
        let provider = Script::start().await;
        let registry = Told::new();
        registry.tell_secure("svc", Protocol::Tcp, &[provider.address()]);
        let sections = format!(
            "[timeouts]\nconnect = \"5s\"\n[upstream.tls]\nca = {ca:?}\n{}[service.check]\nkind = \"http\"\ninterval = \"100ms\"\ntimeout = \"10s\"\n",
            sending(version)
        );
        let proxy = start(config(&sections), registry);
        let mut socket = provider.accept().await;
        let mut heard = vec![0; header.len()];
        timeout(PATIENCE, socket.read_exact(&mut heard)).await.unwrap().unwrap();
        assert_eq!(heard, header);
        let mut server = accept(&acceptor, socket).await.expect("the handshake succeeds");
        let mut asked = [0; 6];
        timeout(PATIENCE, server.read_exact(&mut asked)).await.unwrap().unwrap();
        assert_eq!(&asked, b"GET / ");
        let _ = server.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        let is_well = || proxy.metrics.render(&[]).contains("result=\"well\"");
        at_last("it is found well", async || is_well()).await;
    }
}
