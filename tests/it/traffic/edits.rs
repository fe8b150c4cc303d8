//! Edits: headers, paths and hosts that are changed on the way, once for a request, in every attempt, copy and answer.

use http::Request;
use http_body_util::Full;

use super::{provider, proxied, registry};
use crate::support::client::Raw;
use crate::support::provider::{Echo, Script, told, told_header};

/// An address of loopback on which nobody listens, as a registry in the configuration has it.
fn nobody() -> String {
    format!("\"{}\"", std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
}

#[tokio::test]
async fn headers_are_changed_once_for_every_attempt_and_copy() {
    let (echo, script) = (Echo::start().await, Script::start().await);
    let text = registry(&[
        ("a", &[nobody(), provider(&echo, "")]),
        ("b", &[format!("\"{}\"", script.address())]),
    ]) + "[[service]]\nname = \"a\"\nmirror = { service = \"b\" }\n[service.request_headers]\n\
          remove = [\"x-secret\", \"X-Internal-*\"]\nset = { x-who = \"{client} {service}{route} {host} {request_id}\" }\n\
          add = { x-team = [\"{{a}}\", \"b\"] }\n";
    let (_proxy, mut client) = proxied(&text).await;
    // Both providers begin; the second time around the order is another one.
    for _ in 0..2 {
        let request =
            Request::get("/").header("host", "a").header("x-secret", "1").header("x-internal-a", "1");
        let request =
            request.header("x-team", "theirs").header("x-who", "forged").header("x-request-id", "r1");
        let told = told(&client.send(request.body(Full::default()).unwrap()).await);
        assert_eq!(told_header(&told, "x-team"), ["theirs", "{a}", "b"], "{told}");
        assert_eq!(told_header(&told, "x-who"), ["127.0.0.1 a a r1"]);
        for gone in ["x-secret", "x-internal-a"] {
            assert_eq!(told_header(&told, gone), [""; 0], "{gone}");
        }
        let copy = Raw::from(script.accept().await).hear_head().await.to_lowercase();
        for line in [
            "x-team: theirs\r\n",
            "x-team: {a}\r\n",
            "x-who: 127.0.0.1 a a r1\r\n",
            "x-wayside-mirror: 1\r\n",
        ] {
            assert!(copy.contains(line), "{line} is missing in {copy}");
        }
        assert!(!copy.contains("x-internal-a"), "{copy}");
    }
}

#[tokio::test]
async fn a_route_says_its_own_in_place_of_its_services() {
    let echo = Echo::start().await;
    let text = registry(&[("a", &[provider(&echo, "id = \"a-1\"")])])
        + "[[service]]\nname = \"a\"\n[service.request_headers]\nset = { x-by = \"service\" }\n\
           [service.response_headers]\nset = { x-by = \"{service} {provider} {address}\", server = \"none\" }\n\
           [[route]]\nservice = \"a\"\npath = \"/own\"\n[route.request_headers]\nset = { x-by = \"{route}\" }\n\
           [[route]]\nservice = \"a\"\npath = \"/none\"\n[route.request_headers]\n[route.response_headers]\n\
           [[route]]\nservice = \"a\"\npath = \"/same\"\n";
    let (_proxy, mut client) = proxied(&text).await;
    let answered = format!("a a-1 {}", echo.address());
    for (path, asked, answered) in [
        ("/", Some("service"), Some(&answered)),
        ("/own", Some("route-1"), Some(&answered)),
        ("/none", None, None),
        ("/same", Some("service"), Some(&answered)),
    ] {
        let response = client.get("a", path).await;
        assert_eq!(told_header(&told(&response), "x-by").first().map(String::as_str), asked, "{path}");
        let by = response.headers().get("x-by").map(|by| by.to_str().unwrap());
        assert_eq!(by, answered.map(String::as_str), "{path}");
    }
}

#[tokio::test]
async fn answers_of_this_proxy_are_changed_too() {
    let text = registry(&[("a", &[nobody()])])
        + "[[service]]\nname = \"a\"\n[service.response_headers]\nremove = [\"proxy-*\"]\n\
           set = { cache-control = \"no-store\", x-by = \"{service}/{provider}/{host}\" }\n";
    let (_proxy, mut client) = proxied(&text).await;
    let response = client.get("a", "/").await;
    assert_eq!(response.status(), 502);
    assert_eq!(
        (&response.headers()["cache-control"], &response.headers()["x-by"]),
        (&"no-store".parse().unwrap(), &"a//a".parse().unwrap())
    );
    assert!(!response.headers().contains_key("proxy-status"));
    let unknown = client.get("b", "/").await;
    assert!(!unknown.headers().contains_key("cache-control"), "nothing is laid down for that one");
}

#[tokio::test]
async fn paths_are_made_into_others_and_queries_stay() {
    let echo = Echo::start().await;
    let text = registry(&[("a", &[provider(&echo, "")])])
        + "[[service]]\nname = \"a\"\n[service.response_headers]\nset = { x-route = \"{route}\" }\n\
           [[route]]\nservice = \"a\"\npath = \"/v7\"\nreplace_prefix = \"/static\"\n\
           [[route]]\nservice = \"a\"\npath = \"/v9\"\nrewrite_path = { pattern = \"^/v9\", with = \"/a b\" }\n\
           [[route]]\nservice = \"a\"\nrewrite_path = { pattern = \"^/v[18]/?(.*)$\", with = \"/$1\" }\n";
    let (proxy, mut client) = proxied(&text).await;
    for (asked, sent) in [
        ("/v1/users/7?a=/v1/b&c=%20", "/users/7?a=/v1/b&c=%20"),
        ("/v1/?", "/?"),
        ("/v1/a%2Fb", "/a%2Fb"),
        ("/v2/users?x", "/v2/users?x"),
    ] {
        assert_eq!(told(&client.get("a", asked).await)["target"], sent, "{asked}");
    }
    let before = echo.requests();
    for (asked, status) in [
        ("/v1//evil.example/x", "400"),
        ("/v1/x/../../admin", "400"),
        ("/v1/%2e%2E/admin", "400"),
        ("/v1/100%", "400"),
        ("/v9/x", "500"),
        ("/v8../admin", "400"),
        ("/v7/../admin", "400"),
    ] {
        let mut raw = Raw::connect(proxy.listeners[0]).await;
        raw.say(format!("GET {asked} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).await;
        let heard = raw.hear_all().await;
        assert!(heard.starts_with(&format!("HTTP/1.1 {status} ")), "{asked}: {heard}");
        assert_eq!(heard.contains("correct rewrite_path"), status == "500", "{heard}");
        assert!(
            heard.contains("\r\nx-route: route-"),
            "what is laid down for answers holds for these: {heard}"
        );
    }
    assert_eq!(echo.requests(), before, "nothing of these was sent");
}

#[tokio::test]
async fn each_provider_is_asked_for_its_own_host() {
    let (plain, h2c) = (Echo::start().await, Echo::start().await);
    let text = registry(&[
        ("a", &[nobody(), provider(&plain, "")]),
        ("b", &[nobody(), provider(&h2c, "protocol = \"h2c\"")]),
    ]) + "[[route]]\nservice = \"a\"\nhosts = [\"a\"]\nrewrite_host = \"provider\"\n\
          [[route]]\nservice = \"b\"\nhosts = [\"b\"]\nrewrite_host = \"provider\"\n\
          [[route]]\nservice = \"a\"\nhosts = [\"c\"]\nrewrite_host = \"c.internal\"\n";
    let (_proxy, mut client) = proxied(&text).await;
    for _ in 0..2 {
        let told_a = told(&client.get("a", "/x").await);
        assert_eq!(told_header(&told_a, "host"), [plain.address().to_string()], "{told_a}");
        assert_eq!(told_header(&told_a, "x-forwarded-host"), ["a"], "what the client asked for");
        let told_b = told(&client.get("b", "/x").await);
        assert_eq!(told_b["target"], format!("http://{}/x", h2c.address()), "{told_b}");
        let told_c = told(&client.get("c", "/x").await);
        assert_eq!(
            (&told_header(&told_c, "host")[..], &told_header(&told_c, "x-forwarded-host")[..]),
            (&["c.internal".to_owned()][..], &["c".to_owned()][..])
        );
    }
}
