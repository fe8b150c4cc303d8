//! Handshakes that fail: each for a cause that is told, at no provider's expense who can be reached.

use http::Request;
use http_body_util::Full;
use rustls::version::{TLS12, TLS13};
use wayside::provider::Protocol;

use super::{Believer, assert_refused};
use crate::support::certificates::{Authority, Issued};
use crate::support::patience::{PATIENCE, eventually};
use crate::support::provider::{Echo, Script, told};
use crate::support::proxy::{config_with, start};
use crate::support::registry::Told;

/// What a proxy that believes one authority makes of a provider with this certificate.
async fn refused(authority: &Authority, shown: Issued, cause: &str) {
    let echo = Echo::secure(shown.server(&["http/1.1"])).await;
    let mut it = Believer::new(authority, Protocol::Http1, &[echo.address()]).await;
    assert_refused(&it.get().await, "tls_certificate_error", cause);
    assert_eq!(echo.requests(), 0);
    let endpoint = &it.proxy.catalog.service("svc").unwrap().endpoints[0];
    assert_eq!((endpoint.state, endpoint.failures), ("unreachable", 1), "{cause}");
    assert_eq!(it.proxy.metrics.proxy.upstream_dial_failures_total.get(), 1);
}

#[tokio::test]
async fn certificates_are_refused_for_a_cause_that_is_told() {
    let (ours, theirs) = (Authority::new("one"), Authority::new("other"));
    refused(&ours, theirs.issue("127.0.0.1"), "comes from no authority that is trusted here").await;
    refused(&ours, Authority::new("one").issue("127.0.0.1"), "but not its signature").await;
    refused(&ours, ours.issue("127.0.0.2"), "is not for 127.0.0.1, but for IpAddress(127.0.0.2)").await;
    refused(&ours, ours.issue_until("127.0.0.1", 2001), "its certificate has expired").await;
}

#[tokio::test]
async fn the_system_does_not_trust_just_anybody() {
    let echo = Echo::secure(Authority::new("one").issue("127.0.0.1").server(&["http/1.1"])).await;
    let registry = Told::new();
    registry.tell_secure("svc", Protocol::Http1, &[echo.address()]);
    let proxy = start(config_with("[timeouts]\nconnect = \"5s\""), registry);
    let mut client = crate::support::client::Client::connect(proxy.listeners[0]).await;
    let response = client.get("svc", "/").await;
    let body = String::from_utf8_lossy(response.body());
    // Without any roots on this machine, that is what is told.
    assert!(
        body.contains("no authority that is trusted here") || body.contains("no root certificates"),
        "{body}"
    );
    assert!(response.headers()["proxy-status"].to_str().unwrap().contains("details=\"tls\""));
    assert_eq!(echo.requests(), 0);
}

#[tokio::test]
async fn what_speaks_no_tls_is_not_spoken_with() {
    let echo = Echo::start().await;
    let mut it = Believer::new(&Authority::new("one"), Protocol::Http1, &[echo.address()]).await;
    assert_refused(&it.get().await, "tls_protocol_error", "does not speak TLS on this port");
    assert_eq!(echo.requests(), 0);
}

#[tokio::test]
async fn http2_has_to_be_agreed_on() {
    let authority = Authority::new("one");
    for (protocols, status, cause) in [
        (&[][..], "tls_protocol_error", "does not offer HTTP/2"),
        (&["http/1.1"], "tls_alert_received", "NoApplicationProtocol"),
    ] {
        let echo = Echo::secure(authority.issue("127.0.0.1").server(protocols)).await;
        let mut it = Believer::new(&authority, Protocol::H2c, &[echo.address()]).await;
        assert_refused(&it.get().await, status, cause);
        assert_eq!(echo.requests(), 0);
    }
}

