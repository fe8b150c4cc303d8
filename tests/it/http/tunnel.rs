//! Tunnels by CONNECT, where the configuration allows them: bytes pass both ways as they are, whichever HTTP the client speaks.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use wayside::provider::Protocol;

use super::{Played, line, nobody, status};
use crate::support::certificates::{Authority, Files};
use crate::support::client::Raw;
use crate::support::patience::PATIENCE;
use crate::support::provider::{Echo, Script};
use crate::support::proxy::{config_with, start};
use crate::support::registry::Told;

const ALLOWED: &str = "[[service]]\nname = \"svc\"\ntunnel = true\n";
const CONNECT: &str = "CONNECT svc:443 HTTP/1.1\r\nhost: svc:443\r\n\r\n";

#[tokio::test]
async fn bytes_pass_both_ways_and_so_does_each_end() {
    let played = Played::with(config_with(ALLOWED)).await;
    let mut client = played.client().await;
    // What comes behind the request waits for the answer, and is no request whatever it looks like.
    client.say(format!("{CONNECT}GET /early HTTP/1.1\r\n\r\n\n")).await;
    let heard = client.hear_head().await;
    assert_eq!(
        (status(&heard), line(&heard, "content-length"), line(&heard, "transfer-encoding")),
        (200, None, None)
    );
    let mut provider = Raw::from(played.provider.accept().await);
    assert_eq!(provider.hear_until("\n\n").await, "GET /early HTTP/1.1\r\n\r\n\n");
    assert_eq!(played.proxy.metrics.proxy.upgrades_open.get(), 1);
    provider.say("first").await;
    client.hear_until("first").await;
    client.finish().await;
    assert_eq!(provider.hear_all().await, "");
    provider.say("and last").await;
    provider.finish().await;
    assert_eq!(client.hear_all().await, "and last");
    played.settled().await;
}

/// Whether a connection ends as one that broke off does.
async fn is_reset(connection: &mut Raw) -> bool {
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, connection.stream.read_to_end(&mut rest)).await;
    ended.expect("it ends").is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn what_breaks_off_does_not_look_whole() {
    let idle = "[timeouts]\nstream_idle = \"1s\"\n";
    for (what, config) in [("a provider that resets", ""), ("a client that does", ""), ("idling", idle)] {
        let played = Played::with(config_with(&format!("{config}{ALLOWED}"))).await;
        let mut client = played.client().await;
        client.say(CONNECT).await;
        client.hear_head().await;
        let mut provider = Raw::from(played.provider.accept().await);
        provider.say("part").await;
        client.hear_until("part").await;
        let side = if what.starts_with("a client") { &client } else { &provider };
        SockRef::from(&side.stream).set_linger(Some(Duration::ZERO)).unwrap();
        match what {
            "a provider that resets" => drop(provider),
            "a client that does" => {
                drop(client);
                assert!(is_reset(&mut provider).await, "{what}");
                continue;
            }
            _ => assert!(is_reset(&mut provider).await, "{what}"),
        }
        assert!(is_reset(&mut client).await, "{what}");
        played.settled().await;
    }
}

#[tokio::test]
async fn whoever_cannot_be_reached_is_passed_by() {
    let provider = Script::start().await;
    let registry = Told::with("svc", &[nobody(), provider.address()]);
    let proxy = start(config_with(ALLOWED), registry);
    for _ in 0..3 {
        let mut client = Raw::connect(proxy.listeners[0]).await;
        client.say(CONNECT).await;
        assert_eq!(status(&client.hear_head().await), 200);
        Raw::from(provider.accept().await).say("here").await;
        client.hear_until("here").await;
    }
    let proxy = start(config_with(ALLOWED), Told::with("svc", &[nobody()]));
    let mut client = Raw::connect(proxy.listeners[0]).await;
    client.say(CONNECT).await;
    let heard = client.hear_head().await;
    assert_eq!(status(&heard), 502);
    assert!(line(&heard, "proxy-status").unwrap().contains("details=\"connection_refused\""), "{heard}");
}

