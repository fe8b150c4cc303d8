//! What operators are answered.

mod live;
mod strangers;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::page::File;
use super::{Readiness, Settings, State, page, router, serve};
use crate::announce::Announcements;
use crate::balance::Policy;
use crate::catalog::{self, Catalog, Claim, Source};
use crate::clock::{Clock, Moment};
use crate::drain::Drain;
use crate::endpoint::{Care, Ending, Outcome, Said};
use crate::provider::{Provider, ServiceName};
use crate::proxy::explain::Explainer;
use crate::proxy::{self, Shared};
use crate::registry::format::Reason;
use crate::registry::{Listing, Registry, RegistryError, Report, Reports, Skipped, View, Wanted, Watch};
use crate::telemetry::metrics::Metrics;

/// A registry that says what it was told to, and then nothing more; or that cannot be reached.
#[derive(Debug)]
struct Scripted(Option<Vec<Report>>);

impl Registry for Scripted {
    fn kind(&self) -> &'static str {
        "zookeeper"
    }

    fn location(&self) -> String {
        "127.0.0.1:2181/micro-registry".to_owned()
    }

    fn watch<'a>(&'a self, _wanted: Wanted, reports: Reports) -> Watch<'a> {
        Box::pin(async move {
            let Some(script) = &self.0 else {
                let source = std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into();
                return RegistryError::Unreachable {
                    doing: "cannot connect to 127.0.0.1:2181".into(),
                    source,
                };
            };
            for report in script {
                reports.send(report.clone()).await.unwrap();
            }
            std::future::pending().await
        })
    }
}

fn name(name: &str) -> ServiceName {
    name.parse().unwrap()
}

fn listed(service: &str, view: View) -> Report {
    let service = name(service);
    Report::Listed(Listing { revision: Some(42), reads: 3, ..Listing::new(service, view) })
}

fn greeter() -> Report {
    let provider = |id: &str, address: &str| {
        let mut provider = Provider::new(id, address.parse().unwrap());
        provider.version = "1.2.0".into();
        provider.metadata.insert("region".into(), "north".into());
        Arc::new(provider)
    };
    let skipped = Skipped {
        record: "/micro-registry/greeter/greeter-3".into(),
        reason: Reason::Malformed,
        detail: "expected value at line 1 column 1".into(),
    };
    let providers = vec![provider("greeter-1", "10.0.0.1:8080"), provider("greeter-2", "10.0.0.2:8080")];
    listed("greeter", View::Present { providers, skipped: vec![skipped] })
}

fn connected() -> Report {
    Report::Connected { detail: "session 0x1".into() }
}

struct Operated {
    router: Router,
    state: State,
}

impl Operated {
    /// A catalog in which these services are declared, following such a registry.
    fn new(script: Option<Vec<Report>>, declared: &[&str]) -> Self {
        let clock = Clock::start();
        let metrics = Metrics::new();
        let sources = vec![Source::new(Arc::new(Scripted(script)))];
        let catalog = Catalog::new(catalog::Settings::default(), sources, Arc::clone(&metrics), clock, 1);
        for service in declared {
            catalog.declare(&Claim::on(name(service), Policy::RoundRobin)).unwrap();
        }
        tokio::spawn(catalog.follow(0, Drain::new()));
        let config_text = Arc::new(ArcSwap::from_pointee("workers = 2\n".to_owned()));
        let readiness = Arc::new(Readiness::default());
        let announcements = Announcements::new(Arc::clone(&metrics), clock);
        let target = Err("nothing can be announced here; announce elsewhere".into());
        let settings = proxy::Settings::default();
        let shared = Shared::alone(settings, Arc::clone(&catalog), Arc::clone(&metrics), clock);
        let explainer = Explainer::new(Arc::new(shared));
        let (log, history) = (None, Arc::default());
        let state = State {
            catalog,
            metrics,
            history,
            readiness,
            config_text,
            log,
            clock,
            announcements,
            target,
            leave: CancellationToken::new(),
            explainer,
        };
        Self { router: router(&Settings::default(), state.clone()), state }
    }

    /// Waits until the first list of a service is there.
    async fn listed(&self, service: &str) {
        let claim = Claim::on(name(service), Policy::RoundRobin);
        assert!(self.state.catalog.subscribe(&claim).unwrap().listed(Duration::from_secs(5)).await);
    }

    async fn ask(&self, method: Method, path: &str, body: &'static str) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(path).header("host", "localhost:4141");
        let request = request.body(Body::from(body)).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        self.ask(Method::GET, path, "").await
    }

