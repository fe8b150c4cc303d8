//! Handshakes that fail: each for a cause that is told, at no provider's expense who can be reached.

use http::Request;
use http_body_util::Full;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wayside::provider::Protocol;

use super::{Believer, assert_refused};
use crate::support::certificates::{Authority, Files, Issued};
use crate::support::patience::{PATIENCE, eventually};
use crate::support::provider::{Echo, Script, told};
use crate::support::proxy::{config_with, start};
use crate::support::registry::Told;

/// What a proxy that believes one authority, with these further lines, makes of a provider with this certificate.
async fn refused(authority: &Authority, lines: &str, shown: &Issued, reason: &'static str, cause: &str) {
    let echo = Echo::secure(shown.server(&["http/1.1"])).await;
    let mut it = Believer::with(authority, lines, Protocol::Http1, &[echo.address()]).await;
    assert_refused(&it.get().await, &echo.address(), "tls_certificate_error", reason, cause);
    assert_eq!(echo.requests(), 0);
    let endpoint = &it.proxy.catalog.service("svc").unwrap().endpoints[0];
    assert_eq!((endpoint.state, endpoint.failures), ("unreachable", 1), "{cause}");
    let metrics = &it.proxy.metrics.proxy;
    assert_eq!(
        (metrics.upstream_dial_failures_total.get(), metrics.upstream_tls_failures(reason).get()),
        (1, 1)
    );
}

#[tokio::test]
async fn certificates_are_refused_for_a_cause_that_is_told() {
    let (ours, theirs) = (Authority::new("one"), Authority::new("other"));
    for (shown, reason, cause) in [
        (theirs.issue("127.0.0.1"), "tls_unknown_authority", "comes from no authority that is trusted here"),
        (Authority::new("one").issue("127.0.0.1"), "tls_unknown_authority", "but not its signature"),
        (Issued::by_itself("127.0.0.1"), "tls_self_signed", "is self-signed"),
        (
            Issued::as_authority("127.0.0.1"),
            "tls_authority_itself",
            "have one issued for the provider (Go Micro",
        ),
        (
            ours.issue("127.0.0.2"),
            "tls_wrong_name",
            "is not for 127.0.0.1, but for 127.0.0.2; write server_name",
        ),
        (ours.issue_until("127.0.0.1", 2001), "tls_expired", "has expired, at 2001-12-31T00:00:00Z"),
        (ours.issue_from("127.0.0.1", 2090), "tls_not_valid_yet", "only from 2090-01-01T00:00:00Z"),
    ] {
        refused(&ours, "", &shown, reason, cause).await;
    }
}

#[tokio::test]
async fn what_its_authority_revoked_is_refused() {
    let (ours, theirs) = (Authority::new("one"), Authority::new("other"));
    let (good, bad) = (ours.issue("127.0.0.1"), ours.issue("127.0.0.1"));
    let files = Files::new();
    let both = files.write("both.pem", &format!("{}{}", ours.pem, theirs.pem));
    let crl = files.write("our.crl", &ours.revoke(&[&bad], 2096));
    let old = files.write("old.crl", &ours.revoke(&[], 2002));
    let lines = format!("crl = {crl:?}");
    refused(&ours, &lines, &bad, "tls_revoked", "its certificate is revoked").await;
    // Whether a name is wanted or an id, the list counts.
    let id = "spiffe://example.org/a";
    let (known, lost) = (ours.issue_to(&[id]), ours.issue_to(&[id]));
    let lost_crl = files.write("lost.crl", &ours.revoke(&[&lost], 2096));
    let wanted = format!("crl = {lost_crl:?}\nspiffe_id = {id:?}");
    refused(&ours, &wanted, &lost, "tls_revoked", "its certificate is revoked").await;
    let stale = format!("crl = {old:?}");
    refused(&ours, &stale, &good, "tls_old_list", "was good until 2002-01-01T00:00:00Z").await;
    refused(&ours, &format!("{stale}\nspiffe_id = {id:?}"), &known, "tls_old_list", "was good until").await;
    for (lines, shown) in [
        (lines.clone(), &good),
        (wanted, &known),
        // Of whom there is no list, nobody is revoked.
        (
            format!("{lines}\n[[service]]\nname = \"svc\"\n[service.tls]\nca = {both:?}"),
            &theirs.issue("127.0.0.1"),
        ),
    ] {
        let echo = Echo::secure(shown.server(&[])).await;
        let mut it = Believer::with(&ours, &lines, Protocol::Http1, &[echo.address()]).await;
        assert_eq!(it.get().await.status(), 200, "{lines}");
    }
}

