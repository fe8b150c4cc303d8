//! TLS with clients: what is agreed, who is let in, what is renewed, and how it ends.

use std::io;
use std::time::Duration;

use http::Request;
use http_body_util::Full;
use rustls::HandshakeKind;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Front, ask, ask_http2, connect_unix, section, shake, write};
use crate::support::certificates::{Authority, Files};
use crate::support::client::{Client, Raw};
use crate::support::patience::{PATIENCE, at_last};
use crate::support::program::{Program, whole};
use crate::support::provider::{Echo, Script, told, told_header};
use crate::support::proxy::start;
use crate::support::registry::Told;

#[tokio::test]
async fn the_protocol_is_agreed_in_the_handshake() {
    let front = Front::under_tls("", "").await;
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some(&b"h2"[..])),
        (&["http/1.1", "h2"], Some(b"h2")),
        (&["http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let stream = front.secure(offered).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
        let response = if agreed == Some(b"h2") { ask_http2(stream).await } else { ask(stream).await };
        let told = told(&response);
        assert_eq!(response.status(), 200);
        assert_eq!(told_header(&told, "x-forwarded-proto"), ["https"]);
        assert_eq!(told_header(&told, "x-forwarded-for"), ["127.0.0.1"]);
    }
    let error = shake(&front.authority.client(&["gopher"], None), front.connect().await).await.unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    at_last("it is counted", async || front.tls_failures("protocol") == 1).await;
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken_and_what_a_client_says_of_its_own_stays() {
    let front = Front::under_tls("", "").await;
    for version in rustls::ALL_VERSIONS {
        let connector = front.authority.client_of(&["http/1.1"], None, &[version]);
        let stream = shake(&connector, front.connect().await).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
        let request = Request::get("/").header("host", "svc").header("x-forwarded-proto", "gopher");
        let mut client = Client::over(stream).await;
        let response = client.send(request.body(Full::default()).unwrap()).await;
        assert_eq!(told_header(&told(&response), "x-forwarded-proto"), ["gopher"]);
    }
}

#[tokio::test]
async fn clients_show_a_certificate_where_they_have_to() {
    let front =
        Front::start(|certificate, ca| format!("{certificate}client_ca = {ca}\n"), "127.0.0.1:0").await;
    let (own, stranger) = (front.authority.issue("app"), Authority::new("other").issue("app"));
    let expired = front.authority.issue_until("app", 2001);
    for version in rustls::ALL_VERSIONS {
        let connector = front.authority.client_of(&["h2"], Some(&own), &[version]);
        let stream = shake(&connector, front.connect().await).await.unwrap();
        assert_eq!(ask_http2(stream).await.status(), 200);
        for (refused, alert) in [
            (None, "CertificateRequired"),
            (Some(&stranger), "UnknownCA"),
            (Some(&expired), "CertificateExpired"),
        ] {
            let counted = front.tls_failures("certificate");
            let connector = front.authority.client_of(&["h2"], refused, &[version]);
            // With TLS 1.3 a client hears of it only when it reads.
            let error = match shake(&connector, front.connect().await).await {
                Ok(mut stream) => stream.read(&mut [0]).await.unwrap_err(),
                Err(error) => error,
            };
            let is_told = error.to_string().contains(alert)
                // TLS 1.2 has no such word.
                || refused.is_none() && error.to_string().contains("HandshakeFailure");
            assert!(is_told, "{alert}: {error}");
            at_last("it is counted", async || front.tls_failures("certificate") == counted + 1).await;
        }
    }
    assert_eq!(front.echo.requests(), 2, "of the others nothing got through");
}

#[tokio::test]
async fn a_client_that_has_to_show_a_certificate_shows_it_each_time() {
    for (must, kind) in [(false, HandshakeKind::Resumed), (true, HandshakeKind::Full)] {
        let text = |certificate: &str, ca: &str| {
            if must { format!("{certificate}client_ca = {ca}\n") } else { certificate.to_owned() }
        };
        let front = Front::start(text, "127.0.0.1:0").await;
        let own = front.authority.issue("app");
        for version in rustls::ALL_VERSIONS {
            let connector = front.authority.client_of(&["http/1.1"], Some(&own), &[version]);
            let mut kinds = Vec::new();
            for _ in 0..2 {
                let stream = shake(&connector, front.connect().await).await.unwrap();
                kinds.extend(stream.get_ref().1.handshake_kind());
                assert_eq!(ask(stream).await.status(), 200);
            }
            assert_eq!(kinds, [HandshakeKind::Full, kind], "{version:?}");
        }
    }
}

#[tokio::test]
async fn clear_text_is_answered_in_clear_text() {
    let front = Front::under_tls("", "").await;
    let mut client = Raw::over(front.connect().await);
    client.say("GET / HTTP/1.1\r\nhost: svc\r\n\r\n").await;
    let heard = client.hear_until("https\n").await;
    assert!(heard.starts_with("HTTP/1.1 400 ") && heard.contains("speaks TLS"), "{heard}");
    client.finish().await;
    assert_eq!(client.hear_all().await, "");
    assert_eq!(front.tls_failures("clear_text"), 1);
    let mut junk = Raw::over(front.connect().await);
    junk.say([0x80, 0, 0, 0, 0, 0, 0]).await;
    junk.finish().await;
    junk.hear_all_bytes().await;
    at_last("it is counted", async || front.tls_failures("protocol") == 1).await;
    assert_eq!(front.echo.requests(), 0);
}

#[tokio::test]
async fn a_handshake_has_its_time_and_counts_as_a_connection() {
    let front = Front::under_tls("", "[timeouts]\nheader = \"2s\"\n[limits]\nconnections = 2\n").await;
    let mut silent = Raw::over(front.connect().await);
    let mut slow = Raw::over(front.connect().await);
    at_last("both are open", async || front.open() == 2).await;
    // A third is one too many.
    assert_eq!(Raw::over(front.connect().await).hear_all().await, "");
    // Bytes that come one by one give it no more time.
    let hello = [&[0x16, 3, 1, 0, 200][..], &[0; 200]].concat();
    let dribble = async {
        for byte in hello.iter().cycle() {
            if slow.stream.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    // Junk may be found to be no handshake before.
    tokio::time::timeout(PATIENCE, dribble).await.expect("it should be closed");
    assert_eq!(silent.hear_all().await, "");
    at_last("both are gone", async || front.open() == 0).await;
    assert!(front.tls_failures("timeout") >= 1);
    assert_eq!(ask(front.secure(&[]).await).await.status(), 200);
}

#[tokio::test]
async fn goodbye_is_said_however_a_connection_ends() {
    let front = Front::under_tls("", "[timeouts]\nclient_idle = \"2s\"\n").await;
    // With its answer, when the client wants so; and when it idles.
    for end in ["connection: close\r\n", ""] {
        let mut stream = front.secure(&["http/1.1"]).await;
        stream.write_all(format!("GET / HTTP/1.1\r\nhost: svc\r\n{end}\r\n").as_bytes()).await.unwrap();
        let mut heard = Vec::new();
        // An end without a goodbye is an error.
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut heard)).await.unwrap().unwrap();
        assert!(heard.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&heard));
    }
    let mut stream = front.secure(&["h2"]).await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.unwrap().unwrap();
}