    async fn json(&self, path: &str) -> (StatusCode, String) {
        let (status, text) = self.get(path).await;
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        (status, serde_json::to_string_pretty(&value).unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn services_are_told_in_short_and_in_full() {
    let operated = Operated::new(Some(vec![connected(), greeter()]), &["greeter"]);
    operated.listed("greeter").await;
    let endpoints = operated.state.catalog.known()[0].endpoints.clone();
    let guard = endpoints[0].memory.begin();
    endpoints[1].memory.note(Outcome::Broken, Said::Nothing, Ending::at(Moment::START), &Care::default());
    endpoints[1].memory.fail_to_connect(operated.state.clock.now(), 0.5);
    insta::assert_snapshot!("services", operated.json("/services").await.1);
    insta::assert_snapshot!("service", operated.json("/services/greeter").await.1);
    drop(guard);
    let (status, answer) = operated.json("/services/gretter").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    insta::assert_snapshot!("unknown_service", answer);
}

#[tokio::test(start_paused = true)]
async fn events_are_told_the_newest_first() {
    let operated = Operated::new(Some(vec![connected(), greeter()]), &["greeter"]);
    operated.listed("greeter").await;
    let events = async |path: &str| -> Vec<serde_json::Value> {
        let (status, answer) = operated.get(path).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        answer["events"].as_array().unwrap().clone()
    };
    let all = events("/events").await;
    assert_eq!((all.len(), &all[0]["number"], &all[0]["event"]), (2, &2.into(), &"added".into()));
    assert_eq!(events("/events?service=greeter&limit=1").await, all[..1]);
    assert_eq!(events("/events?service=users").await.len(), 0);
    assert_eq!(events("/events?after=1").await, all[..1]);
    assert_eq!(events("/events?after=2").await.len(), 0);
    for wrong in ["/events?limit=many", "/events?servce=greeter"] {
        let (status, answer) = operated.get(wrong).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(answer.contains("ask /events, or /events?service=greeter&limit=100"), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn names_with_a_slash_are_found() {
    let script = vec![connected(), listed("web/users", View::Present { providers: vec![], skipped: vec![] })];
    let operated = Operated::new(Some(script), &["web/users"]);
    operated.listed("web/users").await;
    for path in ["/services/web/users", "/services/web%2Fusers"] {
        assert_eq!(operated.get(path).await.0, StatusCode::OK, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn readiness_says_why_not_and_is_not_taken_back() {
    let operated = Operated::new(Some(vec![connected(), greeter()]), &["greeter", "orders"]);
    assert_eq!(operated.get("/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    operated.state.readiness.listening();
    operated.listed("greeter").await;
    let (status, answer) = operated.json("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    insta::assert_snapshot!("not_listed", answer);
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(
        operated.get("/readyz").await.0,
        StatusCode::OK,
        "a service that is never listed holds nothing up"
    );
    operated.state.readiness.leaving();
    let (status, answer) = operated.get("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.contains("this proxy is stopping"), "{answer}");
    operated.state.readiness.listening();
    assert_eq!(operated.get("/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_was_never_reached_is_named() {
    let operated = Operated::new(None, &[]);
    operated.state.readiness.listening();
    let claim = Claim::on(name("greeter"), Policy::RoundRobin);
    assert!(!operated.state.catalog.subscribe(&claim).unwrap().listed(Duration::from_secs(5)).await);
    let (status, answer) = operated.json("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    insta::assert_snapshot!("registry_absent", answer);
    let (status, answer) = operated.get("/healthz").await;
    assert_eq!((status, answer.as_str()), (StatusCode::OK, "ok\n"), "not ready is not ill");
}

#[tokio::test(start_paused = true)]
async fn a_scrape_shows_endpoints() {
    let operated = Operated::new(Some(vec![connected(), greeter()]), &["greeter"]);
    operated.listed("greeter").await;
    let text = operated.get("/metrics").await.1;
    for line in [
        "wayside_registry_up{registry=\"zookeeper\"} 1",
        "wayside_endpoints{service=\"greeter\",state=\"available\"} 2",
        "wayside_endpoint_attempts_total{service=\"greeter\",endpoint=\"10.0.0.2:8080\"} 0",
        "wayside_registry_records_skipped_total{reason=\"malformed\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_wrongly_is_answered_with_a_cure() {
    let operated = Operated::new(None, &[]);
    for (method, path, body, status) in [
        (Method::GET, "/metric", "", StatusCode::NOT_FOUND),
        (Method::POST, "/services", "", StatusCode::METHOD_NOT_ALLOWED),
        (Method::PUT, "/log-level", "loud", StatusCode::BAD_REQUEST),
        (Method::PUT, "/log-level", "debug", StatusCode::NOT_FOUND),
    ] {
        let (found, answer) = operated.ask(method, path, body).await;
        assert_eq!(found, status, "{path}");
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert!(answer["error"].is_string() && answer["cure"].is_string(), "{answer}");
    }
    let request =
        Request::builder().uri("/services").header("host", "evil.example").body(Body::empty()).unwrap();
    let response = operated.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    insta::assert_snapshot!("forbidden", String::from_utf8_lossy(&body));
}

#[tokio::test(start_paused = true)]
async fn the_page_asks_for_nothing_from_elsewhere() {
    let operated = Operated::new(None, &[]);
    for File { path, kind, .. } in page::FILES {
        let request = Request::builder().uri(path).header("host", "localhost").body(Body::empty()).unwrap();
        let response = operated.router.clone().oneshot(request).await.unwrap();
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with(kind));
        assert!(
            response.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'")
        );
        let text = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(text.to_vec()).unwrap().replace("http://127.0.0.1:4140/", "");
        let text = text.replace("value=\"http://\"", "");
        for word in ["://", "innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "style="] {
            assert!(!text.contains(word), "{word} in {path}");
        }
    }
    assert_eq!(operated.get("/config").await.1, "workers = 2\n");
}

#[tokio::test]
async fn the_server_answers_until_it_is_drained() {
    let operated = Operated::new(None, &[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let drain = Drain::new();
    drain.spawn("admin", serve(listener, operated.router.clone(), drain.clone(), CancellationToken::new()));
    let mut idle = TcpStream::connect(address).await.unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("ok\n"), "{answer}");
    assert_eq!(drain.finish(Duration::from_secs(5)).await, 0, "an idle connection does not hold up the end");
    assert_eq!(idle.read(&mut [0; 8]).await.unwrap(), 0);
    assert!(TcpStream::connect(address).await.is_err());
}
