//! Requests on their straight path: named, chosen, forwarded, answered.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use wayside::provider::Address;

use crate::support::client::{Client, Raw};
use crate::support::patience::PATIENCE;
use crate::support::provider::{Echo, Script, told, told_header};
use crate::support::proxy::{config, config_with, proxied, start};
use crate::support::registry::Told;

#[tokio::test]
async fn a_request_reaches_a_provider_and_its_answer_comes_back() {
    let echo = Echo::start().await;
    let (_proxy, mut client) = proxied(Told::with("greeter", &[echo.address()])).await;
    let request =
        Request::post("/login?next=%2F").header("host", "Greeter:80").body(Full::from("hello")).unwrap();
    let response = client.send(request).await;
    assert_eq!(response.status(), StatusCode::OK);
    let told = told(&response);
    assert_eq!(
        (&told["method"], &told["target"], &told["body"]),
        (&"POST".into(), &"/login?next=%2F".into(), &"hello".into())
    );
    assert_eq!(told_header(&told, "host"), ["Greeter:80"]);
    assert_eq!(told_header(&told, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(told_header(&told, "x-request-id").len(), 1);
    assert!(told_header(&told, "via")[0].starts_with("1.1 wayside-"));
    assert!(response.headers()["via"].to_str().unwrap().starts_with("1.1 wayside-"));
}

#[tokio::test]
async fn every_way_to_name_a_service_leads_there() {
    let echo = Echo::start().await;
    let (proxy, mut client) = proxied(Told::with("user-service", &[echo.address()])).await;
    for (request, target) in [
        (Request::get("/a").header("host", "user-service"), "/a"),
        (Request::get("/user-service/a").header("host", "127.0.0.1"), "/a"),
        (Request::get("/a").header("host", "127.0.0.1").header("micro-service", "user-service"), "/a"),
        (Request::get("/a").header("host", "localhost").header("x-wayside-service", "user-service"), "/a"),
    ] {
        let response = client.send(request.body(Full::default()).unwrap()).await;
        assert_eq!(told(&response)["target"], target);
    }
    let mut raw = Raw::connect(proxy.listeners[0]).await;
    raw.say("GET http://USER-service/b?c HTTP/1.1\r\nhost: ignored\r\nconnection: close\r\n\r\n").await;
    let heard = raw.hear_all().await;
    assert!(heard.contains(r#""target":"/b?c""#) && heard.contains(r#"["host","USER-service"]"#), "{heard}");
}

#[tokio::test]
async fn connections_are_not_kept_where_none_may_be() {
    let echo = Echo::start().await;
    let proxy = start(config_with("[upstream]\nidle_max = 0"), Told::with("greeter", &[echo.address()]));
    let mut client = Client::connect(proxy.listeners[0]).await;
    for asked in 1..4 {
        assert_eq!(client.get("greeter", "/").await.status(), StatusCode::OK);
        assert_eq!(echo.connections(), asked);
    }
}

#[tokio::test]
async fn connections_are_kept_and_shared() {
    let echo = Echo::start().await;
    let (proxy, mut client) = proxied(Told::with("greeter", &[echo.address()])).await;
    for _ in 0..10 {
        client.get("greeter", "/").await;
    }
    let mut other = Client::connect(proxy.listeners[0]).await;
    for _ in 0..10 {
        other.get("greeter", "/").await;
    }
    assert_eq!((echo.requests(), echo.connections()), (20, 1));
}

#[tokio::test]
async fn a_dead_provider_is_not_noticed() {
    let mut echoes = Echo::several(3).await;
    let addresses: Vec<Address> = echoes.iter().map(Echo::address).collect();
    let (_proxy, mut client) = proxied(Told::with("greeter", &addresses)).await;
    for _ in 0..6 {
        assert_eq!(client.get("greeter", "/").await.status(), StatusCode::OK);
    }
    echoes.pop().unwrap().kill().await;
    for _ in 0..30 {
        assert_eq!(client.get("greeter", "/").await.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn an_unknown_service_is_named_in_the_answer() {
    let (_proxy, mut client) = proxied(Told::with("greeter", &[])).await;
    let response = client.get("greter", "/").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body = String::from_utf8(response.body().to_vec()).unwrap();
    assert!(
        body.contains("the registry knows no service greter") && body.contains("told in this test is up"),
        "{body}"
    );
    let response = client.get("greeter", "/").await;
    let body = String::from_utf8(response.body().to_vec()).unwrap();
    assert!(body.contains("service greeter has no provider"), "{body}");
    assert!(response.headers()["proxy-status"].to_str().unwrap().contains("error=destination_unavailable"));
}

#[tokio::test]
async fn a_silent_registry_is_named_in_the_answer_and_heals() {
    let echo = Echo::start().await;
    let registry = Told::with("greeter", &[echo.address()]);
    registry.answer(false);
    let (_proxy, mut client) = proxied(registry.clone()).await;
    let response = client.get("greeter", "/").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body = String::from_utf8(response.body().to_vec()).unwrap();
    assert!(
        body.contains("greeter") && body.contains("is down") && body.contains("told to be silent"),
        "{body}"
    );
    registry.answer(true);
    crate::support::patience::at_last("the proxy heals", async || {
        client.get("greeter", "/").await.status() == StatusCode::OK
    })
    .await;
}

#[tokio::test]
async fn an_upgraded_connection_carries_bytes_both_ways() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let script = Script::start().await;
    let (proxy, _) = proxied(Told::with("chat", &[script.address()])).await;
    let mut raw = Raw::connect(proxy.listeners[0]).await;
    raw.say("GET /ws HTTP/1.1\r\nhost: chat\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nearly").await;
    let mut provider = script.accept().await;
    let mut asked = vec![0; 4096];
    let count = provider.read(&mut asked).await.unwrap();
    let asked = String::from_utf8_lossy(&asked[..count]).to_ascii_lowercase();
    assert!(asked.contains("upgrade: websocket") && !asked.contains("early"), "{asked}");
    provider
        .write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhi")
        .await
        .unwrap();
    let heard = raw.hear_until("hi").await;
    assert!(heard.starts_with("HTTP/1.1 101") && heard.contains("upgrade: websocket"), "{heard}");
    let mut early = [0; 5];
    provider.read_exact(&mut early).await.unwrap();
    assert_eq!(&early, b"early");
    raw.say("ping").await;
    let mut ping = [0; 4];
    provider.read_exact(&mut ping).await.unwrap();
    provider.write_all(b"pong").await.unwrap();
    assert_eq!(raw.hear_until("pong").await, "pong");
    assert_eq!(proxy.metrics.proxy.upgrades_open.get(), 1);
    // Half-closing passes through.
    raw.finish().await;
    assert_eq!(provider.read(&mut ping).await.unwrap(), 0);
    provider.write_all(b"bye").await.unwrap();
    drop(provider);
    assert_eq!(raw.hear_all().await, "bye");
    let over = || (proxy.metrics.proxy.upgrades_open.get() == 0).then_some(());
    crate::support::patience::eventually(PATIENCE, "the switch is over", over).await;
}

#[tokio::test]
async fn grpc_goes_by_its_path_over_http2() {
    let echo = Echo::start().await;
    let registry = Told::new();
    registry.tell("greeter.grpc", wayside::provider::Protocol::H2c, &[echo.address()]);
    let proxy = start(config(), registry);
    let stream = tokio::net::TcpStream::connect(proxy.listeners[0]).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("http://127.0.0.1/greeter.grpc.Say/Hello")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::<Bytes>::from("abc"))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
    let told = told(&http::Response::from_parts(parts, body));
    assert_eq!(told["version"], "HTTP/2.0");
    assert_eq!(told["body"], "abc");
    assert_eq!(told_header(&told, "te"), ["trailers"]);
}