/// Upgrades a connection, and ends the client's side of it; the provider's goes on to say goodbye.
pub(super) async fn half_close<S: AsyncRead + AsyncWrite + Unpin>(client: &mut Raw<S>, script: &Script) {
    client.say("GET /ws HTTP/1.1\r\nhost: svc\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
    let mut provider = Raw::from(script.accept().await);
    provider.hear_head().await;
    provider
        .say("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhi")
        .await;
    assert!(client.hear_until("hi").await.starts_with("HTTP/1.1 101"));
    client.say("ping").await;
    client.finish().await;
    assert_eq!(provider.hear_all().await, "ping");
    provider.say("bye").await;
}

#[tokio::test]
async fn an_upgraded_connection_is_half_closed() {
    let script = Script::start().await;
    let (files, authority) = (Files::new(), Authority::new("one"));
    let certificate = section(&files, &authority.issue("localhost"));
    let text = format!("[[listener]]\naddress = \"127.0.0.1:0\"\n{certificate}");
    let proxy = start(super::config(&text), Told::with("svc", &[script.address()]));
    for version in rustls::ALL_VERSIONS {
        let connector = authority.client_of(&["http/1.1"], None, &[version]);
        let stream = shake(&connector, TcpStream::connect(proxy.listeners[0]).await.unwrap()).await.unwrap();
        let mut client = Raw::over(stream);
        half_close(&mut client, &script).await;
        let mut heard = Vec::new();
        tokio::time::timeout(PATIENCE, client.stream.read_to_end(&mut heard)).await.unwrap().unwrap();
        assert_eq!(heard, b"bye");
    }
}

#[tokio::test]
async fn large_bodies_pass_both_ways() {
    let front = Front::under_tls("", "").await;
    let body = "0123456789abcdef".repeat(64 * 1024);
    let mut client = Client::over(front.secure(&["http/1.1"]).await).await;
    let request = Request::post("/").header("host", "svc").body(Full::from(body.clone())).unwrap();
    let response = client.send(request).await;
    assert_eq!(told(&response)["body"].as_str().map(str::len), Some(body.len()));
}

#[tokio::test]
async fn tls_is_spoken_over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("svc.sock");
    let address = format!("unix:{}", path.display());
    let front = Front::start(|certificate, _| certificate.to_owned(), &address).await;
    let connector = front.authority.client(&["h2"], None);
    let response = ask_http2(shake(&connector, connect_unix(&path).await).await.unwrap()).await;
    assert_eq!(told_header(&told(&response), "x-forwarded-proto"), ["https"]);
}

/// The end of the certificate that a program shows.
async fn shown(program: &Program, authority: &Authority) -> io::Result<Vec<u8>> {
    let stream = TcpStream::connect(program.listeners()[0]).await?;
    let stream = shake(&authority.client(&["http/1.1"], None), stream).await?;
    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    assert_eq!(ask(stream).await.status(), 200);
    Ok(shown)
}