#[tokio::test]
async fn who_bears_another_id_is_refused() {
    let (ours, theirs) = (Authority::new("one"), Authority::new("other"));
    let id = "spiffe://example.org/ns/a/sa/b";
    let one = format!("spiffe_id = {id:?}");
    let wrong = "tls_wrong_id";
    for (shown, cause) in [
        (
            ours.issue_to(&["spiffe://example.org/ns/a/sa/c"]),
            "but for spiffe://example.org/ns/a/sa/c; look at",
        ),
        (ours.issue_to(&[id, "spiffe://example.org/ns/a/sa/c"]), "more than the one id"),
        // A name is of no help.
        (ours.issue("127.0.0.1"), "for no SPIFFE id at all"),
    ] {
        refused(&ours, &one, &shown, wrong, &format!("is not for {id}, ")).await;
        refused(&ours, &one, &shown, wrong, cause).await;
    }
    let domain = "spiffe_id = [\"spiffe://example.org/*\", \"spiffe://example.net/x\"]";
    let other = ours.issue_to(&["spiffe://example.com/ns/a/sa/b"]);
    let cause = "is not for spiffe://example.org/* or spiffe://example.net/x, but for spiffe://example.com/";
    refused(&ours, domain, &other, wrong, cause).await;
    // The id is worth what the authority is.
    refused(&ours, &one, &theirs.issue_to(&[id]), "tls_unknown_authority", "no authority").await;
    refused(&ours, &one, &Issued::by_itself("127.0.0.1"), "tls_self_signed", "is self-signed").await;
    for line in [&*one, domain] {
        let echo = Echo::secure(ours.issue_to(&[id]).server(&[])).await;
        let mut it = Believer::with(&ours, line, Protocol::Http1, &[echo.address()]).await;
        assert_eq!(it.get().await.status(), 200, "{line}");
    }
}

/// What a proxy makes of a provider that says this to the beginning of every handshake.
async fn said(answer: &[u8], proxy_status: &str, reason: &'static str, cause: &str) {
    let script = Script::start().await;
    let mut it = Believer::new(&Authority::new("one"), Protocol::Http1, &[script.address()]).await;
    let play = async {
        loop {
            let mut socket = script.accept().await;
            let mut hello = [0; 1024];
            assert!(socket.read(&mut hello).await.unwrap() > 0);
            socket.write_all(answer).await.unwrap();
            if !answer.is_empty() {
                // Until it has been understood.
                let _ = socket.read(&mut hello).await;
            }
        }
    };
    let response = tokio::select! {
        response = it.get() => response,
        () = play => unreachable!("it plays for ever"),
    };
    assert_refused(&response, &script.address(), proxy_status, reason, cause);
}

#[tokio::test]
async fn providers_of_other_versions_are_told_apart() {
    // An alert, fatal, of the version; and a ServerHello of TLS 1.1 (RFC 4346, section 7.4.1.3).
    said(&[21, 3, 1, 0, 2, 2, 70], "tls_alert_received", "tls_version", "1.2 or 1.3").await;
    let mut hello = vec![22, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 47, 0]);
    said(&hello, "tls_protocol_error", "tls_version", "1.2 or 1.3").await;
    said(
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        "tls_protocol_error",
        "tls_not_spoken",
        "though its record says so",
    )
    .await;
    said(b"", "tls_protocol_error", "tls_closed", "closed the connection").await;
}

#[tokio::test]
async fn every_alert_against_our_certificate_is_told() {
    for (number, name, cause) in [
        (42, "bad_certificate", "asks for a certificate and was shown none"),
        (48, "unknown_ca", "asks for a certificate and was shown none"),
        (116, "certificate_required", "write client_cert and client_key in [upstream.tls] or [service.tls]"),
    ] {
        let alert = [21, 3, 3, 0, 2, 2, number];
        said(&alert, "tls_alert_received", "tls_client_certificate", cause).await;
        said(&alert, "tls_alert_received", "tls_client_certificate", &format!("(alert {name})")).await;
    }
}

