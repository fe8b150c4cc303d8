//! Whom nothing is told and who changes nothing: pages in browsers, names of others, and whoever holds connections open.

use axum::http::HeaderMap;

use super::*;

/// Every route, with a method that it takes.
const ROUTES: [(Method, &str); 21] = [
    (Method::GET, "/"),
    (Method::GET, "/page/style.css"),
    (Method::GET, "/page/app.js"),
    (Method::GET, "/healthz"),
    (Method::GET, "/readyz"),
    (Method::GET, "/metrics"),
    (Method::GET, "/services"),
    (Method::GET, "/services/greeter"),
    (Method::GET, "/explain"),
    (Method::GET, "/explain/greeter"),
    (Method::GET, "/history"),
    (Method::GET, "/live"),
    (Method::GET, "/announcements"),
    (Method::GET, "/registry"),
    (Method::POST, "/registry"),
    (Method::DELETE, "/registry"),
    (Method::GET, "/events"),
    (Method::GET, "/config"),
    (Method::PUT, "/log-level"),
    (Method::POST, "/drain"),
    (Method::GET, "/nothing"),
];

async fn answer(
    operated: &Operated,
    (method, path): &(Method, &str),
    fields: &[(&str, &str)],
) -> (u16, HeaderMap) {
    let request = Request::builder().method(method).uri(*path);
    let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let response = operated.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    (response.status().as_u16(), response.headers().clone())
}

#[test]
fn no_route_is_forgotten() {
    let code = include_str!("../mod.rs");
    let routes = code.split(".route(").skip(1).map(|rest| rest.trim_start().split('"').nth(1).unwrap());
    let mut count = 0;
    for route in routes {
        let route = route.replace("{*name}", "greeter").replace("{*id}", "greeter");
        assert!(ROUTES.iter().any(|(_, path)| *path == route), "{route} is in no test");
        count += 1;
    }
    assert_eq!(count, 15);
    let kept = ROUTES.iter().filter(|(_, path)| !path.starts_with("/page/") && *path != "/nothing");
    assert_eq!(kept.count(), crate::admin::PATHS.len(), "each path that is told, with each of its methods");
}

#[tokio::test]
async fn every_route_refuses_strangers_and_says_how_it_may_be_used() {
    let operated = Operated::new(None, &[]);
    let own = ("host", "localhost:4141");
    let simple = ("content-type", "text/plain");
    for route in &ROUTES {
        for fields in [
            // A name of a page's own, led to this machine; alone, doubled, or none.
            &[("host", "evil.example:4141")][..],
            &[own, ("host", "evil.example")],
            &[],
            // A page of another site or port, as browsers tell it.
            &[own, simple, ("origin", "http://evil.example")],
            &[own, simple, ("origin", "http://localhost:3000")],
            &[own, simple, ("origin", "null")],
            &[own, simple, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")],
            &[
                own,
                ("sec-fetch-site", "same-site"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "iframe"),
            ],
            // A registry that lists this port as a provider.
            &[own, ("via", "1.1 wayside-12345678")],
        ] {
            let (status, headers) = answer(&operated, route, fields).await;
            assert!(matches!(status, 400 | 403), "{route:?} {fields:?}: {status}");
            assert!(!headers.contains_key("access-control-allow-origin"), "{route:?}");
        }
        let (status, headers) = answer(&operated, route, &[own]).await;
        assert!(!matches!(status, 403 | 405), "{route:?}: {status}");
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("cross-origin-resource-policy", "same-origin"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(headers[name], value, "{route:?}");
        }
        assert!(headers["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'none'"));
    }
}

#[tokio::test]
async fn a_method_is_what_it_is() {
    let operated = Operated::new(None, &[]);
    let own = ("host", "localhost:4141");
    for name in ["x-http-method-override", "x-http-method", "x-method-override"] {
        let got = answer(&operated, &(Method::GET, "/registry"), &[own, (name, "DELETE")]).await;
        assert_eq!(got.0, 200, "{name}");
        let put = answer(&operated, &(Method::POST, "/log-level?_method=PUT"), &[own, (name, "PUT")]).await;
        assert_eq!(put.0, 405, "{name}");
    }
    let preflight = [own, ("origin", "http://evil.example"), ("access-control-request-method", "PUT")];
    assert_eq!(answer(&operated, &(Method::OPTIONS, "/log-level"), &preflight).await.0, 403);
}

#[tokio::test]
async fn what_is_malformed_is_refused_with_the_cure() {
    let operated = Operated::new(None, &[]);
    for (method, path, body) in [
        (Method::GET, "/services/%ff", &b""[..]),
        (Method::GET, "/registry?service=a&service=b", b""),
        (Method::POST, "/registry?ttl=1s&ttl=2s", b"{}"),
        (Method::GET, "/events?limit=x", b""),
        (Method::PUT, "/log-level", b"\xff\xfe"),
        (Method::PUT, "/log-level", b"loud"),
    ] {
        let request = Request::builder().method(&method).uri(path).header("host", "localhost");
        let response =
            operated.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{method} {path}");
        let told = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
        assert!(told["error"].is_string() && !told["cure"].as_str().unwrap().is_empty(), "{told}");
    }
}

#[tokio::test]
async fn bodies_are_bounded() {
    let operated = Operated::new(None, &[]);
    let request = Request::put("/log-level").header("host", "localhost").body(Body::from("x".repeat(5000)));
    let response = operated.router.clone().oneshot(request.unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_comes_byte_by_byte_is_given_up() {
    let operated = Operated::new(None, &[]);
    let never =
        Body::from_stream(futures_util::stream::pending::<Result<axum::body::Bytes, std::io::Error>>());
    let request = Request::put("/log-level").header("host", "localhost").body(never);
    let response = operated.router.clone().oneshot(request.unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
}

/// What a server says to this, until it ends the connection.
async fn said(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

#[tokio::test]
async fn who_holds_connections_open_keeps_nobody_out() {
    let operated = Operated::new(None, &[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let drain = Drain::new();
    drain.spawn("admin", serve(listener, operated.router.clone(), drain.clone(), CancellationToken::new()));
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Whoever was closed by then need not take it.
        let _ = stream
            .write_all(b"PUT /log-level HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nd")
            .await;
        slow.push(stream);
    }
    let healthy = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    for _ in 0..3 {
        assert!(said(address, healthy).await.starts_with("HTTP/1.1 200 OK"));
    }
    let many = (0..100).map(|number| format!("x-{number}: 1\r\n")).collect::<String>();
    let answer = said(address, &format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{many}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let long = "x".repeat(64 * 1024);
    let answer =
        said(address, &format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nx: {long}\r\n\r\n")).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    for old in [
        "GET /config HTTP/1.0\r\n\r\n",
        "GET http://127.0.0.1/config HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    ] {
        assert!(said(address, old).await.contains(" 200 OK"), "{old}");
    }
    drain.stop();
}
