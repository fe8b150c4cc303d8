//! Headers: what concerns one connection ends here, and what a proxy owes both sides is added.

use super::{Played, get, line, nobody, status};
use crate::support::client::Raw;
use crate::support::proxy::{config, start};
use crate::support::registry::Told;

#[tokio::test]
async fn what_concerns_one_connection_goes_no_further_either_way() {
    let played = Played::start().await;
    let (mut client, mut provider, heard) = played
        .asked(&get(
            "connection: keep-alive, x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nproxy-connection: keep-alive\r\n\
             proxy-authorization: Basic eDp5\r\nte: gzip\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\nx-end: 1\r\n",
        ))
        .await;
    for name in [
        "connection",
        "x-hop",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "upgrade",
        "http2-settings",
    ] {
        assert_eq!(line(&heard, name), None, "{name} reached the provider");
    }
    assert_eq!(line(&heard, "x-end"), Some("1"));
    provider
        .say(
            "HTTP/1.1 200 OK\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\nproxy-connection: keep-alive\r\n\
             upgrade: h2c\r\nx-end: 1\r\ncontent-length: 0\r\n\r\n",
        )
        .await;
    let heard = client.hear_head().await;
    for name in ["connection", "x-hop", "keep-alive", "proxy-connection", "upgrade"] {
        assert_eq!(line(&heard, name), None, "{name} reached the client");
    }
    assert_eq!(line(&heard, "x-end"), Some("1"));
}

#[tokio::test]
async fn what_a_proxy_owes_is_added_behind_what_was_there() {
    let played = Played::start().await;
    let lines = "via: 1.0 other\r\nx-forwarded-for: 10.1.1.1\r\nx-request-id: mine\r\n";
    let (mut client, mut provider, heard) = played.asked(&get(lines)).await;
    assert_eq!(heard.matches("via: ").count(), 2);
    assert!(heard.contains("via: 1.0 other\r\nvia: 1.1 wayside-"), "{heard}");
    assert_eq!(line(&heard, "x-forwarded-for"), Some("10.1.1.1, 127.0.0.1"));
    assert_eq!(line(&heard, "x-forwarded-proto"), Some("http"));
    assert_eq!(line(&heard, "x-forwarded-host"), Some("svc"));
    assert_eq!(line(&heard, "x-request-id"), Some("mine"));
    provider.say("HTTP/1.0 200 OK\r\nvia: 1.0 fred\r\ncontent-length: 0\r\n\r\n").await;
    let heard = client.hear_head().await;
    assert!(heard.contains("via: 1.0 fred\r\nvia: 1.0 wayside-"), "{heard}");
    let mut ids = Vec::new();
    for _ in 0..2 {
        let (_, _, heard) = played.asked(&get("")).await;
        ids.push(line(&heard, "x-request-id").unwrap().to_owned());
    }
    assert!(ids[0] != ids[1] && ids[0].len() == 32, "{ids:?}");
}

#[tokio::test]
async fn a_service_that_leads_back_here_is_a_loop() {
    let registry = Told::new();
    let proxy = start(config(), registry.clone());
    registry.tell("svc", wayside::provider::Protocol::Http1, &[proxy.listeners[0].into()]);
    let mut client = Raw::connect(proxy.listeners[0]).await;
    client.say(get("connection: close\r\n")).await;
    let heard = client.hear_all().await;
    assert_eq!(status(&heard), 508);
    assert!(line(&heard, "proxy-status").unwrap().contains("error=proxy_loop_detected"), "{heard}");
}

#[tokio::test]
async fn an_old_client_needs_no_host_and_its_provider_gets_one() {
    let played = Played::start().await;
    let (mut client, mut provider, heard) =
        played.asked("GET /svc/x HTTP/1.0\r\nx-wayside-service: svc\r\n\r\n").await;
    assert!(heard.starts_with("GET /svc/x HTTP/1.1\r\n"), "{heard}");
    assert_eq!(line(&heard, "host"), Some("svc"));
    assert!(heard.contains("via: 1.0 wayside-"), "{heard}");
    provider
        .say("HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
        .await;
    let heard = client.hear_all().await;
    assert!(heard.starts_with("HTTP/1.0 200") && heard.ends_with("\r\n\r\nok"), "{heard}");
    assert_eq!(line(&heard, "transfer-encoding"), None);
    let (mut client, mut provider, _) =
        played.asked("GET /x HTTP/1.0\r\nhost: svc\r\nconnection: keep-alive\r\n\r\n").await;
    provider.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let heard = client.hear_until("ok").await;
    assert_eq!(line(&heard, "connection"), Some("keep-alive"));
}

#[tokio::test]
async fn absolute_targets_and_pipelined_requests_are_understood() {
    let played = Played::start().await;
    let requests = "GET http://svc/a?b HTTP/1.1\r\nhost: other\r\n\r\nGET http://svc HTTP/1.1\r\nhost: other\r\n\r\n\
                    OPTIONS * HTTP/1.1\r\nhost: svc\r\nconnection: close\r\n\r\n";
    let (mut client, mut provider, mut heard) = played.asked(requests).await;
    for (target, answer) in
        [("GET /a?b HTTP/1.1", "one"), ("GET / HTTP/1.1", "two"), ("OPTIONS * HTTP/1.1", "six")]
    {
        assert!(heard.starts_with(target) && line(&heard, "host") == Some("svc"), "{heard}");
        provider.say(format!("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{answer}")).await;
        if answer != "six" {
            heard = provider.hear_head().await;
        }
    }
    let heard = client.hear_all().await;
    let order = ["one", "two", "six"].map(|answer| heard.find(answer).unwrap());
    assert!(order.is_sorted() && heard.matches("HTTP/1.1 200").count() == 3, "{heard}");
}

#[tokio::test]
async fn a_tunnel_is_refused() {
    let proxy = start(config(), Told::with("svc", &[nobody()]));
    let mut client = Raw::connect(proxy.listeners[0]).await;
    client.say("CONNECT svc:443 HTTP/1.1\r\nhost: svc:443\r\n\r\n").await;
    let heard = client.hear_head().await;
    assert_eq!(status(&heard), 405);
    assert!(line(&heard, "proxy-status").unwrap().contains("details=\"connect_refused\""), "{heard}");
    assert_eq!(proxy.metrics.proxy.upstream_dials_total.get(), 0);
}

#[tokio::test]
async fn a_switch_that_the_provider_declines_leaves_http() {
    let played = Played::start().await;
    let (mut client, mut provider, heard) =
        played.asked(&get("connection: upgrade\r\nupgrade: websocket\r\n")).await;
    assert_eq!((line(&heard, "connection"), line(&heard, "upgrade")), (Some("upgrade"), Some("websocket")));
    provider.say("HTTP/1.1 426 Upgrade Required\r\nupgrade: h2c\r\ncontent-length: 2\r\n\r\nno").await;
    assert_eq!(status(&client.hear_until("no").await), 426);
    client.say(get("")).await;
    provider.hear_head().await;
    provider.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    client.hear_until("ok").await;
    played.settled().await;
}