#[tokio::test]
async fn a_route_may_allow_what_its_service_does_not() {
    let provider = Script::start().await;
    let routes = "[[route]]\nhosts = [\"open\"]\nservice = \"svc\"\ntunnel = true\n";
    let proxy = start(config_with(routes), Told::with("svc", &[provider.address()]));
    for (host, expected) in [("open", 200), ("svc", 405), ("nobody", 405)] {
        let mut client = Raw::connect(proxy.listeners[0]).await;
        client.say(format!("CONNECT {host}:443 HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        assert_eq!(status(&client.hear_head().await), expected, "{host}");
    }
    // What a provider is to have could be taken for a body, and be lost.
    for framing in ["content-length: 5\r\n\r\nhello", "transfer-encoding: chunked\r\n\r\n0\r\n\r\n"] {
        let mut client = Raw::connect(proxy.listeners[0]).await;
        client.say(format!("CONNECT open:443 HTTP/1.1\r\nhost: open\r\n{framing}")).await;
        assert_eq!(status(&client.hear_head().await), 400, "{framing}");
    }
    // A target that is no host with a port names none.
    for target in ["open", "/x", "http://open:443/", "open:443/x"] {
        let mut client = Raw::connect(proxy.listeners[0]).await;
        client.say(format!("CONNECT {target} HTTP/1.1\r\nhost: open\r\n\r\n")).await;
        let status = status(&client.hear_head().await);
        assert!(matches!(status, 400 | 405), "{target}: {status}");
    }
    assert_eq!(proxy.metrics.proxy.upstream_dials_total.get(), 1);
}

/// What its record says is spoken is between the client and the provider, as with raw listeners.
#[tokio::test]
async fn one_leads_to_providers_of_what_http_cannot_reach() {
    let (near, far) = (Script::start().await, Script::start().await);
    let registry = Told::new();
    registry.tell("svc", Protocol::Tcp, &[near.address()]);
    registry.tell("nothing", Protocol::Tcp, &[far.address()]);
    let services = format!("{ALLOWED}overrides = true\nfailover = \"nothing\"\n");
    let proxy = start(config_with(&services), registry);
    let ask = async |head: String| {
        let mut client = Raw::connect(proxy.listeners[0]).await;
        client.say(head).await;
        (status(&client.hear_head().await), client)
    };
    let (status, mut client) = ask(CONNECT.to_owned()).await;
    assert_eq!(status, 200);
    Raw::from(near.accept().await).say("here").await;
    client.hear_until("here").await;
    let wished = format!("x-wayside-provider: {}\r\n\r\n", near.address());
    let (status, _client) = ask(CONNECT.replace("\r\n\r\n", &format!("\r\n{wished}"))).await;
    assert_eq!(status, 200);
    near.accept().await;
    // Requests are another matter.
    assert_eq!(ask("GET / HTTP/1.1\r\nhost: svc\r\n\r\n".to_owned()).await.0, 502);
    drop(near);
    let (status, mut client) = ask(CONNECT.to_owned()).await;
    assert_eq!(status, 200);
    Raw::from(far.accept().await).say("there").await;
    client.hear_until("there").await;
}

#[tokio::test]
async fn a_client_of_http2_has_one_in_a_stream() {
    let played = Played::with(config_with(ALLOWED)).await;
    let socket = TcpStream::connect(played.proxy.listeners[0]).await.unwrap();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket));
    let (mut sender, connection) = handshake.await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::connect("svc:443").body(Empty::<Bytes>::new()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let mut tunnel = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    tunnel.write_all(b"there").await.unwrap();
    let mut provider = Raw::from(played.provider.accept().await);
    provider.hear_until("there").await;
    provider.say("back").await;
    let mut heard = [0; 4];
    tunnel.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"back");
    tunnel.shutdown().await.unwrap();
    assert_eq!(provider.hear_all().await, "");
    drop((provider, tunnel, sender));
    played.settled().await;
    connection.abort();
}

/// The record asks for TLS, which is the client's to speak here.
#[tokio::test]
async fn curl_speaks_tls_with_the_provider_itself() {
    let authority = Authority::new("one");
    let echo = Echo::secure(authority.issue("svc").server(&["http/1.1"])).await;
    let registry = Told::new();
    registry.tell_secure("svc", Protocol::Http1, &[echo.address()]);
    let proxy = start(config_with(ALLOWED), registry);
    let files = Files::new();
    let ca = files.write("ca.pem", &authority.pem);
    let by = format!("http://{}", proxy.listeners[0]);
    let arguments = ["-sS", "--fail", "--max-time", "20", "--cacert", ca.to_str().unwrap(), "-x", &by];
    let output = Command::new("curl").args(arguments).arg("https://svc:8443/hello").output().await;
    let output = output.expect("curl should be there; tests/servers.sh installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((told["target"].as_str(), told["tls"]["name"].as_str()), (Some("/hello"), Some("svc")));
}
