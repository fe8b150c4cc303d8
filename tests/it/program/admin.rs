//! What operators read of a running process.

use std::collections::BTreeMap;

use http::StatusCode;

use crate::support::patience::at_last;
use crate::support::program::{ANY, Program, get, request, text};
use crate::support::provider::Echo;

#[tokio::test]
async fn a_registry_that_is_absent_is_told_and_heals() {
    let echo = Echo::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("providers.toml");
    let program = Program::run(&["--registry", &format!("file:{}", file.display())]).await;
    program.logs("the registry does not answer").await;
    assert_eq!(program.ask("/healthz").await.status(), StatusCode::OK);
    let ready = program.ask("/readyz").await;
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    let why = text(&ready);
    assert!(why.contains("the file registry at") && why.contains("does not answer"), "{why}");

    let answer = get(program.listeners()[0], "/greeter/").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("proxy-status"), "{answer:?}");
    let told = text(&answer);
    for part in ["greeter", "file", file.to_str().unwrap()] {
        assert!(told.contains(part), "{part} in {told}");
    }

    std::fs::write(&file, format!("[services]\ngreeter = [\"{}\"]\n", echo.address())).unwrap();
    let requests = program.listeners()[0];
    at_last("requests are answered", async || get(requests, "/greeter/").await.status() == StatusCode::OK)
        .await;
    assert_eq!(program.ask("/readyz").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn services_and_configuration_are_shown_without_secrets() {
    let echo = Echo::start().await;
    let registry = format!("fixed:greeter={}", echo.address());
    let arguments = ["run", "--listen", ANY, "--admin", ANY, "--registry", &registry];
    let program = Program::launch(&arguments, &[]);
    program.logs("operators are answered").await;
    get(program.listeners()[0], "/greeter/").await;
    let services = program.ask_json("/services").await;
    assert!(services.to_string().contains("\"greeter\""), "{services}");
    let service = program.ask_json("/services/greeter").await;
    assert_eq!(service["endpoints"][0]["address"], echo.address().to_string());
    assert_eq!(service["endpoints"][0]["attempts"], 1);
    assert_eq!(program.ask("/services/nobody").await.status(), StatusCode::NOT_FOUND);
    let unknown = program.ask("/servces").await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    assert!(text(&unknown).contains("GET /services"), "{}", text(&unknown));
}

#[tokio::test]
async fn credentials_are_in_no_answer_and_no_log() {
    let variables = [("WAYSIDE_REGISTRY_AUTH", "user:verysecret")];
    let registry = "zookeeper://127.0.0.1:1";
    let arguments = ["run", "--listen", ANY, "--admin", ANY, "--registry", registry, "--log-level", "trace"];
    let program = Program::launch(&arguments, &variables);
    program.logs("the registry does not answer").await;
    for path in ["/config", "/readyz", "/services", "/metrics"] {
        let told = text(&program.ask(path).await);
        assert!(!told.contains("verysecret"), "{path}: {told}");
    }
    assert!(text(&program.ask("/config").await).contains(registry));
    assert!(!program.log().contains("verysecret"), "{}", program.log());
}

#[tokio::test]
async fn the_level_of_the_log_changes_at_once() {
    let program = Program::run(&["--registry", "fixed:greeter=127.0.0.1:1", "--log-level", "info"]).await;
    let set = request(program.admin(), "PUT", "/log-level", "debug").await;
    assert_eq!(set.status(), StatusCode::OK);
    program.logs("the level of the log was changed to=debug").await;
    let wrong = request(program.admin(), "PUT", "/log-level", "loud").await;
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
    assert!(text(&wrong).contains("off, error, warn"), "{}", text(&wrong));
}

#[tokio::test]
async fn metrics_are_as_prometheus_wants_them() {
    let echo = Echo::start().await;
    let program = Program::run(&["--registry", &format!("fixed:greeter={}", echo.address())]).await;
    get(program.listeners()[0], "/greeter/").await;
    // A request counts once its answer has ended, which the client may see first.
    let counted = "wayside_requests_total{class=\"2xx\",reason=\"\",service=\"greeter\"} 1\n";
    at_last("the request is counted", async || text(&program.ask("/metrics").await).contains(counted)).await;
    let response = program.ask("/metrics").await;
    let kind = response.headers()["content-type"].to_str().unwrap();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    let kinds = lint(&text(&response));
    for name in ["wayside_requests_total", "wayside_registry_up", "process_resident_memory_bytes"] {
        assert!(kinds.contains_key(name), "{name}");
    }
}

/// Holds a scrape to the rules of `promtool check metrics`; the kind of each metric by its name.
fn lint(text: &str) -> BTreeMap<String, String> {
    let (mut helps, mut kinds) = (BTreeMap::new(), BTreeMap::new());
    let mut seen = std::collections::BTreeSet::new();
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            assert!(!help.is_empty() && helps.insert(name.to_owned(), help.to_owned()).is_none(), "{line}");
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            assert!(helps.contains_key(name), "no HELP before {line}");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            value.parse::<f64>().unwrap_or_else(|_| panic!("no number: {line}"));
            assert!(seen.insert(series.to_owned()), "twice: {line}");
            let name = series.split('{').next().unwrap();
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let is_part = base.is_some_and(|base| kinds.get(base).is_some_and(|kind| kind == "histogram"));
            assert!(is_part || kinds.get(name).is_some_and(|kind| kind != "histogram"), "no TYPE: {line}");
            assert!(name.starts_with("wayside_") || name.starts_with("process_"), "{line}");
            assert!(
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            );
        }
    }
    kinds
}