#[tokio::test]
async fn a_handshake_has_the_time_of_a_connection() {
    let silent = Script::start().await;
    let registry = Told::new();
    registry.tell_secure("svc", Protocol::Http1, &[silent.address()]);
    let proxy = start(config_with("[timeouts]\nconnect = \"100ms\"\n[retries]\nmax = 0"), registry);
    let mut client = crate::support::client::Client::connect(proxy.listeners[0]).await;
    let response = client.get("svc", "/").await;
    let body = String::from_utf8_lossy(response.body());
    assert_eq!(response.status(), 504);
    let told = format!("cannot speak TLS with {}: the handshake did not end within 100ms", silent.address());
    assert!(body.contains(&told), "{body}");
    assert!(response.headers()["proxy-status"].to_str().unwrap().contains("details=\"connection_timeout\""));
    // It was begun, in nothing but TLS.
    let mut first = [0; 3];
    tokio::io::AsyncReadExt::read_exact(&mut silent.accept().await, &mut first).await.unwrap();
    assert_eq!(first[..2], [0x16, 0x03]);
}

#[tokio::test]
async fn a_request_goes_elsewhere_when_a_handshake_fails() {
    let (ours, theirs) = (Authority::new("one"), Authority::new("other"));
    let good = Echo::secure(ours.issue("127.0.0.1").server(&["http/1.1"])).await;
    let bad = Echo::secure(theirs.issue("127.0.0.1").server(&["http/1.1"])).await;
    let closes = Script::start().await;
    let addresses = [bad.address(), good.address(), closes.address()];
    let mut it = Believer::new(&ours, Protocol::Http1, &addresses).await;
    let close = async {
        loop {
            drop(closes.accept().await);
        }
    };
    let ask = async {
        for _ in 0..20 {
            let request = Request::post("/").header("host", "svc").body(Full::from("once")).unwrap();
            assert_eq!(told(&it.client.send(request).await)["port"], good.address().port());
        }
    };
    tokio::select! {
        () = ask => {}
        () = close => {}
    }
    assert_eq!((good.requests(), bad.requests()), (20, 0));
    assert!(bad.connections() > 0, "it was tried");
}

#[tokio::test]
async fn connections_in_clear_text_are_not_used_once_the_record_asks_for_tls() {
    let echo = Echo::start().await;
    let mut it = Believer::new(&Authority::new("one"), Protocol::Http1, &[]).await;
    let listed = |it: &Believer, secure: bool| {
        let endpoints = it.proxy.catalog.service("svc")?.endpoints;
        endpoints.iter().any(|endpoint| endpoint.tls == secure).then_some(())
    };
    it.registry.tell("svc", Protocol::Http1, &[echo.address()]);
    it.client.get("svc", "/").await;
    eventually(PATIENCE, "a provider in clear text", || listed(&it, false)).await;
    assert_eq!(it.get().await.status(), 200);
    let before = echo.requests();
    it.registry.tell_secure("svc", Protocol::Http1, &[echo.address()]);
    eventually(PATIENCE, "a provider over TLS", || listed(&it, true)).await;
    assert_refused(&it.get().await, "tls_protocol_error", "does not speak TLS");
    assert_eq!(echo.requests(), before);
}

#[tokio::test]
async fn a_provider_that_wants_to_know_us_is_shown_a_certificate() {
    let (servers, clients) = (Authority::new("one"), Authority::new("other"));
    let files = crate::support::certificates::Files::new();
    let us = clients.issue("wayside");
    let certificate = files.write("us.pem", &us.certificate);
    let key = files.write("us.key", &us.key);
    let both = files.write("both.pem", &format!("{}{}", us.key, us.certificate));
    for version in [&TLS12, &TLS13] {
        let echo = Echo::secure(servers.issue("127.0.0.1").server_for(&clients, version)).await;
        for lines in [
            format!("client_cert = {certificate:?}\nclient_key = {key:?}"),
            format!("client_cert = {both:?}"),
        ] {
            let mut it = Believer::with(&servers, &lines, Protocol::Http1, &[echo.address()]).await;
            assert_eq!(told(&it.get().await)["tls"]["client"], true);
        }
        let requests = echo.requests();
        for protocol in [Protocol::Http1, Protocol::H2c] {
            let mut it = Believer::new(&servers, protocol, &[echo.address()]).await;
            assert_refused(&it.get().await, "tls_alert_received", "it broke off with the alert");
            let endpoint = &it.proxy.catalog.service("svc").unwrap().endpoints[0];
            assert_eq!((endpoint.state, echo.requests()), ("unreachable", requests));
        }
    }
}