#[tokio::test]
async fn certificates_are_read_again_with_the_configuration() {
    let (echo, authority, files) = (Echo::start().await, Authority::new("one"), Files::new());
    let text = format!("[registry]\nurl = \"fixed:svc={}\"\n", echo.address());
    let certificate = section(&files, &authority.issue_for_days("localhost", 3));
    let file =
        files.write("wayside.toml", &format!("{text}[[listener]]\naddress = \"127.0.0.1:0\"\n{certificate}"));
    let program = Program::launch(
        &["run", "--config", file.to_str().unwrap(), "--admin", "127.0.0.1:0", "--log-level", "debug"],
        &[],
    );
    program.logs("operators are answered").await;
    program.logs("ends within a week").await;
    let old = shown(&program, &authority).await.unwrap();
    let stream = TcpStream::connect(program.listeners()[0]).await.unwrap();
    let stream = shake(&authority.client(&["http/1.1"], None), stream).await.unwrap();
    let mut kept = Client::over(stream).await;
    assert_eq!(kept.get("svc", "/").await.status(), 200);
    // A key that does not fit changes nothing.
    files.write("key.pem", &authority.issue("localhost").key);
    program.signal("HUP");
    program.logs("the configuration is wrong; the one in force stays").await;
    program.logs("listener.tls.key").await;
    assert_eq!(shown(&program, &authority).await.unwrap(), old);
    write(&files, &authority.issue("localhost"));
    program.signal("HUP");
    program.logs("the certificates of listeners that were read now").await;
    at_last("the new one is shown", async || shown(&program, &authority).await.unwrap() != old).await;
    assert_eq!(kept.get("svc", "/").await.status(), 200, "an old connection goes on");
    assert!(program.logged("take effect at the next start").is_empty(), "{}", program.log());
    // Another file for the same listener.
    let other = files.write("other.pem", &{
        let issued = authority.issue("localhost");
        format!("{}{}", issued.certificate, issued.key)
    });
    let before = shown(&program, &authority).await.unwrap();
    let lines = format!("{text}[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\ncert = {other:?}\n");
    files.write("wayside.toml", &lines);
    program.signal("HUP");
    at_last("the other one is shown", async || shown(&program, &authority).await.unwrap() != before).await;
    assert!(program.logged("take effect at the next start").is_empty(), "{}", program.log());
    // Why a handshake fails is told to who looks for it.
    let stranger = Authority::new("other");
    assert!(shown(&program, &stranger).await.is_err());
    program.logs("UnknownCA").await;
    assert_eq!(program.metric("wayside_tls_failures_total", "alert").await, 1.0);
}

#[tokio::test]
async fn mistakes_in_files_are_found_by_check() {
    let (authority, files) = (Authority::new("one"), Files::new());
    let (one, other) = (authority.issue("a"), authority.issue("b"));
    let certificate = files.write("one.pem", &one.certificate);
    let key = files.write("other.key", &other.key);
    let expired = authority.issue_until("a", 2001);
    let expired = files.write("expired.pem", &format!("{}{}", expired.certificate, expired.key));
    let text = |lines: &str| {
        format!(
            "[registry]\nurl = \"fixed:svc=127.0.0.1:1\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\n{lines}\n"
        )
    };
    for (lines, parts) in [
        (String::new(), &["listener.tls.cert", "this key is missing"][..]),
        (format!("cert = {certificate:?}"), &["listener.tls.cert", "no private key in it"]),
        (
            format!("cert = {certificate:?}\nkey = {key:?}"),
            &["listener.tls.key", "it does not fit the certificate"],
        ),
        (
            format!("cert = {expired:?}\nclient_ca = {key:?}"),
            &["listener.tls.client_ca", "no certificate in it"],
        ),
    ] {
        let file = files.write("wayside.toml", &text(&lines));
        let (code, _, complaint) = whole(&["check", file.to_str().unwrap()], &[]);
        assert_eq!(code, 1, "{complaint}");
        for part in parts {
            assert!(complaint.contains(part), "{part:?} in:\n{complaint}");
        }
        assert!(complaint.ends_with("\n1 mistake\n"), "{complaint}");
    }
    let file = files.write("wayside.toml", &text(&format!("cert = {expired:?}")));
    let arguments = ["run", "--config", file.to_str().unwrap(), "--admin", "127.0.0.1:0"];
    let program = Program::launch(&arguments, &[]);
    let line = program.logs("has expired").await;
    assert!(line.contains("WARN") && line.contains("127.0.0.1:0"), "{line}");
    let (code, said, _) = whole(&["check", "--show", file.to_str().unwrap()], &[]);
    assert!(
        code == 0 && said.contains(&format!("cert = {expired:?}")) && !said.contains("PRIVATE"),
        "{said}"
    );
}

/// How long anything may take that is to be at once.
pub(super) const SOON: Duration = Duration::from_secs(8);