#[tokio::test]
async fn a_provider_that_does_not_believe_us_is_told_from_one_that_wants_nothing() {
    let (servers, clients, strangers) =
        (Authority::new("one"), Authority::new("other"), Authority::new("third"));
    let files = Files::new();
    for (us, cause) in [
        (strangers.issue("wayside"), "does not trust the authority of client_cert"),
        (clients.issue_until("wayside", 2001), "the certificate of client_cert has expired"),
    ] {
        let both = files.write("both.pem", &format!("{}{}", us.key, us.certificate));
        let lines = format!("client_cert = {both:?}");
        for version in [&TLS12, &TLS13] {
            let echo = Echo::secure(servers.issue("127.0.0.1").server_for(&clients, version)).await;
            let mut it = Believer::with(&servers, &lines, Protocol::Http1, &[echo.address()]).await;
            let response = it.get().await;
            let (address, word) = (echo.address(), "tls_client_certificate");
            assert_refused(&response, &address, "tls_alert_received", word, cause);
            let status = response.headers()["proxy-status"].to_str().unwrap();
            assert!(status.contains("; alert-id=4") && status.contains("; alert-message=\""), "{status}");
            assert_eq!(it.proxy.metrics.proxy.upstream_tls_failures(word).get(), 1);
            assert_eq!(echo.requests(), 0);
        }
    }
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
    assert!(response.headers()["proxy-status"].to_str().unwrap().contains("details=\"tls_"));
    assert_eq!(echo.requests(), 0);
}

#[tokio::test]
async fn what_speaks_no_tls_is_not_spoken_with() {
    let echo = Echo::start().await;
    let mut it = Believer::new(&Authority::new("one"), Protocol::Http1, &[echo.address()]).await;
    let response = it.get().await;
    let cause = "does not speak TLS on this port";
    assert_refused(&response, &echo.address(), "tls_protocol_error", "tls_not_spoken", cause);
    assert_eq!(echo.requests(), 0);
}

#[tokio::test]
async fn http2_has_to_be_agreed_on() {
    let authority = Authority::new("one");
    for (protocols, status, cause) in [
        (&[][..], "tls_protocol_error", "does not offer HTTP/2"),
        (&["http/1.1"], "tls_alert_received", "(alert no_application_protocol)"),
    ] {
        let echo = Echo::secure(authority.issue("127.0.0.1").server(protocols)).await;
        let mut it = Believer::new(&authority, Protocol::H2c, &[echo.address()]).await;
        assert_refused(&it.get().await, &echo.address(), status, "tls_no_http2", cause);
        assert_eq!(echo.requests(), 0);
    }
}

#[tokio::test]
async fn a_provider_that_speaks_http2_alone_is_told_so() {
    let authority = Authority::new("one");
    let echo = Echo::secure(authority.issue("127.0.0.1").server(&["h2"])).await;
    let mut it = Believer::new(&authority, Protocol::Http1, &[echo.address()]).await;
    let (status, cause) = ("tls_alert_received", "it speaks no HTTP/1.1 over TLS (ALPN), as its record says");
    assert_refused(&it.get().await, &echo.address(), status, "tls_no_http1", cause);
}

#[tokio::test]
async fn a_list_that_its_authority_did_not_sign_is_told_by_name_and_by_id() {
    let (ours, id) = (Authority::new("one"), "spiffe://example.org/a");
    let files = Files::new();
    let crl = files.write("forged.crl", &Authority::new("one").revoke(&[], 2096));
    for (shown, lines) in [
        (ours.issue("127.0.0.1"), format!("crl = {crl:?}")),
        (ours.issue_to(&[id]), format!("crl = {crl:?}\nspiffe_id = {id:?}")),
    ] {
        let echo = Echo::secure(shown.server(&[])).await;
        let mut it = Believer::with(&ours, &lines, Protocol::Http1, &[echo.address()]).await;
        let (status, cause) = ("proxy_configuration_error", "look at the file of crl");
        assert_refused(&it.get().await, &echo.address(), status, "tls_bad_list", cause);
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
    let (address, port) = (silent.address(), silent.address().port());
    let told =
        format!("cannot speak TLS with {address} (svc-{port}): the handshake did not end within 100ms");
    assert!(body.contains(&told), "{body}");
    assert!(response.headers()["proxy-status"].to_str().unwrap().contains("details=\"connection_timeout\""));
    // It was begun, in nothing but TLS.
    let mut first = [0; 3];
    silent.accept().await.read_exact(&mut first).await.unwrap();
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
    let response = it.get().await;
    assert_refused(&response, &echo.address(), "tls_protocol_error", "tls_not_spoken", "does not speak TLS");
    assert_eq!(echo.requests(), before);
}

#[tokio::test]
async fn a_provider_that_wants_to_know_us_is_shown_a_certificate() {
    let (servers, clients) = (Authority::new("one"), Authority::new("other"));
    let files = Files::new();
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
            let (address, told) = (echo.address(), "tls_alert_received");
            let response = it.get().await;
            let word = "tls_client_certificate";
            assert_refused(
                &response,
                &address,
                told,
                word,
                "write client_cert and client_key in [upstream.tls]",
            );
            let endpoint = &it.proxy.catalog.service("svc").unwrap().endpoints[0];
            assert_eq!((endpoint.state, echo.requests()), ("unreachable", requests));
        }
    }
}
